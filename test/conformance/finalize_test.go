package conformance

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"net/http"
	"net/url"
	"testing"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// RFC 8555 §7.4: finalize answers the order, and the order's URL is in
// Location.
func TestFinalize(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	name := harness.NewName("finalize")
	order := s.Ready(t, c, "http-01", name)
	resp := c.Post(t, order.Finalize, map[string]any{"csr": rawacme.B64(rawacme.CSR(t, rawacme.NewKey(t), []string{name}))})
	wantOK(t, c, resp, http.StatusOK)
	if resp.Location() != order.URL {
		t.Errorf("Location is %q, want the order's URL", resp.Location())
	}
	var finalized rawacme.Order
	resp.JSON(t, &finalized)
	switch finalized.Status {
	case "valid":
		if finalized.Certificate == "" {
			t.Errorf("a valid order without a certificate: %s", resp.Body)
		}
	case "processing":
		if resp.Header.Get("Retry-After") == "" {
			t.Error("a processing order without Retry-After")
		}
	default:
		t.Errorf("the order is %s", resp.Body)
	}
	if order = c.Settled(t, order.URL); order.Status != "valid" {
		t.Fatalf("the order ends %s: %+v", order.Status, order.Error)
	}
	// Finalizing twice issues once.
	resp = c.Post(t, order.Finalize, map[string]any{"csr": rawacme.B64(rawacme.CSR(t, rawacme.NewKey(t), []string{name}))})
	wantProblem(t, c, resp, http.StatusForbidden, "orderNotReady")
	if again := c.Order(t, order.URL); again.Certificate != order.Certificate {
		t.Errorf("the certificate changed from %s to %s", order.Certificate, again.Certificate)
	}
}

// RFC 8555 §7.4: an order is finalized when it is ready and not before.
func TestFinalizeNotReady(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	name := harness.NewName("early")
	order := c.NewOrder(t, name, "*."+name)
	csr := map[string]any{"csr": rawacme.B64(rawacme.CSR(t, rawacme.NewKey(t), []string{name, "*." + name}))}
	wantProblem(t, c, c.Post(t, order.Finalize, csr), http.StatusForbidden, "orderNotReady")
	s.Authorize(t, c, order.Authorizations[0], "dns-01")
	wantProblem(t, c, c.Post(t, order.Finalize, csr), http.StatusForbidden, "orderNotReady")
	s.Authorize(t, c, order.Authorizations[1], "dns-01")
	wantOK(t, c, c.Post(t, order.Finalize, csr), http.StatusOK)
}

// RFC 8555 §7.4: a CSR that does not fit is refused, and the order stays
// ready for one that does.
func TestBadCSR(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	a, b := harness.NewName("csr-a"), harness.NewName("csr-b")
	order := s.Ready(t, c, "http-01", a, b)
	names := []string{a, b}
	key := rawacme.NewKey(t)
	csr := func(names []string, edits ...func(*x509.CertificateRequest)) []byte {
		return rawacme.CSR(t, key, names, edits...)
	}
	flip := func(der []byte) []byte {
		der[len(der)-1] ^= 1
		return der
	}
	cn := func(name string) func(*x509.CertificateRequest) {
		return func(r *x509.CertificateRequest) { r.Subject.CommonName = name }
	}
	for _, test := range []struct {
		name string
		csr  any
		kind string
	}{
		{"missing", nil, "badCSR"},
		{"empty", "", "badCSR"},
		{"not base64url", "+/+/", "badCSR"},
		{"padded", rawacme.B64(csr(names)) + "=", "badCSR"},
		{"not DER", rawacme.B64([]byte("hello")), "badCSR"},
		{"cut short", rawacme.B64(csr(names)[:100]), "badCSR"},
		{"trailing data", rawacme.B64(append(csr(names), 0)), "badCSR"},
		{"wrong signature", rawacme.B64(flip(csr(names))), "badCSR"},
		{"a name missing", rawacme.B64(csr([]string{a})), "badCSR"},
		{"a name too many", rawacme.B64(csr([]string{a, b, "c." + b})), "badCSR"},
		{"another name", rawacme.B64(csr([]string{a, "c." + b})), "badCSR"},
		{"a wildcard instead", rawacme.B64(csr([]string{a, "*." + b})), "badCSR"},
		{"no names", rawacme.B64(csr(nil)), "badCSR"},
		{"another common name", rawacme.B64(csr(names, cn("c."+b))), "badCSR"},
		{"an IP address too", rawacme.B64(csr(append([]string{"127.0.0.1"}, names...))), "badCSR"},
		{"an e-mail address too", rawacme.B64(csr(names, func(r *x509.CertificateRequest) { r.EmailAddresses = []string{"a@example.org"} })), "badCSR"},
		{"a URI too", rawacme.B64(csr(names, func(r *x509.CertificateRequest) { r.URIs = []*url.URL{{Scheme: "https", Host: a}} })), "badCSR"},
		// §11.1: the account key is no certificate key.
		{"the account key", rawacme.B64(rawacme.CSR(t, c.Key.(*ecdsa.PrivateKey), names)), "badCSR"},
		// Baseline Requirements §6.1.1.3 and §6.1.5.
		{"RSA of 1024 bits", rawacme.B64(rawacme.CSR(t, rawacme.NewRSAKey(t, 1024), names)), "badCSR"},
		{"RSA of 2056 bits less one", rawacme.B64(rawacme.CSR(t, rawacme.NewRSAKey(t, 2055), names)), "badCSR"},
		{"P-224", rawacme.B64(rawacme.CSR(t, rawacme.NewECKey(t, elliptic.P224()), names)), "badCSR"},
		{"a number", 1, "malformed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			resp := c.Post(t, order.Finalize, map[string]any{"csr": test.csr})
			checkPOST(t, c, resp)
			problem(t, resp, test.kind, http.StatusBadRequest)
			if now := c.Order(t, order.URL); now.Status != "ready" {
				t.Fatalf("the order became %s", now.Status)
			}
		})
	}
	chain := c.Finalize(t, order, csr(names))
	if len(chain[0].DNSNames) != 2 {
		t.Errorf("the certificate has the names %q", chain[0].DNSNames)
	}
}

// What a CSR may ask for besides its names, and what becomes of it: only names
// and key count (draft-ietf-acme-profiles §3).
func TestCSRExtras(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	name := harness.NewName("extras")
	order := s.Ready(t, c, "http-01", name)
	chain := c.Finalize(t, order, rawacme.CSR(t, rawacme.NewKey(t), []string{name}, func(r *x509.CertificateRequest) {
		r.Subject = pkix.Name{CommonName: name, Organization: []string{"Example"}, Country: []string{"XX"}}
		r.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Critical: true, Value: []byte{3, 2, 2, 4}}} // keyCertSign
	}))
	leaf := chain[0]
	if leaf.KeyUsage&x509.KeyUsageCertSign != 0 || len(leaf.Subject.Organization) > 0 || len(leaf.Subject.Country) > 0 {
		t.Errorf("the certificate took from the CSR: key usage %b, subject %v", leaf.KeyUsage, leaf.Subject)
	}
}

// Names in the CSR's common name alone, and in upper case, are the order's.
func TestCSRForms(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	name := harness.NewName("forms")
	upper := "FORMS." + name
	for what, edit := range map[string]func(*x509.CertificateRequest){
		"common name only": func(r *x509.CertificateRequest) { r.Subject.CommonName, r.DNSNames = "forms."+name, nil },
		"upper case":       func(r *x509.CertificateRequest) { r.DNSNames = []string{upper} },
		"name twice":       func(r *x509.CertificateRequest) { r.DNSNames = []string{"forms." + name, "forms." + name} },
	} {
		t.Run(what, func(t *testing.T) {
			order := s.Ready(t, c, "http-01", "forms."+name)
			chain := c.Finalize(t, order, rawacme.CSR(t, rawacme.NewKey(t), nil, edit))
			if len(chain[0].DNSNames) != 1 || chain[0].DNSNames[0] != "forms."+name {
				t.Errorf("the certificate has the names %q", chain[0].DNSNames)
			}
		})
	}
}

// The kinds of certificate keys.
func TestCertificateKeys(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	for what, key := range map[string]crypto.Signer{
		"P-256": rawacme.NewKey(t), "P-384": rawacme.NewECKey(t, elliptic.P384()), "P-521": rawacme.NewECKey(t, elliptic.P521()),
		"RSA 2048": rawacme.NewRSAKey(t, 2048), "RSA 3072": rawacme.NewRSAKey(t, 3072),
	} {
		t.Run(what, func(t *testing.T) {
			name := harness.NewName("key")
			order := s.Ready(t, c, "http-01", name)
			chain := c.Finalize(t, order, rawacme.CSR(t, key, []string{name}))
			if !chain[0].PublicKey.(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) {
				t.Error("the certificate has another key than the CSR")
			}
			s.Verify(t, harness.Certificate{Chain: chain}, name)
		})
	}
}

// RFC 8738: IP identifiers over http-01 and tls-alpn-01, never dns-01.
func TestIPIdentifiers(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	for _, kind := range []string{"http-01", "tls-alpn-01"} {
		t.Run(kind, func(t *testing.T) {
			order := c.NewOrderFor(t, map[string]any{"identifiers": []rawacme.Identifier{{Type: "ip", Value: "127.0.0.1"}}})
			authz := c.Authorization(t, order.Authorizations[0])
			for _, challenge := range authz.Challenges {
				if challenge.Type == "dns-01" {
					t.Error("dns-01 is offered for an address (RFC 8738 §7)")
				}
			}
			if authz = s.Authorize(t, c, authz.URL, kind); authz.Status != "valid" {
				t.Fatalf("the authorization is %+v", authz)
			}
			chain := c.Finalize(t, order, rawacme.CSR(t, rawacme.NewKey(t), []string{"127.0.0.1"}))
			if ips := chain[0].IPAddresses; len(ips) != 1 || !ips[0].Equal(net.IPv4(127, 0, 0, 1)) || len(chain[0].DNSNames) > 0 {
				t.Errorf("the certificate is for %v and %q", ips, chain[0].DNSNames)
			}
		})
	}
	for _, value := range []string{"127.0.0.01", "127.1", "::ffff:127.0.0.1", "0:0:0:0:0:0:0:1", "fe80::1%lo", "2001:DB8::1", "localhost", ""} {
		resp := c.Post(t, c.Directory.NewOrder, map[string]any{"identifiers": []rawacme.Identifier{{Type: "ip", Value: value}}})
		wantProblem(t, c, resp, http.StatusBadRequest, "malformed")
	}
}
