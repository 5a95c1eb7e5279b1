package ca

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

type fixture struct {
	*CA
	skipped   *atomic.Int64 // how far the clock was moved
	store     *sa.DB
	hierarchy *Hierarchy
	account   acme.Account
}

func newFixture(t testing.TB, change func(*Config)) fixture {
	t.Helper()
	folder := t.TempDir()
	skipped := new(atomic.Int64)
	now := func() time.Time { return time.Now().Add(time.Duration(skipped.Load())) }
	store, err := sa.Open(t.Context(), sa.Config{URL: "sqlite:" + filepath.Join(folder, "cairn.db"), Migrate: true, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	h, err := OpenHierarchy(HierarchyConfig{Folder: folder, Now: time.Now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	localhost, err := acme.ParseIdentifier(acme.IdentifierDNS, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Store: store, Issuers: []IssuerConfig{h.Issuer}, PublicURL: "http://127.0.0.1:14080", OCSPFolder: h.OCSPFolder, CRLShards: 4,
		ServiceNames: []acme.Identifier{localhost, acme.IdentifierFromIP(loopback)},
		Now:          now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler), Audit: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	c, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	f := fixture{CA: c, skipped: skipped, store: store, hierarchy: h}
	id, err := acme.NewID(time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	accountKey, err := acme.AccountKeyOf(newKey(t).Public())
	if err != nil {
		t.Fatal(err)
	}
	f.account, _, err = store.CreateAccount(t.Context(), acme.Account{ID: id, Directory: "default", Status: acme.AccountValid, Key: accountKey, CreatedAt: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f fixture) skip(d time.Duration) { f.skipped.Add(int64(d)) }

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func names(t testing.TB, values ...string) []acme.Identifier {
	t.Helper()
	var ids []acme.Identifier
	for _, v := range values {
		id, err := parseName(v)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return acme.UniqueIdentifiers(ids)
}

// ready makes an order whose authorizations are valid.
func (f fixture) ready(t testing.TB, ids []acme.Identifier) acme.Order {
	t.Helper()
	ctx, now := t.Context(), time.Now()
	newID := func() acme.ID {
		id, err := acme.NewID(now, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	order := acme.Order{ID: newID(), Account: f.account.ID, Profile: "default", Identifiers: ids, Expires: now.Add(time.Hour), CreatedAt: now}
	var authzs []acme.Authorization
	for _, id := range ids {
		a := acme.Authorization{ID: newID(), Account: f.account.ID, Identifier: id.Base(), Wildcard: id.IsWildcard(), Status: acme.AuthorizationPending,
			Expires: now.Add(time.Hour), CreatedAt: now, Offered: []acme.ChallengeType{acme.DNS01}}
		authzs = append(authzs, a)
		order.Authorizations = append(order.Authorizations, a.ID)
	}
	if err := f.store.CreateOrder(ctx, sa.NewOrder{Order: order, Authorizations: authzs}); err != nil {
		t.Fatal(err)
	}
	for _, a := range authzs {
		if _, err := f.store.BeginValidation(ctx, sa.BeginValidation{Authorization: a.ID, Type: acme.DNS01, Owner: "test", LeaseUntil: now.Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		if _, err := f.store.CompleteValidation(ctx, sa.ValidationResult{Authorization: a.ID, Owner: "test", Validated: now, Expires: now.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	return order
}

func csrFor(t testing.TB, signer crypto.Signer, cn string, ids []acme.Identifier) []byte {
	t.Helper()
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: cn}}
	for _, id := range ids {
		if id.Type() == acme.IdentifierIP {
			template.IPAddresses = append(template.IPAddresses, net.IP(id.Addr().AsSlice()))
		} else {
			template.DNSNames = append(template.DNSNames, id.Value())
		}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, signer)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (f fixture) request(order acme.Order, csr []byte) Request {
	return Request{Account: order.Account, Order: order.ID, Profile: order.Profile, Identifiers: order.Identifiers, CSR: csr,
		AccountKeyThumbprint: f.account.Key.Thumbprint(), Wait: time.Minute}
}

func problemType(err error) acme.ProblemType {
	var p *acme.Problem
	if errors.As(err, &p) {
		return p.Type
	}
	return ""
}

// Every built-in profile, with each kind of key and name that it takes, passes
// its lints and what OpenSSL and crypto/x509 verify.
func TestIssueEveryProfile(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long := "a-name-whose-length-is-more-than-a-common-name-can-hold.some.where.example.com"
	for _, profile := range []string{"default", "shortlived", "server", "client"} {
		for name, signer := range map[string]crypto.Signer{"P-256": newKey(t), "P-384": p384, "RSA": rsaKey} {
			for _, ids := range [][]acme.Identifier{
				names(t, "www.example.com"), names(t, "*.example.com", "example.com", "xn--bcher-kva.example.com"),
				names(t, "printer.corp"), names(t, "localhost"), names(t, "10.0.0.1", "fd00::1"), names(t, "192.0.2.1", "www.example.com"), names(t, long),
			} {
				order := f.ready(t, ids)
				req := f.request(order, csrFor(t, signer, "", ids))
				req.Profile = profile
				issued, err := f.Issue(t.Context(), req)
				if err != nil || !issued.Signed {
					t.Errorf("%s, %s, %v: signed %v, %v", profile, name, ids, issued.Signed, err)
					continue
				}
				f.verify(t, issued.Serial, order, profile)
			}
		}
	}
}

func (f fixture) verify(t *testing.T, serial acme.Serial, order acme.Order, profile string) {
	t.Helper()
	stored, err := f.store.Certificate(t.Context(), serial)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.store.Order(t.Context(), order.ID); err != nil || got.Status != acme.OrderValid || got.Certificate != serial {
		t.Errorf("the order is %s with %s, %v", got.Status, got.Certificate, err)
	}
	cert, err := x509.ParseCertificate(stored.DER)
	if err != nil {
		t.Fatal(err)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(f.hierarchy.Root)
	between.AddCert(f.hierarchy.Issuer.Chains[0][0])
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		t.Errorf("verifying: %v", err)
	}
	p := f.profiles[profile]
	// RFC 5280 §4.1.2.5: both ends count.
	if got := cert.NotAfter.Sub(cert.NotBefore) + time.Second; got != p.Validity {
		t.Errorf("valid for %s, want %s", got, p.Validity)
	}
	if len(cert.OCSPServer) == 0 != p.NoOCSP || len(cert.CRLDistributionPoints) == 0 != p.NoCRL || len(cert.IssuingCertificateURL) == 0 != p.NoIssuerURL {
		t.Errorf("pointers: %v %v %v", cert.OCSPServer, cert.CRLDistributionPoints, cert.IssuingCertificateURL)
	}
	if !p.NoCRL && cert.CRLDistributionPoints[0] != CRLURL(f.PublicURL, stored.Issuer, stored.CRLShard) {
		t.Errorf("CRL at %s, recorded in shard %d", cert.CRLDistributionPoints[0], stored.CRLShard)
	}
}

// The encoder of this package and that of crypto/x509 write the same bytes.
func TestBuildMatchesCryptoX509(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	ids := names(t, "*.example.com", "example.com", "192.0.2.1", "2001:db8::1")
	signer := newKey(t)
	order := f.ready(t, ids)
	issued, err := f.Issue(t.Context(), f.request(order, csrFor(t, signer, "", ids)))
	if err != nil {
		t.Fatal(err)
	}
	stored, err := f.store.Certificate(t.Context(), issued.Serial)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := x509.ParseCertificate(stored.DER)
	if err != nil {
		t.Fatal(err)
	}
	template := *ours
	template.ExtraExtensions = nil
	der, err := x509.CreateCertificate(rand.Reader, &template, f.hierarchy.Issuer.Chains[0][0], signer.Public(), f.hierarchy.Issuer.Signer)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ours.RawTBSCertificate, theirs.RawTBSCertificate) {
		t.Errorf("ours:   %x\ntheirs: %x", ours.RawTBSCertificate, theirs.RawTBSCertificate)
	}
}

func TestBadCSR(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	ids := names(t, "a.example", "b.example")
	good := newKey(t)
	weak, err := rsa.GenerateKey(rand.Reader, 2056+1)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	small, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), append(make([]byte, 31), 7))
	if err != nil {
		t.Fatal(err)
	}
	blocked := newKey(t)
	blockedCSR := csrFor(t, blocked, "", ids)
	parsed, err := x509.ParseCertificateRequest(blockedCSR)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.store.BlockKey(t.Context(), sa.BlockedKey{SPKISHA256: sha256Of(parsed.RawSubjectPublicKeyInfo), At: time.Now(), By: "test"}); err != nil {
		t.Fatal(err)
	}
	broken := csrFor(t, good, "", ids)
	broken[len(broken)-1] ^= 1
	withMail, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"a.example", "b.example"}, EmailAddresses: []string{"a@a.example"}}, good)
	if err != nil {
		t.Fatal(err)
	}
	withNames := func(names ...[]byte) []byte {
		extension := pkix.Extension{Id: oidSubjectAltName, Value: derOf(0x30, slices.Concat(names...))}
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{ExtraExtensions: []pkix.Extension{extension}}, good)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	a, b := derOf(0x82, []byte("a.example")), derOf(0x82, []byte("b.example"))
	// A Windows user principal name.
	upn := derOf(0xa0, slices.Concat([]byte{6, 10, 0x2b, 6, 1, 4, 1, 0x82, 0x37, 20, 2, 3}, derOf(0xa0, derOf(12, []byte("a@a.example")))))
	twoNames, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"a.example", "b.example"}, Subject: pkix.Name{
		CommonName: "a.example", ExtraNames: []pkix.AttributeTypeAndValue{{Type: oidCommonName, Value: "c.example"}, {Type: oidCommonName, Value: "a.example"}},
	}}, good)
	if err != nil {
		t.Fatal(err)
	}
	for name, csr := range map[string][]byte{
		"otherName":              withNames(a, b, upn),
		"x400Address":            withNames(a, b, derOf(0xa3, nil)),
		"directoryName":          withNames(a, b, derOf(0xa4, derOf(0x30, nil))),
		"URI":                    withNames(a, b, derOf(0x86, []byte("http://a.example/"))),
		"registeredID":           withNames(a, b, derOf(0x88, []byte{0x2a, 3})),
		"two common names":       twoNames,
		"empty":                  nil,
		"not DER":                []byte("hello"),
		"trailing data":          append(csrFor(t, good, "", ids), 0),
		"too large":              make([]byte, maxCSR+1),
		"bad signature":          broken,
		"a name is missing":      csrFor(t, good, "", ids[:1]),
		"a name is too many":     csrFor(t, good, "", append(names(t, "c.example"), ids...)),
		"no names":               csrFor(t, good, "", nil),
		"an address is too many": csrFor(t, good, "", append(names(t, "192.0.2.1"), ids...)),
		"another common name":    csrFor(t, good, "c.example", ids),
		"common name is no name": csrFor(t, good, "Example Ltd", ids),
		"e-mail address":         withMail,
		"RSA of 2057 bits":       csrFor(t, weak, "", ids),
		"P-224":                  csrFor(t, p224, "", ids),
		"blocked key":            blockedCSR,
		"private key 7":          csrFor(t, small, "", ids),
	} {
		order := f.ready(t, ids)
		if _, err := f.Issue(t.Context(), f.request(order, csr)); problemType(err) != acme.BadCSR {
			t.Errorf("%s: %v, want badCSR", name, err)
		}
		// RFC 8555 §7.4: the order stays ready.
		if got, err := f.store.Order(t.Context(), order.ID); err != nil || got.Status != acme.OrderReady {
			t.Errorf("%s: the order is %s, %v", name, got.Status, err)
		}
	}
	// The account's own key.
	req := f.request(f.ready(t, ids), csrFor(t, good, "", ids))
	own, err := acme.AccountKeyOf(good.Public())
	if err != nil {
		t.Fatal(err)
	}
	req.AccountKeyThumbprint = own.Thumbprint()
	if _, err := f.Issue(t.Context(), req); problemType(err) != acme.BadCSR {
		t.Errorf("the account's key: %v", err)
	}
}

// derOf is a DER element of less than 128 octets.
func derOf(tag byte, content []byte) []byte {
	return append([]byte{tag, byte(len(content))}, content...)
}

func TestOtherRefusals(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	ids := names(t, "a.example")
	csr := csrFor(t, newKey(t), "a.example", ids)
	tests := map[string]struct {
		change func(*Request)
		want   acme.ProblemType
	}{
		"unknown profile": {func(r *Request) { r.Profile = "nonesuch" }, acme.InvalidProfile},
		"service profile": {func(r *Request) { r.Profile = ServiceProfile }, acme.InvalidProfile},
		"too long":        {func(r *Request) { r.NotAfter = time.Now().AddDate(1, 0, 0) }, acme.Malformed},
		"another order":   {func(r *Request) { r.Order = acme.ID{1} }, acme.OrderNotReady},
	}
	for name, test := range tests {
		req := f.request(f.ready(t, ids), csr)
		test.change(&req)
		if _, err := f.Issue(t.Context(), req); problemType(err) != test.want {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
	// Once only.
	req := f.request(f.ready(t, ids), csr)
	if _, err := f.Issue(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Issue(t.Context(), req); problemType(err) != acme.OrderNotReady {
		t.Errorf("a second certificate for one order: %v", err)
	}
}

// An error-level finding stops the issuance before anything is recorded.
func TestLintStopsIssuance(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) {
		strict := BuiltinProfiles()[0]
		strict.Name, strict.Lint.PrivateNames = "public", false
		c.Profiles = []Profile{strict}
	})
	ids := names(t, "printer.corp")
	order := f.ready(t, ids)
	req := f.request(order, csrFor(t, newKey(t), "", ids))
	req.Profile = "public"
	if _, err := f.Issue(t.Context(), req); problemType(err) != acme.ServerInternal {
		t.Errorf("a private name under public lints: %v", err)
	}
	if got, err := f.store.Order(t.Context(), order.ID); err != nil || got.Status != acme.OrderReady {
		t.Errorf("the order is %s, %v", got.Status, err)
	}
}

// A crash between recording and signing: whoever resumes signs the very bytes
// that were recorded.
func TestResume(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	ids := names(t, "a.example")
	order := f.ready(t, ids)
	work, err := f.record(t.Context(), f.request(order, csrFor(t, newKey(t), "", ids)))
	if err != nil {
		t.Fatal(err)
	}
	dead := work.certificate
	// Not while the lease holds.
	if err := f.resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := f.store.Certificate(t.Context(), dead.Serial); err != nil || got.DER != nil {
		t.Fatalf("signed while the lease holds: %v", err)
	}
	f.skip(2 * leaseFor)
	if err := f.resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := f.store.Certificate(t.Context(), dead.Serial)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.issuers[0].checkSigned(got.DER, dead.TBS); err != nil {
		t.Error(err)
	}
	// Signing it once more changes nothing that anyone can see.
	if err := f.sign(context.Background(), f.issuers[0], dead); err != nil {
		t.Error(err)
	}
	if again, err := f.store.Certificate(t.Context(), dead.Serial); err != nil || !slices.Equal(again.DER, got.DER) {
		t.Errorf("the certificate changed: %v", err)
	}
}

func TestServiceCertificate(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"evil.example"}}, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	chain, err := f.ServiceCertificate(t.Context(), der)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		t.Fatal(err)
	}
	if len(leaf.DNSNames) != 1 || leaf.DNSNames[0] != "localhost" || len(chain) != 2 {
		t.Errorf("names %v, chain of %d", leaf.DNSNames, len(chain))
	}
	// A key that is known to others is not certified for us either.
	if err := f.store.BlockKey(t.Context(), sa.BlockedKey{SPKISHA256: sha256Of(leaf.RawSubjectPublicKeyInfo), At: time.Now(), By: "test"}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ServiceCertificate(t.Context(), der); err == nil {
		t.Error("a blocked key is certified")
	}
	serial, err := acme.SerialFromBig(leaf.SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	if stored, err := f.store.Certificate(t.Context(), serial); err != nil || !slices.Equal(stored.DER, chain[0]) {
		t.Errorf("it is not recorded: %v", err)
	}
}

func TestHierarchy(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	cfg := HierarchyConfig{Folder: folder, Now: time.Now, Random: rand.Reader}
	first, err := OpenHierarchy(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"keys/root.key", "keys/intermediate.key"} {
		info, err := os.Stat(filepath.Join(folder, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
	}
	out, err := exec.Command("openssl", "verify", "-x509_strict", "-CAfile", filepath.Join(folder, "root.pem"), filepath.Join(folder, "chain.pem")).CombinedOutput()
	if err != nil {
		t.Errorf("openssl verify: %v\n%s", err, out)
	}
	// The root's key can be taken away.
	if err := os.Remove(filepath.Join(folder, "keys/root.key")); err != nil {
		t.Fatal(err)
	}
	second, err := OpenHierarchy(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Root.Equal(second.Root) || !first.Issuer.Chains[0][0].Equal(second.Issuer.Chains[0][0]) {
		t.Errorf("a second start made another hierarchy")
	}
}

// A start that was cut short after any file is completed by the next, and
// what is lost or wrong is told, not replaced.
func TestHierarchyDamage(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		damage func(t *testing.T, folder string)
		ok     bool
	}{
		"only the root's key was written": {func(t *testing.T, f string) { remove(t, f, "root.pem", "chain.pem", "keys/intermediate.key") }, true},
		"no intermediate yet":             {func(t *testing.T, f string) { remove(t, f, "chain.pem", "keys/intermediate.key") }, true},
		"no chain yet":                    {func(t *testing.T, f string) { remove(t, f, "chain.pem") }, true},
		"root lost":                       {func(t *testing.T, f string) { remove(t, f, "root.pem") }, false},
		"issuer key lost":                 {func(t *testing.T, f string) { remove(t, f, "keys/intermediate.key") }, false},
		"issuer key of another CA": {func(t *testing.T, f string) {
			other := t.TempDir()
			if _, err := OpenHierarchy(HierarchyConfig{Folder: other, Now: time.Now, Random: rand.Reader}); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(other, "keys/intermediate.key"), filepath.Join(f, "keys/intermediate.key")); err != nil {
				t.Fatal(err)
			}
		}, false},
		"key open to others": {func(t *testing.T, f string) {
			if err := os.Chmod(filepath.Join(f, "keys/intermediate.key"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, false},
		"chain is garbage": {func(t *testing.T, f string) {
			if err := os.WriteFile(filepath.Join(f, "chain.pem"), []byte("garbage"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			cfg := HierarchyConfig{Folder: folder, Now: time.Now, Random: rand.Reader}
			if _, err := OpenHierarchy(cfg); err != nil {
				t.Fatal(err)
			}
			test.damage(t, folder)
			if _, err := OpenHierarchy(cfg); (err == nil) != test.ok {
				t.Errorf("got %v, want ok %v", err, test.ok)
			}
		})
	}
}

func remove(t *testing.T, folder string, files ...string) {
	t.Helper()
	for _, name := range files {
		if err := os.Remove(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// A second start takes the OCSP signer that is there; one that is about to
// end, or a pair that does not match, is replaced.
func TestOCSPSigners(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	first := f.OCSPSigners()
	if len(first) != 1 {
		t.Fatalf("%d signers", len(first))
	}
	cert, err := x509.ParseCertificate(first[0].Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageOCSPSigning || !hasExtension(cert, oidOCSPNoCheck.String()) || len(cert.CRLDistributionPoints) != 0 {
		t.Errorf("the signer's certificate is not one: %+v", cert)
	}
	restart := func(change func(*Config)) OCSPSigner {
		cfg := f.Config
		if change != nil {
			change(&cfg)
		}
		c, err := New(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return c.OCSPSigners()[0]
	}
	if again := restart(nil); !slices.Equal(again.Certificate, first[0].Certificate) {
		t.Errorf("a restart made another signer")
	}
	late := restart(func(c *Config) { c.Now = func() time.Time { return time.Now().Add(ocspSignerValidity * 3 / 4) } })
	if slices.Equal(late.Certificate, first[0].Certificate) {
		t.Errorf("a signer that is about to end was kept")
	}
	issuer := f.hierarchy.Issuer.Chains[0][0]
	if err := cert.CheckSignatureFrom(issuer); err != nil {
		t.Error(err)
	}
	// The signer of an issuer that was there before.
	other := newFixture(t, nil)
	id := f.issuers[0].id
	for from, to := range map[string]string{
		ocspKeyFile(other.OCSPFolder, other.issuers[0].id):         ocspKeyFile(f.OCSPFolder, id),
		ocspCertificateFile(other.OCSPFolder, other.issuers[0].id): ocspCertificateFile(f.OCSPFolder, id),
	} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	replaced, err := x509.ParseCertificate(restart(nil).Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if err := replaced.CheckSignatureFrom(issuer); err != nil {
		t.Errorf("another issuer's signer was kept: %v", err)
	}
}

func hasExtension(cert *x509.Certificate, oid string) bool {
	return slices.ContainsFunc(cert.Extensions, func(e pkix.Extension) bool { return e.Id.String() == oid })
}

func FuzzParseCSR(f *testing.F) {
	ids := names(f, "a.example")
	f.Add(csrFor(f, newKey(f), "a.example", ids))
	f.Add([]byte{0x30, 0x00})
	f.Fuzz(func(t *testing.T, der []byte) {
		if _, err := parseCSR(der, ids); err != nil && problemType(err) != acme.BadCSR {
			t.Errorf("an error that is no badCSR: %v", err)
		}
	})
}

func BenchmarkIssue(b *testing.B) {
	f := newFixture(b, nil)
	key.Warm()
	ids := names(b, "www.example.com")
	csr := csrFor(b, newKey(b), "", ids)
	p := f.profiles["default"]
	iss := f.issuers[0]
	var cert acme.Certificate
	b.Run("csr", func(b *testing.B) {
		for b.Loop() {
			if _, err := parseCSR(csr, ids); err != nil {
				b.Fatal(err)
			}
		}
	})
	r, err := parseCSR(csr, ids)
	if err != nil {
		b.Fatal(err)
	}
	l := leaf{notBefore: time.Now(), notAfter: time.Now().Add(p.Validity - time.Second), identifiers: ids, public: r.public, spki: r.spki}
	b.Run("build and lint", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if cert, err = f.build(b.Context(), p, p.templates[0], l); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("build", func(b *testing.B) {
		for b.Loop() {
			l.serial = cert.Serial
			if _, err := p.templates[0].build(l); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sign", func(b *testing.B) {
		for b.Loop() {
			if _, err := signForBench(f, iss, cert.TBS); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func signForBench(f fixture, iss *issuer, tbs []byte) ([]byte, error) {
	return key.SignEnvelope(f.Random, iss.signer, tbs)
}

func sha256Of(b []byte) [32]byte { return sha256.Sum256(b) }

var loopback = netip.MustParseAddr("127.0.0.1")
