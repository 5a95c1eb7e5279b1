package dns_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/cairn-ca/cairn/va/dns"
)

// answerA answers every question with 192.0.2.1.
func answerA(query *mdns.Msg) *mdns.Msg {
	m := new(mdns.Msg).SetReply(query)
	m.RecursionAvailable = true
	if query.Question[0].Qtype == mdns.TypeA {
		m.Answer = []mdns.RR{&mdns.A{Hdr: mdns.RR_Header{Name: query.Question[0].Name, Rrtype: mdns.TypeA, Class: mdns.ClassINET}, A: net.IPv4(192, 0, 2, 1)}}
	}
	return m
}

// certificate is one for example.com and 127.0.0.1, and who issued it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s.TLS.Certificates[0], roots
}

// overTLS is a server of DNS over TLS.
type overTLS struct {
	net.Listener
	connections atomic.Int64
	mu          sync.Mutex
	open        []net.Conn
}

func startTLS(t *testing.T, handler mdns.HandlerFunc) (*overTLS, *x509.CertPool) {
	t.Helper()
	cert, roots := certificate(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &overTLS{Listener: l}
	s := &mdns.Server{Listener: tls.NewListener(o, &tls.Config{Certificates: []tls.Certificate{cert}}), Handler: handler, ReadTimeout: time.Minute}
	started := make(chan struct{})
	s.NotifyStartedFunc = func() { close(started) }
	go func() { _ = s.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { o.hangUp(); _ = s.Shutdown() })
	return o, roots
}

// Accept implements net.Listener.
func (o *overTLS) Accept() (net.Conn, error) {
	conn, err := o.Listener.Accept()
	if err == nil {
		o.connections.Add(1)
		o.mu.Lock()
		defer o.mu.Unlock()
		o.open = append(o.open, conn)
	}
	return conn, err
}

// hangUp closes every connection.
func (o *overTLS) hangUp() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, conn := range o.open {
		_ = conn.Close()
	}
	o.open = nil
}

func find(t *testing.T, r *dns.Resolver, outcome dns.Outcome, says string) {
	t.Helper()
	answer := r.Lookup(t.Context(), dns.Question{Name: "a.test", Type: mdns.TypeA})[0]
	if answer.Outcome != outcome || !strings.Contains(answer.String(), says) {
		t.Errorf("got %s, want %s with %q", answer, outcome, says)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	s, roots := startTLS(t, func(w mdns.ResponseWriter, m *mdns.Msg) { _ = w.WriteMsg(answerA(m)) })
	resolver := func(upstream string) *dns.Resolver {
		return newResolver(t, dns.Config{Upstreams: []string{upstream}, Roots: roots, Attempts: 1, Timeout: time.Minute})
	}
	r := resolver("tls://" + s.Addr().String())
	for range 10 {
		find(t, r, dns.Found, "192.0.2.1")
	}
	if n := s.connections.Load(); n != 1 {
		t.Errorf("10 look-ups took %d connections", n)
	}
	s.hangUp() // as servers do with connections that nobody uses
	find(t, r, dns.Found, "192.0.2.1")
	if n := s.connections.Load(); n != 2 {
		t.Errorf("after the server hung up, there were %d connections", n)
	}

	find(t, resolver("tls://"+s.Addr().String()+"#example.com"), dns.Found, "192.0.2.1")
	find(t, resolver("tls://"+s.Addr().String()+"#example.org"), dns.Network, "example.org")
	find(t, newResolver(t, dns.Config{Upstreams: []string{"tls://" + s.Addr().String()}, Attempts: 1, Timeout: time.Minute}), dns.Network, "certificate")
}

// TestTLSBound: as many look-ups as there may be connections run at once, and
// the others wait.
func TestTLSBound(t *testing.T) {
	t.Parallel()
	const most = 64
	var running, peak atomic.Int64
	full := make(chan struct{})
	var once sync.Once
	s, roots := startTLS(t, func(w mdns.ResponseWriter, m *mdns.Msg) {
		n := running.Add(1)
		for p := peak.Load(); n > p && !peak.CompareAndSwap(p, n); p = peak.Load() {
		}
		if n == most {
			once.Do(func() { close(full) })
		}
		<-full
		running.Add(-1)
		_ = w.WriteMsg(answerA(m))
	})
	r := newResolver(t, dns.Config{Upstreams: []string{"tls://" + s.Addr().String()}, Roots: roots, Attempts: 1, Timeout: time.Minute})
	var asking sync.WaitGroup
	for range 3 * most {
		asking.Go(func() { find(t, r, dns.Found, "192.0.2.1") })
	}
	asking.Wait()
	if peak.Load() != most {
		t.Errorf("%d look-ups ran at once, want %d", peak.Load(), most)
	}
}

// TestTLSBatch: several questions share a connection, and their answers may
// come in any order.
func TestTLSBatch(t *testing.T) {
	t.Parallel()
	var held []*mdns.Msg
	s, roots := startTLS(t, func(w mdns.ResponseWriter, m *mdns.Msg) {
		held = append(held, answerA(m)) // one connection: one goroutine
		if len(held) == 2 {
			_ = w.WriteMsg(held[1])
			_ = w.WriteMsg(held[0])
		}
	})
	r := newResolver(t, dns.Config{Upstreams: []string{"tls://" + s.Addr().String()}, Roots: roots, Timeout: time.Minute})
	if aaaa, a := r.LookupAddresses(t.Context(), "a.test"); aaaa.Outcome != dns.NoData || a.Outcome != dns.Found || s.connections.Load() != 1 {
		t.Errorf("%s and %s over %d connections", aaaa, a, s.connections.Load())
	}
}

// TestTLSGivenUp: what comes after a look-up was given up is no answer to the
// next question.
func TestTLSGivenUp(t *testing.T) {
	t.Parallel()
	asked := make(chan mdns.ResponseWriter, 1)
	var silent atomic.Bool
	silent.Store(true)
	s, roots := startTLS(t, func(w mdns.ResponseWriter, m *mdns.Msg) {
		if silent.Load() {
			asked <- w
			return
		}
		_ = w.WriteMsg(answerA(m))
	})
	r := newResolver(t, dns.Config{Upstreams: []string{"tls://" + s.Addr().String()}, Roots: roots, Attempts: 1, Timeout: time.Minute})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if answer := r.Lookup(ctx, dns.Question{Name: "a.test", Type: mdns.TypeA})[0]; answer.Outcome != dns.Canceled {
		t.Errorf("given up: %s", answer)
	}
	silent.Store(false)
	find(t, r, dns.Found, "192.0.2.1")
	if n := s.connections.Load(); n != 2 {
		t.Errorf("%d connections, want 2: the first one is not used again", n)
	}
}

func TestHTTPS(t *testing.T) {
	t.Parallel()
	reply := func(w http.ResponseWriter, m *mdns.Msg) {
		packed, err := m.Pack()
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/dns-message")
		_, _ = w.Write(packed)
	}
	read := func(req *http.Request) *mdns.Msg {
		body, err := io.ReadAll(req.Body)
		m := new(mdns.Msg)
		if err != nil || m.Unpack(body) != nil {
			t.Errorf("%v: can't read %s", err, base64.StdEncoding.EncodeToString(body))
			return new(mdns.Msg).SetQuestion("broken.", mdns.TypeA)
		}
		return m
	}
	mux := http.NewServeMux()
	var hosts, protocols sync.Map
	mux.HandleFunc("POST /dns-query", func(w http.ResponseWriter, req *http.Request) {
		hosts.Store(strings.Split(req.Host, ":")[0], true)
		protocols.Store(req.Proto, true)
		m := read(req)
		if m.Id != 0 || req.Header.Get("Content-Type") != "application/dns-message" || req.Header.Get("User-Agent") != "" {
			t.Errorf("query with ID %d and header %v", m.Id, req.Header)
		}
		reply(w, answerA(m))
	})
	mux.HandleFunc("/503", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.HandleFunc("/elsewhere", func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, "/dns-query", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/html", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") })
	mux.HandleFunc("/flood", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/dns-message")
		for range 1000 {
			_, _ = w.Write(make([]byte, 1000))
		}
	})
	mux.HandleFunc("/other-question", func(w http.ResponseWriter, req *http.Request) {
		m := answerA(read(req))
		m.Question[0].Name = "other.test."
		reply(w, m)
	})
	mux.HandleFunc("/garbage", func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/dns-message")
		_, _ = w.Write([]byte("\x00\x00\x80"))
	})
	s := httptest.NewUnstartedServer(mux)
	s.EnableHTTP2 = true
	var connections atomic.Int64
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	resolver := func(suffix string) *dns.Resolver {
		return newResolver(t, dns.Config{Upstreams: []string{s.URL + suffix}, Roots: roots, Attempts: 1, Timeout: time.Minute})
	}

	r := resolver("/dns-query")
	for range 10 {
		find(t, r, dns.Found, "192.0.2.1")
	}
	if aaaa, a := r.LookupAddresses(t.Context(), "a.test"); aaaa.Outcome != dns.NoData || a.Outcome != dns.Found {
		t.Errorf("%s and %s", aaaa, a)
	}
	if _, ok := protocols.Load("HTTP/2.0"); !ok || connections.Load() != 1 {
		t.Errorf("%d connections, HTTP/2: %v", connections.Load(), ok)
	}
	find(t, resolver("/dns-query#example.com"), dns.Found, "192.0.2.1")
	for _, host := range []string{"127.0.0.1", "example.com"} {
		if _, ok := hosts.Load(host); !ok {
			t.Errorf("no request had the host %s", host)
		}
	}
	find(t, resolver("/dns-query#example.org"), dns.Network, "example.org")
	find(t, resolver("/503"), dns.Network, "HTTP status 503")
	find(t, resolver("/elsewhere"), dns.Network, "HTTP status 307")
	for _, path := range []string{"/html", "/flood", "/other-question", "/garbage"} {
		find(t, resolver(path), dns.Network, "the answer is no DNS message")
	}
}
