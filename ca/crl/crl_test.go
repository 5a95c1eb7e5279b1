package crl

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	"github.com/zmap/zlint/v3/lint"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// fixture is an issuer, a store, and a publisher whose clock stands still.
type fixture struct {
	*Publisher
	t      *testing.T
	store  *sa.DB
	issuer Issuer
	key    *ecdsa.PrivateKey
	clock  *clock
	folder string
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) skip(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func url(issuer acme.IssuerID, shard int) string {
	return "http://public.example" + Path(issuer, shard)
}

func newFixture(t *testing.T, change func(*Config)) *fixture {
	t.Helper()
	f := &fixture{t: t, clock: &clock{now: time.Now()}, folder: t.TempDir()}
	store, err := sa.Open(t.Context(), sa.Config{URL: "sqlite:" + filepath.Join(f.folder, "cairn.db"), Migrate: true, Now: f.clock.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	f.store = store
	if f.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Issuer"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, f.key.Public(), f.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	f.issuer = Issuer{ID: acme.IssuerID{7}, Certificate: cert, Signer: f.key}
	if err := store.PutIssuer(t.Context(), acme.Issuer{ID: f.issuer.ID, Chains: [][][]byte{{der}}}); err != nil {
		t.Fatal(err)
	}
	f.Publisher = f.another("first", change)
	return f
}

// another is a second process's publisher.
func (f *fixture) another(owner string, change func(*Config)) *Publisher {
	f.t.Helper()
	cfg := Config{Store: f.store, Issuers: []Issuer{f.issuer}, Shards: 1, URL: url, Owner: owner, Now: f.clock.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	p, err := NewPublisher(cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

func (f *fixture) publish() *x509.RevocationList {
	f.t.Helper()
	if err := f.Publish(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	return f.list(0)
}

func (f *fixture) list(shard int) *x509.RevocationList {
	f.t.Helper()
	crl, err := f.store.CRL(f.t.Context(), f.issuer.ID, shard)
	if err != nil {
		f.t.Fatal(err)
	}
	der, err := io.ReadAll(sa.OpenCRL(f.t.Context(), f.store, crl))
	if err != nil {
		f.t.Fatal(err)
	}
	parsed, err := x509.ParseRevocationList(der)
	if err != nil {
		f.t.Fatal(err)
	}
	// Go's own check, of the whole, besides that of the publisher.
	if err := parsed.CheckSignatureFrom(f.issuer.Certificate); err != nil {
		f.t.Fatal(err)
	}
	return parsed
}

// certify stores a signed certificate that is valid for the given time.
func (f *fixture) certify(shard int, validity time.Duration) acme.Certificate {
	f.t.Helper()
	now := f.clock.Now()
	serial, err := acme.NewSerial(now, rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial.Big(), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(validity), DNSNames: []string{"a.example"},
		CRLDistributionPoints: []string{url(f.issuer.ID, shard)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, f.issuer.Certificate, f.key.Public(), f.key)
	if err != nil {
		f.t.Fatal(err)
	}
	cert := acme.Certificate{Serial: serial, Issuer: f.issuer.ID, CRLShard: shard, Profile: "test", TBS: []byte{1}, NotBefore: template.NotBefore, NotAfter: template.NotAfter, RecordedAt: now}
	if err := f.store.RecordIssuance(f.t.Context(), sa.Issuance{Certificate: cert, Owner: "test", LeaseUntil: now.Add(time.Minute)}); err != nil {
		f.t.Fatal(err)
	}
	if err := f.store.CompleteIssuance(f.t.Context(), serial, der); err != nil {
		f.t.Fatal(err)
	}
	cert.DER = der
	return cert
}

func (f *fixture) revoke(cert acme.Certificate, reason acme.RevocationReason) {
	f.t.Helper()
	if err := f.store.Revoke(f.t.Context(), acme.Revocation{Serial: cert.Serial, At: f.clock.Now(), Reason: reason, By: "test"}); err != nil {
		f.t.Fatal(err)
	}
}

func has(crl *x509.RevocationList, cert acme.Certificate) (x509.RevocationListEntry, bool) {
	for _, e := range crl.RevokedCertificateEntries {
		if e.SerialNumber.Cmp(cert.Serial.Big()) == 0 {
			return e, true
		}
	}
	return x509.RevocationListEntry{}, false
}

func urlOf(t *testing.T, crl *x509.RevocationList) string {
	t.Helper()
	e, err := open(section(crl.Raw))
	if err != nil {
		t.Fatal(err)
	}
	if u, err := pointOf(crl.Extensions); err != nil || u != e.url() {
		t.Errorf("%q and %q, %v", u, e.url(), err)
	}
	return e.url()
}

func TestFirstAndRevocation(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	first := f.publish()
	if len(first.RevokedCertificateEntries) != 0 {
		t.Errorf("the first CRL has %d entries", len(first.RevokedCertificateEntries))
	}
	if again := f.publish(); again.Number.Cmp(first.Number) != 0 {
		t.Errorf("a CRL that is current was replaced")
	}
	keyCompromise, plain, other := f.certify(0, time.Hour*100), f.certify(0, time.Hour*100), f.certify(0, time.Hour*100)
	f.revoke(keyCompromise, acme.ReasonKeyCompromise)
	f.revoke(plain, acme.ReasonUnspecified)
	second := f.publish()
	if second.Number.Cmp(first.Number) <= 0 {
		t.Errorf("number %v after %v", second.Number, first.Number)
	}
	if e, ok := has(second, keyCompromise); !ok || e.ReasonCode != 1 {
		t.Errorf("key compromise: %+v, %v", e, ok)
	}
	if e, ok := has(second, plain); !ok || len(e.Extensions) != 0 {
		t.Errorf("without a reason: %+v, %v", e, ok)
	}
	if _, ok := has(second, other); ok {
		t.Errorf("a certificate that is not revoked is listed")
	}
	// The reason may be raised to keyCompromise later.
	f.clock.skip(time.Minute)
	f.revoke(plain, acme.ReasonKeyCompromise)
	if e, ok := has(f.publish(), plain); !ok || e.ReasonCode != 1 {
		t.Errorf("the new reason is not there: %+v, %v", e, ok)
	}
}

// What others say of the CRL: openssl, and zlint.
func TestOthersAgree(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	bad, good := f.certify(0, time.Hour*100), f.certify(0, time.Hour*100)
	f.revoke(bad, acme.ReasonSuperseded)
	list := f.publish()

	write := func(name, kind string, der []byte) string {
		path := filepath.Join(f.folder, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca, crl := write("ca.pem", "CERTIFICATE", f.issuer.Certificate.Raw), write("crl.pem", "X509 CRL", list.Raw)
	if out, err := exec.CommandContext(t.Context(), "openssl", "crl", "-in", crl, "-CAfile", ca, "-noout", "-verify").CombinedOutput(); err != nil || !strings.Contains(string(out), "verify OK") {
		t.Errorf("openssl crl: %v, %s", err, out)
	}
	verify := func(cert acme.Certificate, name string) (string, error) {
		out, err := exec.CommandContext(t.Context(), "openssl", "verify", "-x509_strict", "-CAfile", ca, "-CRLfile", crl, "-crl_check", "-extended_crl", write(name, "CERTIFICATE", cert.DER)).CombinedOutput()
		return string(out), err
	}
	if out, err := verify(good, "good.pem"); err != nil {
		t.Errorf("openssl verify of a good one: %v, %s", err, out)
	}
	if out, err := verify(bad, "bad.pem"); err == nil || !strings.Contains(out, "certificate revoked") {
		t.Errorf("openssl verify of a revoked one: %v, %s", err, out)
	}

	for _, der := range [][]byte{list.Raw, newFixture(t, nil).publish().Raw} {
		parsed, err := zx509.ParseRevocationList(der)
		if err != nil {
			t.Fatal(err)
		}
		for name, result := range zlint.LintRevocationList(parsed).Results {
			if result.Status > lint.Notice {
				t.Errorf("%s: %s %s", name, result.Status, result.Details)
			}
		}
	}
}

func TestSchedule(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	cert := f.certify(0, 30*time.Hour)
	f.revoke(cert, acme.ReasonSuperseded)
	first := f.publish()
	if !first.NextUpdate.Equal(first.ThisUpdate.Add(defaultLifetime)) {
		t.Errorf("from %s to %s", first.ThisUpdate, first.NextUpdate)
	}
	f.clock.skip(defaultInterval - time.Minute)
	if again := f.publish(); again.Number.Cmp(first.Number) != 0 {
		t.Errorf("made before its time")
	}
	var numbers []*big.Int
	listed := 0
	for range 4 {
		f.clock.skip(defaultInterval + time.Minute)
		list := f.publish()
		numbers = append(numbers, list.Number)
		if _, ok := has(list, cert); ok {
			listed++
		}
	}
	// RFC 5280 §3.3: it expired between the first and the second of these, and
	// is in one more.
	if listed != 1 {
		t.Errorf("the expired certificate is in %d of the later CRLs, want 1", listed)
	}
	for i := 1; i < len(numbers); i++ {
		if numbers[i].Cmp(numbers[i-1]) <= 0 {
			t.Errorf("numbers %v", numbers)
		}
	}
}

// A CRL made early does not count as the one more that has an expired
// certificate.
func TestEarlyCRLKeepsExpired(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	cert, next := f.certify(0, time.Hour), f.certify(0, 100*time.Hour)
	f.revoke(cert, acme.ReasonSuperseded)
	f.publish()
	f.clock.skip(2 * time.Hour)
	for range 2 {
		f.revoke(next, acme.ReasonSuperseded)
		if _, ok := has(f.publish(), cert); !ok {
			t.Errorf("the expired certificate is gone from a CRL made early")
		}
		f.clock.skip(time.Minute)
		next = f.certify(0, 100*time.Hour)
	}
}

func TestShards(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Shards = 3 })
	cert := f.certify(2, 100*time.Hour)
	f.revoke(cert, acme.ReasonSuperseded)
	f.publish()
	for shard := range 3 {
		list := f.list(shard)
		if _, ok := has(list, cert); ok != (shard == 2) {
			t.Errorf("shard %d: listed %v", shard, ok)
		}
		if urlOf(t, list) != url(f.issuer.ID, shard) {
			t.Errorf("shard %d does not name its URL", shard)
		}
	}
	// With fewer shards, the others go on.
	f.Publisher = f.another("second", nil)
	f.clock.skip(2 * defaultInterval)
	before := f.list(2).Number
	f.publish()
	if f.list(2).Number.Cmp(before) <= 0 {
		t.Errorf("a shard beyond the number is not published any more")
	}
	if _, err := f.store.CRL(t.Context(), f.issuer.ID, 3); !errors.Is(err, sa.ErrNotFound) {
		t.Errorf("a shard that never was: %v", err)
	}
}

func TestAddressChange(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.publish()
	moved := func(id acme.IssuerID, shard int) string { return "http://elsewhere.example" + Path(id, shard) }
	f.Publisher = f.another("second", func(c *Config) { c.URL = moved })
	if list := f.publish(); urlOf(t, list) != moved(f.issuer.ID, 0) {
		t.Errorf("the CRL still names its old URL")
	}
}

// Several pages of revocations.
func TestManyEntries(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.cfg.Store = pages{f.store, 7}
	var certs []acme.Certificate
	for range 40 {
		certs = append(certs, f.certify(0, 100*time.Hour))
		f.revoke(certs[len(certs)-1], acme.ReasonSuperseded)
	}
	list := f.publish()
	for _, c := range certs {
		if _, ok := has(list, c); !ok {
			t.Errorf("%s is not listed", c.Serial)
		}
	}
	if len(list.RevokedCertificateEntries) != len(certs) {
		t.Errorf("%d entries", len(list.RevokedCertificateEntries))
	}
}

// pages asks for smaller pages.
type pages struct {
	Store
	limit int
}

func (p pages) Revocations(ctx context.Context, page sa.RevocationPage) ([]acme.Revocation, error) {
	var all []acme.Revocation
	limit := page.Limit
	page.Limit = p.limit
	for len(all) < limit {
		part, err := p.Store.Revocations(ctx, page)
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
		if len(part) < p.limit {
			break
		}
		page.After = part[len(part)-1].Serial
	}
	return all, nil
}

// Two processes at once: each CRL is made once, and neither repeats the
// other's.
func TestTwoPublishers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	counting := &counter{Store: f.store}
	one := f.another("one", func(c *Config) { c.Store = counting })
	two := f.another("two", func(c *Config) { c.Store = counting })
	round := func() {
		var work sync.WaitGroup
		for _, p := range []*Publisher{one, two, one, two} {
			work.Go(func() {
				if err := p.Publish(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		work.Wait()
	}
	for i := range 5 {
		before := counting.count()
		f.revoke(f.certify(0, 100*time.Hour), acme.ReasonSuperseded)
		for range 4 {
			round()
			f.clock.skip(settle / 2)
		}
		if made := counting.count() - before; made != 1 {
			t.Errorf("round %d: %d CRLs for one revocation", i, made)
		}
	}
	if list := f.list(0); len(list.RevokedCertificateEntries) != 5 {
		t.Errorf("%d entries", len(list.RevokedCertificateEntries))
	}
}

type counter struct {
	Store
	mu        sync.Mutex
	published int
}

func (c *counter) PublishCRL(ctx context.Context, crl sa.CRL) error {
	err := c.Store.PublishCRL(ctx, crl)
	if err == nil {
		c.mu.Lock()
		c.published++
		c.mu.Unlock()
	}
	return err
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.published
}

// A process that died with the lease holds nobody up for longer than that.
func TestLease(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	lease := sa.Lease{Name: fmt.Sprintf("crl/%s/0", f.issuer.ID), Owner: "dead", Until: f.clock.Now().Add(leaseFor)}
	if ok, err := f.store.Lease(t.Context(), lease); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if err := f.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.store.CRL(t.Context(), f.issuer.ID, 0); !errors.Is(err, sa.ErrNotFound) {
		t.Errorf("published without the lease: %v", err)
	}
	f.clock.skip(leaseFor + time.Second)
	f.publish()
}

// late hides one revocation until it is told not to, as a transaction that
// commits after a later one does.
type late struct {
	Store
	serial acme.Serial
	hide   bool
	latest time.Time // what LatestRevocation says throughout
}

func (l *late) LatestRevocation(context.Context, acme.IssuerID, int) (time.Time, error) {
	return l.latest, nil
}

func (l *late) Revocations(ctx context.Context, page sa.RevocationPage) ([]acme.Revocation, error) {
	all, err := l.Store.Revocations(ctx, page)
	var seen []acme.Revocation
	for _, r := range all {
		if !l.hide || r.Serial != l.serial {
			seen = append(seen, r)
		}
	}
	return seen, err
}

func TestLateRevocation(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.publish()
	hidden, seen := f.certify(0, 100*time.Hour), f.certify(0, 100*time.Hour)
	f.revoke(hidden, acme.ReasonSuperseded)
	f.revoke(seen, acme.ReasonSuperseded)
	store := &late{Store: f.store, serial: hidden.Serial, hide: true, latest: f.clock.Now()}
	f.cfg.Store = store
	if list := f.publish(); len(list.RevokedCertificateEntries) != 1 {
		t.Fatalf("%d entries", len(list.RevokedCertificateEntries))
	}
	store.hide = false
	f.clock.skip(settle)
	if _, ok := has(f.publish(), hidden); !ok {
		t.Errorf("a revocation that showed late is not listed")
	}
}

// A CRL that lacks what the one before has is not published.
func TestLostEntry(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for range 3 {
		f.revoke(f.certify(0, 100*time.Hour), acme.ReasonSuperseded)
	}
	lost := f.certify(0, 100*time.Hour)
	f.revoke(lost, acme.ReasonSuperseded)
	before := f.publish()
	f.cfg.Store = &late{Store: f.store, serial: lost.Serial, hide: true, latest: f.clock.Now()}
	f.clock.skip(2 * defaultInterval)
	err := f.Publish(t.Context())
	if err == nil || !strings.Contains(err.Error(), lost.Serial.String()) {
		t.Errorf("got %v", err)
	}
	if f.list(0).Number.Cmp(before.Number) != 0 {
		t.Errorf("it was published")
	}
}

// gone is a store that lost a certificate, its revocation with it.
type gone struct {
	*late
	lost acme.Serial
}

func (g gone) Certificate(ctx context.Context, serial acme.Serial) (acme.Certificate, error) {
	if serial == g.lost {
		return acme.Certificate{}, sa.ErrNotFound
	}
	return g.late.Certificate(ctx, serial)
}

// What the store lost altogether may be valid still.
func TestVanishedCertificate(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	f := newFixture(t, func(c *Config) { c.Metrics = registry })
	lost := f.certify(0, 100*time.Hour)
	f.revoke(lost, acme.ReasonSuperseded)
	before := f.publish()
	f.cfg.Store = gone{&late{Store: f.store, serial: lost.Serial, hide: true, latest: f.clock.Now()}, lost.Serial}
	f.clock.skip(2 * defaultInterval)
	if err := f.Publish(t.Context()); err == nil || !strings.Contains(err.Error(), lost.Serial.String()) {
		t.Errorf("got %v", err)
	}
	if f.list(0).Number.Cmp(before.Number) != 0 {
		t.Errorf("a CRL without it was published")
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if want, ok := map[string]float64{"cairn_crl_withheld_total": 1, "cairn_crl_failures_total": 1, "cairn_crl_signatures_total": 1}[family.GetName()]; ok && family.GetMetric()[0].GetCounter().GetValue() != want {
			t.Errorf("%v, want %v", family, want)
		}
	}
	f.cfg.Store = f.store
	if _, ok := has(f.publish(), lost); !ok {
		t.Errorf("it is not listed once it is back")
	}
}

// reads counts how often CRLs are read.
type reads struct {
	Store
	n int
}

func (r *reads) CRL(ctx context.Context, issuer acme.IssuerID, shard int) (sa.CRL, error) {
	crl, err := r.Store.CRL(ctx, issuer, shard)
	if err == nil {
		r.n++
	}
	return crl, err
}

// While nothing is due, the CRL is not read; what another process publishes is
// found out about in time.
func TestReads(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	store := &reads{Store: f.store}
	f.cfg.Store = store
	publish := func(want int) *x509.RevocationList {
		t.Helper()
		store.n = 0
		list := f.publish()
		if store.n != want {
			t.Errorf("read %d times, want %d", store.n, want)
		}
		return list
	}
	publish(0) // there is none
	for range 5 {
		f.clock.skip(time.Minute)
		publish(0)
	}
	cert := f.certify(0, 100*time.Hour)
	f.revoke(cert, acme.ReasonSuperseded)
	if _, ok := has(publish(2), cert); !ok { // before the lease and under it
		t.Error("a revocation is overlooked")
	}
	f.clock.skip(settle)
	publish(2) // one more look at the revocations
	publish(0)
	// Another process is first; this one neither repeats its work nor reads
	// its CRL again and again.
	other := f.another("other", nil)
	f.revoke(f.certify(0, 100*time.Hour), acme.ReasonSuperseded)
	if err := other.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	theirs := f.list(0)
	f.clock.skip(2 * settle)
	if got := publish(2); got.Number.Cmp(theirs.Number) != 0 {
		t.Error("another process's work is done again")
	}
	publish(0)
	// Theirs on schedule: before this one's turn comes there is no more to do.
	f.clock.skip(rereadAfter)
	publish(1)
	f.clock.skip(rereadAfter - time.Second)
	publish(0)
}

// The checks see a CRL that is not what it was to be.
func TestCheck(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	now := f.clock.Now().UTC().Truncate(time.Second)
	sample := func() *list {
		l := newList(f.folder)
		l.number, l.thisUpdate, l.nextUpdate, l.url = 5, now, now.Add(time.Hour), url(f.issuer.ID, 0)
		return l
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good, err := sample().sign(rand.Reader, f.issuer.Certificate, f.key)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := sample().sign(rand.Reader, f.issuer.Certificate, other)
	if err != nil {
		t.Fatal(err)
	}
	revocation := acme.Revocation{Serial: f.certify(0, time.Hour).Serial, At: now, Reason: acme.ReasonSuperseded}
	with := func(change func(*acme.Revocation)) *list {
		l, r := sample(), revocation
		change(&r)
		if err := l.add(r); err != nil {
			t.Fatal(err)
		}
		return l
	}
	same := func(*acme.Revocation) {}
	one, err := with(same).sign(rand.Reader, f.issuer.Certificate, f.key)
	if err != nil {
		t.Fatal(err)
	}
	number, address, shorter := sample(), sample(), sample()
	number.number, address.url, shorter.url = 6, "http://other.example/", shorter.url[:len(shorter.url)-1]
	for name, test := range map[string]struct {
		want *list
		der  *io.SectionReader
		ok   bool
	}{
		"as it is to be": {sample(), good, true},
		"another's":      {sample(), foreign, false},
		"number":         {number, good, false},
		"shorter URL":    {shorter, good, false},
		"lacks an entry": {with(same), good, false},
		"one too many":   {sample(), one, false},
		"one entry":      {with(same), one, true},
		"serial":         {with(func(r *acme.Revocation) { r.Serial = f.certify(0, time.Hour).Serial }), one, false},
		"date":           {with(func(r *acme.Revocation) { r.At = now.Add(-time.Second) }), one, false},
		"reason":         {with(func(r *acme.Revocation) { r.Reason = acme.ReasonKeyCompromise }), one, false},
		"no reason":      {with(func(r *acme.Revocation) { r.Reason = acme.ReasonUnspecified }), one, false},
		"address":        {address, good, false},
		"not DER":        {sample(), section([]byte("x")), false},
	} {
		c := checker{store: f.store, issuer: f.issuer, list: test.want}
		if err := c.run(test.der); (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRunPublishesSoon(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Delay = minPoll })
	published := make(chan int, 10)
	f.cfg.Store = notifier{f.store, published}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	if n := <-published; n != 0 {
		t.Errorf("the first has %d entries", n)
	}
	f.revoke(f.certify(0, 100*time.Hour), acme.ReasonSuperseded)
	if n := <-published; n != 1 {
		t.Errorf("the second has %d entries", n)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

type notifier struct {
	Store
	published chan int
}

func (n notifier) PublishCRL(ctx context.Context, crl sa.CRL) error {
	err := n.Store.PublishCRL(ctx, crl)
	if err == nil {
		parsed, parseErr := x509.ParseRevocationList(crl.DER)
		if parseErr != nil {
			return parseErr
		}
		n.published <- len(parsed.RevokedCertificateEntries)
	}
	return err
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]Config{
		"too long":      {Shards: 1, Owner: "x", Lifetime: 11 * 24 * time.Hour},
		"too seldom":    {Shards: 1, Owner: "x", Lifetime: time.Hour, Interval: time.Hour},
		"no shards":     {Owner: "x"},
		"no owner":      {Shards: 1},
		"delay below 0": {Shards: 1, Owner: "x", Delay: -1},
	} {
		if _, err := NewPublisher(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestHandler(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	list := f.publish()
	h := Handler(f.store, f.clock.Now)
	get := func(method, path string, header http.Header) *http.Response {
		req := httptest.NewRequestWithContext(t.Context(), method, path, nil)
		for k, v := range header {
			req.Header[k] = v
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		return rec.Result()
	}
	path := Path(f.issuer.ID, 0)
	resp := get(http.MethodGet, path, http.Header{"Accept-Encoding": {"gzip"}})
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/pkix-crl" || resp.Header.Get("Content-Encoding") != "" ||
		resp.ContentLength != int64(len(list.Raw)) || !strings.Contains(resp.Header.Get("Cache-Control"), "max-age=60") ||
		resp.Header.Get("Last-Modified") != list.ThisUpdate.Format(http.TimeFormat) || resp.Header.Get("Expires") != list.NextUpdate.Format(http.TimeFormat) {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	if again := get(http.MethodGet, path, http.Header{"If-None-Match": {resp.Header.Get("ETag")}}); again.StatusCode != http.StatusNotModified {
		t.Errorf("with its ETag: %d", again.StatusCode)
	}
	f.clock.skip(defaultLifetime)
	if old := get(http.MethodGet, path, nil); !strings.Contains(old.Header.Get("Cache-Control"), "max-age=0") {
		t.Errorf("past its nextUpdate: %v", old.Header)
	}
	for _, test := range []struct {
		method, path string
		status       int
	}{
		{http.MethodHead, path, 200},
		{http.MethodPost, path, 405},
		{http.MethodGet, Path(f.issuer.ID, 1), 404},
		{http.MethodGet, Path(acme.IssuerID{9}, 0), 404},
		{http.MethodGet, strings.Replace(path, "/0.crl", "/00.crl", 1), 404},
		{http.MethodGet, strings.Replace(path, "/0.crl", "/-1.crl", 1), 404},
		{http.MethodGet, strings.Replace(path, "/0.crl", "/0", 1), 404},
		{http.MethodGet, "/crl/../x", 404},
		{http.MethodGet, "/crl/", 404},
	} {
		if got := get(test.method, test.path, nil).StatusCode; got != test.status {
			t.Errorf("%s %s: %d, want %d", test.method, test.path, got, test.status)
		}
	}
	if err := f.store.Close(); err != nil {
		t.Fatal(err)
	}
	if got := get(http.MethodGet, path, nil); got.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("without a store: %d", got.StatusCode)
	}
}

func FuzzPath(f *testing.F) {
	f.Add(Path(acme.IssuerID{1}, 3))
	f.Add("/crl//.crl")
	f.Fuzz(func(t *testing.T, path string) {
		if issuer, shard, ok := parsePath(path); ok && Path(issuer, shard) != path {
			t.Errorf("%q is read as %s", path, Path(issuer, shard))
		}
	})
}
