package audit

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// fixture is a store with certificates, and its raw database.
type fixture struct {
	t       *testing.T
	store   *sa.DB
	raw     *sql.DB
	ca      *ca.CA
	account acme.Account
	config  ca.Config
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	folder := t.TempDir()
	file := filepath.Join(folder, "cairn.db")
	store, err := sa.Open(t.Context(), sa.Config{URL: "sqlite:" + file, Migrate: true, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	raw, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	h, err := ca.OpenHierarchy(ca.HierarchyConfig{Folder: folder, Now: time.Now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	localhost, err := acme.ParseIdentifier(acme.IdentifierDNS, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, store: store, raw: raw, config: ca.Config{
		Store: store, Issuers: []ca.IssuerConfig{h.Issuer}, PublicURL: "http://127.0.0.1:14080", OCSPFolder: h.OCSPFolder, CRLShards: 4,
		ServiceNames: []acme.Identifier{localhost},
		Now:          time.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler), Audit: slog.New(slog.DiscardHandler),
	}}
	if f.ca, err = ca.New(t.Context(), f.config); err != nil {
		t.Fatal(err)
	}
	f.account = f.newAccount(newKey(t))
	return f
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (f *fixture) id() acme.ID {
	f.t.Helper()
	id, err := acme.NewID(time.Now(), rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	return id
}

func (f *fixture) newAccount(k crypto.Signer) acme.Account {
	f.t.Helper()
	accountKey, err := acme.AccountKeyOf(k.Public())
	if err != nil {
		f.t.Fatal(err)
	}
	account, _, err := f.store.CreateAccount(f.t.Context(), acme.Account{ID: f.id(), Directory: "default", Status: acme.AccountValid, Key: accountKey, CreatedAt: time.Now()})
	if err != nil {
		f.t.Fatal(err)
	}
	return account
}

// issue issues a certificate as the CA does.
func (f *fixture) issue(account acme.Account, k crypto.Signer, names ...string) acme.Certificate {
	f.t.Helper()
	ctx, now := f.t.Context(), time.Now()
	var ids []acme.Identifier
	for _, n := range names {
		id, err := acme.ParseIdentifier(acme.IdentifierDNS, n)
		if err != nil {
			f.t.Fatal(err)
		}
		ids = append(ids, id)
	}
	ids = acme.UniqueIdentifiers(ids)
	order := acme.Order{ID: f.id(), Account: account.ID, Profile: "default", Identifiers: ids, Expires: now.Add(time.Hour), CreatedAt: now}
	var authzs []acme.Authorization
	for _, id := range ids {
		a := acme.Authorization{ID: f.id(), Account: account.ID, Identifier: id.Base(), Wildcard: id.IsWildcard(), Status: acme.AuthorizationPending,
			Expires: now.Add(time.Hour), CreatedAt: now, Offered: []acme.ChallengeType{acme.DNS01}}
		authzs, order.Authorizations = append(authzs, a), append(order.Authorizations, a.ID)
	}
	err := f.store.CreateOrder(ctx, sa.NewOrder{Order: order, Authorizations: authzs})
	for _, a := range authzs {
		_, begin := f.store.BeginValidation(ctx, sa.BeginValidation{Authorization: a.ID, Type: acme.DNS01, Owner: "test", LeaseUntil: now.Add(time.Minute)})
		_, complete := f.store.CompleteValidation(ctx, sa.ValidationResult{Authorization: a.ID, Owner: "test", Validated: now, Expires: now.Add(time.Hour),
			Evidence: acme.Evidence{Method: acme.DNS01, CAA: &acme.CAAEvidence{CheckedAt: now}}})
		err = errors.Join(err, begin, complete)
	}
	csr, csrErr := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: names}, k)
	if err := errors.Join(err, csrErr); err != nil {
		f.t.Fatal(err)
	}
	issued, err := f.ca.Issue(ctx, ca.Request{Account: account.ID, Order: order.ID, Profile: order.Profile, Identifiers: ids, CSR: csr,
		AccountKeyThumbprint: account.Key.Thumbprint(), Wait: time.Minute})
	if err != nil || !issued.Signed {
		f.t.Fatalf("signed %v, %v", issued.Signed, err)
	}
	cert, err := f.store.Certificate(ctx, issued.Serial)
	if err != nil {
		f.t.Fatal(err)
	}
	return cert
}

// exec corrupts the store.
func (f *fixture) exec(statement string, args ...any) {
	f.t.Helper()
	result, err := f.raw.ExecContext(f.t.Context(), statement, args...)
	if err != nil {
		f.t.Fatalf("%s: %v", statement, err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		f.t.Fatalf("%s: changed nothing, %v", statement, err)
	}
}

func (f *fixture) audit(change func(*Config)) ([]Finding, Result) {
	f.t.Helper()
	inspector, err := ca.NewInspector(ca.InspectorConfig{Profiles: f.config.Profiles, PublicURL: f.config.PublicURL})
	if err != nil {
		f.t.Fatal(err)
	}
	var found []Finding
	cfg := Config{Store: f.store, Inspector: inspector, Now: time.Now, MaxKeys: 1000, Found: func(x Finding) error { found = append(found, x); return nil }}
	if change != nil {
		change(&cfg)
	}
	result, err := Run(f.t.Context(), cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	return found, result
}

// A store that nobody touched has no findings; what is the CA's own is audited
// with the rest.
func TestCleanStore(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.issue(f.account, newKey(t), "a.example", "*.a.example")
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.ca.ServiceCertificate(t.Context(), csr); err != nil {
		t.Fatal(err)
	}
	found, result := f.audit(nil)
	if len(found) != 0 || result.Checked != 3 || result.Findings != 0 {
		t.Errorf("%+v, %+v", result, found)
	}
	// The youngest come again.
	if !result.Resume.IsZero() {
		t.Errorf("goes on after %s", result.Resume)
	}
	_, later := f.audit(func(c *Config) { c.Now = func() time.Time { return time.Now().Add(time.Hour) } })
	if later.Resume.IsZero() {
		t.Error("old certificates come again")
	}
	if _, rest := f.audit(func(c *Config) { c.After = later.Resume }); rest.Checked != 0 {
		t.Errorf("after the last: %+v", rest)
	}
	for _, c := range []struct {
		since, until time.Duration
		want         int
	}{{-time.Hour, time.Hour, 3}, {time.Hour, 2 * time.Hour, 0}, {-2 * time.Hour, -time.Hour, 0}} {
		if _, r := f.audit(func(cfg *Config) { cfg.Since, cfg.Until = time.Now().Add(c.since), time.Now().Add(c.until) }); r.Checked != c.want {
			t.Errorf("from %s to %s: %d", c.since, c.until, r.Checked)
		}
	}
}

// Each way in which a store or a CA can go wrong is found, and nothing else is.
func TestCorruptStore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		corrupt func(*fixture, acme.Certificate)
		check   string
		want    string
		notice  bool
	}{
		"bytes": {func(f *fixture, c acme.Certificate) {
			f.exec(`UPDATE certificates SET der = $1 WHERE serial = $2`, c.DER[:len(c.DER)-1], c.Serial.Bytes())
		}, ca.CheckRecord, "can't be parsed", false},
		"signature": {func(f *fixture, c acme.Certificate) {
			der := slices.Clone(c.DER)
			der[len(der)-1] ^= 1
			f.exec(`UPDATE certificates SET der = $1 WHERE serial = $2`, der, c.Serial.Bytes())
		}, ca.CheckSignature, "not the key's", false},
		"another's certificate": {func(f *fixture, c acme.Certificate) {
			other := f.issue(f.account, newKey(f.t), "b.example")
			f.exec(`UPDATE certificates SET der = $1 WHERE serial = $2`, other.DER, c.Serial.Bytes())
		}, ca.CheckRecord, "has the serial number", false},
		"record's end": {func(f *fixture, c acme.Certificate) {
			f.exec(`UPDATE certificates SET not_after = not_after + 1000000 WHERE serial = $1`, c.Serial.Bytes())
		}, ca.CheckProfile, "valid from", false},
		"record's shard": {func(f *fixture, c acme.Certificate) {
			f.exec(`UPDATE certificates SET crl_shard = crl_shard + 1 WHERE serial = $1`, c.Serial.Bytes())
		}, ca.CheckProfile, "2.5.29.31", false},
		"record's time": {func(f *fixture, c acme.Certificate) {
			f.exec(`UPDATE certificates SET recorded_at = recorded_at - 3 * 86400000000 WHERE serial = $1`, c.Serial.Bytes())
		}, ca.CheckProfile, "48 hours", false},
		"issuer": {func(f *fixture, c acme.Certificate) {
			f.exec(`UPDATE certificates SET issuer = $1 WHERE serial = $2`, make([]byte, 20), c.Serial.Bytes())
		}, ca.CheckSignature, "does not know its issuer", false},
		"another profile": {func(f *fixture, c acme.Certificate) {
			f.exec(`UPDATE certificates SET profile = 'server' WHERE serial = $1`, c.Serial.Bytes())
			f.exec(`UPDATE orders SET profile = 'server' WHERE id = $1`, c.Order[:])
		}, ca.CheckProfile, "longer than", false},
		"unknown profile": {func(f *fixture, c acme.Certificate) {
			f.exec(`UPDATE certificates SET profile = 'gone' WHERE serial = $1`, c.Serial.Bytes())
			f.exec(`UPDATE orders SET profile = 'gone' WHERE id = $1`, c.Order[:])
		}, ca.CheckProfile, "no profile", false},
		"order's profile": {func(f *fixture, c acme.Certificate) {
			f.exec(`UPDATE orders SET profile = 'server' WHERE id = $1`, c.Order[:])
		}, CheckOrder, "for profile", false},
		"order's names": {func(f *fixture, c acme.Certificate) {
			f.exec(`UPDATE orders SET identifiers = '["dns:c.example"]' WHERE id = $1`, c.Order[:])
		}, ca.CheckProfile, "2.5.29.17", false},
		"order gone": {func(f *fixture, c acme.Certificate) {
			f.exec(`DELETE FROM orders WHERE id = $1`, c.Order[:])
		}, CheckOrder, "is not there", false},
		"no order": {func(f *fixture, c acme.Certificate) {
			f.exec(`UPDATE certificates SET order_id = NULL WHERE serial = $1`, c.Serial.Bytes())
		}, CheckOrder, "belongs to no order", false},
		"order of another certificate": {func(f *fixture, c acme.Certificate) {
			f.exec(`UPDATE orders SET certificate = $1 WHERE id = $2`, []byte{1}, c.Order[:])
		}, CheckOrder, "led to another", false},
		"another account": {func(f *fixture, c acme.Certificate) {
			other := f.newAccount(newKey(f.t))
			f.exec(`UPDATE certificates SET account_id = $1 WHERE serial = $2`, other.ID[:], c.Serial.Bytes())
		}, CheckOrder, "not account", false},
		"account gone": {func(f *fixture, c acme.Certificate) {
			f.exec(`DELETE FROM accounts WHERE id = $1`, c.Account[:])
		}, CheckAccount, "is not there", false},
		"authorization gone": {func(f *fixture, c acme.Certificate) {
			f.exec(`DELETE FROM authorizations WHERE account_id = $1`, c.Account[:])
		}, CheckAuthorization, "is not there", false},
		"authorization pending": {func(f *fixture, c acme.Certificate) {
			f.exec(`UPDATE authorizations SET status = 'invalid' WHERE account_id = $1`, c.Account[:])
		}, CheckAuthorization, "is invalid", false},
		"authorization expired": {func(f *fixture, c acme.Certificate) {
			f.exec(`UPDATE authorizations SET expires = $1 WHERE account_id = $2`, c.RecordedAt.Add(-time.Second).UnixMicro(), c.Account[:])
		}, CheckAuthorization, "had expired", false},
		"authorization too late": {func(f *fixture, c acme.Certificate) {
			f.exec(`UPDATE authorizations SET validated_at = $1 WHERE account_id = $2`, c.RecordedAt.Add(time.Hour).UnixMicro(), c.Account[:])
		}, CheckAuthorization, "after the certificate", false},
		"authorization of another name": {func(f *fixture, c acme.Certificate) {
			f.exec(`UPDATE authorizations SET identifier = 'dns:c.example' WHERE account_id = $1`, c.Account[:])
		}, CheckAuthorization, "covers dns:a.example", false},
		"method not offered": {func(f *fixture, c acme.Certificate) {
			f.exec(`UPDATE authorizations SET attempt_type = 'http-01' WHERE account_id = $1`, c.Account[:])
		}, CheckAuthorization, "did not offer", false},
		"method for a wildcard": {func(f *fixture, c acme.Certificate) {
			f.exec(`UPDATE authorizations SET attempt_type = 'http-01', offered = 'http-01', evidence = NULL, identifier = 'dns:*.a.example' WHERE account_id = $1`, c.Account[:])
		}, CheckAuthorization, "wildcard", false},
		"no CAA": {func(f *fixture, c acme.Certificate) {
			f.exec(`UPDATE authorizations SET caa = NULL WHERE account_id = $1`, c.Account[:])
		}, CheckCAA, "no CAA check", false},
		"old CAA": {func(f *fixture, c acme.Certificate) {
			f.exec(`UPDATE authorizations SET caa = $1 WHERE account_id = $2`, evidence(f.t, c.RecordedAt.Add(-8*time.Hour-time.Second)), c.Account[:])
		}, CheckCAA, "more than 8 hours", false},
		"later CAA": {func(f *fixture, c acme.Certificate) {
			f.exec(`UPDATE authorizations SET caa = $1 WHERE account_id = $2`, evidence(f.t, c.RecordedAt.Add(time.Hour)), c.Account[:])
		}, CheckCAA, "a later order's", true},
		"blocked key": {func(f *fixture, c acme.Certificate) {
			parsed, err := x509.ParseCertificate(c.DER)
			if err == nil {
				err = f.store.BlockKey(f.t.Context(), sa.BlockedKey{SPKISHA256: sha256.Sum256(parsed.RawSubjectPublicKeyInfo), At: time.Now()})
			}
			if err != nil {
				f.t.Fatal(err)
			}
		}, CheckBlockedKey, "is blocked", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			cert := f.issue(f.account, newKey(t), "a.example")
			c.corrupt(f, cert)
			found, result := f.audit(nil)
			match := func(x Finding) bool {
				return x.Serial == cert.Serial && x.Check == c.check && x.Notice == c.notice && strings.Contains(x.Detail, c.want)
			}
			if !slices.ContainsFunc(found, match) || slices.ContainsFunc(found, func(x Finding) bool { return x.Serial != cert.Serial }) ||
				result.Findings+result.Notices != len(found) || c.notice != (result.Findings == 0) {
				t.Errorf("%+v, %+v", result, found)
			}
			if found, _ := f.audit(func(cfg *Config) { cfg.Skip = map[string]bool{c.check: true} }); slices.ContainsFunc(found, match) {
				t.Errorf("skipped, and found: %+v", found)
			}
		})
	}
}

func evidence(t *testing.T, at time.Time) string {
	t.Helper()
	text, err := json.Marshal(acme.CAAEvidence{CheckedAt: at})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A key of the account, and one that two accounts share.
func TestKeysOfAccounts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	k := newKey(t)
	f.issue(f.account, k, "a.example")
	other := f.newAccount(newKey(t))
	f.issue(other, k, "b.example")
	f.issue(other, newKey(t), "c.example")
	found, result := f.audit(nil)
	if result.Notices != 1 || result.Findings != 0 || found[0].Check != CheckSharedKey {
		t.Errorf("%+v, %+v", result, found)
	}
	if _, result := f.audit(func(c *Config) { c.MaxKeys = 0 }); result.Notices != 0 {
		t.Errorf("no keys are remembered: %+v", result)
	}
	accountKey, err := acme.AccountKeyOf(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.store.ChangeAccountKey(t.Context(), sa.KeyChange{Account: f.account.ID, OldThumbprint: f.account.Key.Thumbprint(), NewKey: accountKey}); err != nil {
		t.Fatal(err)
	}
	if found, result := f.audit(nil); result.Findings != 1 || !slices.ContainsFunc(found, func(x Finding) bool { return x.Check == CheckAccount }) {
		t.Errorf("%+v, %+v", result, found)
	}
}

// An error of the store ends the audit with how far it came.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	inspector, err := ca.NewInspector(ca.InspectorConfig{PublicURL: f.config.PublicURL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(ctx, Config{Store: f.store, Inspector: inspector, Now: time.Now}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
