package conformance

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	transparency "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/client"
	"github.com/google/certificate-transparency-go/ctutil"
	"github.com/google/certificate-transparency-go/jsonclient"
	ctx509 "github.com/google/certificate-transparency-go/x509"
	"github.com/google/certificate-transparency-go/x509util"
	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	"github.com/zmap/zlint/v3/lint"
	"golang.org/x/crypto/ocsp"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// door is in front of a log and can be shut.
type door struct {
	*httptest.Server
	shut atomic.Bool
}

func newDoor(t *testing.T, l *harness.CTLog) *door {
	t.Helper()
	target, err := url.Parse(l.URL)
	if err != nil {
		t.Fatal(err)
	}
	d := new(door)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.shut.Load() {
			http.Error(w, "shut", http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(d.Close)
	return d
}

// RFC 6962 with two logs of the software that public logs run, of two
// operators, and a third one that answers with garbage.
func TestTransparency(t *testing.T) {
	t.Parallel()
	first, second := harness.StartCTLog(t), harness.StartCTLog(t)
	front := newDoor(t, second)
	garbage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"sct_version":0,"id":"` + strings.Repeat("A", 1<<20)))
	}))
	t.Cleanup(garbage.Close)
	other, err := x509.MarshalPKIXPublicKey(rawacme.NewKey(t).Public())
	if err != nil {
		t.Fatal(err)
	}
	entry := func(name, operator, url string, key []byte) map[string]any {
		return map[string]any{"name": name, "operator": operator, "url": url, "key": base64.StdEncoding.EncodeToString(key)}
	}
	s := harness.Start(t, harness.Options{Configure: func(config map[string]any) {
		ca := config["ca"].(map[string]any)
		ca["profiles"] = map[string]any{"default": map[string]any{"ct": true}}
		ca["ct"] = map[string]any{"timeout": "3s", "logs": []any{
			entry("first", "x", first.URL, first.Key), entry("second", "y", front.URL, second.Key), entry("garbage", "z", garbage.URL, other),
		}}
	}})
	first.Accept(t, s)
	second.Accept(t, s)
	c := s.Account(t)

	t.Run("§3.3 SCTs in the certificate", func(t *testing.T) {
		name := harness.NewName("ct")
		issued := s.Issue(t, c, "http-01", name)
		s.Verify(t, issued.Certificate, name)
		checkSCTs(t, issued.Certificate, first, second)
		s.OpenSSLVerify(t, issued.Chain)
		if answer := s.OCSP(t, issued.Certificate, http.MethodPost); answer.Status != ocsp.Good {
			t.Errorf("OCSP says %d", answer.Status)
		}
		parsed, err := zx509.ParseCertificate(issued.Leaf().Raw)
		if err != nil {
			t.Fatal(err)
		}
		ran := 0
		for name, result := range zlint.LintCertificate(parsed).Results {
			if !strings.Contains(name, "ct_sct") && !strings.Contains(name, "sct") {
				continue
			}
			if result.Status > lint.Pass {
				t.Errorf("%s: %s %s", name, result.Status, result.Details)
			}
			if result.Status == lint.Pass {
				ran++
			}
		}
		if ran == 0 {
			t.Error("no lint looked at the SCTs")
		}
		// The final certificate is logged too, by one of them.
		rawacme.Poll(t, "the final certificate in a log", func() bool {
			return logged(t, first, issued.Leaf().Raw) || logged(t, second, issued.Leaf().Raw)
		})
	})

	t.Run("the CA's own audit", func(t *testing.T) {
		if out, clean := s.Audit(t); !clean {
			t.Errorf("certificates with SCTs:\n%s", out)
		}
	})

	t.Run("too few logs, and kill -9 between precertificate and certificate", func(t *testing.T) {
		front.shut.Store(true)
		name := harness.NewName("ct")
		order := s.Ready(t, c, "http-01", name)
		resp := c.Post(t, order.Finalize, map[string]any{"csr": rawacme.B64(rawacme.CSR(t, rawacme.NewKey(t), []string{name}))})
		wantOK(t, c, resp, http.StatusOK)
		resp.JSON(t, &order)
		if order.Status != "processing" || resp.Header.Get("Retry-After") == "" {
			t.Fatalf("the order is %s; Retry-After: %q", order.Status, resp.Header.Get("Retry-After"))
		}
		var found []*x509.Certificate
		rawacme.Poll(t, "the precertificate in the first log", func() bool {
			found = precertificates(t, first, name)
			return len(found) > 0
		})
		s.Kill()
		front.shut.Store(false)
		s.Up(t)
		c.Forget()
		if order = c.Settled(t, order.URL); order.Status != "valid" {
			t.Fatalf("the order is %s: %+v", order.Status, order.Error)
		}
		cert := harness.Certificate{Chain: c.Download(t, order.Certificate)}
		checkSCTs(t, cert, first, second)
		for _, l := range []*harness.CTLog{first, second} {
			var all []*x509.Certificate
			rawacme.Poll(t, "the precertificate in both logs", func() bool { all = precertificates(t, l, name); return len(all) > 0 })
			for _, p := range all {
				if p.SerialNumber.Cmp(cert.Leaf().SerialNumber) != 0 || !p.Equal(found[0]) {
					t.Errorf("another precertificate is logged, with serial %x", p.SerialNumber)
				}
			}
		}
	})

	t.Run("a precertificate is good, and can be revoked", func(t *testing.T) {
		front.shut.Store(true)
		name := harness.NewName("ct")
		order := s.Ready(t, c, "http-01", name)
		c.Post(t, order.Finalize, map[string]any{"csr": rawacme.B64(rawacme.CSR(t, rawacme.NewKey(t), []string{name}))}).Want(t, http.StatusOK)
		var found []*x509.Certificate
		rawacme.Poll(t, "the precertificate in the first log", func() bool {
			found = precertificates(t, first, name)
			return len(found) > 0
		})
		chain, err := os.ReadFile(s.ChainFile())
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(chain)
		issuer, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		cert := harness.Certificate{Chain: []*x509.Certificate{found[0], issuer}}
		if answer := s.OCSP(t, cert, http.MethodPost); answer.Status != ocsp.Good {
			t.Errorf("OCSP says %d", answer.Status)
		}
		c.Revoke(t, found[0].Raw, 4).Want(t, http.StatusOK)
		s.CheckRevoked(t, cert, 4)
	})
}

// checkSCTs verifies the SCTs in a certificate by another implementation: one
// of each log.
func checkSCTs(t *testing.T, c harness.Certificate, logs ...*harness.CTLog) {
	t.Helper()
	scts, err := x509util.ParseSCTsFromCertificate(c.Leaf().Raw)
	if err != nil || len(scts) != len(logs) {
		t.Fatalf("%d SCTs, %v", len(scts), err)
	}
	keys := make(map[[32]byte]crypto.PublicKey)
	for _, l := range logs {
		key, err := x509.ParsePKIXPublicKey(l.Key)
		if err != nil {
			t.Fatal(err)
		}
		keys[sha256.Sum256(l.Key)] = key
	}
	var chain []*ctx509.Certificate
	for _, cert := range c.Chain {
		parsed, err := ctx509.ParseCertificate(cert.Raw)
		if ctx509.IsFatal(err) {
			t.Fatal(err)
		}
		chain = append(chain, parsed)
	}
	for _, sct := range scts {
		key, ok := keys[sct.LogID.KeyID]
		delete(keys, sct.LogID.KeyID)
		if !ok {
			t.Errorf("an SCT of another log, or two of one: %x", sct.LogID.KeyID)
		} else if err := ctutil.VerifySCT(key, chain, sct, true); err != nil {
			t.Errorf("an SCT is not the log's: %v", err)
		}
	}
}

// entries are what a log has by now.
func entries(t *testing.T, l *harness.CTLog) []transparency.LogEntry {
	t.Helper()
	log, err := client.New(l.URL, http.DefaultClient, jsonclient.Options{PublicKeyDER: l.Key})
	if err != nil {
		t.Fatal(err)
	}
	head, err := log.GetSTH(t.Context())
	if err != nil || head.TreeSize == 0 {
		return nil // not ready yet
	}
	list, err := log.GetEntries(t.Context(), 0, int64(head.TreeSize)-1)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func logged(t *testing.T, l *harness.CTLog, der []byte) bool {
	for _, e := range entries(t, l) {
		if e.X509Cert != nil && string(e.X509Cert.Raw) == string(der) {
			return true
		}
	}
	return false
}

// precertificates are those in a log for a name.
func precertificates(t *testing.T, l *harness.CTLog, name string) []*x509.Certificate {
	t.Helper()
	var list []*x509.Certificate
	for _, e := range entries(t, l) {
		if e.Precert == nil {
			continue
		}
		cert, err := x509.ParseCertificate(e.Precert.Submitted.Data)
		if err != nil {
			t.Fatal(err)
		}
		if cert.DNSNames[0] == name {
			list = append(list, cert)
		}
	}
	return list
}
