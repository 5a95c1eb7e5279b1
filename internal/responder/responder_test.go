package responder_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/responder"
)

func start(t *testing.T) *responder.Responder {
	t.Helper()
	r, err := responder.Start(t.Context(), responder.Config{Suffixes: []string{"test"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func ask(t *testing.T, r *responder.Responder, network, name string, qtype uint16) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), qtype)
	m.SetEdns0(1232, false)
	answer, _, err := (&dns.Client{Net: network}).Exchange(m, r.DNSAddr())
	if err != nil {
		t.Fatalf("%s %s: %v", name, dns.TypeToString[qtype], err)
	}
	return answer
}

func TestDNS(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.SetTXT("_acme-challenge.a.test", "one", strings.Repeat("x", 300))
	r.AddTXT("_acme-challenge.a.test", "two")
	r.SetCNAME("alias.test", "a.test")
	r.SetAddresses("six.test", netip.MustParseAddr("::1"))
	r.SetAddresses("none.test")
	if err := r.SetCAA("a.test", `0 issue "ca.example; accounturi=https://x"`, `128 tbs ""`); err != nil {
		t.Fatal(err)
	}
	r.SetFailure("broken.test", dns.TypeANY, responder.Failure{Rcode: dns.RcodeServerFailure, ExtendedError: "why", ExtendedCode: 6})
	r.SetFailure("long.test", dns.TypeA, responder.Failure{Truncated: true})

	cases := []struct {
		name    string
		qtype   uint16
		rcode   int
		answers []string
	}{
		{"any.test", dns.TypeA, 0, []string{"A 127.0.0.1"}},
		{"AnY.TesT", dns.TypeA, 0, []string{"A 127.0.0.1"}},
		{"any.test", dns.TypeAAAA, 0, nil},
		{"any.other", dns.TypeA, dns.RcodeNameError, nil},
		{"nottest", dns.TypeA, dns.RcodeNameError, nil},
		{"six.test", dns.TypeAAAA, 0, []string{"AAAA ::1"}},
		{"six.test", dns.TypeA, 0, nil},
		{"none.test", dns.TypeA, 0, nil},
		{"alias.test", dns.TypeA, 0, []string{"CNAME a.test.", "A 127.0.0.1"}},
		{"a.test", dns.TypeCAA, 0, []string{`CAA 0 issue "ca.example; accounturi=https://x"`, `CAA 128 tbs ""`}},
		{"_acme-challenge.a.test", dns.TypeTXT, 0, []string{`TXT "one"`,
			fmt.Sprintf("TXT %q %q", strings.Repeat("x", 255), strings.Repeat("x", 45)), `TXT "two"`}},
		{"broken.test", dns.TypeA, dns.RcodeServerFailure, nil},
		{"long.test", dns.TypeA, 0, []string{"A 127.0.0.1"}},
	}
	for _, network := range []string{"udp", "tcp"} {
		for _, c := range cases {
			m := ask(t, r, network, c.name, c.qtype)
			var got []string
			for _, rr := range m.Answer {
				got = append(got, dns.TypeToString[rr.Header().Rrtype]+" "+strings.TrimPrefix(rr.String(), rr.Header().String()))
			}
			if c.name == "long.test" && network == "udp" {
				if !m.Truncated || len(got) != 0 {
					t.Errorf("long.test over UDP is not truncated")
				}
				continue
			}
			if m.Rcode != c.rcode || !slices.Equal(got, c.answers) {
				t.Errorf("%s %s %s: %s %q, want %s %q", network, c.name, dns.TypeToString[c.qtype],
					dns.RcodeToString[m.Rcode], got, dns.RcodeToString[c.rcode], c.answers)
			}
		}
	}
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.SetHTTP01("token", "token.thumbprint")
	get := func(path string) string {
		t.Helper()
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", r.HTTPPort(), path))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%d %s", resp.StatusCode, body)
	}
	const path = "/.well-known/acme-challenge/token"
	if got, want := get(path), "200 token.thumbprint"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	r.ClearHTTP01("token")
	if got := get(path); !strings.HasPrefix(got, "404") {
		t.Errorf("a cleared token is answered with %q", got)
	}
	r.SetHTTPHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	if got, want := get(path), "418 "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.SetTLSALPN01("a.test", "token.thumbprint")
	r.SetTLSALPN01("127.0.0.1", "token.thumbprint")
	dial := func(sni, protocol string) (tls.ConnectionState, error) {
		conn, err := tls.Dial("tcp", net.JoinHostPort("127.0.0.1", fmt.Sprint(r.TLSPort())),
			&tls.Config{ServerName: sni, NextProtos: []string{protocol}, InsecureSkipVerify: true})
		if err != nil {
			return tls.ConnectionState{}, err
		}
		defer conn.Close()
		return conn.ConnectionState(), nil
	}
	for sni, san := range map[string]string{"A.test": "a.test", "1.0.0.127.in-addr.arpa": "127.0.0.1"} {
		state, err := dial(sni, "acme-tls/1")
		if err != nil {
			t.Fatalf("%s: %v", sni, err)
		}
		leaf := state.PeerCertificates[0]
		if err := leaf.VerifyHostname(san); err != nil || state.NegotiatedProtocol != "acme-tls/1" {
			t.Errorf("%s: %v, protocol %q", sni, err, state.NegotiatedProtocol)
		}
	}
	if _, err := dial("b.test", "acme-tls/1"); err == nil {
		t.Errorf("an unknown name got a certificate")
	}
	if state, err := dial("b.test", "http/1.1"); err != nil || state.NegotiatedProtocol != "http/1.1" {
		t.Errorf("HTTPS: %v, protocol %q", err, state.NegotiatedProtocol)
	}
}
