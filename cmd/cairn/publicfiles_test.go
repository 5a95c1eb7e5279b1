package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The CRL of a root is served as long as it is current; whatever else lies in
// the folder, or outside of it, is not.
func TestPublicFiles(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	folder := filepath.Join(outside, "public")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(folder, 0o755))
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Root"}, NotBefore: now, NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCRLSign | x509.KeyUsageCertSign, SubjectKeyId: []byte{1},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(err)
	root, err := x509.ParseCertificate(der)
	must(err)
	crl := func(until time.Time) []byte {
		list, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-time.Hour), NextUpdate: until}, root, key)
		must(err)
		return list
	}
	write := func(name string, data []byte) { must(os.WriteFile(filepath.Join(folder, name), data, 0o644)) }
	write("root.crl", crl(now.Add(30*time.Minute)))
	write("old.crl", crl(now.Add(-time.Minute)))
	write("root.der", der)
	write("bad.der", []byte("no certificate"))
	write("root.key", []byte("secret"))
	must(os.WriteFile(filepath.Join(outside, "secret.der"), der, 0o644))
	must(os.Symlink("../secret.der", filepath.Join(folder, "link.der")))
	must(os.Mkdir(filepath.Join(folder, "folder.crl"), 0o755))
	files := publicFiles{folder: folder, now: func() time.Time { return now }, logger: slog.New(slog.DiscardHandler)}
	get := func(method, path string) *httptest.ResponseRecorder {
		rw := httptest.NewRecorder()
		req := httptest.NewRequest(method, "/", nil)
		req.URL.Path = path
		files.ServeHTTP(rw, req)
		return rw
	}
	for path, want := range map[string]int{
		"/root.crl": 200, "/root.der": 200, "/old.crl": 503, "/bad.der": 503, "/folder.crl": 503, "/link.der": 503,
		"/root.key": 404, "/none.crl": 404, "/../secret.der": 404, "/public/../root.crl": 404, "/.crl": 404, "/": 404,
	} {
		if got := get(http.MethodGet, path).Code; got != want {
			t.Errorf("GET %s: %d, want %d", path, got, want)
		}
	}
	h := get(http.MethodGet, "/root.crl").Header()
	if h.Get("Content-Type") != "application/pkix-crl" || h.Get("Cache-Control") != "max-age=1800, public, no-transform" || h.Get("ETag") == "" || h.Get("Last-Modified") == "" {
		t.Errorf("the headers are %v", h)
	}
	if got := get(http.MethodPost, "/root.crl").Code; got != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", got)
	}
}
