package va_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/responder"
	"github.com/cairn-ca/cairn/va"
)

const challengePath = "/.well-known/acme-challenge/" + token

func TestHTTP01Answers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		want    acme.ProblemType
		words   string
	}{
		{"exact", write(keyAuth), valid, ""},
		{"trailing space", write(keyAuth + " \t\r\n\n"), valid, ""},
		{"much trailing space", write(keyAuth + strings.Repeat("\n", 100<<10)), valid, ""},
		{"too much trailing space", write(keyAuth + strings.Repeat("\n", 130<<10)), acme.IncorrectResponse, "more than 131072 octets"},
		{"leading space", write(" " + keyAuth), acme.Unauthorized, "key authorization"},
		{"prefix", write(keyAuth[:len(keyAuth)-1]), acme.Unauthorized, "key authorization"},
		{"suffix", write(keyAuth + "x"), acme.Unauthorized, "key authorization"},
		{"suffix after space", write(keyAuth + strings.Repeat(" ", 5000) + "x"), acme.Unauthorized, "key authorization"},
		{"empty", write(""), acme.Unauthorized, `answered "http://a.test` + challengePath + `" with ""`},
		{"binary", write("\x00\x1b[2J\xff" + strings.Repeat("x", 1000)), acme.Unauthorized, `"\x00\x1b[2J\xff`},
		{"404", http.NotFound, acme.Unauthorized, "status 404, not 200: \"404 page not found"},
		{"201", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, keyAuth)
		}, acme.Unauthorized, "status 201"},
		{"endless", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
					return
				}
			}
		}, acme.Unauthorized, "xxxx"},
		{"early hints", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			_, _ = io.WriteString(w, keyAuth)
		}, valid, ""},
		{"interim answers", func(w http.ResponseWriter, _ *http.Request) {
			for range 10 {
				w.WriteHeader(http.StatusEarlyHints)
			}
		}, acme.IncorrectResponse, "interim"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.SetHTTPHandler(c.handler)
			result := l.validate(t, request(dnsName(t, "a.test"), acme.HTTP01))
			expect(t, result, c.want, false, c.words)
			namesAddress(t, result)
		})
	}
}

// namesAddress checks that a problem names the address that was tried.
func namesAddress(t *testing.T, result va.Result) {
	t.Helper()
	if result.Problem != nil && !strings.Contains(detail(result), "127.0.0.1:") {
		t.Errorf("the detail %q names no address", detail(result))
	}
}

func write(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

func TestHTTP01Request(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	requests := make(chan *http.Request, 2)
	l.SetHTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests <- r
		w.Header().Set("Set-Cookie", "a=b")
		if r.URL.Path == challengePath {
			http.Redirect(w, r, "/two?q=1", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, keyAuth)
	}))
	expect(t, l.validate(t, request(dnsName(t, "a.test"), acme.HTTP01)), valid, false)
	for _, uri := range []string{challengePath, "/two?q=1"} {
		r := <-requests
		if r.Method != "GET" || r.RequestURI != uri || r.Host != "a.test" || !r.Close || r.Header.Get("User-Agent") != va.DefaultUserAgent {
			t.Errorf("request %s %s, Host %q, %v", r.Method, r.RequestURI, r.Host, r.Header)
		}
		for _, header := range []string{"Cookie", "Accept-Encoding", "Referer"} {
			if r.Header.Get(header) != "" {
				t.Errorf("the request has %s", header)
			}
		}
	}
}

func TestHTTP01Redirects(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	locations := map[string]string{
		"relative":      "/good",
		"absolute":      "http://b.test/good",
		"own port":      fmt.Sprintf("http://b.test:%d/good", l.HTTPPort()),
		"https":         "https://b.test/good",
		"https port":    fmt.Sprintf("https://b.test:%d/good", l.TLSPort()),
		"schemeless":    "//b.test/good",
		"trailing dot":  "http://b.test./good",
		"fragment":      "/good#x",
		"chain":         "/chain/10",
		"long chain":    "/chain/11",
		"loop":          "/redirect/loop",
		"address":       "http://127.0.0.1/good",
		"address6":      "http://[::1]/good",
		"zone":          "http://[fe80::1%25lo]/good",
		"decimal":       "http://2130706433/good",
		"short address": "http://127.1/good",
		"port":          "http://b.test:22/good",
		"user":          "http://user@b.test/good",
		"password":      "http://user:password@b.test/good",
		"ftp":           "ftp://b.test/good",
		"file":          "file:///etc/passwd",
		"opaque":        "http:b.test/good",
		"no host":       "http:///good",
		"empty":         "",
		"space":         "/a b?c d",
		"long":          "/" + strings.Repeat("x", 3000),
		"unicode":       "http://b\u00fccher.test/good",
		"underscore":    "http://_b.test/good",
		"absent":        "http://absent.example/good",
		"two":           "two",
	}
	l.SetHTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		what, _ := strings.CutPrefix(r.URL.Path, "/redirect/")
		var left int
		switch {
		case strings.HasPrefix(r.URL.Path, "/.well-known"):
			// Each case is a name: a-case.test.
			what = strings.ReplaceAll(strings.TrimSuffix(r.Host, ".test"), "-", " ")
			what = strings.TrimPrefix(what, "a ")
		case r.URL.Path == "/good":
			_, _ = io.WriteString(w, keyAuth)
			return
		}
		if n, _ := fmt.Sscanf(r.URL.Path, "/chain/%d", &left); n == 1 {
			// The way here was one redirect already.
			next := fmt.Sprintf("/chain/%d", left-1)
			if left <= 2 {
				next = "/good"
			}
			w.Header().Set("Location", next)
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		switch what {
		case "303":
			w.Header().Set("Location", "/good")
			w.WriteHeader(http.StatusSeeOther)
			return
		case "two":
			w.Header()["Location"] = []string{"/good", "/good"}
		default:
			w.Header()["Location"] = []string{locations[what]}
		}
		w.WriteHeader(http.StatusMovedPermanently)
	}))
	for _, c := range []struct {
		name  string
		want  acme.ProblemType
		words string
	}{
		{"relative", valid, ""},
		{"absolute", valid, ""},
		{"own port", valid, ""},
		{"https", valid, ""},
		{"https port", valid, ""},
		{"schemeless", valid, ""},
		{"trailing dot", valid, ""},
		{"fragment", valid, ""},
		{"chain", valid, ""},
		{"long chain", acme.IncorrectResponse, "more than 10 times"},
		{"loop", acme.IncorrectResponse, "in a loop"},
		{"address", acme.IncorrectResponse, "redirect to an IP address"},
		{"address6", acme.IncorrectResponse, "redirect to an IP address"},
		{"zone", acme.IncorrectResponse, "redirect to an IP address"},
		{"decimal", acme.IncorrectResponse, "no DNS name"},
		{"short address", acme.IncorrectResponse, "no DNS name"},
		{"port", acme.IncorrectResponse, "ports 80 and 443"},
		{"user", acme.IncorrectResponse, "user name"},
		{"password", acme.IncorrectResponse, "user name"},
		{"ftp", acme.IncorrectResponse, "only http and https"},
		{"file", acme.IncorrectResponse, "only http and https"},
		{"opaque", acme.IncorrectResponse, "no host"},
		{"no host", acme.IncorrectResponse, "no host"},
		{"empty", acme.IncorrectResponse, ""},
		{"space", acme.IncorrectResponse, "need escaping"},
		{"long", acme.IncorrectResponse, "too long"},
		{"unicode", acme.IncorrectResponse, "no DNS name"},
		{"underscore", acme.IncorrectResponse, "no DNS name"},
		{"absent", acme.DNS, "following a redirect"},
		{"two", acme.IncorrectResponse, "one Location"},
		{"303", acme.Unauthorized, "status 303"},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := "a-" + strings.ReplaceAll(c.name, " ", "-") + ".test"
			result := l.validate(t, request(dnsName(t, name), acme.HTTP01))
			expect(t, result, c.want, c.want == acme.DNS, c.words)
			if c.want != acme.DNS {
				namesAddress(t, result)
			}
		})
	}
}

// rawLab is a lab whose web server is a function of the connection.
func rawLab(t *testing.T, timeout time.Duration, serve func(net.Conn)) *lab {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { defer conn.Close(); serve(conn) })
		}
	})
	t.Cleanup(func() { _ = listener.Close(); serving.Wait() })
	port := listener.Addr().(*net.TCPAddr).Port
	return newLab(t, func(c *va.Config) { c.HTTPPort, c.TLSPort, c.Timeout = port, port, timeout })
}

// readRequest waits for the end of a request: closing before it would be a
// reset.
func readRequest(conn net.Conn) {
	var seen []byte
	buffer := make([]byte, 1024)
	for !strings.HasSuffix(string(seen), "\r\n\r\n") {
		n, err := conn.Read(buffer)
		seen = append(seen, buffer[:n]...)
		if err != nil {
			return
		}
	}
}

func say(text string) func(net.Conn) {
	return func(conn net.Conn) { readRequest(conn); _, _ = io.WriteString(conn, text) }
}

func TestHTTP01HostileServers(t *testing.T) {
	t.Parallel()
	drip := func(start, drop string) func(net.Conn) {
		return func(conn net.Conn) {
			readRequest(conn)
			_, err := io.WriteString(conn, start)
			for err == nil {
				_, err = io.WriteString(conn, drop)
				time.Sleep(5 * time.Millisecond) // a slow sender, not a wait
			}
		}
	}
	const short, long = 400 * time.Millisecond, 10 * time.Second
	for _, c := range []struct {
		name    string
		timeout time.Duration
		serve   func(net.Conn)
		want    acme.ProblemType
		mayHeal bool
		words   string
	}{
		{"plain", long, say("HTTP/1.1 200 OK\r\n\r\n" + keyAuth), valid, false, ""},
		{"HTTP/1.0", long, say("HTTP/1.0 200 OK\r\n\r\n" + keyAuth), valid, false, ""},
		{"chunked", long, say(fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(keyAuth), keyAuth)), valid, false, ""},
		{"bad chunk", long, say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), acme.IncorrectResponse, false, "no HTTP answer"},
		{"silent", short, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, acme.Connection, true, "no answer in time"},
		{"slow headers", short, drip("HTTP/1.1 200 OK\r\nX: ", "y"), acme.Connection, true, "no answer in time"},
		{"slow body", short, drip("HTTP/1.1 200 OK\r\n\r\n"+keyAuth, " "), acme.Connection, true, "no answer in time"},
		{"slow redirects", short, func(conn net.Conn) {
			readRequest(conn)
			time.Sleep(100 * time.Millisecond) // the time is that of the whole try
			_, _ = io.WriteString(conn, "HTTP/1.1 302 Found\r\nLocation: /"+rand.Text()+"\r\n\r\n")
		}, acme.Connection, true, "no answer in time"},
		{"closes", long, func(conn net.Conn) { readRequest(conn) }, acme.Connection, true, "ended early"},
		{"short body", long, say("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + keyAuth), acme.Connection, true, "ended early"},
		{"garbage", long, say("\x16\x03\x01 what is this\r\n\r\n"), acme.IncorrectResponse, false, "no HTTP answer"},
		{"huge headers", long, say("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 1<<20)), acme.IncorrectResponse, false, "headers of more than"},
		{"many headers", long, say("HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 1<<18)), acme.IncorrectResponse, false, "headers of more than"},
		{"endless chunk extensions", long, say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;"+strings.Repeat("x", 2000)+"\r\n \r\n", 1<<10)), acme.IncorrectResponse, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := rawLab(t, c.timeout, c.serve)
			result := l.validate(t, request(dnsName(t, "a.test"), acme.HTTP01))
			expect(t, result, c.want, c.mayHeal, c.words)
			namesAddress(t, result)
		})
	}
}

func TestHTTP01Addresses(t *testing.T) {
	t.Parallel()
	four, six := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	silent4, silent6 := netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("2001:db8::9")
	var mu sync.Mutex
	var dialled []string
	l := newLab(t, func(c *va.Config) {
		c.Timeout = 3 * time.Second
		c.Dial = func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
			mu.Lock()
			dialled = append(dialled, addr.Addr().String())
			mu.Unlock()
			var d net.Dialer
			switch addr.Addr() {
			case four:
				return d.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", addr.Port()))
			case silent4, silent6:
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return nil, fmt.Errorf("no route to %s", addr)
		}
	})
	l.SetHTTP01(token, keyAuth)
	l.SetAddresses("six.test", six)
	l.SetAddresses("both.test", four, six)
	l.SetAddresses("many.test", silent4, four)
	l.SetAddresses("silent6.test", four, silent6)
	l.SetAddresses("none.test")
	l.SetAddresses("bad6.test", four)
	l.SetFailure("bad6.test", mdns.TypeAAAA, responder.Failure{Rcode: mdns.RcodeServerFailure})
	l.SetAddresses("bad4.test", four)
	l.SetFailure("bad4.test", mdns.TypeA, responder.Failure{Rcode: mdns.RcodeServerFailure, ExtendedCode: 9, ExtendedError: "no DNSKEY"})
	for _, c := range []struct {
		name    string
		want    acme.ProblemType
		words   string
		dialled []string
	}{
		{"both.test", valid, "", []string{"2001:db8::1", "192.0.2.1"}},
		{"silent6.test", valid, "", []string{"2001:db8::9", "192.0.2.1"}},
		{"six.test", acme.Connection, "[2001:db8::1]:", []string{"2001:db8::1"}},
		{"many.test", acme.Connection, "192.0.2.9", []string{"192.0.2.9"}},
		{"bad6.test", valid, "", []string{"192.0.2.1"}},
		{"bad4.test", acme.DNS, "EDE 9 DNSKEY Missing: no DNSKEY", nil},
		{"none.test", acme.DNS, "no A and no AAAA record", nil},
		{"absent.example", acme.DNS, "NXDOMAIN", nil},
	} {
		mu.Lock()
		dialled = nil
		mu.Unlock()
		expect(t, l.validate(t, request(dnsName(t, c.name), acme.HTTP01)), c.want, c.want != valid, c.words)
		mu.Lock()
		if !slices.Equal(dialled, c.dialled) {
			t.Errorf("%s: dialled %v, want %v", c.name, dialled, c.dialled)
		}
		mu.Unlock()
	}
}

// TestPublicAddressesOnly: nothing is dialled that is not public, whether the
// name, a redirect or the identifier itself leads there.
func TestPublicAddressesOnly(t *testing.T) {
	t.Parallel()
	public := netip.MustParseAddr("8.8.8.8")
	l := newLab(t, func(c *va.Config) {
		c.AllowPrivateAddresses = false
		c.Dial = func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
			if addr.Addr() != public {
				t.Errorf("dialled %s", addr)
			}
			var d net.Dialer
			return d.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", addr.Port()))
		}
	})
	l.SetHTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://private.test/", http.StatusFound)
	}))
	l.SetAddresses("public.test", public)
	l.SetAddresses("fallback.test", netip.MustParseAddr("::1"), public)
	l.SetAddresses("private.test", netip.MustParseAddr("10.0.0.1"))
	l.SetAddresses("mapped.test", netip.MustParseAddr("::ffff:10.0.0.1"))
	for _, c := range []struct {
		id    acme.Identifier
		kind  acme.ChallengeType
		words string
	}{
		{dnsName(t, "private.test"), acme.HTTP01, "10.0.0.1 is private"},
		{dnsName(t, "private.test"), acme.TLSALPN01, "10.0.0.1 is private"},
		{dnsName(t, "mapped.test"), acme.HTTP01, "10.0.0.1 is private"},
		{dnsName(t, "plain.test"), acme.HTTP01, "127.0.0.1 is loopback"},
		{dnsName(t, "public.test"), acme.HTTP01, `to "http://private.test/": the address 10.0.0.1 is private`},
		{dnsName(t, "fallback.test"), acme.HTTP01, `to "http://private.test/": the address 10.0.0.1 is private`},
		{acme.IdentifierFromIP(netip.MustParseAddr("127.0.0.1")), acme.HTTP01, "127.0.0.1 is loopback"},
		{acme.IdentifierFromIP(netip.MustParseAddr("fe80::1")), acme.TLSALPN01, "fe80::1 is link-local"},
	} {
		expect(t, l.validate(t, request(c.id, c.kind)), acme.Connection, false, c.words)
	}
}

// TestRebinding: a name whose address changes between look-ups is dialled at
// the address that was checked, at each hop, and nowhere else.
func TestRebinding(t *testing.T) {
	t.Parallel()
	public := netip.MustParseAddr("8.8.8.8")
	var mu sync.Mutex
	var dialled []string
	l := newLab(t, func(c *va.Config) {
		c.AllowPrivateAddresses = false
		c.Dial = func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
			mu.Lock()
			dialled = append(dialled, addr.Addr().String())
			mu.Unlock()
			var d net.Dialer
			return d.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", addr.Port()))
		}
	})
	l.SetHTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/again", http.StatusFound) // the same name, looked up anew
	}))
	l.SetAddresses("rebinds.test", public)
	var asked atomic.Int32
	l.SetFailure("rebinds.test", mdns.TypeA, responder.Failure{Answer: func(m *mdns.Msg, _ bool) *mdns.Msg {
		if asked.Add(1) > 1 {
			for _, rr := range m.Answer {
				rr.(*mdns.A).A = net.IPv4(169, 254, 169, 254).To4()
			}
		}
		return m
	}})
	result := l.validate(t, request(dnsName(t, "rebinds.test"), acme.HTTP01))
	expect(t, result, acme.Connection, false, "169.254.169.254 is link-local")
	if !slices.Equal(dialled, []string{public.String()}) || asked.Load() != 2 {
		t.Errorf("dialled %v after %d look-ups", dialled, asked.Load())
	}
}

// BenchmarkHTTP01 is a whole validation: addresses, CAA of a name with three
// labels, and the request. The figure counts both ends: the responder runs in
// this process.
func BenchmarkHTTP01(b *testing.B) {
	l := newLab(b)
	l.SetHTTP01(token, keyAuth)
	req := request(dnsName(b, "www.example.test"), acme.HTTP01)
	b.ReportAllocs()
	for b.Loop() {
		if result, err := l.Validate(b.Context(), req); err != nil || result.Problem != nil {
			b.Fatal(err, result.Problem)
		}
	}
}
