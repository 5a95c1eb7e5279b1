package conformance

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// RFC 8555 §7.4.2: media types.
func TestCertificateMediaTypes(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	issued := s.Issue(t, c, "http-01", harness.NewName("media"))
	url := issued.Order.Certificate

	resp := c.Get(t, url)
	resp.Want(t, http.StatusOK)
	checkPOST(t, c, resp)
	if media := mediaType(resp); media != "application/pem-certificate-chain" {
		t.Errorf("Content-Type %q (RFC 8555 §9.1)", media)
	}
	// Strict RFC 7468: re-encoding gives the same bytes, and no text around.
	var again bytes.Buffer
	for _, cert := range rawacme.ParseChain(t, resp.Body) {
		if err := pem.Encode(&again, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(again.Bytes(), resp.Body) {
		t.Errorf("the chain is not in the strict encoding of RFC 7468:\n%s", resp.Body)
	}
	for _, accept := range []string{"application/pem-certificate-chain", "*/*", "application/*", "text/html, application/pem-certificate-chain;q=0.5"} {
		resp := c.Get(t, url, rawacme.Accept(accept))
		resp.Want(t, http.StatusOK)
		if media := mediaType(resp); media != "application/pem-certificate-chain" {
			t.Errorf("Accept %q: Content-Type %q", accept, media)
		}
	}
	// A single DER certificate, with its issuer as rel=up.
	resp = c.Get(t, url, rawacme.Accept("application/pkix-cert"))
	resp.Want(t, http.StatusOK)
	if media := mediaType(resp); media != "application/pkix-cert" {
		t.Errorf("Content-Type %q", media)
	}
	if !bytes.Equal(resp.Body, issued.Leaf().Raw) {
		t.Error("application/pkix-cert is not the leaf")
	}
	if up := resp.Links("up"); len(up) != 1 {
		t.Errorf("Link rel=up is %q, want the issuer (RFC 8555 §7.4.2)", up)
	}
}

// RFC 8555 §7.4.2: leaf first, each next one certifies the one before.
func TestChain(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	name := harness.NewName("chain")
	issued := s.Issue(t, c, "http-01", name)
	if len(issued.Chain) < 2 {
		t.Fatalf("the chain has %d certificates, want the issuing CA's too", len(issued.Chain))
	}
	for i, cert := range issued.Chain[1:] {
		if err := issued.Chain[i].CheckSignatureFrom(cert); err != nil {
			t.Errorf("certificate %d of the chain does not certify the one before: %v", i+2, err)
		}
		if bytes.Equal(cert.RawSubject, cert.RawIssuer) {
			t.Error("the chain has the trust anchor in it")
		}
	}
	s.Verify(t, issued.Certificate, name)
	s.OpenSSLVerify(t, issued.Chain)
}

// Baseline Requirements §7.1.2.7 and RFC 5280: the DV leaf profile.
func TestLeafProfile(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	name := harness.NewName("profile")
	wildcard := "*." + harness.NewName("profile")
	order := c.NewOrder(t, name, wildcard)
	for _, url := range order.Authorizations {
		s.Authorize(t, c, url, "dns-01")
	}
	key := rawacme.NewKey(t)
	chain := c.Finalize(t, order, rawacme.CSR(t, key, []string{wildcard, name}))
	leaf, issuer := chain[0], chain[1]

	if bits := leaf.SerialNumber.BitLen(); leaf.SerialNumber.Sign() <= 0 || bits < 120 || bits > 159 {
		t.Errorf("the serial number has %d bits", bits)
	}
	if leaf.Version != 3 || leaf.IsCA || leaf.MaxPathLen > 0 {
		t.Errorf("version %d, CA %v, path length %d", leaf.Version, leaf.IsCA, leaf.MaxPathLen)
	}
	names := slices.Sorted(slices.Values(leaf.DNSNames))
	if want := slices.Sorted(slices.Values([]string{name, wildcard})); !slices.Equal(names, want) {
		t.Errorf("the names are %q, want %q", names, want)
	}
	if cn := leaf.Subject.CommonName; cn != "" && (len(cn) > 64 || !slices.Contains(names, cn)) {
		t.Errorf("the common name is %q", cn)
	}
	if subject := leaf.Subject; len(subject.Names) > 1 || len(subject.Names) == 1 && subject.CommonName == "" {
		t.Errorf("the subject is %v", subject)
	}
	if leaf.KeyUsage != x509.KeyUsageDigitalSignature {
		t.Errorf("the key usage is %b, want digitalSignature alone for an ECDSA key", leaf.KeyUsage)
	}
	if !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) || slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny) {
		t.Errorf("the extended key usages are %v", leaf.ExtKeyUsage)
	}
	dv := asn1.ObjectIdentifier{2, 23, 140, 1, 2, 1}
	if len(leaf.PolicyIdentifiers) != 1 || !leaf.PolicyIdentifiers[0].Equal(dv) {
		t.Errorf("the policies are %v, want %v", leaf.PolicyIdentifiers, dv)
	}
	if !bytes.Equal(leaf.AuthorityKeyId, issuer.SubjectKeyId) || len(leaf.AuthorityKeyId) == 0 {
		t.Error("the authority key identifier is not the issuer's subject key identifier")
	}
	// Inclusive of both ends: 90 days, backdated by less than 48 hours.
	if lifetime := leaf.NotAfter.Sub(leaf.NotBefore) + time.Second; lifetime > 90*24*time.Hour || lifetime < 89*24*time.Hour {
		t.Errorf("the certificate is valid for %v, want 90 days at most", lifetime)
	}
	if age := time.Since(leaf.NotBefore); age < 0 || age > 48*time.Hour {
		t.Errorf("notBefore is %v", leaf.NotBefore)
	}
	for what, urls := range map[string][]string{"OCSP": leaf.OCSPServer, "caIssuers": leaf.IssuingCertificateURL, "CRL": leaf.CRLDistributionPoints} {
		if len(urls) != 1 || !strings.HasPrefix(urls[0], s.PublicURL+"/") {
			t.Errorf("the %s URLs are %q, want one below %s", what, urls, s.PublicURL)
		}
	}
	// The issuer is where AIA says (RFC 5280 §4.2.2.1).
	status, header, body := s.Fetch(t, leaf.IssuingCertificateURL[0])
	if status != http.StatusOK || header.Get("Content-Type") != "application/pkix-cert" || !bytes.Equal(body, issuer.Raw) {
		t.Errorf("caIssuers: status %d, Content-Type %q, the issuer's DER: %v", status, header.Get("Content-Type"), bytes.Equal(body, issuer.Raw))
	}
	// The hierarchy.
	if !issuer.IsCA || issuer.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != x509.KeyUsageCertSign|x509.KeyUsageCRLSign {
		t.Errorf("the issuer: CA %v, key usage %b", issuer.IsCA, issuer.KeyUsage)
	}
	if issuer.MaxPathLen != 0 || !issuer.MaxPathLenZero {
		t.Errorf("the issuer's path length is %d, want 0", issuer.MaxPathLen)
	}
}

// A name over 64 octets is no common name (RFC 5280 appendix A:
// ub-common-name).
func TestLongName(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	name := strings.Repeat("a", 60) + "." + harness.NewName("long")
	order := s.Ready(t, c, "http-01", name)
	chain := c.Finalize(t, order, rawacme.CSR(t, rawacme.NewKey(t), []string{name}))
	if cn := chain[0].Subject.CommonName; cn != "" {
		t.Errorf("the common name is %q", cn)
	}
	s.Verify(t, harness.Certificate{Chain: chain}, name)
	s.OpenSSLVerify(t, chain)
}

// RFC 6960: what the responder says of certificates it does and does not know.
func TestOCSP(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	issued := s.Issue(t, c, "http-01", harness.NewName("ocsp"))
	leaf, issuer := issued.Leaf(), issued.Issuer()

	for _, method := range []string{http.MethodPost, http.MethodGet} {
		answer := s.OCSP(t, issued.Certificate, method)
		if answer.Status != ocsp.Good {
			t.Errorf("%s: status %d, want good", method, answer.Status)
		}
		// §4.2.2.2: a delegated signer, named by its certificate.
		if answer.Certificate == nil {
			t.Fatalf("%s: the response carries no responder certificate", method)
		}
		signer := answer.Certificate
		if !slices.Equal(signer.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}) || signer.IsCA {
			t.Errorf("the responder's usages are %v, CA %v", signer.ExtKeyUsage, signer.IsCA)
		}
		if err := signer.CheckSignatureFrom(issuer); err != nil {
			t.Errorf("the responder's certificate: %v", err)
		}
		if now := time.Now(); answer.ThisUpdate.After(now) || !answer.NextUpdate.After(now.Add(time.Hour)) {
			t.Errorf("the response is for %v to %v", answer.ThisUpdate, answer.NextUpdate)
		}
	}
	t.Run("headers", func(t *testing.T) { // RFC 5019 §6
		request, err := ocsp.CreateRequest(leaf, issuer, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			status, header, _ := s.SendOCSP(t, leaf.OCSPServer[0], method, request)
			if status != http.StatusOK || header.Get("Content-Type") != "application/ocsp-response" {
				t.Errorf("%s: status %d, Content-Type %q", method, status, header.Get("Content-Type"))
			}
			if method == http.MethodGet && !strings.Contains(header.Get("Cache-Control"), "max-age=") {
				t.Errorf("GET: Cache-Control %q", header.Get("Cache-Control"))
			}
		}
	})
	t.Run("SHA-256 CertID", func(t *testing.T) {
		request, err := ocsp.CreateRequest(leaf, issuer, &ocsp.RequestOptions{Hash: crypto.SHA256})
		if err != nil {
			t.Fatal(err)
		}
		_, _, body := s.SendOCSP(t, leaf.OCSPServer[0], http.MethodPost, request)
		if answer, err := ocsp.ParseResponseForCert(body, leaf, issuer); err != nil || answer.Status != ocsp.Good {
			t.Errorf("%+v, %v", answer, err)
		}
	})
	t.Run("unknown serial", func(t *testing.T) {
		// Never "good" for what was not issued (Baseline Requirements §4.9.10).
		never := *leaf
		never.SerialNumber = new(big.Int).Xor(leaf.SerialNumber, big.NewInt(1))
		request, err := ocsp.CreateRequest(&never, issuer, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _, body := s.SendOCSP(t, leaf.OCSPServer[0], http.MethodPost, request)
		answer, err := ocsp.ParseResponse(body, issuer)
		if err == nil && answer.Status != ocsp.Unknown {
			t.Errorf("status %d for a serial that was never issued", answer.Status)
		}
		var refused ocsp.ResponseError
		if err != nil && (!errors.As(err, &refused) || refused.Status != ocsp.Unauthorized) {
			t.Errorf("%v, want unknown or unauthorized", err)
		}
	})
	t.Run("another CA's certificate", func(t *testing.T) {
		foreign := *issuer
		foreign.RawSubject = append([]byte{}, issuer.RawSubject...)
		foreign.RawSubject[len(foreign.RawSubject)-1] ^= 1
		request, err := ocsp.CreateRequest(leaf, &foreign, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _, body := s.SendOCSP(t, leaf.OCSPServer[0], http.MethodPost, request)
		if answer, err := ocsp.ParseResponse(body, issuer); err == nil && answer.Status == ocsp.Good {
			t.Error("good for a certificate of another issuer")
		}
	})
	t.Run("malformed", func(t *testing.T) {
		for _, request := range [][]byte{nil, {0}, []byte("hello"), bytes.Repeat([]byte{0x30}, 100), bytes.Repeat([]byte{0}, 1<<20)} {
			status, _, body := s.SendOCSP(t, leaf.OCSPServer[0], http.MethodPost, request)
			if status >= 500 {
				t.Errorf("status %d for %d octets of nonsense", status, len(request))
			}
			if status == http.StatusOK {
				if answer, err := ocsp.ParseResponse(body, issuer); err == nil {
					t.Errorf("an answer for nonsense: %+v", answer)
				}
			}
		}
	})
}

// RFC 5280 §5: the CRL of a certificate that is not revoked.
func TestCRL(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	issued := s.Issue(t, c, "http-01", harness.NewName("crl"))
	crl := s.CRL(t, issued.Certificate)
	if crl.Number == nil || crl.Number.Sign() <= 0 {
		t.Errorf("the CRL number is %v", crl.Number)
	}
	if now := time.Now(); crl.ThisUpdate.After(now) || !crl.NextUpdate.After(now) || crl.NextUpdate.Sub(crl.ThisUpdate) > 10*24*time.Hour {
		t.Errorf("the CRL is for %v to %v", crl.ThisUpdate, crl.NextUpdate)
	}
	if !bytes.Equal(crl.AuthorityKeyId, issued.Issuer().SubjectKeyId) {
		t.Errorf("the CRL's authority key identifier is %s", hex.EncodeToString(crl.AuthorityKeyId))
	}
	for _, entry := range crl.RevokedCertificateEntries {
		if entry.SerialNumber.Cmp(issued.Leaf().SerialNumber) == 0 {
			t.Error("the CRL lists a certificate that is not revoked")
		}
	}
	if s.OpenSSLCRL(t, issued.Chain) {
		t.Error("openssl finds the certificate revoked")
	}
}
