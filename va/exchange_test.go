package va

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

func testVA() *VA {
	return &VA{Config: Config{HTTPPort: DefaultHTTPPort, TLSPort: DefaultTLSPort, UserAgent: DefaultUserAgent}}
}

func testTry(tb testing.TB, name string) *try {
	tb.Helper()
	id, err := acme.ParseIdentifier(acme.IdentifierDNS, name)
	if err != nil {
		tb.Fatal(err)
	}
	token, _, _ := strings.Cut(testKeyAuthorization, ".")
	return &try{Request: Request{Identifier: id, Type: acme.HTTP01, Token: token}, keyAuthorization: testKeyAuthorization}
}

// FuzzHTTPExchange has a web server answer whatever bytes: the exchange comes
// to an end, what it says is bounded and printable, and control is proven by
// the key authorization alone.
func FuzzHTTPExchange(f *testing.F) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\n\r\n" + testKeyAuthorization,
		"HTTP/1.0 200 OK\r\nContent-Length: 87\r\n\r\n" + testKeyAuthorization + "\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n57\r\n" + testKeyAuthorization + "\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\nffffffffffffffff\r\n",
		"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n" + testKeyAuthorization,
		"HTTP/1.1 100 Continue\r\n\r\n" + strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 10),
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n" + testKeyAuthorization,
		"HTTP/1.1 204 No Content\r\n\r\n" + testKeyAuthorization,
		"HTTP/1.1 301 Moved\r\nLocation: https://b.test/x?y\r\n\r\n",
		"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nLocation: /\r\n\r\n",
		"HTTP/1.1 404 Not Found\r\nContent-Length: -1\r\n\r\n\x00\xff\x1b[2J",
		"HTTP/1.1 999\r\nX: " + strings.Repeat("y", 100) + "\r\n\r\n",
		"HTTP/9.9 200 OK\r\n\r\n", "ICY 200 OK\r\n\r\n", "\x16\x03\x01\x00\x05hello", "<html>", "",
	} {
		f.Add([]byte(answer))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		v := testVA()
		ours, theirs := net.Pipe()
		served := make(chan []byte, 1)
		go func() {
			defer theirs.Close()
			request := readRequestOf(theirs)
			_, _ = theirs.Write(answer) // it ends when the client closes
			served <- request
		}()
		v.Dial = func(context.Context, netip.AddrPort) (net.Conn, error) { return ours, nil }
		v.AllowPrivateAddresses = true
		v.addresses = addressSlots{limit: 1, held: map[netip.Addr]*addressSlot{}}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		tr := testTry(t, "a.test")
		at := http01{v}.firstHop(tr)
		at.target = target{addr: netip.MustParseAddr("127.0.0.1"), port: 80}
		next, fail := http01{v}.visit(ctx, tr, at)
		_ = ours.Close()
		request := <-served

		if want := "GET /.well-known/acme-challenge/" + tr.Token + " HTTP/1.1\r\nHost: a.test\r\n"; !strings.HasPrefix(string(request), want) {
			t.Errorf("the request is %q", request)
		}
		if len(v.addresses.held) != 0 {
			t.Error("the place is still held")
		}
		switch {
		case ctx.Err() != nil:
			t.Error("the exchange did not end by itself")
		case fail != nil:
			if d := fail.problem.Detail; len(d) > 4000 || strings.ContainsFunc(d, unprintable) || !strings.Contains(d, "127.0.0.1:80") {
				t.Errorf("the detail %q", d)
			}
			switch fail.problem.Type {
			case acme.Connection, acme.Unauthorized, acme.IncorrectResponse:
			default:
				t.Errorf("a problem of type %s", fail.problem.Type)
			}
		case next == nil && !bytes.Contains(answer, []byte(testKeyAuthorization)) && !bytes.Contains(bytes.ToLower(answer), []byte("chunked")):
			// Chunks may cut the key authorization in pieces.
			t.Errorf("believed: %q", answer)
		}
		for _, step := range tr.steps {
			if len(step) > 4000 || strings.ContainsFunc(step, unprintable) {
				t.Errorf("the step %q", step)
			}
		}
	})
}

func unprintable(r rune) bool { return r < ' ' || r > '~' }

func readRequestOf(conn net.Conn) (request []byte) {
	buffer := make([]byte, 512)
	for !bytes.HasSuffix(request, []byte("\r\n\r\n")) {
		n, err := conn.Read(buffer)
		request = append(request, buffer[:n]...)
		if err != nil {
			return request
		}
	}
	return request
}

// FuzzRedirect follows Location headers nobody should send: where one leads,
// the request that is made there says nothing else.
func FuzzRedirect(f *testing.F) {
	for _, location := range []string{
		"/x", "//b.test/x", "https://b.test:443/x?y#z", "http://b.test.", "?q", "#f", "", "..//..", "http:b.test", "http:///x",
		"http://user:pass@b.test/", "http://b.test@127.0.0.1/", "http://127.0.0.1/", "http://[::1]/", "http://[fe80::1%25eth0]/",
		"http://2130706433/", "http://0x7f.1/", "http://127.1/", "http://b.test:22/", "http://b.test:0/", "http://b.test:/", "http://b.test:99999/",
		"ftp://b.test/", "file:///etc/passwd", "javascript:alert(1)", "http://b\u00fccher.test/", "http://*.test/", "http://b.test/a b", "http://b.test/\r\nX: y",
		"http://b.test\\@c.test/", "http://b.test%2f@c.test/", "http://%62.test/", "HTTP://B.TEST/", "\thttp://b.test/", "http://b.test/%0d%0aX:y",
	} {
		f.Add(location)
	}
	f.Fuzz(func(t *testing.T, location string) {
		m := http01{testVA()}
		from := m.firstHop(testTry(t, "a.test"))
		next, reason := m.redirect(from, []string{location})
		if reason != "" {
			return
		}
		u := next.url
		if u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
			t.Errorf("%q leads to %+v", location, u)
		}
		if next.target.port != 80 && next.target.port != 443 {
			t.Errorf("%q leads to port %d", location, next.target.port)
		}
		if next.target.addr.IsValid() {
			t.Errorf("%q leads to the address %s", location, next.target.addr)
		}
		if _, err := acme.ParseIdentifier(acme.IdentifierDNS, next.target.host); err != nil {
			t.Errorf("%q leads to the host %q", location, next.target.host)
		}
		if got := strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")); got != next.target.host {
			t.Errorf("%q connects to %q and says %q", location, next.target.host, got)
		}
		// The request line and the Host header hold what they should, and no
		// line of the redirect's making.
		for _, part := range []string{u.RequestURI(), u.Host} {
			if strings.ContainsFunc(part, func(r rune) bool { return r <= ' ' || r > '~' }) {
				t.Errorf("%q puts %q into the request", location, part)
			}
		}
		if !strings.HasPrefix(u.RequestURI(), "/") {
			t.Errorf("%q asks for %q", location, u.RequestURI())
		}
		if again, err := url.Parse(u.String()); err != nil || again.Host != u.Host {
			t.Errorf("%q leads to %s, which is read as %v, %v", location, u, again, err)
		}
	})
}

// A redirect of an address leads to names and to itself.
func TestRedirectOfAnAddress(t *testing.T) {
	t.Parallel()
	m := http01{testVA()}
	for _, c := range []struct {
		from, location string
		ok             bool
	}{
		{"192.0.2.1", "https://192.0.2.1/x", true},
		{"192.0.2.1", "/x", true},
		{"192.0.2.1", "http://b.test/", true},
		{"192.0.2.1", "http://192.0.2.2/", false},
		{"192.0.2.1", "http://[::ffff:192.0.2.1]/", false},
		{"192.0.2.1", "http://3221225985/", false},
		{"2001:db8::1", "https://[2001:db8::1]/", true},
		{"2001:db8::1", "https://[2001:DB8:0::1]/", true},
		{"2001:db8::1", "https://[2001:db8::1%25eth0]/", false},
		{"2001:db8::1", "https://[2001:db8::2]/", false},
	} {
		tr := &try{Request: Request{Identifier: acme.IdentifierFromIP(netip.MustParseAddr(c.from)), Token: "t"}}
		next, reason := m.redirect(m.firstHop(tr), []string{c.location})
		if (reason == "") != c.ok {
			t.Errorf("%s to %s: %+v, %q", c.from, c.location, next, reason)
		}
	}
}
