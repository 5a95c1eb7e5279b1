package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/config"
)

// testConfig is a configuration for one server of a test.
func testConfig(t *testing.T) *config.Config {
	t.Helper()
	cfg := config.Default()
	cfg.Data = filepath.Join(t.TempDir(), "data")
	cfg.Listen = config.Listen{ACME: "127.0.0.1:0", Public: "127.0.0.1:0", Admin: freeAddress(t)}
	cfg.VA.Resolvers = []string{"127.0.0.1:1"} // nobody answers there
	return &cfg
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// withServer runs a server, calls f once it is ready, and stops it.
func withServer(t *testing.T, cfg *config.Config, f func(serving)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var log bytes.Buffer
	err := serve(ctx, cfg, streams{stdout: io.Discard, stderr: &log}, func(where serving) error {
		defer cancel()
		f(where)
		return nil
	})
	if err != nil {
		t.Errorf("serve: %v", err)
	}
	if t.Failed() {
		t.Logf("log:\n%s", log.String())
	}
}

func client(t *testing.T, where serving) *http.Client {
	t.Helper()
	root, err := os.ReadFile(where.Root)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(root)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

// The listeners' certificate is the CA's own, for every name that the
// listeners have; HTTP/1.1 is spoken, and the admin listener tells how it is.
func TestListeners(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	withServer(t, cfg, func(where serving) {
		c := client(t, where)
		resp, err := c.Get(where.Directory)
		if err != nil {
			t.Error(err)
			return
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 1 {
			t.Errorf("GET %s: %s %s", where.Directory, resp.Proto, resp.Status)
		}
		leaf := resp.TLS.PeerCertificates[0]
		for _, host := range []string{"localhost", "127.0.0.1", "::1"} {
			if err := leaf.VerifyHostname(host); err != nil {
				t.Error(err)
			}
		}
		for path, want := range map[string]string{
			"/healthz": "ok",
			"/readyz":  "ready",
			"/metrics": `cairn_build_info{role="serve"`,
		} {
			resp, err := c.Get("https://" + cfg.Listen.Admin + path)
			if err != nil {
				t.Error(err)
				continue
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
				t.Errorf("GET %s: %s, %v, %.200q", path, resp.Status, err, body)
			}
		}
		issuer, err := http.Get(leaf.IssuingCertificateURL[0])
		if err != nil {
			t.Error(err)
			return
		}
		der, err := io.ReadAll(issuer.Body)
		issuer.Body.Close()
		if err != nil {
			t.Error(err)
		}
		if cert, err := x509.ParseCertificate(der); err != nil || leaf.CheckSignatureFrom(cert) != nil {
			t.Errorf("the certificate at %s is not the issuer's: %v", leaf.IssuingCertificateURL[0], err)
		}
		if got := issuer.Header.Get("Content-Type"); got != "application/pkix-cert" {
			t.Errorf("it is served as %q", got)
		}
	})
}

// The command line that cairn serve prints works as it stands.
func TestPrintedCommand(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("lego"); err != nil {
		t.Fatal("lego is not installed; make test-packages installs it")
	}
	cfg := testConfig(t)
	_, port, err := net.SplitHostPort(freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.VA.HTTPPort, err = net.LookupPort("tcp", port); err != nil {
		t.Fatal(err)
	}
	cfg.Data = filepath.Join(t.TempDir(), "it's a folder")
	withServer(t, cfg, func(where serving) {
		var printed bytes.Buffer
		if err := where.print(&printed, cfg); err != nil {
			t.Error(err)
		}
		lines := strings.Split(strings.TrimSpace(printed.String()), "\n")
		cmd := exec.Command("sh", "-c", lines[len(lines)-1])
		cmd.Dir = t.TempDir()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", cmd.Args[2], err, out)
		}
		if found, err := filepath.Glob(filepath.Join(cmd.Dir, ".lego", "certificates", "*.crt")); err != nil || len(found) == 0 {
			t.Errorf("no certificate came of it: %v", err)
		}
	})
}

// Paths of OCSP requests reach the responder as they were sent: base64 has
// slashes.
func TestPublicPaths(t *testing.T) {
	t.Parallel()
	handler := func(name string) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { rw.Header().Set("X", name+" "+r.URL.EscapedPath()) })
	}
	p := &public{ocsp: handler("ocsp"), crl: handler("crl"), issuer: handler("issuer"), others: handler("unknown")}
	for path, want := range map[string]string{
		"/ocsp":             "ocsp /ocsp",
		"/ocsp/MF//..%2fA=": "ocsp /ocsp/MF//..%2fA=",
		"/crl/x/0.crl":      "crl /crl/x/0.crl",
		"/issuer/x.der":     "issuer /issuer/x.der",
		"/ocspx":            "unknown /ocspx",
		"/":                 "unknown /",
	} {
		r, err := http.NewRequest(http.MethodGet, "http://host"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		header := http.Header{}
		p.ServeHTTP(headerWriter(header), r)
		if got := header.Get("X"); got != want {
			t.Errorf("%s reaches %q, want %q", path, got, want)
		}
	}
}

type headerWriter http.Header

func (h headerWriter) Header() http.Header         { return http.Header(h) }
func (h headerWriter) Write(p []byte) (int, error) { return len(p), nil }
func (h headerWriter) WriteHeader(int)             {}
