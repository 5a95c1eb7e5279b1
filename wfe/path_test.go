package wfe

import (
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/ra"
	"github.com/cairn-ca/cairn/sa"
	"github.com/cairn-ca/cairn/wfe/nonce"
)

func newFrontEnd(t testing.TB) *WFE {
	t.Helper()
	store, err := sa.Open(t.Context(), sa.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "cairn.db"), Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	nonces, err := nonce.New(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w, err := New(Config{
		Store: store, Nonces: nonces, ExternalURL: "https://ca.example", Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Directories: []Directory{{
			Name: "default", Path: "/directory", PreAuthorization: true,
			AutoRenewal: &ra.AutoRenewalPolicy{MinLifetime: time.Hour, MaxDuration: time.Hour, AllowGet: true},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// Whatever the path, a GET gets an answer that is fit for its status: the two
// resources that exist, or a problem document.
func FuzzPath(f *testing.F) {
	for _, path := range []string{
		"/directory", "/acme/new-nonce", "/acme/acct/AZq8yO1_dGGAAAAAAAAAAA", "/acme/order/%00", "/acme/renewal-info/aYhb.AIdl",
		"/acme/star/AZq8yO1_dGGAAAAAAAAAAA", "/acme/cert/01ac/2", "/acme/chall/x/http-01", "//directory", "/directory/../acme", "/acme/authz/%2e%2e",
	} {
		f.Add(path)
	}
	w := newFrontEnd(f)
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || !strings.HasPrefix(path, "/") {
			return // no path of a request
		}
		rw := httptest.NewRecorder()
		w.ServeHTTP(rw, &http.Request{Method: http.MethodGet, URL: u, Host: "elsewhere.example", Header: http.Header{}, Body: http.NoBody, RequestURI: path})
		switch {
		case rw.Code == http.StatusOK || rw.Code == http.StatusNoContent:
			if strings.Contains(rw.Body.String(), "elsewhere.example") {
				t.Errorf("%q: the Host header is in the answer", path)
			}
		case rw.Code >= 500:
			t.Errorf("%q: status %d", path, rw.Code)
		default:
			var p problemDocument
			if err := json.Unmarshal(rw.Body.Bytes(), &p); err != nil || p.Type == "" || rw.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("%q: status %d and no problem document: %s", path, rw.Code, rw.Body)
			}
		}
	})
}
