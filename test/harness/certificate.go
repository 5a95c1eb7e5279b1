package harness

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// Certificate is an issued certificate with its chain, leaf first.
type Certificate struct {
	Chain []*x509.Certificate
	Key   crypto.Signer
}

// Leaf is the certificate itself, Issuer the one that signed it.
func (c Certificate) Leaf() *x509.Certificate   { return c.Chain[0] }
func (c Certificate) Issuer() *x509.Certificate { return c.Chain[1] }

func parseCertificate(data []byte) (*x509.Certificate, error) {
	block, rest := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("not one PEM certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

// Verify checks the chain against the server's root, for each name.
func (s *Server) Verify(t testing.TB, c Certificate, names ...string) {
	t.Helper()
	root, err := s.Root()
	if err != nil {
		t.Fatal(err)
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root)
	for _, cert := range c.Chain[1:] {
		intermediates.AddCert(cert)
	}
	for _, name := range names {
		_, err := c.Leaf().Verify(x509.VerifyOptions{
			DNSName: strings.Replace(name, "*", "wild", 1), Roots: roots, Intermediates: intermediates,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		})
		if err != nil {
			t.Errorf("the certificate %s does not verify for %s: %v", fingerprint(c.Leaf().Raw), name, err)
		}
	}
}

// OCSP asks the responder that the certificate names about it, by POST or GET
// (RFC 6960 appendix A), and verifies the answer.
func (s *Server) OCSP(t testing.TB, c Certificate, method string) *ocsp.Response {
	t.Helper()
	if len(c.Leaf().OCSPServer) == 0 {
		t.Fatal("the certificate names no OCSP responder")
	}
	request, err := ocsp.CreateRequest(c.Leaf(), c.Issuer(), nil)
	if err != nil {
		t.Fatalf("making an OCSP request: %v", err)
	}
	status, _, body := s.SendOCSP(t, c.Leaf().OCSPServer[0], method, request)
	if status != http.StatusOK {
		t.Fatalf("OCSP by %s: status %d: %q", method, status, body)
	}
	answer, err := ocsp.ParseResponseForCert(body, c.Leaf(), c.Issuer())
	if err != nil {
		t.Fatalf("OCSP by %s: %v", method, err)
	}
	return answer
}

// SendOCSP sends a request's bytes and returns the HTTP answer.
func (s *Server) SendOCSP(t testing.TB, responder, method string, request []byte) (int, http.Header, []byte) {
	t.Helper()
	target, content := responder, io.Reader(bytes.NewReader(request))
	if method == http.MethodGet {
		target = strings.TrimSuffix(responder, "/") + "/" + url.PathEscape(base64.StdEncoding.EncodeToString(request))
		content = nil
	}
	req, err := http.NewRequestWithContext(t.Context(), method, target, content)
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/ocsp-request")
	}
	return s.plain(t, req)
}

// Fetch reads a URL of the public listener.
func (s *Server) Fetch(t testing.TB, target string) (int, http.Header, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s.plain(t, req)
}

func (s *Server) plain(t testing.TB, req *http.Request) (int, http.Header, []byte) {
	t.Helper()
	resp, err := s.HTTP(t).Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		t.Fatalf("reading the answer to %s %s: %v", req.Method, req.URL, err)
	}
	return resp.StatusCode, resp.Header, body
}

// CRL fetches and verifies the CRL that the certificate names.
func (s *Server) CRL(t testing.TB, c Certificate) *x509.RevocationList {
	t.Helper()
	if len(c.Leaf().CRLDistributionPoints) != 1 {
		t.Fatalf("the certificate names the CRLs %q, want one", c.Leaf().CRLDistributionPoints)
	}
	status, header, body := s.Fetch(t, c.Leaf().CRLDistributionPoints[0])
	if status != http.StatusOK || header.Get("Content-Type") != "application/pkix-crl" {
		t.Fatalf("fetching the CRL: status %d, Content-Type %q", status, header.Get("Content-Type"))
	}
	crl, err := x509.ParseRevocationList(body)
	if err != nil {
		t.Fatalf("parsing the CRL: %v", err)
	}
	if err := crl.CheckSignatureFrom(c.Issuer()); err != nil {
		t.Fatalf("the CRL's signature: %v", err)
	}
	return crl
}

// InCRL waits until the CRL lists the certificate and returns its entry.
func (s *Server) InCRL(t testing.TB, c Certificate) x509.RevocationListEntry {
	t.Helper()
	var found x509.RevocationListEntry
	rawacme.Poll(t, "the CRL to list the certificate", func() bool {
		for _, entry := range s.CRL(t, c).RevokedCertificateEntries {
			if entry.SerialNumber.Cmp(c.Leaf().SerialNumber) == 0 {
				found = entry
				return true
			}
		}
		return false
	})
	return found
}

// CheckRevoked asserts that OCSP, by both methods, and the CRL say that the
// certificate is revoked for the reason.
func (s *Server) CheckRevoked(t testing.TB, c Certificate, reason int) {
	t.Helper()
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		answer := s.OCSP(t, c, method)
		if answer.Status != ocsp.Revoked || answer.RevocationReason != reason {
			t.Errorf("OCSP by %s: status %d with reason %d, want revoked with reason %d", method, answer.Status, answer.RevocationReason, reason)
		}
	}
	entry := s.InCRL(t, c)
	if entry.ReasonCode != reason {
		t.Errorf("the CRL gives reason %d, want %d", entry.ReasonCode, reason)
	}
	if age := time.Since(entry.RevocationTime); age < -time.Minute || age > time.Hour {
		t.Errorf("the CRL dates the revocation %v", entry.RevocationTime)
	}
}

// OpenSSL runs openssl and returns what it printed; the test fails when it
// fails.
func OpenSSL(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "openssl", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// WritePEM writes certificates to a file of the test's and returns its path.
func WritePEM(t testing.TB, name string, certs ...*x509.Certificate) string {
	t.Helper()
	var buf bytes.Buffer
	for _, cert := range certs {
		if err := pem.Encode(&buf, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, buf.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// OpenSSLVerify has `openssl verify` check the chain against the root, as a
// client with a strict mind would.
func (s *Server) OpenSSLVerify(t testing.TB, chain []*x509.Certificate) {
	t.Helper()
	leaf := WritePEM(t, "leaf.pem", chain[0])
	rest := WritePEM(t, "rest.pem", chain[1:]...)
	OpenSSL(t, "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", s.RootFile(), "-untrusted", rest, leaf)
}

// OpenSSLOCSP has `openssl ocsp` ask and verify, and returns the certificate's
// status: "good", "revoked" or "unknown".
func (s *Server) OpenSSLOCSP(t testing.TB, chain []*x509.Certificate) string {
	t.Helper()
	leaf := WritePEM(t, "leaf.pem", chain[0])
	issuer := WritePEM(t, "issuer.pem", chain[1])
	out := OpenSSL(t, "ocsp", "-issuer", issuer, "-cert", leaf, "-url", chain[0].OCSPServer[0],
		"-CAfile", s.RootFile(), "-verify_other", WritePEM(t, "rest.pem", chain[1:]...), "-no_nonce")
	if !strings.Contains(out, "Response verify OK") {
		t.Errorf("openssl ocsp does not verify the response:\n%s", out)
	}
	for line := range strings.Lines(out) {
		if status, ok := strings.CutPrefix(strings.TrimSpace(line), leaf+": "); ok {
			return status
		}
	}
	t.Fatalf("openssl ocsp gives no status:\n%s", out)
	return ""
}

// OpenSSLCRL has `openssl crl` verify the certificate's CRL, and `openssl
// verify` check the certificate against it; it returns whether the
// certificate is revoked.
func (s *Server) OpenSSLCRL(t testing.TB, chain []*x509.Certificate) bool {
	t.Helper()
	crl := s.CRL(t, Certificate{Chain: chain})
	path := filepath.Join(t.TempDir(), "crl.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: crl.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	issuer := WritePEM(t, "issuer.pem", chain[1])
	if out := OpenSSL(t, "crl", "-in", path, "-CAfile", issuer, "-noout", "-text"); !strings.Contains(out, "verify OK") {
		t.Errorf("openssl crl does not verify the CRL:\n%s", out)
	}
	leaf := WritePEM(t, "leaf.pem", chain[0])
	out, err := exec.CommandContext(t.Context(), "openssl", "verify", "-crl_check", "-CRLfile", path,
		"-CAfile", s.RootFile(), "-untrusted", WritePEM(t, "rest.pem", chain[1:]...), leaf).CombinedOutput()
	revoked := strings.Contains(string(out), "certificate revoked")
	if (err != nil) != revoked {
		t.Errorf("openssl verify -crl_check: %v\n%s", err, out)
	}
	return revoked
}

// AwaitOpenSSLCRL waits until openssl finds the certificate revoked by its
// CRL.
func (s *Server) AwaitOpenSSLCRL(t testing.TB, chain []*x509.Certificate) {
	t.Helper()
	s.InCRL(t, Certificate{Chain: chain})
	if !s.OpenSSLCRL(t, chain) {
		t.Errorf("openssl does not find the certificate %s revoked by its CRL", fmt.Sprintf("%x", chain[0].SerialNumber))
	}
}
