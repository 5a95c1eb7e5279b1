package ca

import (
	"crypto/ed25519"
	"slices"
	"testing"

	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3/lint"

	"github.com/cairn-ca/cairn/internal/acme"
)

func onionKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) }

// Names of onion services pass the lints, also those for a public CA and with
// warnings counting as errors: appendix B of the Baseline Requirements has
// them in ordinary DV certificates.
func TestIssueOnionNames(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) {
		public := BuiltinProfiles()[0]
		public.Name, public.Lint = "public", LintPolicy{Warnings: true, Exclude: []string{
			"w_ext_subject_key_identifier_missing_sub_cert", "w_sub_cert_aia_contains_internal_names", // not about the names
		}}
		c.Profiles = append(slices.Clone(BuiltinProfiles()), public)
	})
	service := acme.OnionIdentifier(onionKey().Public().(ed25519.PublicKey)).Value()
	for _, profile := range []string{"default", "shortlived", "server", "public"} {
		for _, ids := range [][]acme.Identifier{
			names(t, service), names(t, service, "*."+service), names(t, "a.b."+service), names(t, service, "www.example.com"),
		} {
			order := f.ready(t, ids)
			req := f.request(order, csrFor(t, newKey(t), "", ids))
			req.Profile = profile
			issued, err := f.Issue(t.Context(), req)
			if err != nil || !issued.Signed {
				t.Errorf("%s, %v: signed %v, %v", profile, ids, issued.Signed, err)
				continue
			}
			f.verify(t, issued.Serial, order, profile)
			if profile == "public" {
				f.lintedForOnion(t, issued.Serial)
			}
		}
	}
}

// lintedForOnion asserts that the lint of onion names is one of those that a
// certificate passed.
func (f fixture) lintedForOnion(t *testing.T, serial acme.Serial) {
	t.Helper()
	stored, err := f.store.Certificate(t.Context(), serial)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := zx509.ParseCertificate(stored.DER)
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLinter(f.profiles["public"].Lint)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range l.lints {
		if c.Name == "e_san_dns_name_onion_invalid" {
			if result := c.Execute(cert, l.configuration); result.Status != lint.Pass {
				t.Errorf("%s: %s %s", c.Name, result.Status, result.Details)
			}
			return
		}
	}
	t.Error("the lint of onion names is not run")
}

// RFC 9799 §3.2: the service's own key is not the certificate's, whether or
// not a profile takes Ed25519.
func TestOnionKeyIsNotTheCertificates(t *testing.T) {
	t.Parallel()
	key := onionKey()
	ids := []acme.Identifier{acme.OnionIdentifier(key.Public().(ed25519.PublicKey))}
	_, err := parseCSR(csrFor(t, key, "", ids), ids)
	if problemType(err) != acme.BadCSR {
		t.Fatalf("the service's key: %v", err)
	}
	if want := "badCSR: the CSR has the key of the onion service itself; make another key for its certificate"; err.Error() != want {
		t.Errorf("%v", err)
	}
	other := ed25519.NewKeyFromSeed([]byte("another seed of exactly 32 octet"))
	if _, err := parseCSR(csrFor(t, other, "", ids), ids); err != nil {
		t.Errorf("another key: %v", err)
	}
}
