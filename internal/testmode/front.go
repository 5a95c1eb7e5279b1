package testmode

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/cairn-ca/cairn/internal/acme"
)

// aliases are Pebble's paths of resources, with Cairn's. A path that ends in a
// slash stands for all that begin with it.
var aliases = []struct{ pebble, cairn string }{
	{"/dir", "/directory"},
	{"/nonce-plz", "/acme/new-nonce"},
	{"/sign-me-up", "/acme/new-account"},
	{"/order-plz", "/acme/new-order"},
	{"/revoke-cert", "/acme/revoke-cert"},
	{"/rollover-account-key", "/acme/key-change"},
	{"/draft-ietf-acme-ari-03/renewalInfo/", "/acme/renewal-info/"},
}

// FrontConfig is what a Front works with.
type FrontConfig struct {
	// New makes a front end whose URLs begin with the given base. It is called
	// once for a base.
	New func(externalURL string) (http.Handler, error)
	// ExternalURL is the base for requests to hosts that can't be served
	// otherwise.
	ExternalURL string
	RetryAfter  RetryAfter
	Roll        Roll
	Now         func() time.Time
	// Renewals are answers that renewalInfo gives in place of its own.
	Renewals *Renewals
}

// Front is a front end at whatever name it is called by, as Pebble is: URLs
// have the Host of the request. It has Pebble's paths beside Cairn's.
type Front struct {
	FrontConfig

	mu    sync.Mutex
	hosts map[string]http.Handler
}

// maxHosts bounds the names that a front end is known by.
const maxHosts = 64

// NewFront makes a front end.
func NewFront(cfg FrontConfig) (*Front, error) {
	f := &Front{FrontConfig: cfg, hosts: make(map[string]http.Handler)}
	_, err := f.host(strings.TrimPrefix(cfg.ExternalURL, "https://"))
	return f, err
}

// host is the front end for a host.
func (f *Front) host(host string) (http.Handler, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h, ok := f.hosts[host]; ok {
		return h, nil
	}
	if len(f.hosts) >= maxHosts || !plainHost(host) {
		return nil, errors.New("no front end for this host")
	}
	h, err := f.New("https://" + host)
	if err != nil {
		return nil, err
	}
	f.hosts[host] = h
	return h, nil
}

// plainHost tells whether a Host header can be put into URLs as it stands.
func plainHost(host string) bool {
	return host != "" && len(host) < 260 && !strings.ContainsFunc(host, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._:[]", r))
	})
}

// ServeHTTP implements http.Handler.
func (f *Front) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	host := r.Host
	next, err := f.host(host)
	if err != nil {
		host = strings.TrimPrefix(f.ExternalURL, "https://")
		if next, err = f.host(host); err != nil {
			http.Error(rw, "the front end can't be set up", http.StatusInternalServerError)
			return
		}
	}
	base := "https://" + host
	path, pebble := cairnPath(r.URL.Path)
	if id, ok := strings.CutPrefix(path, "/acme/renewal-info/"); ok && r.Method == http.MethodGet && f.Renewals.answer(rw, id) {
		return
	}
	if pebble {
		// The router goes by RoutePath. The URL stays as the client signed it.
		route := chi.NewRouteContext()
		route.RoutePath = path
		r = r.WithContext(context.WithValue(r.Context(), chi.RouteCtxKey, route))
	}
	answer := &buffered{header: rw.Header()}
	next.ServeHTTP(answer, r)
	f.pebbleize(answer, path, pebble, base)
	rw.WriteHeader(answer.status)
	_, _ = rw.Write(answer.body.Bytes()) // the client is gone if this fails
}

// cairnPath is the path of the resource that a path names; pebble tells that
// it was one of Pebble's.
func cairnPath(path string) (cairn string, pebble bool) {
	for _, a := range aliases {
		if path == a.pebble {
			return a.cairn, true
		}
		if strings.HasSuffix(a.pebble, "/") {
			if rest, ok := strings.CutPrefix(path, a.pebble); ok {
				return a.cairn + rest, true
			}
		}
	}
	return path, false
}

// pebbleize makes an answer what Pebble's would be: the directory's URLs, the
// index link, Retry-After.
func (f *Front) pebbleize(answer *buffered, path string, pebble bool, base string) {
	if answer.status == 0 {
		answer.status = http.StatusOK
	}
	if pebble && path == "/directory" && answer.status == http.StatusOK {
		body := answer.body.String()
		for _, a := range aliases {
			old, own := strings.TrimSuffix(a.cairn, "/"), strings.TrimSuffix(a.pebble, "/")
			body = strings.ReplaceAll(body, `"`+base+old+`"`, `"`+base+own+`"`)
		}
		if answer.body.Len() > 0 { // not for HEAD
			answer.body.Reset()
			answer.body.WriteString(body)
			answer.header.Set("Content-Length", strconv.Itoa(len(body)))
		} else {
			answer.header.Del("Content-Length")
		}
	}
	links := answer.header["Link"]
	for i, link := range links {
		if link == "<"+base+`/directory>;rel="index"` {
			links[i] = "<" + base + `/dir>;rel="index"`
		}
	}
	if answer.header.Get("Retry-After") == "" || answer.status >= http.StatusBadRequest {
		return
	}
	switch {
	case strings.HasPrefix(path, "/acme/order/"):
		f.retryAfter(answer.header, f.RetryAfter.Order)
	case strings.HasPrefix(path, "/acme/authz/"), strings.HasPrefix(path, "/acme/chall/"):
		f.retryAfter(answer.header, f.RetryAfter.Authorization)
	}
}

// retryAfter sets the header in one of its two forms (RFC 9110 §10.2.3):
// clients must know both.
func (f *Front) retryAfter(header http.Header, after time.Duration) {
	switch {
	case after <= 0:
		header.Del("Retry-After")
	case f.Roll.happens(50):
		header.Set("Retry-After", strconv.Itoa(int(after/time.Second)))
	default:
		header.Set("Retry-After", f.Now().Add(after).UTC().Format(http.TimeFormat))
	}
}

// buffered keeps an answer until it is whole.
type buffered struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (b *buffered) Header() http.Header { return b.header }

func (b *buffered) WriteHeader(status int) {
	if b.status == 0 {
		b.status = status
	}
}

func (b *buffered) Write(p []byte) (int, error) {
	b.WriteHeader(http.StatusOK)
	return b.body.Write(p)
}

// Renewals are answers of renewalInfo that a test suite has set.
type Renewals struct {
	mu      sync.Mutex
	answers map[acme.Serial]string
}

// Set sets the answer for a certificate, which may be anything, malformed
// JSON too. An empty one takes it back.
func (r *Renewals) Set(serial acme.Serial, answer string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answers == nil {
		r.answers = make(map[acme.Serial]string)
	}
	if answer == "" {
		delete(r.answers, serial)
		return
	}
	r.answers[serial] = answer
}

// answer gives the answer that was set for a certificate; false: none was.
func (r *Renewals) answer(rw http.ResponseWriter, certID string) bool {
	id, err := acme.ParseCertID(certID)
	if err != nil {
		return false
	}
	r.mu.Lock()
	body, ok := r.answers[id.Serial()]
	r.mu.Unlock()
	if !ok {
		return false
	}
	header := rw.Header()
	header.Set("Access-Control-Allow-Origin", "*")
	header.Set("Content-Type", "application/json; charset=utf-8")
	header.Set("Retry-After", strconv.Itoa(int(6*time.Hour/time.Second)))
	_, _ = rw.Write([]byte(body))
	return true
}
