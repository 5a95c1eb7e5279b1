package ca

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-ca/cairn/ca/ct"
	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// Config is what a signing authority works with. Every field is needed unless
// its comment says otherwise.
type Config struct {
	Store   sa.Store
	Issuers []IssuerConfig
	// Profiles replace or join the built-in ones.
	Profiles []Profile
	// PublicURL is the base of the URLs in certificates.
	PublicURL string
	// OCSPURL is where the OCSP responder is, when it is not at PublicURL.
	OCSPURL string
	// CRLShards is how many CRLs the certificates of an issuer are spread
	// over; at least 1.
	CRLShards int
	// ServiceNames are the names of Cairn's own listeners.
	ServiceNames []acme.Identifier
	// OCSPFolder is where the delegated OCSP signers are kept; empty: this
	// authority makes none.
	OCSPFolder string
	// WeakKeys are keys that are not certified because anyone has their private
	// keys; may be nil.
	WeakKeys *key.WeakKeys
	// Directories are the directories none of whose account keys is certified.
	Directories []string
	// CT submits the certificates of profiles with CT to logs; nil: no profile
	// has it.
	CT *ct.Submitter
	// CTRetryFor is how long SCTs are asked for before an issuance is given
	// up; 0: an hour.
	CTRetryFor time.Duration

	Now     func() time.Time
	Random  io.Reader
	Logger  *slog.Logger
	Audit   *slog.Logger
	Metrics prometheus.Registerer // may be nil
}

// CA is the signing authority. Its methods may be called concurrently.
type CA struct {
	Config
	issuers   []*issuer
	profiles  map[string]*compiled
	responder ocspSignerProfile
	metrics   metrics
	owner     string
	work      sync.WaitGroup
	waiting   waiting

	mu      sync.Mutex
	signers map[acme.IssuerID]OCSPSigner
}

// compiled is a profile made ready for its issuers.
type compiled struct {
	Profile
	linter      *linter
	constraints nameConstraints
	templates   []*template // one for each issuer that may sign, preferred first
}

var _ Authority = (*CA)(nil)

// New makes a signing authority, and tells the store about its issuers.
func New(ctx context.Context, cfg Config) (*CA, error) {
	cfg.PublicURL = strings.TrimSuffix(cfg.PublicURL, "/")
	if cfg.CRLShards < 1 {
		cfg.CRLShards = 1
	}
	if cfg.CTRetryFor == 0 {
		cfg.CTRetryFor = defaultCTRetryFor
	}
	id, err := acme.NewID(cfg.Now(), cfg.Random)
	if err != nil {
		return nil, err
	}
	c := &CA{Config: cfg, owner: "ca " + id.String(), signers: make(map[acme.IssuerID]OCSPSigner)}
	if c.metrics, err = newMetrics(cfg.Metrics); err != nil {
		return nil, err
	}
	if len(cfg.Issuers) == 0 {
		return nil, errors.New("a signing authority needs an issuer")
	}
	if c.responder, err = newOCSPSignerProfile(); err != nil {
		return nil, err
	}
	for _, ic := range cfg.Issuers {
		iss, err := newIssuer(ic, cfg.Random)
		if err != nil {
			return nil, err
		}
		if !iss.inactive && !c.Now().Before(iss.certificate.NotAfter) {
			return nil, fmt.Errorf("the certificate of issuer %q expired at %s; make a new intermediate", iss.certificate.Subject, iss.certificate.NotAfter)
		}
		c.issuers = append(c.issuers, iss)
		if c.responder.templates[iss.id], err = newOCSPSignerTemplate(iss); err != nil {
			return nil, err
		}
	}
	if c.profiles, err = c.compile(); err != nil {
		return nil, err
	}
	if err := c.loadOCSPSigners(ctx); err != nil {
		return nil, err
	}
	if err := c.publishIssuers(ctx); err != nil {
		return nil, err
	}
	c.work.Go(key.Warm) // it takes long, and keys can be checked meanwhile
	return c, nil
}

// compile joins each profile to the issuers that may sign for it.
func (c *CA) compile() (map[string]*compiled, error) {
	profiles, err := mergeProfiles(c.Profiles)
	if err != nil {
		return nil, err
	}
	profiles[ServiceProfile] = serviceProfile(serviceValidity)
	all := make(map[string]*compiled, len(profiles))
	for name, p := range profiles {
		if p.CT && c.CT == nil {
			return nil, fmt.Errorf("profile %q: its certificates need SCTs, and no CT logs are configured", name)
		}
		cp := &compiled{Profile: p}
		if cp.linter, err = newLinter(p.Lint); err != nil {
			return nil, fmt.Errorf("profile %q: %w", name, err)
		}
		if cp.constraints, err = p.NameConstraints.parse(); err != nil {
			return nil, fmt.Errorf("profile %q: %w", name, err)
		}
		for _, iss := range c.issuersOf(p) {
			t, err := newTemplate(iss, &p, c.urlsOf(iss))
			if err != nil {
				return nil, err
			}
			cp.templates = append(cp.templates, t)
		}
		if len(cp.templates) == 0 {
			return nil, fmt.Errorf("profile %q: none of its issuers is configured and active", name)
		}
		all[name] = cp
	}
	return all, nil
}

func (c *CA) issuersOf(p Profile) []*issuer {
	var may []*issuer
	for _, iss := range c.issuers {
		if !iss.inactive && (len(p.Issuers) == 0 || slices.Contains(p.Issuers, iss.id)) {
			may = append(may, iss)
		}
	}
	if len(p.Issuers) > 0 {
		// In the profile's order.
		slices.SortStableFunc(may, func(a, b *issuer) int { return slices.Index(p.Issuers, a.id) - slices.Index(p.Issuers, b.id) })
	}
	return may
}

// urlsOf makes the URLs in an issuer's certificates.
func (c *CA) urlsOf(iss *issuer) urls {
	if iss.publicURL != "" {
		return urls{base: iss.publicURL}
	}
	return urls{c.PublicURL, c.OCSPURL}
}

// CRLURL is the URL of a shard's CRL, byte for byte as in certificates.
func (c *CA) CRLURL(id acme.IssuerID, shard int) string {
	for _, iss := range c.issuers {
		if iss.id == id {
			return c.urlsOf(iss).crl(id, shard)
		}
	}
	return CRLURL(c.PublicURL, id, shard)
}

// templateFor chooses the issuer: one whose key is of the certificate's kind
// (RSA or not), or else the first.
func (p *compiled) templateFor(t key.Type) *template {
	for _, candidate := range p.templates {
		if (candidate.issuer.keyType == key.RSA) == (t == key.RSA) {
			return candidate
		}
	}
	return p.templates[0]
}

func (c *CA) publishIssuers(ctx context.Context) error {
	for _, iss := range c.issuers {
		record := acme.Issuer{ID: iss.id, Chains: iss.chains}
		c.mu.Lock()
		record.Responder = c.signers[iss.id].Certificate
		c.mu.Unlock()
		if err := c.Store.PutIssuer(ctx, record); err != nil {
			return fmt.Errorf("storing the certificate of issuer %s: %w", iss.id, err)
		}
	}
	return nil
}

// CheckIssuers tells which of the issuers that sign can't any more.
func (c *CA) CheckIssuers() error {
	var errs []error
	for _, iss := range c.issuers {
		if !iss.inactive && !c.Now().Before(iss.certificate.NotAfter) {
			errs = append(errs, fmt.Errorf("the issuing certificate %q expired at %s", iss.certificate.Subject, iss.certificate.NotAfter))
		}
	}
	return errors.Join(errs...)
}

// issuer finds an issuer by its identifier.
func (c *CA) issuer(id acme.IssuerID) (*issuer, error) {
	for _, iss := range c.issuers {
		if iss.id == id {
			return iss, nil
		}
	}
	return nil, fmt.Errorf("no key is at hand for issuer %s", id)
}

// Key is an issuer's certificate and key, for whoever signs CRLs.
type Key struct {
	ID     acme.IssuerID
	Chain  [][]byte // DER, the issuing certificate first
	Signer crypto.Signer
}

// Keys are the issuers' keys.
func (c *CA) Keys() []Key {
	keys := make([]Key, len(c.issuers))
	for i, iss := range c.issuers {
		keys[i] = Key{iss.id, iss.chains[0], iss.signer}
	}
	return keys
}

const (
	claimEvery  = time.Second
	claimLimit  = 64
	rotateEvery = time.Hour
	// leaseFor bounds the signing of a certificate, and is what a client waits
	// after the process that was at it was killed. Slow signers have more.
	leaseFor     = 10 * time.Second
	slowLeaseFor = time.Minute
)

func (iss *issuer) lease() time.Duration {
	if iss.slow {
		return slowLeaseFor
	}
	return leaseFor
}

// leaseOnRecord is how long a certificate that is being recorded is this
// process's to sign: not at all while its key is away. Whoever has the key back
// first takes it up then.
func (iss *issuer) leaseOnRecord() time.Duration {
	if iss.available() != nil {
		return 0
	}
	return iss.lease()
}

// lease is for work whose issuers are not known yet.
func (c *CA) lease() time.Duration {
	longest := leaseFor
	for _, iss := range c.issuers {
		longest = max(longest, iss.lease())
	}
	return longest
}

// Run signs what was recorded and not signed, and renews the OCSP signers,
// until ctx ends; then it waits for the signatures under way.
func (c *CA) Run(ctx context.Context) error {
	claim := time.NewTicker(claimEvery)
	defer claim.Stop()
	rotate := time.NewTicker(rotateEvery)
	defer rotate.Stop()
	for {
		if err := c.resume(ctx); err != nil && ctx.Err() == nil {
			c.Logger.LogAttrs(ctx, slog.LevelError, "resuming issuances", slog.Any("error", err))
		}
		if err := c.submitFinals(ctx); err != nil && ctx.Err() == nil {
			c.Logger.LogAttrs(ctx, slog.LevelError, "claiming certificates to submit to logs", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			c.work.Wait()
			return nil
		case <-claim.C:
		case <-rotate.C:
			if err := c.rotateOCSPSigners(ctx); err != nil {
				c.Logger.LogAttrs(ctx, slog.LevelError, "renewing OCSP signers", slog.Any("error", err))
			}
		}
	}
}
