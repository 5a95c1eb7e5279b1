package resolver_test

import (
	"testing"

	"github.com/cairn-ca/cairn/internal/resolver"
)

func TestParse(t *testing.T) {
	t.Parallel()
	type endpoint = resolver.Endpoint
	for s, want := range map[string]endpoint{
		"127.0.0.1":                    {Transport: resolver.Plain, Host: "127.0.0.1", Port: 53},
		"127.0.0.1:8053":               {Transport: resolver.Plain, Host: "127.0.0.1", Port: 8053},
		"::1":                          {Transport: resolver.Plain, Host: "::1", Port: 53},
		"[::1]":                        {Transport: resolver.Plain, Host: "::1", Port: 53},
		"[::1]:53":                     {Transport: resolver.Plain, Host: "::1", Port: 53},
		"tcp://192.0.2.1":              {Transport: resolver.TCP, Host: "192.0.2.1", Port: 53},
		"tcp://[2001:db8::1]:5353":     {Transport: resolver.TCP, Host: "2001:db8::1", Port: 5353},
		"tls://dns.example":            {Transport: resolver.TLS, Host: "dns.example", Port: 853, ServerName: "dns.example"},
		"tls://dns.example:8853":       {Transport: resolver.TLS, Host: "dns.example", Port: 8853, ServerName: "dns.example"},
		"tls://192.0.2.1":              {Transport: resolver.TLS, Host: "192.0.2.1", Port: 853, ServerName: "192.0.2.1"},
		"tls://[2001:db8::1]#dns.test": {Transport: resolver.TLS, Host: "2001:db8::1", Port: 853, ServerName: "dns.test"},
		"https://dns.example/dns-query": {
			Transport: resolver.HTTPS, Host: "dns.example", Port: 443, ServerName: "dns.example", Path: "/dns-query"},
		"https://192.0.2.1:8443/a/b#dns.test": {
			Transport: resolver.HTTPS, Host: "192.0.2.1", Port: 8443, ServerName: "dns.test", Path: "/a/b"},
	} {
		got, err := resolver.Parse(s)
		if err != nil || got != want {
			t.Errorf("%q: got %+v, %v; want %+v", s, got, err, want)
			continue
		}
		if again, err := resolver.Parse(got.String()); err != nil || again != got {
			t.Errorf("%q is written as %q, which is read as %+v, %v", s, got, again, err)
		}
	}
	for _, s := range []string{
		"", "localhost", "localhost:53", "dns.example", "127.0.0.1:0", "127.0.0.1:70000", "127.0.0.1:dns", "[127.0.0.1", "127.0.0.1:53:53",
		"tcp://dns.example", "tcp://", "udp://127.0.0.1", "http://dns.example/dns-query", "quic://192.0.2.1",
		"tls://", "tls://dns.example:0", "tls://dns.example:", "tls://dns.example:70000", "tls://dns.example/path", "tls://-x.example",
		"tls://user@dns.example", "tls://dns.example?x", "tls://dns.example#other.example", "tls://192.0.2.1#not a name",
		"https://dns.example", "https://dns.example/", "https://dns.example/dns-query?x=1", "https:///dns-query",
	} {
		if e, err := resolver.Parse(s); err == nil {
			t.Errorf("%q is read as %+v", s, e)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"127.0.0.1:8053", "[::1]", "tcp://192.0.2.1", "tls://192.0.2.1:853#dns.example", "https://dns.example/dns-query", "https://[::1]:1/%2f#a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := resolver.Parse(s)
		if err != nil {
			return
		}
		if again, err := resolver.Parse(e.String()); err != nil || again != e {
			t.Errorf("%q is read as %+v and written as %q, which is read as %+v, %v", s, e, e, again, err)
		}
	})
}
