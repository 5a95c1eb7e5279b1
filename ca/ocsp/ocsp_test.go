package ocsp

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/zmap/zlint/v3"
	"github.com/zmap/zlint/v3/lint"
	"golang.org/x/crypto/ocsp"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// authority is an issuer and its delegated signer.
type authority struct {
	id     acme.IssuerID
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	signer Signer
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func certificate(t testing.TB, template, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func newAuthority(t testing.TB, id byte) *authority {
	t.Helper()
	a := &authority{id: acme.IssuerID{id}, key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Issuer " + string('A'+rune(id))}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(10000 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, IsCA: true, BasicConstraintsValid: true,
	}
	a.cert = certificate(t, template, template, a.key.Public(), a.key)
	a.signer = a.delegate(t, 60*24*time.Hour, x509.ExtKeyUsageOCSPSigning)
	return a
}

// delegate certifies a signer.
func (a *authority) delegate(t testing.TB, validity time.Duration, usage x509.ExtKeyUsage) Signer {
	t.Helper()
	k := newKey(t)
	noCheck := pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: []byte{5, 0}}
	cert := certificate(t, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "OCSP"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(validity),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage}, ExtraExtensions: []pkix.Extension{noCheck},
	}, a.cert, k.Public(), a.key)
	return Signer{k, cert.Raw}
}

// world is a store in memory, the signers, and a clock that stands still.
type world struct {
	mu           sync.Mutex
	now          time.Time
	certificates map[acme.Serial]acme.Certificate
	authorities  map[acme.IssuerID]*authority
	listed       int
	unreadable   []acme.Issuer
	err          error
}

func (w *world) Certificate(_ context.Context, serial acme.Serial) (acme.Certificate, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, ok := w.certificates[serial]
	if w.err == nil && !ok {
		return acme.Certificate{}, sa.ErrNotFound
	}
	return c, w.err
}

func (w *world) Issuers(context.Context) ([]acme.Issuer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listed++
	var list []acme.Issuer
	for _, a := range w.authorities {
		list = append(list, acme.Issuer{ID: a.id, Chains: [][][]byte{{a.cert.Raw}}})
	}
	return append(list, w.unreadable...), w.err
}

func (w *world) OCSPSigner(issuer acme.IssuerID) (Signer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a, ok := w.authorities[issuer]; ok && a.signer.Key != nil {
		return a.signer, nil
	}
	return Signer{}, errors.New("there is none")
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) skip(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *world) revoke(cert *x509.Certificate, reason acme.RevocationReason) {
	serial, _ := acme.SerialFromBig(cert.SerialNumber)
	w.change(func() {
		c := w.certificates[serial]
		c.Revocation = &acme.Revocation{Serial: serial, At: w.now, Reason: reason}
		w.certificates[serial] = c
	})
}

type fixture struct {
	*Responder
	*world
	ours *authority
}

func newFixture(t testing.TB, change func(*Config)) *fixture {
	t.Helper()
	w := &world{now: time.Now().Truncate(time.Second), certificates: make(map[acme.Serial]acme.Certificate), authorities: make(map[acme.IssuerID]*authority)}
	ours := newAuthority(t, 1)
	w.authorities[ours.id] = ours
	cfg := Config{Store: w, Signers: w, Path: "/ocsp", Now: w.clock, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{r, w, ours}
}

// issue makes a certificate of an issuer and stores it as signed.
func (f *fixture) issue(t testing.TB, a *authority) *x509.Certificate {
	t.Helper()
	serial, err := acme.NewSerial(time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := certificate(t, &x509.Certificate{SerialNumber: serial.Big(), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"a.example"}}, a.cert, a.key.Public(), a.key)
	f.change(func() { f.certificates[serial] = acme.Certificate{Serial: serial, Issuer: a.id, DER: cert.Raw} })
	return cert
}

func query(t testing.TB, cert, issuer *x509.Certificate, hash crypto.Hash) []byte {
	t.Helper()
	der, err := ocsp.CreateRequest(cert, issuer, &ocsp.RequestOptions{Hash: hash})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (f *fixture) post(t testing.TB, der []byte) []byte {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/ocsp", bytes.NewReader(der))
	req.Header.Set("Content-Type", "application/ocsp-request")
	rec := httptest.NewRecorder()
	f.ServeHTTP(rec, req)
	if rec.Code != http.StatusOK || rec.Header().Get("Content-Type") != "application/ocsp-response" || rec.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("HTTP %d, %v", rec.Code, rec.Header())
	}
	return rec.Body.Bytes()
}

func (f *fixture) ask(t testing.TB, cert *x509.Certificate) *ocsp.Response {
	t.Helper()
	resp, err := ocsp.ParseResponseForCert(f.post(t, query(t, cert, f.ours.cert, crypto.SHA1)), cert, f.ours.cert)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// statusOf is the status of a response that says no more.
func statusOf(der []byte) responseStatus {
	if len(der) == 5 {
		return responseStatus(der[4])
	}
	return successful
}

func TestStatus(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	foreign := newAuthority(t, 2)
	f.change(func() { f.authorities[foreign.id] = foreign })
	good, revokedOne, unspecified := f.issue(t, f.ours), f.issue(t, f.ours), f.issue(t, f.ours)
	f.revoke(revokedOne, acme.ReasonKeyCompromise)
	f.revoke(unspecified, acme.ReasonUnspecified)
	// Recorded, and not signed yet.
	unsigned := f.issue(t, f.ours)
	serial, err := acme.SerialFromBig(unsigned.SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	f.change(func() { f.certificates[serial] = acme.Certificate{Serial: serial, Issuer: f.ours.id, TBS: []byte{1}} })
	others := f.issue(t, foreign)
	never := certificate(t, &x509.Certificate{SerialNumber: big.NewInt(77), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}, f.ours.cert, f.ours.key.Public(), f.ours.key)

	for name, test := range map[string]struct {
		cert   *x509.Certificate
		want   int
		reason int
	}{
		"good":                  {good, ocsp.Good, 0},
		"revoked":               {revokedOne, ocsp.Revoked, 1},
		"revoked, unspecified":  {unspecified, ocsp.Revoked, 0},
		"recorded, not signed":  {unsigned, ocsp.Unknown, 0},
		"another issuer's":      {others, ocsp.Unknown, 0},
		"never issued":          {never, ocsp.Unknown, 0},
		"good, a second time":   {good, ocsp.Good, 0},
		"revoked a second time": {revokedOne, ocsp.Revoked, 1},
	} {
		for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
			resp, err := ocsp.ParseResponseForCert(f.post(t, query(t, test.cert, f.ours.cert, hash)), test.cert, f.ours.cert)
			if err != nil {
				t.Errorf("%s, %s: %v", name, hash, err)
				continue
			}
			if resp.Status != test.want || resp.RevocationReason != test.reason {
				t.Errorf("%s, %s: status %d, reason %d", name, hash, resp.Status, resp.RevocationReason)
			}
			if test.want == ocsp.Revoked && !resp.RevokedAt.Equal(f.clock().UTC().Truncate(time.Second)) {
				t.Errorf("%s: revoked at %s", name, resp.RevokedAt)
			}
			lifetime := defaultLifetime
			if test.want == ocsp.Unknown {
				lifetime = unknownLifetime
			}
			if got := resp.NextUpdate.Sub(resp.ThisUpdate); got != lifetime {
				t.Errorf("%s: lifetime %s", name, got)
			}
			for lintName, result := range zlint.LintOcspResponse(resp).Results {
				if result.Status > lint.Notice {
					t.Errorf("%s: %s %s", name, lintName, result.Details)
				}
			}
		}
	}
}

// What is kept never hides a change.
func TestKept(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Kept = 2 })
	cert := f.issue(t, f.ours)
	first := f.ask(t, cert)
	f.skip(defaultLifetime/2 - time.Minute)
	if again := f.ask(t, cert); !bytes.Equal(again.Raw, first.Raw) {
		t.Errorf("signed again within half of the lifetime")
	}
	f.skip(time.Minute)
	renewed := f.ask(t, cert)
	if !renewed.ThisUpdate.After(first.ThisUpdate) {
		t.Errorf("not renewed after half of the lifetime")
	}
	f.revoke(cert, acme.ReasonSuperseded)
	if now := f.ask(t, cert); now.Status != ocsp.Revoked || now.RevocationReason != ocsp.Superseded {
		t.Errorf("revoked: status %d, reason %d", now.Status, now.RevocationReason)
	}
	f.revoke(cert, acme.ReasonKeyCompromise)
	if now := f.ask(t, cert); now.RevocationReason != ocsp.KeyCompromise {
		t.Errorf("another reason: %d", now.RevocationReason)
	}
	// Unknown becomes good.
	serial, err := acme.SerialFromBig(cert.SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	var record acme.Certificate
	f.change(func() { record = f.certificates[serial]; delete(f.certificates, serial) })
	if now := f.ask(t, cert); now.Status != ocsp.Unknown {
		t.Errorf("gone: %d", now.Status)
	}
	record.Revocation = nil
	f.change(func() { f.certificates[serial] = record })
	if now := f.ask(t, cert); now.Status != ocsp.Good {
		t.Errorf("there: %d", now.Status)
	}
	// No more are kept than the limit.
	for range 5 {
		f.ask(t, f.issue(t, f.ours))
	}
	if n := len(f.kept.answers); n != 2 {
		t.Errorf("%d answers are kept", n)
	}
}

func TestSigners(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	old := f.issue(t, f.ours)
	f.ask(t, old)
	// A new signer is used for what is signed from then on.
	next := f.ours.delegate(t, 50*24*time.Hour, x509.ExtKeyUsageOCSPSigning)
	f.change(func() { f.ours.signer = next })
	if resp := f.ask(t, f.issue(t, f.ours)); !bytes.Equal(resp.Certificate.Raw, next.Certificate) {
		t.Errorf("the old signer is still used")
	}
	// No answer outlives its signer.
	brief := f.ours.delegate(t, time.Hour, x509.ExtKeyUsageOCSPSigning)
	f.change(func() { f.ours.signer = brief })
	if resp := f.ask(t, f.issue(t, f.ours)); !resp.NextUpdate.Equal(resp.Certificate.NotAfter) {
		t.Errorf("next update %s, signer until %s", resp.NextUpdate, resp.Certificate.NotAfter)
	}
	other := newAuthority(t, 3)
	mixed := f.ours.delegate(t, time.Hour, x509.ExtKeyUsageOCSPSigning)
	mixed.Key = newKey(t)
	for name, test := range map[string]struct {
		signer Signer
		want   responseStatus
	}{
		"none":                  {Signer{}, tryLater},
		"expired":               {f.ours.delegate(t, -time.Minute, x509.ExtKeyUsageOCSPSigning), tryLater},
		"another issuer's":      {other.signer, internalError},
		"not for OCSP":          {f.ours.delegate(t, time.Hour, x509.ExtKeyUsageServerAuth), internalError},
		"certificate of others": {mixed, internalError},
		"garbage":               {Signer{f.ours.key, []byte("x")}, internalError},
	} {
		f.change(func() { f.ours.signer = test.signer })
		cert := f.issue(t, f.ours)
		if got := statusOf(f.post(t, query(t, cert, f.ours.cert, crypto.SHA1))); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestIssuers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	second := newAuthority(t, 2)
	cert := f.issue(t, f.ours)
	f.ask(t, cert)
	theirs := f.issue(t, second)
	for range 10 { // a flood of them reads the list once more at most
		if got := statusOf(f.post(t, query(t, theirs, second.cert, crypto.SHA1))); got != unauthorized {
			t.Errorf("a foreign issuer: %s", got)
		}
	}
	if f.listed != 1 {
		t.Errorf("the issuers were read %d times", f.listed)
	}
	// An issuer that is made later is found after a while.
	f.change(func() { f.authorities[second.id] = second })
	f.skip(reloadAfter)
	if _, err := ocsp.ParseResponseForCert(f.post(t, query(t, theirs, second.cert, crypto.SHA1)), theirs, second.cert); err != nil {
		t.Errorf("a new issuer: %v", err)
	}
	// Certificates of two issuers can't be answered for at once.
	one, two := splitRequest(t, query(t, cert, f.ours.cert, crypto.SHA1)), splitRequest(t, query(t, theirs, second.cert, crypto.SHA1))
	if got := statusOf(f.post(t, joinRequests(t, one, two))); got != unauthorized {
		t.Errorf("two issuers: %s", got)
	}
	f.change(func() { f.err = errors.New("the store is down") })
	if got := statusOf(f.post(t, query(t, cert, f.ours.cert, crypto.SHA1))); got != tryLater {
		t.Errorf("without a store: %s", got)
	}
}

// An issuer of the store that can't be read is no reason to refuse the others'
// certificates.
func TestUnreadableIssuer(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.change(func() {
		f.unreadable = []acme.Issuer{
			{ID: acme.IssuerID{8}, Chains: [][][]byte{{[]byte("no certificate")}}},
			{ID: acme.IssuerID{9}, Chains: [][][]byte{{}}},
			{ID: acme.IssuerID{10}, Chains: [][][]byte{nil, {f.ours.cert.Raw[:100]}}},
			{ID: acme.IssuerID{11}},
		}
	})
	if resp := f.ask(t, f.issue(t, f.ours)); resp.Status != ocsp.Good {
		t.Errorf("status %d", resp.Status)
	}
}

// An answer about several certificates is as fleeting as the most fleeting of
// them.
func TestSeveralOneUnknown(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	good := f.issue(t, f.ours)
	never := *good
	never.SerialNumber = big.NewInt(99)
	first, second := splitRequest(t, query(t, good, f.ours.cert, crypto.SHA1)), splitRequest(t, query(t, &never, f.ours.cert, crypto.SHA1))
	for name, list := range map[string][]asn1.RawValue{"good first": {first, second}, "unknown first": {second, first}} {
		der := joinRequests(t, list...)
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://ocsp.example/ocsp/"+url.PathEscape(base64.StdEncoding.EncodeToString(der)), nil)
		rec := httptest.NewRecorder()
		f.ServeHTTP(rec, req)
		if got := rec.Header(); got.Get("Cache-Control") != "no-store" || got.Get("Expires") != "" {
			t.Errorf("%s: %v", name, got)
		}
		for cert, lifetime := range map[*x509.Certificate]time.Duration{good: defaultLifetime, &never: unknownLifetime} {
			resp, err := ocsp.ParseResponseForCert(rec.Body.Bytes(), cert, f.ours.cert)
			if err != nil || resp.NextUpdate.Sub(resp.ThisUpdate) != lifetime {
				t.Errorf("%s: %+v, %v", name, resp, err)
			}
		}
	}
}

// Proxies make one slash of two.
func TestLostSlashes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	// Serials with many bits set, until the request has slashes beside each
	// other, and others too.
	cert := *f.issue(t, f.ours)
	for want := 1; want <= maxLost; {
		octets := make([]byte, 32)
		if _, err := rand.Read(octets); err != nil {
			t.Fatal(err)
		}
		for i, b := range octets[16:] {
			octets[i] |= b
		}
		octets[0] &= 0x7f
		cert.SerialNumber = new(big.Int).SetBytes(octets[:16])
		text := base64.StdEncoding.EncodeToString(query(t, &cert, f.ours.cert, crypto.SHA1))
		collapsed := text
		for strings.Contains(collapsed, "//") {
			collapsed = strings.ReplaceAll(collapsed, "//", "/")
		}
		if len(text)-len(collapsed) != want || strings.Count(collapsed, "/") < 2 {
			continue
		}
		serial, err := acme.SerialFromBig(cert.SerialNumber)
		if err != nil {
			t.Fatal(err)
		}
		f.change(func() { f.certificates[serial] = acme.Certificate{Serial: serial, Issuer: f.ours.id, DER: cert.Raw} })
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://ocsp.example/ocsp/"+collapsed, nil)
		rec := httptest.NewRecorder()
		f.ServeHTTP(rec, req)
		if resp, err := ocsp.ParseResponseForCert(rec.Body.Bytes(), &cert, f.ours.cert); err != nil || resp.Status != ocsp.Good {
			t.Errorf("%s: %+v, %v", collapsed, resp, err)
		}
		want++
	}
	// However many slashes there are, there is an end.
	many := "MIIB" + strings.Repeat("/A", 250)
	if n := len(decodePath("/ocsp/"+many, "/ocsp")); n > maxReadings {
		t.Errorf("%d readings", n)
	}
	if got := withSlashes("a/b/c", 2); !slices.Equal(got, []string{"a///b/c", "a//b//c", "a/b///c"}) {
		t.Errorf("%q", got)
	}
}

// splitRequest takes the one Request out of an OCSPRequest, joinRequests makes
// an OCSPRequest of several.
func splitRequest(t testing.TB, der []byte) asn1.RawValue {
	t.Helper()
	var whole struct {
		TBS struct{ List []asn1.RawValue }
	}
	if _, err := asn1.Unmarshal(der, &whole); err != nil {
		t.Fatal(err)
	}
	return whole.TBS.List[0]
}

func joinRequests(t testing.TB, requests ...asn1.RawValue) []byte {
	return marshalRequest(t, requests, nil)
}

type extension struct {
	ID       asn1.ObjectIdentifier
	Critical bool `asn1:"optional"`
	Value    []byte
}

func marshalRequest(t testing.TB, requests []asn1.RawValue, extensions []extension) []byte {
	t.Helper()
	type tbs struct {
		List       []asn1.RawValue
		Extensions []extension `asn1:"optional,omitempty,explicit,tag:2"`
	}
	der, err := asn1.Marshal(struct{ TBS tbs }{tbs{requests, extensions}})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestSeveralCertificates(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	one, two := f.issue(t, f.ours), f.issue(t, f.ours)
	f.revoke(two, acme.ReasonSuperseded)
	var all []asn1.RawValue
	for _, c := range []*x509.Certificate{one, two} {
		all = append(all, splitRequest(t, query(t, c, f.ours.cert, crypto.SHA256)))
	}
	der := f.post(t, joinRequests(t, all...))
	for cert, want := range map[*x509.Certificate]int{one: ocsp.Good, two: ocsp.Revoked} {
		if resp, err := ocsp.ParseResponseForCert(der, cert, f.ours.cert); err != nil || resp.Status != want {
			t.Errorf("want %d: %+v, %v", want, resp, err)
		}
	}
	for len(all) <= maxCertificates {
		all = append(all, all[0])
	}
	if got := statusOf(f.post(t, joinRequests(t, all...))); got != malformedRequest {
		t.Errorf("%d certificates: %s", len(all), got)
	}
}

func TestNonce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	ignoring := newFixture(t, func(c *Config) { c.IgnoreNonce = true })
	with := func(f *fixture, cert *x509.Certificate, extensions ...extension) []byte {
		return f.post(t, marshalRequest(t, []asn1.RawValue{splitRequest(t, query(t, cert, f.ours.cert, crypto.SHA1))}, extensions))
	}
	nonce := func(length int) extension {
		octets := bytes.Repeat([]byte{0xa5}, length)
		value, err := asn1.Marshal(octets)
		if err != nil {
			t.Fatal(err)
		}
		return extension{ID: oidNonce, Value: value}
	}
	cert, theirs := f.issue(t, f.ours), ignoring.issue(t, ignoring.ours)
	for _, length := range []int{1, 16, 32, 128} {
		der := with(f, cert, nonce(length))
		if _, err := ocsp.ParseResponseForCert(der, cert, f.ours.cert); err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(der, nonce(length).Value) {
			t.Errorf("a nonce of %d is not repeated", length)
		}
		ignored := with(ignoring, theirs, nonce(length))
		if statusOf(ignored) != successful || bytes.Contains(ignored, nonce(length).Value) {
			t.Errorf("a nonce of %d is repeated though it is to be ignored", length)
		}
	}
	if a, b := with(ignoring, theirs, nonce(16)), with(ignoring, theirs); !bytes.Equal(a, b) {
		t.Errorf("an ignored nonce makes another answer")
	}
	unknownExtension := asn1.ObjectIdentifier{1, 2, 3}
	for name, extensions := range map[string][]extension{
		"nonce of 0":        {nonce(0)},
		"nonce of 129":      {nonce(129)},
		"two nonces":        {nonce(16), nonce(16)},
		"no OCTET STRING":   {{ID: oidNonce, Value: []byte{1, 2, 3}}},
		"critical, unknown": {{ID: unknownExtension, Critical: true, Value: []byte{5, 0}}},
	} {
		if got := statusOf(with(f, cert, extensions...)); got != malformedRequest {
			t.Errorf("%s: %s", name, got)
		}
	}
	for name, e := range map[string]extension{
		"unknown":             {ID: unknownExtension, Value: []byte{5, 0}},
		"acceptable answers":  {ID: oidAcceptable, Critical: true, Value: []byte{0x30, 0}},
		"critical nonce of 8": {ID: oidNonce, Critical: true, Value: nonce(8).Value},
	} {
		if got := statusOf(with(f, cert, e)); got != successful {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestMalformed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	good := query(t, f.issue(t, f.ours), f.ours.cert, crypto.SHA1)
	for name, der := range map[string][]byte{
		"empty":          nil,
		"text":           []byte("hello"),
		"trailing octet": append(bytes.Clone(good), 0),
		"cut short":      good[:len(good)-1],
		"no request":     joinRequests(t),
		"too large":      make([]byte, maxRequest+1),
		"huge":           make([]byte, 10<<20),
	} {
		if got := statusOf(f.post(t, der)); got != malformedRequest {
			t.Errorf("%s: %s", name, got)
		}
	}
	// A serial that no certificate has is unknown, not malformed.
	for name, serial := range map[string]*big.Int{"zero": new(big.Int), "negative": big.NewInt(-5), "of 21 octets": new(big.Int).Lsh(big.NewInt(1), 163)} {
		odd := *f.ours.cert
		odd.SerialNumber = serial
		resp, err := ocsp.ParseResponse(f.post(t, query(t, &odd, f.ours.cert, crypto.SHA1)), f.ours.cert)
		if err != nil || resp.Status != ocsp.Unknown {
			t.Errorf("%s: %+v, %v", name, resp, err)
		}
	}
}

func TestGet(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	// Until the base64 has what clients get wrong.
	var cert *x509.Certificate
	var der []byte
	var text string
	for !strings.Contains(text, "+") || !strings.Contains(text, "/") || !strings.Contains(text, "//") {
		cert = f.issue(t, f.ours)
		der = query(t, cert, f.ours.cert, crypto.SHA1)
		// One octet more, in an extension, makes padding.
		der = marshalRequest(t, []asn1.RawValue{splitRequest(t, der)}, []extension{{ID: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}}})
		text = base64.StdEncoding.EncodeToString(der)
	}
	get := func(method, path string, header http.Header) *http.Response {
		req := httptest.NewRequestWithContext(t.Context(), method, "http://ocsp.example"+path, nil)
		for k, v := range header {
			req.Header[k] = v
		}
		rec := httptest.NewRecorder()
		f.ServeHTTP(rec, req)
		return rec.Result()
	}
	body := func(resp *http.Response) []byte {
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	all := strings.NewReplacer("+", "%2B", "/", "%2F", "=", "%3D")
	for name, path := range map[string]string{
		"as it is":            "/ocsp/" + text,
		"escaped":             "/ocsp/" + all.Replace(text),
		"escaped, lower case": "/ocsp/" + strings.NewReplacer("+", "%2b", "/", "%2f", "=", "%3d").Replace(text),
		"query escaped":       "/ocsp/" + url.QueryEscape(text),
		"escaped twice":       "/ocsp/" + strings.ReplaceAll(all.Replace(text), "%", "%25"),
		"without padding":     "/ocsp/" + strings.TrimRight(text, "="),
		"two slashes":         "/ocsp//" + text,
		"escaped slash":       "/ocsp/%2F" + text,
		"plus became a space": "/ocsp/" + strings.ReplaceAll(text, "+", "%20"),
	} {
		resp := get(http.MethodGet, path, nil)
		parsed, err := ocsp.ParseResponseForCert(body(resp), cert, f.ours.cert)
		if err != nil || parsed.Status != ocsp.Good {
			t.Errorf("%s: %+v, %v", name, parsed, err)
		}
	}
	resp := get(http.MethodGet, "/ocsp/"+text, nil)
	parsed, err := ocsp.ParseResponseForCert(body(resp), cert, f.ours.cert)
	if err != nil {
		t.Fatal(err)
	}
	h := resp.Header
	if h.Get("Content-Type") != "application/ocsp-response" || h.Get("ETag") == "" ||
		h.Get("Last-Modified") != parsed.ThisUpdate.Format(http.TimeFormat) || h.Get("Expires") != parsed.NextUpdate.Format(http.TimeFormat) ||
		h.Get("Cache-Control") != "max-age=3600, public, no-transform, must-revalidate" {
		t.Errorf("headers %v", h)
	}
	if again := get(http.MethodGet, "/ocsp/"+text, http.Header{"If-None-Match": {h.Get("ETag")}}); again.StatusCode != http.StatusNotModified {
		t.Errorf("with its ETag: %d", again.StatusCode)
	}
	if head := get(http.MethodHead, "/ocsp/"+text, nil); head.StatusCode != http.StatusOK || len(body(head)) != 0 || head.Header.Get("ETag") != h.Get("ETag") {
		t.Errorf("HEAD: %d %v", head.StatusCode, head.Header)
	}
	f.skip(defaultLifetime/2 - 10*time.Second)
	if late := get(http.MethodGet, "/ocsp/"+text, nil); !strings.HasPrefix(late.Header.Get("Cache-Control"), "max-age=10,") {
		t.Errorf("before its renewal: %v", late.Header)
	}
	f.revoke(cert, acme.ReasonSuperseded)
	if now := get(http.MethodGet, "/ocsp/"+text, http.Header{"If-None-Match": {h.Get("ETag")}}); now.StatusCode != http.StatusOK || now.Header.Get("ETag") == h.Get("ETag") {
		t.Errorf("revoked, with the old ETag: %d", now.StatusCode)
	}
	for name, path := range map[string]string{
		"nothing":    "/ocsp/",
		"no slash":   "/ocsp",
		"no base64":  "/ocsp/!!!!",
		"no request": "/ocsp/aGVsbG8=",
		"too long":   "/ocsp/" + strings.Repeat("A", maxEncoded+1),
		"elsewhere":  "/other/" + text,
	} {
		resp := get(http.MethodGet, path, nil)
		if got := statusOf(body(resp)); got != malformedRequest || resp.StatusCode != http.StatusOK || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: HTTP %d, %s, %v", name, resp.StatusCode, got, resp.Header)
		}
	}
	if put := get(http.MethodPut, "/ocsp/"+text, nil); put.StatusCode != http.StatusMethodNotAllowed || put.Header.Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("PUT: %d %v", put.StatusCode, put.Header)
	}
	// What may be another in a moment is not to be cached.
	never := *cert
	never.SerialNumber = big.NewInt(99)
	if resp := get(http.MethodGet, "/ocsp/"+url.PathEscape(base64.StdEncoding.EncodeToString(query(t, &never, f.ours.cert, crypto.SHA1))), nil); resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("unknown: %v", resp.Header)
	}
}

func TestOpenSSL(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	server := httptest.NewServer(f)
	defer server.Close()
	folder := t.TempDir()
	write := func(name string, cert *x509.Certificate) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	issuer := write("issuer.pem", f.ours.cert)
	good, bad := f.issue(t, f.ours), f.issue(t, f.ours)
	f.revoke(bad, acme.ReasonSuperseded)
	for want, cert := range map[string]*x509.Certificate{": good": good, ": revoked": bad} {
		for _, flags := range [][]string{nil, {"-no_nonce"}, {"-sha256"}} {
			arguments := append([]string{"ocsp", "-issuer", issuer, "-CAfile", issuer}, flags...)
			arguments = append(arguments, "-cert", write("cert.pem", cert), "-url", server.URL+"/ocsp")
			out, err := exec.CommandContext(t.Context(), "openssl", arguments...).CombinedOutput()
			text := string(out)
			if err != nil || !strings.Contains(text, "Response verify OK") || !strings.Contains(text, want) || strings.Contains(text, "WARNING") {
				t.Errorf("%v: %v, %s", flags, err, text)
			}
		}
	}
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	cert := f.issue(t, f.ours)
	der := query(t, cert, f.ours.cert, crypto.SHA1)
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for range 20 {
				if resp, err := ocsp.ParseResponseForCert(f.post(t, der), cert, f.ours.cert); err != nil || resp.Status != ocsp.Good {
					t.Errorf("%+v, %v", resp, err)
				}
			}
		})
	}
	work.Wait()
}

// Those who ask for the same at once wait for one signature.
func TestSignedOnce(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	f := newFixture(t, func(c *Config) { c.Metrics = registry })
	cert := f.issue(t, f.ours)
	der := query(t, cert, f.ours.cert, crypto.SHA256)
	ask := func() {
		var work sync.WaitGroup
		for range 16 {
			work.Go(func() { f.post(t, der) })
		}
		work.Wait()
	}
	wants := func(n int) {
		t.Helper()
		if got := testutil.ToFloat64(f.metrics.signatures); got != float64(n) {
			t.Errorf("%v signatures, want %d", got, n)
		}
	}
	ask()
	wants(1)
	f.revoke(cert, acme.ReasonSuperseded)
	ask()
	wants(2)
}

func TestLifetime(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{time.Hour, 11 * 24 * time.Hour} {
		if _, err := New(Config{Lifetime: d}); err == nil {
			t.Errorf("a lifetime of %s is accepted", d)
		}
	}
}

func FuzzRequest(f *testing.F) {
	fix := newFixture(f, nil)
	cert := fix.issue(f, fix.ours)
	f.Add(query(f, cert, fix.ours.cert, crypto.SHA1))
	f.Add(marshalRequest(f, []asn1.RawValue{splitRequest(f, query(f, cert, fix.ours.cert, crypto.SHA256))}, []extension{{ID: oidNonce, Value: []byte{4, 1, 7}}}))
	f.Add([]byte{0x30, 0x00})
	f.Fuzz(func(t *testing.T, der []byte) {
		out := fix.answer(t.Context(), der).der
		if statusOf(out) != successful {
			return
		}
		if _, err := ocsp.ParseResponse(out, fix.ours.cert); err != nil {
			if r, parseErr := parseRequest(der); parseErr != nil || len(r.certificates) == 1 { // the parser takes one
				t.Errorf("the answer to %x can't be read: %v", der, err)
			}
		}
	})
}

func FuzzPath(f *testing.F) {
	f.Add("/ocsp/MFEwTzBN")
	f.Add("/ocsp/%2B%252F//=")
	f.Add("/ocsp/MFEwTz/BN/+/AAAA/")
	f.Fuzz(func(t *testing.T, path string) {
		readings := decodePath(path, "/ocsp")
		if len(readings) > maxReadings {
			t.Errorf("%d readings of %q", len(readings), path)
		}
		for _, der := range readings {
			if len(der) > maxEncoded {
				t.Errorf("%d octets from %q", len(der), path)
			}
		}
	})
}

func BenchmarkAnswer(b *testing.B) {
	f := newFixture(b, nil)
	cert := f.issue(b, f.ours)
	der := query(b, cert, f.ours.cert, crypto.SHA1)
	b.Run("kept", func(b *testing.B) {
		for b.Loop() {
			f.answer(b.Context(), der)
		}
	})
	with := marshalRequest(b, []asn1.RawValue{splitRequest(b, der)}, []extension{{ID: oidNonce, Value: []byte{4, 1, 7}}})
	b.Run("signed", func(b *testing.B) {
		for b.Loop() {
			f.answer(b.Context(), with)
		}
	})
}
