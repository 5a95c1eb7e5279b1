package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/ca/crl"
	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/config"
	"github.com/cairn-ca/cairn/sa"
)

// rootFile is the root certificate in the data folder.
const rootFile = "root.pem"

// addCA opens the hierarchy in the data folder, making it if need be, and adds
// the signing authority and the publisher of its CRLs.
func (n *instance) addCA(ctx context.Context, store sa.Store) (*signingAuthority, error) {
	keys, err := n.newIssuerKeys()
	if err != nil {
		return nil, err
	}
	hierarchy, err := n.openHierarchy(ctx, keys)
	if err != nil {
		return nil, err
	}
	issuer := hierarchy.Issuer.Chains[0][0]
	alternates, err := alternateChains(n.cfg.CA.AlternateChains, issuer, n.now())
	if err != nil {
		return nil, err
	}
	hierarchy.Issuer.Chains = append(hierarchy.Issuer.Chains, alternates...)
	n.ocspFolder = hierarchy.OCSPFolder
	signing := &signingAuthority{n: n, store: store, issuer: hierarchy.Issuer, keys: keys}
	first, err := signing.generation(ctx, n.cfg)
	if err != nil {
		return nil, err
	}
	signing.current.Store(first)
	n.addLoop("signing", signing.run)
	if err := n.addCRLCopies(store, signing); err != nil {
		return nil, err
	}
	n.health.Add("issuer", func(context.Context) error { return signing.current.Load().CheckIssuers() })
	return signing, nil
}

// caConfig is what differs from one generation of the signing authority to the
// next.
type caConfig struct {
	cfg     *config.Config
	issuers []ca.IssuerConfig
	byName  map[string]acme.IssuerID
	metrics prometheus.Registerer
}

// newCA makes a signing authority.
func (n *instance) newCA(ctx context.Context, store sa.Store, c caConfig) (*ca.CA, error) {
	names, err := n.serviceNames()
	if err != nil {
		return nil, err
	}
	weak, err := n.weakKeys()
	if err != nil {
		return nil, err
	}
	profiles, err := profilesWithIssuers(c.cfg, c.byName)
	if err != nil {
		return nil, err
	}
	transparency, err := n.openCT(ctx, c)
	if err != nil {
		return nil, err
	}
	cfg := ca.Config{
		Store:        store,
		Issuers:      c.issuers,
		Profiles:     profiles,
		PublicURL:    n.addresses.public,
		CRLShards:    n.cfg.CA.CRLShards,
		ServiceNames: names,
		OCSPFolder:   n.ocspFolder,
		CT:           transparency,
		CTRetryFor:   c.cfg.CA.CT.RetryFor,
		WeakKeys:     weak,
		Directories:  directoryNames(n.cfg),
		Now:          n.now,
		Random:       n.random,
		Logger:       n.log("ca"),
		Audit:        n.auditBy("ca"),
		Metrics:      c.metrics,
	}
	if n.hooks.signing != nil {
		n.hooks.signing(&cfg)
	}
	signing, err := ca.New(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("setting up signing: %w", err)
	}
	return signing, nil
}

// openHierarchy opens the roots and the issuer.
func (n *instance) openHierarchy(ctx context.Context, keys *issuerKeys) (*ca.Hierarchy, error) {
	if n.hooks.hierarchy != nil {
		return n.hooks.hierarchy(n)
	}
	var issuerKey key.Key // nil: it is in the data folder
	if spec := n.cfg.CA.IssuerKey; spec != "" {
		var err error
		if issuerKey, err = keys.get(ctx, "ca.issuer_key", spec); err != nil {
			return nil, err
		}
	}
	hierarchy, err := ca.OpenHierarchy(ca.HierarchyConfig{Folder: n.data.path, IssuerKey: issuerKey, Passphrase: once(keyPassphrase(n.cfg.CA)), Now: n.now, Random: n.random})
	if err != nil {
		return nil, fmt.Errorf("opening the hierarchy: %w", err)
	}
	return hierarchy, nil
}

// newPublisher makes the publisher of the CRLs of a signing authority.
func (n *instance) newPublisher(store sa.Store, signing *ca.CA, metrics prometheus.Registerer) (*crl.Publisher, error) {
	var issuers []crl.Issuer
	for _, k := range signing.Keys() {
		cert, err := x509.ParseCertificate(k.Chain[0])
		if err != nil {
			return nil, fmt.Errorf("parsing the certificate of issuer %s: %w", k.ID, err)
		}
		issuers = append(issuers, crl.Issuer{ID: k.ID, Certificate: cert, Signer: k.Signer})
	}
	owner, err := acme.NewID(n.now(), n.random)
	if err != nil {
		return nil, err
	}
	publisher, err := crl.NewPublisher(crl.Config{
		Store:    store,
		Issuers:  issuers,
		Shards:   n.cfg.CA.CRLShards,
		URL:      signing.CRLURL,
		Lifetime: n.cfg.CA.CRLLifetime,
		Delay:    n.cfg.CA.CRLDelay,
		Owner:    "crl " + owner.String(),
		Folder:   n.data.path,
		Now:      n.now,
		Random:   n.random,
		Logger:   n.log("crl"),
		Audit:    n.auditBy("crl"),
		Metrics:  metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("setting up CRLs: %w", err)
	}
	return publisher, nil
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
