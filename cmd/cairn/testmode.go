package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/config"
	"github.com/cairn-ca/cairn/internal/testmode"
	"github.com/cairn-ca/cairn/sa"
	"github.com/cairn-ca/cairn/va"
	"github.com/cairn-ca/cairn/wfe"
)

const testBanner = `TEST MODE: this is no certificate authority. Its private keys are public, it
takes Pebble's knobs to skip validations, and it forgets everything when it
stops. Never trust its root outside of a test.`

const (
	// testTerms are terms of service that say what this is. As in Pebble there
	// are some, so that clients have something to agree to.
	testTerms   = "data:text/plain,This%20is%20a%20test%20server%20and%20no%20CA%3A%20you%20agree%20to%20trust%20nothing%20that%20it%20issues."
	testWebsite = "data:text/plain,Cairn%20in%20TEST%20MODE%3A%20this%20is%20no%20certificate%20authority."
)

// testOptions are the flags of cairn serve --test-mode.
type testOptions struct {
	config    string // file; Pebble's where its name ends in .json
	dnsServer string
	getenv    func(string) string
	out       streams
}

// testMode is a server that stands in for Pebble.
type testMode struct {
	cfg       *config.Config
	pebble    testmode.PebbleConfig
	knobs     testmode.Knobs
	hierarchy *testmode.Hierarchy
	renewals  testmode.Renewals
	roll      testmode.Roll
}

// serveTest runs cairn serve --test-mode until ctx ends.
func serveTest(ctx context.Context, o testOptions, ready func(*testMode, serving) error) (err error) {
	fmt.Fprintln(o.out.stderr, testBanner)
	t, err := newTestMode(o)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "cairn-test-mode-")
	if err != nil {
		return fmt.Errorf("making a folder for test mode: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	t.cfg.Data = dir
	resolver, err := testmode.StartResolver(ctx, testmode.ResolverConfig{Upstreams: t.upstreams(o.dnsServer), HostsFile: "/etc/hosts"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resolver.Close()) }()
	t.cfg.VA.Resolvers = []string{resolver.Address}
	h, err := t.hooks()
	if err != nil {
		return err
	}
	return serveWith(ctx, t.cfg, h, o.out, func(s serving) error { return ready(t, s) })
}

// newTestMode reads the environment and the configuration.
func newTestMode(o testOptions) (*testMode, error) {
	t := &testMode{pebble: testmode.DefaultPebbleConfig(), knobs: testmode.ReadKnobs(o.getenv), roll: testmode.Random}
	switch {
	case o.config != "" && filepath.Ext(o.config) != ".json":
		s := settings{file: o.config}
		cfg, err := s.load()
		if err != nil {
			return nil, err
		}
		if cfg.Store.URL != "" {
			return nil, fmt.Errorf("%s: store.url: test mode keeps nothing; leave it out", o.config)
		}
		t.cfg = cfg
		t.pebble.ManagementListenAddress = cfg.Listen.Admin
	case o.config != "":
		if err := t.readPebble(o.config, o.out.stderr); err != nil {
			return nil, err
		}
		fallthrough
	default:
		cfg, err := pebbleConfig(t.pebble)
		if err != nil {
			return nil, fmt.Errorf("the configuration of test mode, %s: %w", orDefault(o.config, "built in"), err)
		}
		t.cfg = cfg
	}
	t.change(&t.cfg.Directory)
	for name, d := range t.cfg.Directories {
		t.change(&d.Directory)
		t.cfg.Directories[name] = d
	}
	return t, nil
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// change makes a directory one that can't be taken for a CA's.
func (t *testMode) change(d *config.Directory) {
	d.Authorizations.Reuse = t.knobs.AuthorizationReuse > 0
	d.TermsOfService, d.Website = testTerms, testWebsite
}

func (t *testMode) readPebble(file string, stderr io.Writer) error {
	data, err := os.ReadFile(file)
	if err != nil {
		var pathErr *fs.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		return fmt.Errorf("reading the configuration file %s: %w", file, err)
	}
	if t.pebble, err = testmode.ParsePebbleConfig(data); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, name := range t.pebble.Unknown {
		fmt.Fprintf(stderr, "%s: pebble.%s: test mode makes nothing of this key\n", file, name)
	}
	return nil
}

// pebbleConfig is Cairn's configuration for one of Pebble's. It is validated
// as any other.
func pebbleConfig(p testmode.PebbleConfig) (*config.Config, error) {
	c := config.Default()
	const anyPort = "127.0.0.1:0"
	c.Listen = config.Listen{ACME: p.ListenAddress, Public: anyPort, Admin: anyPort}
	if p.ManagementListenAddress != "" {
		c.Listen.Admin = p.ManagementListenAddress
	}
	c.VA.HTTPPort, c.VA.TLSPort = p.HTTPPort, p.TLSPort
	c.RateLimits.Enabled = false
	c.AnswerWait = 0 // clients have to poll
	c.CA.CRLDelay = 500 * time.Millisecond
	d := &c.Directory
	d.EAB.Required = p.ExternalAccountBindingRequired
	d.CAAIdentities = p.CAAIdentities
	d.Policy.Deny = p.DomainBlocklist
	d.Validation.Retries = 0 // one failure decides
	c.CA.Profiles = make(map[string]config.Profile)
	for _, profile := range p.Profiles {
		made := config.DefaultProfile()
		made.Description, made.Validity, made.Backdate = profile.Description, profile.Validity, 0
		if profile.CommonName {
			made.CommonName = "first"
		}
		c.CA.Profiles[profile.Name] = made
		d.Profiles = append(d.Profiles, profile.Name)
	}
	// Of several, "default" is the one that orders get which name none.
	if i := slices.Index(d.Profiles, "default"); i > 0 {
		d.Profiles = slices.Insert(slices.Delete(d.Profiles, i, i+1), 0, "default")
	}
	shown, err := c.Show()
	if err != nil {
		return nil, err
	}
	checked, err := config.Parse("", shown)
	var errs config.Errors
	if errors.As(err, &errs) {
		for i := range errs {
			errs[i] = config.Error{File: "as " + orDefault(errs[i].Key, "configuration"), Message: errs[i].Message}
		}
		return nil, errs
	}
	return checked, err
}

// upstreams are the resolvers that answer what the hosts file doesn't.
func (t *testMode) upstreams(dnsServer string) []string {
	if dnsServer != "" {
		return []string{dnsAddress(dnsServer)}
	}
	if len(t.cfg.VA.Resolvers) == 0 {
		return testmode.SystemResolvers("/etc/resolv.conf")
	}
	var addresses []string
	for _, r := range t.cfg.VA.Resolvers {
		addresses = append(addresses, dnsAddress(r))
	}
	return addresses
}

// dnsAddress adds what is left out of host:port.
func dnsAddress(s string) string {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = strings.Trim(s, "[]"), "53"
	}
	return net.JoinHostPort(orDefault(host, "127.0.0.1"), port)
}

// hooks are where test mode takes hold of the services.
func (t *testMode) hooks() (hooks, error) {
	h := hooks{
		hierarchy: t.makeHierarchy,
		signing:   t.signing,
		store:     t.store,
		validation: func(v va.Authority) va.Authority {
			return testmode.Validation(v, t.knobs, t.roll, time.Now)
		},
		tryTime:    time.Duration(t.knobs.SleepTime) * time.Second,
		front:      t.front,
		management: t.management,
		names:      testNames(),
	}
	switch p := t.pebble; {
	case p.Certificate != "" && p.PrivateKey != "":
		cert, err := tls.LoadX509KeyPair(p.Certificate, p.PrivateKey)
		if err != nil {
			return hooks{}, fmt.Errorf("pebble.certificate and pebble.privateKey: %w", err)
		}
		h.certificate = &cert
	case p.Certificate != p.PrivateKey:
		return hooks{}, errors.New("pebble.certificate and pebble.privateKey go together")
	}
	return h, nil
}

// testNames are names by which test networks know such a server.
func testNames() []string {
	names := []string{"pebble"}
	if host, err := os.Hostname(); err == nil {
		if id, err := acme.ParseIdentifier(acme.IdentifierDNS, host); err == nil {
			names = append(names, id.Value())
		}
	}
	return names
}

// makeHierarchy makes roots and an issuer that last as long as the process.
func (t *testMode) makeHierarchy(n *instance) (*ca.Hierarchy, error) {
	h, err := testmode.NewHierarchy(testmode.HierarchyConfig{
		KeyType: t.pebble.KeyType, AlternateRoots: t.knobs.AlternateRoots, ChainLength: t.knobs.ChainLength, Now: n.now, Random: rand.Reader,
	})
	if err != nil {
		return nil, err
	}
	t.hierarchy = h
	keys := n.data.file("keys")
	var chain []byte
	for _, cert := range h.Chains[0].Intermediates {
		chain = append(chain, testmode.EncodeCertificate(cert.Raw)...)
	}
	err = errors.Join(
		os.MkdirAll(keys, 0o700),
		os.WriteFile(n.data.file(rootFile), testmode.EncodeCertificate(h.Chains[0].Root.Raw), 0o644),
		os.WriteFile(n.data.file("chain.pem"), chain, 0o644),
	)
	if err != nil {
		return nil, fmt.Errorf("writing the test hierarchy: %w", err)
	}
	return &ca.Hierarchy{
		Root: h.Chains[0].Root, RootFile: n.data.file(rootFile), OCSPFolder: keys,
		Issuer: ca.IssuerConfig{Signer: h.Signer, Chains: h.Certificates()},
	}, nil
}

// longLints are about how long certificates may be valid, which a test suite
// chooses freely.
var longLints = []string{
	"e_tls_server_cert_valid_time_longer_than_398_days",
	"e_server_cert_valid_time_longer_than_200_days",
	"e_server_cert_valid_time_longer_than_100_days",
	"e_server_cert_valid_time_longer_than_47_days",
	"e_sub_cert_valid_time_longer_than_825_days",
	"e_sub_cert_valid_time_longer_than_39_months",
}

func (t *testMode) signing(cfg *ca.Config) {
	cfg.OCSPURL = t.pebble.OCSPResponderURL
	for i := range cfg.Profiles {
		p := &cfg.Profiles[i]
		p.Lint.Exclude = append(slices.Clone(p.Lint.Exclude), longLints...)
		p.Keys = append(slices.Clone(p.Keys), key.Ed25519)
		slices.Sort(p.Keys)
		p.Keys = slices.Compact(p.Keys)
	}
}

func (t *testMode) store(ctx context.Context, next sa.Store) (sa.Store, error) {
	for id, mac := range t.pebble.ExternalAccountMACKeys {
		for _, directory := range directoryNames(t.cfg) {
			k := sa.ExternalKey{ID: id, Directory: directory, MAC: mac, Comment: "from Pebble's configuration", Reusable: true, CreatedAt: time.Now()}
			if err := next.CreateExternalKey(ctx, k); err != nil {
				return nil, fmt.Errorf("pebble.externalAccountMACKeys: storing the key %q: %w", id, err)
			}
		}
	}
	return testmode.Store(next, t.knobs, t.roll), nil
}

func (t *testMode) front(cfg wfe.Config) (http.Handler, error) {
	cfg.Nonces = testmode.Nonces(cfg.Nonces, t.knobs, t.roll)
	cfg.OrdersPerPage = t.knobs.OrdersPerPage
	cfg.AccountTTL = 0 // one front end does not see what another one changes
	return testmode.NewFront(testmode.FrontConfig{
		New: func(externalURL string) (http.Handler, error) {
			own := cfg
			own.ExternalURL = externalURL
			if externalURL != cfg.ExternalURL {
				own.Metrics = nil // those of the first are registered
			}
			return wfe.New(own)
		},
		ExternalURL: cfg.ExternalURL,
		RetryAfter:  t.pebble.RetryAfter,
		Roll:        t.roll,
		Now:         cfg.Now,
		Renewals:    &t.renewals,
	})
}

func (t *testMode) management(next http.Handler, store sa.Store) http.Handler {
	if t.pebble.ManagementListenAddress == "" {
		return next
	}
	return testmode.Management(testmode.ManagementConfig{Hierarchy: t.hierarchy, Store: store, Renewals: &t.renewals, Next: next})
}

// print tells a person what they need to begin.
func (t *testMode) print(w io.Writer, s serving) error {
	for i, d := range t.cfg.ServedDirectories() {
		if d.Path == config.DefaultDirectoryPath {
			s.Directories[i].URL = strings.TrimSuffix(s.Directories[i].URL, d.Path) + "/dir"
		}
	}
	management := "off"
	if t.pebble.ManagementListenAddress != "" {
		host, port, _ := net.SplitHostPort(t.cfg.Listen.Admin)
		if reachable(t.cfg.Listen.Admin) == "" {
			host = "localhost"
		}
		management = "https://" + net.JoinHostPort(host, port)
	}
	_, err := fmt.Fprintf(w, `Cairn is ready, in TEST MODE: this is no CA.

%s  management %s
  root       %s
`, s.list(), management, s.Root)
	return err
}
