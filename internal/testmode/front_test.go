package testmode

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
)

// testFront is a Front over a router that says what it was asked.
func testFront(t *testing.T, after RetryAfter, roll Roll) *Front {
	t.Helper()
	f, err := NewFront(FrontConfig{
		New: func(url string) (http.Handler, error) {
			if url == "https://broken" {
				return nil, errors.New("broken")
			}
			router := chi.NewRouter()
			router.HandleFunc("/directory", func(rw http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(rw, `{"newNonce": %q, "renewalInfo": %q}`, url+"/acme/new-nonce", url+"/acme/renewal-info")
			})
			router.HandleFunc("/acme/*", func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Retry-After", "3")
				rw.Header().Add("Link", "<"+url+`/directory>;rel="index"`)
				rw.Header().Add("Link", "<"+url+`/acme/x>;rel="up"`)
				if r.URL.Query().Has("fail") {
					rw.WriteHeader(http.StatusTooManyRequests)
				}
				fmt.Fprintf(rw, "%s %s %s", url, r.URL.Path, chi.URLParam(r, "*"))
			})
			return router, nil
		},
		ExternalURL: "https://ca.example:14000",
		RetryAfter:  after,
		Roll:        roll,
		Now:         func() time.Time { return time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC) },
		Renewals:    &Renewals{},
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func fetch(f *Front, method, host, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "https://x"+path, nil)
	r.Host = host
	rw := httptest.NewRecorder()
	f.ServeHTTP(rw, r)
	return rw
}

func TestFrontPaths(t *testing.T) {
	t.Parallel()
	f := testFront(t, RetryAfter{}, Random)
	for path, want := range map[string]string{
		"/nonce-plz":            "new-nonce",
		"/sign-me-up":           "new-account",
		"/order-plz":            "new-order",
		"/revoke-cert":          "revoke-cert",
		"/rollover-account-key": "key-change",
		"/draft-ietf-acme-ari-03/renewalInfo/a.b/c": "renewal-info/a.b/c",
		"/acme/authz/x": "authz/x",
	} {
		// The path of the request stays what the client signed.
		if got := fetch(f, "POST", "pebble:14000", path).Body.String(); got != "https://pebble:14000 "+path+" "+want {
			t.Errorf("%s reaches %q", path, got)
		}
	}
	rw := fetch(f, "GET", "pebble", "/dir")
	if got := rw.Body.String(); got != `{"newNonce": "https://pebble/nonce-plz", "renewalInfo": "https://pebble/draft-ietf-acme-ari-03/renewalInfo"}` {
		t.Errorf("the directory at /dir: %s", got)
	}
	if got := fetch(f, "GET", "pebble", "/directory").Body.String(); !strings.Contains(got, "https://pebble/acme/new-nonce") {
		t.Errorf("the directory at /directory: %s", got)
	}
	if links := fetch(f, "GET", "pebble", "/acme/x").Header()["Link"]; links[0] != `<https://pebble/dir>;rel="index"` || links[1] != `<https://pebble/acme/x>;rel="up"` {
		t.Errorf("links: %v", links)
	}
}

func TestFrontHosts(t *testing.T) {
	t.Parallel()
	f := testFront(t, RetryAfter{}, Random)
	of := func(host string) string {
		url, _, _ := strings.Cut(fetch(f, "GET", host, "/acme/x").Body.String(), " ")
		return url
	}
	for host, want := range map[string]string{
		"localhost:14000": "https://localhost:14000", "[::1]:14000": "https://[::1]:14000",
		"": "https://ca.example:14000", `a"b`: "https://ca.example:14000", "a/b": "https://ca.example:14000", "broken": "https://ca.example:14000",
	} {
		if got := of(host); got != want {
			t.Errorf("%q is %s, want %s", host, got, want)
		}
	}
	for i := range 2 * maxHosts {
		of(fmt.Sprintf("host-%d", i))
	}
	if len(f.hosts) > maxHosts {
		t.Errorf("%d front ends", len(f.hosts))
	}
	if got := of("one-more"); got != "https://ca.example:14000" {
		t.Errorf("a host too many is %s", got)
	}
}

func TestFrontRetryAfter(t *testing.T) {
	t.Parallel()
	after := RetryAfter{Authorization: 7 * time.Second, Order: 8 * time.Second}
	for _, test := range []struct {
		after RetryAfter
		roll  int
		path  string
		want  string
	}{
		{after, 0, "/acme/authz/x", "7"},
		{after, 0, "/acme/chall/x/http-01", "7"},
		{after, 0, "/acme/order/x", "8"},
		{after, 99, "/acme/order/x/finalize", "Tue, 24 Nov 2026 00:00:08 GMT"},
		{after, 0, "/acme/order/x?fail", "3"},
		{after, 0, "/acme/renewal-info/x", "3"},
		{RetryAfter{}, 0, "/acme/order/x", ""},
	} {
		f := testFront(t, test.after, func(int) int { return test.roll })
		if got := fetch(f, "POST", "h", test.path).Header().Get("Retry-After"); got != test.want {
			t.Errorf("%s: Retry-After %q, want %q", test.path, got, test.want)
		}
	}
}
