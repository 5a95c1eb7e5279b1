package ca

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/acme"
)

// What a CSR may ask for beside the order's identifiers, and what becomes of
// it.
func TestCSRRules(t *testing.T) {
	t.Parallel()
	ids := names(t, "a.example")
	unknown := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}
	ext := func(oid asn1.ObjectIdentifier, critical bool, value any) func(*x509.CertificateRequest) {
		der, ok := value.([]byte)
		if !ok {
			var err error
			if der, err = asn1.Marshal(value); err != nil {
				t.Fatal(err)
			}
		}
		return func(r *x509.CertificateRequest) {
			r.ExtraExtensions = append(r.ExtraExtensions, pkix.Extension{Id: oid, Critical: critical, Value: der})
		}
	}
	type constraints struct {
		CA  bool `asn1:"optional"`
		Len int  `asn1:"optional"`
	}
	for name, c := range map[string]struct {
		change  func(*x509.CertificateRequest)
		mangle  func([]byte)
		refused string // empty: it is not
		staple  bool
	}{
		"nothing else":             {change: func(*x509.CertificateRequest) {}},
		"subject":                  {change: func(r *x509.CertificateRequest) { r.Subject.Organization = []string{"Example"} }},
		"key usage":                {change: ext(oidKeyUsage, true, asn1.BitString{Bytes: []byte{0xa0}, BitLength: 3})},
		"certificates may be made": {change: ext(oidKeyUsage, true, asn1.BitString{Bytes: []byte{4}, BitLength: 6})},
		"extended key usage":       {change: ext(oidExtendedKeyUsage, false, []asn1.ObjectIdentifier{usageOIDs[x509.ExtKeyUsageClientAuth]})},
		"key identifier":           {change: ext(oidSubjectKeyID, false, []byte{4, 1, 1})},
		"end entity":               {change: ext(oidBasicConstraints, true, constraints{})},
		"CA":                       {change: ext(oidBasicConstraints, true, constraints{CA: true}), refused: "certificate of a CA"},
		"CA, not critical":         {change: ext(oidBasicConstraints, false, constraints{CA: true, Len: 1}), refused: "certificate of a CA"},
		"path length":              {change: ext(oidBasicConstraints, true, constraints{Len: 1}), refused: "certificate of a CA"},
		"constraints, unreadable":  {change: ext(oidBasicConstraints, true, []byte{1, 2, 3}), refused: "can't be read"},
		"must-staple":              {change: ext(oidTLSFeature, false, []int{5}), staple: true},
		"status_request_v2":        {change: ext(oidTLSFeature, false, []int{5, 17}), refused: "TLS features"},
		"features, unreadable":     {change: ext(oidTLSFeature, false, []byte{5, 0, 0}), refused: "TLS features"},
		"unknown":                  {change: ext(unknown, false, []byte{5, 0})},
		"unknown, critical":        {change: ext(unknown, true, []byte{5, 0}), refused: "1.3.6.1.4.1.99999.1"},
		"e-mail address":           {change: func(r *x509.CertificateRequest) { r.EmailAddresses = []string{"a@a.example"} }, refused: "of a kind that no certificate"},
		"URI":                      {change: func(r *x509.CertificateRequest) { r.URIs = []*url.URL{{Scheme: "https", Host: "a.example"}} }, refused: "of a kind that no certificate"},
		"name not ordered":         {change: func(r *x509.CertificateRequest) { r.DNSNames = append(r.DNSNames, "b.example") }, refused: "b.example"},
		"address not ordered":      {change: func(r *x509.CertificateRequest) { r.IPAddresses = []net.IP{{192, 0, 2, 1}} }, refused: "192.0.2.1"},
		"other common name":        {change: func(r *x509.CertificateRequest) { r.Subject.CommonName = "b.example" }, refused: "b.example"},
		"challenge password": {change: func(r *x509.CertificateRequest) {
			//lint:ignore SA1019 this is how crypto/x509 writes other attributes
			r.Attributes = []pkix.AttributeTypeAndValueSET{{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7},
				Value: [][]pkix.AttributeTypeAndValue{{{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7}, Value: "secret"}}}}}
		}},
		"signature": {change: func(*x509.CertificateRequest) {}, mangle: func(der []byte) { der[len(der)-1] ^= 1 }, refused: "signature"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			template := &x509.CertificateRequest{DNSNames: []string{"a.example"}}
			c.change(template)
			der, err := x509.CreateCertificateRequest(rand.Reader, template, newKey(t))
			if err != nil {
				t.Fatal(err)
			}
			if c.mangle != nil {
				c.mangle(der)
			}
			r, err := parseCSR(der, ids)
			switch {
			case c.refused == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.refused != "" && (problemType(err) != acme.BadCSR || !strings.Contains(err.Error(), c.refused)):
				t.Errorf("got %v, want %q", err, c.refused)
			case r.mustStaple != c.staple:
				t.Errorf("must-staple: %v", r.mustStaple)
			}
		})
	}
}

// Must-staple is the profile's; a client that asks for it is not given less.
func TestMustStapleRequested(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) {
		staple := BuiltinProfiles()[0]
		staple.Name, staple.MustStaple = "staple", true
		c.Profiles = []Profile{staple}
	})
	template := &x509.CertificateRequest{DNSNames: []string{"a.example"},
		ExtraExtensions: []pkix.Extension{{Id: oidTLSFeature, Value: []byte{0x30, 3, 2, 1, 5}}}}
	csr, err := x509.CreateCertificateRequest(rand.Reader, template, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	for profile, want := range map[string]acme.ProblemType{"default": acme.BadCSR, "staple": ""} {
		req := f.request(f.ready(t, names(t, "a.example")), csr)
		req.Profile = profile
		if _, err := f.Issue(t.Context(), req); problemType(err) != want || want == "" && err != nil {
			t.Errorf("%s: %v", profile, err)
		}
	}
}

func FuzzRequestedExtensions(f *testing.F) {
	f.Add([]byte{0x30, 0}, []byte{0x30, 3, 2, 1, 5})
	f.Add([]byte{0x30, 3, 1, 1, 255}, []byte{0x30, 3, 2, 1, 17})
	f.Fuzz(func(t *testing.T, constraints, features []byte) {
		_ = notCA(constraints)
		if onlyStatusRequest(features) == nil && len(features) == 0 {
			t.Error("nothing is a list of features")
		}
	})
}
