package ca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/zmap/zlint/v3/lint"

	"github.com/cairn-ca/cairn/internal/acme"
)

// OCSP signers are linted like everything else.
func TestOCSPSignerLint(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	spki, err := x509.MarshalPKIXPublicKey(newKey(t).Public())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	l := leaf{notBefore: now, notAfter: now.Add(time.Hour), public: newKey(t).Public(), spki: spki}
	if l.subject, err = commonNameSubject("OCSP"); err != nil {
		t.Fatal(err)
	}
	responder := f.responder.templates[f.issuers[0].id]
	cert, err := f.build(t.Context(), &f.responder.compiled, responder, l)
	if err != nil || cert.Profile != OCSPSignerProfile {
		t.Fatalf("%q, %v", cert.Profile, err)
	}
	l.notAfter = now.Add(-time.Hour)
	if _, err := f.build(t.Context(), &f.responder.compiled, responder, l); problemType(err) != acme.ServerInternal {
		t.Errorf("a signer that ends before it begins: %v", err)
	}
}

// emudhra is one of the keys that were lost in 2026: its private key is below
// 256, so that anyone has it.
func emudhra(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	x, _ := new(big.Int).SetString("25dba85a64d397da0b1052e9ea546e487befea9c9d9d68a0c5eadcfeef75a69bb5d6fc01f42bfbca6eb40bcd64c0767e", 16)
	for d := 1; d < 256; d++ {
		raw := make([]byte, 48)
		raw[47] = byte(d)
		k, err := ecdsa.ParseRawPrivateKey(elliptic.P384(), raw)
		if err != nil {
			t.Fatal(err)
		}
		if point, err := k.PublicKey.Bytes(); err == nil && bytes.Equal(point[1:49], x.FillBytes(make([]byte, 48))) {
			return k
		}
	}
	t.Fatal("its private key is not below 256")
	return nil
}

func TestLostIssuerKey(t *testing.T) {
	t.Parallel()
	lost := emudhra(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Issuer"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, lost.Public(), lost)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	cfg := newFixture(t, nil).Config
	cfg.Issuers = []IssuerConfig{{Signer: lost, Chains: [][]*x509.Certificate{{cert}}}}
	if _, err := New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "small number") {
		t.Errorf("an authority with a key that anyone has: %v", err)
	}
	// What it signed is seen too.
	if err := checkIssuer(der); err == nil || !strings.Contains(err.Error(), "eMudhra") {
		t.Errorf("a certificate that it signed: %v", err)
	}
	f := newFixture(t, nil)
	if err := checkIssuer(f.OCSPSigners()[0].Certificate); err != nil {
		t.Error(err)
	}
}

// Every lint that is left out of the certificates' is in another set.
func TestLintsAreSomewhere(t *testing.T) {
	t.Parallel()
	registry := lint.GlobalRegistry().CertificateLints()
	for _, name := range slices.Concat(issuerLints, keyLints, privateNameLints, []string{clientAuthLint}) {
		if registry.ByName(name) == nil {
			t.Errorf("zlint has no lint %q any more", name)
		}
	}
	l, err := newLinter(LintPolicy{})
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range []lint.LintSource{lint.ChromeRootStorePolicy, lint.MozillaRootStorePolicy, lint.CABFBaselineRequirements, lint.RFC5280} {
		if !slices.ContainsFunc(l.lints, func(c *lint.CertificateLint) bool { return c.Source == source }) {
			t.Errorf("no lint of %s is run", source)
		}
	}
}

// From 2027-03-15 Chrome has no client authentication in servers'
// certificates. Services and clients of a private CA go on.
func TestClientAuthInTime(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) {
		both := BuiltinProfiles()[0]
		both.Name, both.ExtendedKeyUsages = "both", []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
		c.Profiles = []Profile{both}
	})
	ids := names(t, "a.example")
	r, err := parseCSR(csrFor(t, newKey(t), "", ids), ids)
	if err != nil {
		t.Fatal(err)
	}
	from := time.Date(2027, 3, 16, 0, 0, 0, 0, time.UTC)
	f.skip(time.Until(from))
	for name, ok := range map[string]bool{"both": false, "client": true, ServiceProfile: true, "default": true} {
		p := f.profiles[name]
		subject, err := p.subject(r, ids)
		if err != nil {
			t.Fatal(err)
		}
		l := leaf{notBefore: from, notAfter: from.Add(p.Validity - time.Second), subject: subject, identifiers: ids, public: r.public, spki: r.spki}
		_, err = f.build(t.Context(), p, p.templates[0], l)
		if (err == nil) != ok || !ok && !strings.Contains(err.Error(), clientAuthLint) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What lints find and don't stop is counted and logged; the audit record has
// the certificate's names.
func TestFindings(t *testing.T) {
	t.Parallel()
	var log, audit bytes.Buffer
	registry := prometheus.NewRegistry()
	f := newFixture(t, func(c *Config) {
		c.Logger, c.Audit = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), slog.New(slog.NewJSONHandler(&audit, nil))
		c.Metrics = registry
		named := BuiltinProfiles()[0]
		named.Name, named.CommonName = "named", CommonNameRequested
		c.Profiles = []Profile{named}
	})
	ids := names(t, "www.a.example", "192.0.2.1")
	req := f.request(f.ready(t, ids), csrFor(t, newKey(t), "www.a.example", ids))
	req.Profile = "named"
	issued, err := f.Issue(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	const found = "w_subject_common_name_included"
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := false
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if strings.Contains(m.String(), found) {
				counted = strings.Contains(m.String(), "warn") && m.GetCounter().GetValue() == 1
			}
		}
	}
	if !counted {
		t.Errorf("%s is not counted once: %v", found, families)
	}
	if !strings.Contains(log.String(), found) || !strings.Contains(log.String(), issued.Serial.String()) {
		t.Errorf("the log is %s", &log)
	}
	records := json.NewDecoder(&audit)
	for {
		var record struct {
			Serial string
			Names  []string
		}
		if err := records.Decode(&record); err != nil {
			t.Fatalf("no audit record: %v", err)
		}
		if record.Serial == issued.Serial.String() {
			if !slices.Equal(record.Names, []string{"www.a.example", "192.0.2.1"}) {
				t.Errorf("names %v", record.Names)
			}
			break
		}
	}
}
