package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/netip"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/ca/crl"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// rootFile is the root certificate in the data folder.
const rootFile = "root.pem"

// addCA opens the hierarchy in the data folder, making it if need be, and adds
// the signing authority and the publisher of its CRLs.
func (n *instance) addCA(ctx context.Context, store sa.Store) (*ca.CA, error) {
	hierarchy, err := n.openHierarchy()
	if err != nil {
		return nil, err
	}
	issuer := hierarchy.Issuer.Chains[0][0]
	alternates, err := alternateChains(n.cfg.CA.AlternateChains, issuer, n.now())
	if err != nil {
		return nil, err
	}
	hierarchy.Issuer.Chains = append(hierarchy.Issuer.Chains, alternates...)
	names, err := n.serviceNames()
	if err != nil {
		return nil, err
	}
	weak, err := n.weakKeys()
	if err != nil {
		return nil, err
	}
	cfg := ca.Config{
		Store:        store,
		Issuers:      []ca.IssuerConfig{hierarchy.Issuer},
		Profiles:     configuredProfiles(n.cfg),
		PublicURL:    n.addresses.public,
		CRLShards:    n.cfg.CA.CRLShards,
		ServiceNames: names,
		OCSPFolder:   hierarchy.OCSPFolder,
		WeakKeys:     weak,
		Directories:  directoryNames(n.cfg),
		Now:          n.now,
		Random:       n.random,
		Logger:       n.log("ca"),
		Audit:        n.auditBy("ca"),
		Metrics:      n.metrics,
	}
	if n.hooks.signing != nil {
		n.hooks.signing(&cfg)
	}
	signing, err := ca.New(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("setting up signing: %w", err)
	}
	n.addLoop("signing", signing.Run)
	if err := n.addCRLs(ctx, store, signing); err != nil {
		return nil, err
	}
	n.health.Add("issuer", func(context.Context) error {
		if !n.now().Before(issuer.NotAfter) {
			return fmt.Errorf("the issuing certificate %q expired at %s", issuer.Subject, issuer.NotAfter)
		}
		return nil
	})
	return signing, nil
}

// openHierarchy opens the roots and the issuer.
func (n *instance) openHierarchy() (*ca.Hierarchy, error) {
	if n.hooks.hierarchy != nil {
		return n.hooks.hierarchy(n)
	}
	hierarchy, err := ca.OpenHierarchy(ca.HierarchyConfig{Folder: n.data.path, Now: n.now, Random: n.random})
	if err != nil {
		return nil, fmt.Errorf("opening the hierarchy: %w", err)
	}
	return hierarchy, nil
}

// addCRLs adds the publisher of the CRLs. When it returns, every CRL is there:
// a certificate that is issued names one.
func (n *instance) addCRLs(ctx context.Context, store sa.Store, signing *ca.CA) error {
	var issuers []crl.Issuer
	for _, k := range signing.Keys() {
		cert, err := x509.ParseCertificate(k.Chain[0])
		if err != nil {
			return fmt.Errorf("parsing the certificate of issuer %s: %w", k.ID, err)
		}
		issuers = append(issuers, crl.Issuer{ID: k.ID, Certificate: cert, Signer: k.Signer})
	}
	owner, err := acme.NewID(n.now(), n.random)
	if err != nil {
		return err
	}
	publisher, err := crl.NewPublisher(crl.Config{
		Store:   store,
		Issuers: issuers,
		Shards:  n.cfg.CA.CRLShards,
		URL: func(issuer acme.IssuerID, shard int) string {
			return ca.CRLURL(n.addresses.public, issuer, shard)
		},
		Lifetime: n.cfg.CA.CRLLifetime,
		Delay:    n.cfg.CA.CRLDelay,
		Owner:    "crl " + owner.String(),
		Now:      n.now,
		Random:   n.random,
		Logger:   n.log("crl"),
		Audit:    n.auditBy("crl"),
		Metrics:  n.metrics,
	})
	if err != nil {
		return fmt.Errorf("setting up CRLs: %w", err)
	}
	if err := publisher.Publish(ctx); err != nil {
		return fmt.Errorf("publishing the first CRLs: %w", err)
	}
	n.addLoop("CRLs", publisher.Run)
	return nil
}

// serviceNames are the names and addresses under which the HTTPS listeners
// are reached: from outside, and from this machine.
func (s *services) serviceNames() ([]acme.Identifier, error) {
	names := []string{s.addresses.externalHost(), "localhost", "127.0.0.1", "::1"}
	names = append(names, s.hooks.names...)
	for _, address := range []string{s.cfg.Listen.ACME, s.cfg.Listen.Admin} {
		if host := reachable(address); host != "" {
			names = append(names, host)
		}
	}
	ids := make([]acme.Identifier, len(names))
	for i, name := range names {
		var err error
		if addr, notAddr := netip.ParseAddr(name); notAddr == nil {
			ids[i] = acme.IdentifierFromIP(addr)
		} else if ids[i], err = acme.ParseIdentifier(acme.IdentifierDNS, name); err != nil {
			return nil, fmt.Errorf("the HTTPS listeners need a certificate for %q, the host in external_url or in an address of listen: %w", name, err)
		}
	}
	return acme.UniqueIdentifiers(ids), nil
}
