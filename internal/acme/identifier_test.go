package acme

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestParseIdentifier(t *testing.T) {
	t.Parallel()
	label63 := strings.Repeat("a", 63)
	name253 := strings.Join([]string{label63, label63, label63, strings.Repeat("a", 61)}, ".")
	tests := []struct {
		kind     IdentifierType
		in, want string
		problem  ProblemType
	}{
		{IdentifierDNS, "example.com", "example.com", ""},
		{IdentifierDNS, "EXAMPLE.Com", "example.com", ""},
		{IdentifierDNS, "*.Example.com", "*.example.com", ""},
		{IdentifierDNS, "localhost", "localhost", ""},
		{IdentifierDNS, "a.b.c.d.e", "a.b.c.d.e", ""},
		{IdentifierDNS, "1.example.com", "1.example.com", ""},
		{IdentifierDNS, "a1-b.example.com", "a1-b.example.com", ""},
		{IdentifierDNS, "xn--bcher-kva.example", "xn--bcher-kva.example", ""},
		{IdentifierDNS, name253, name253, ""},
		{IdentifierDNS, name253 + "a", "", Malformed},
		{IdentifierDNS, label63 + "a.example", "", Malformed},
		{IdentifierDNS, "", "", Malformed},
		{IdentifierDNS, ".", "", Malformed},
		{IdentifierDNS, "*", "", Malformed},
		{IdentifierDNS, "*.", "", Malformed},
		{IdentifierDNS, "example.com.", "", Malformed},
		{IdentifierDNS, ".example.com", "", Malformed},
		{IdentifierDNS, "example..com", "", Malformed},
		{IdentifierDNS, "-a.example", "", Malformed},
		{IdentifierDNS, "a-.example", "", Malformed},
		{IdentifierDNS, "a_b.example", "", Malformed},
		{IdentifierDNS, "a b.example", "", Malformed},
		{IdentifierDNS, "a\x00.example", "", Malformed},
		{IdentifierDNS, "*.*.example", "", Malformed},
		{IdentifierDNS, "www.*.example", "", Malformed},
		{IdentifierDNS, "w*.example", "", Malformed},
		{IdentifierDNS, "bücher.example", "", Malformed},
		{IdentifierDNS, "\u212aelvin.example", "", Malformed}, // the Kelvin sign lowers to k
		{IdentifierDNS, "ab--cd.example", "", Malformed},
		{IdentifierDNS, "xn--a.example", "", Malformed},
		{IdentifierDNS, "xn--.example", "", Malformed},
		{IdentifierDNS, "xn--wgv71a119e-.example", "", Malformed},
		{IdentifierDNS, "xn--ls8h.example", "", Malformed},                          // an emoji: not IDNA2008
		{IdentifierDNS, "xn--fa-hia.example", "xn--fa-hia.example", ""},             // faß
		{IdentifierDNS, "xn--wgv71a119e.example", "xn--wgv71a119e.example", ""},     // 日本語
		{IdentifierDNS, "xn--parallel-koa.example", "xn--parallel-koa.example", ""}, // paral·lel, RFC 5892 A.3
		{IdentifierDNS, "xn--ab-0ea.example", "", Malformed},                        // a·b
		{IdentifierDNS, "xn--lckxb3k.example", "xn--lckxb3k.example", ""},           // カ・タ, A.7
		{IdentifierDNS, "xn--ab-3n4a.example", "", Malformed},                       // a・b
		{IdentifierDNS, "xn--4db4e.example", "xn--4db4e.example", ""},               // א׳, A.5
		{IdentifierDNS, "xn--a-0jc.example", "", Malformed},                         // a׳
		{IdentifierDNS, "xn--n3h.example", "", Malformed},                           // a snowman
		{IdentifierDNS, "192.0.2.1", "", Malformed},
		{IdentifierDNS, "*.192.0.2.1", "", Malformed},
		{IdentifierDNS, "2001:db8::1", "", Malformed},
		{IdentifierDNS, "example.123", "", Malformed},
		{IdentifierDNS, "user@example.com", "", Malformed},
		{IdentifierDNS, "example.com:443", "", Malformed},
		{IdentifierDNS, "https://example.com", "", Malformed},

		{IdentifierIP, "192.0.2.1", "192.0.2.1", ""},
		{IdentifierIP, "2001:db8::1", "2001:db8::1", ""},
		{IdentifierIP, "2001:DB8::1", "", Malformed},
		{IdentifierIP, "2001:db8:0:0:0:0:0:1", "", Malformed},
		{IdentifierIP, "::ffff:192.0.2.1", "", Malformed},
		{IdentifierIP, "fe80::1%eth0", "", Malformed},
		{IdentifierIP, "192.0.2.01", "", Malformed},
		{IdentifierIP, "192.0.2", "", Malformed},
		{IdentifierIP, "[2001:db8::1]", "", Malformed},
		{IdentifierIP, "", "", Malformed},

		{IdentifierPermanentIdentifier, "C02XYZ", "C02XYZ", ""},
		{IdentifierPermanentIdentifier, "", "", Malformed},

		{"email", "a@example.com", "", UnsupportedIdentifier},
		{"", "example.com", "", Malformed},
	}
	for _, test := range tests {
		got, err := ParseIdentifier(test.kind, test.in)
		var p *Problem
		switch {
		case test.problem == "" && (err != nil || got.Value() != test.want || got.Type() != test.kind):
			t.Errorf("ParseIdentifier(%s, %q) = %s, %v; want %q", test.kind, test.in, got, err, test.want)
		case test.problem != "" && (!errors.As(err, &p) || p.Type != test.problem || !got.IsZero()):
			t.Errorf("ParseIdentifier(%s, %q) = %s, %v; want %s", test.kind, test.in, got, err, test.problem)
		}
	}
}

func TestWildcardAndBase(t *testing.T) {
	t.Parallel()
	name, err := ParseIdentifier(IdentifierDNS, "example.com")
	if err != nil {
		t.Fatal(err)
	}
	wild, err := ParseIdentifier(IdentifierDNS, "*.example.com")
	if err != nil {
		t.Fatal(err)
	}
	if name.Wildcard() != wild || wild.Base() != name || wild.Wildcard() != wild || name.Base() != name {
		t.Errorf("%s and %s are not each other's wildcard and base", name, wild)
	}
	if name.IsWildcard() || !wild.IsWildcard() {
		t.Errorf("IsWildcard is wrong")
	}
	address := IdentifierFromIP(netip.MustParseAddr("::ffff:192.0.2.1"))
	if address.Value() != "192.0.2.1" || address.Wildcard() != address || address.Base() != address {
		t.Errorf("address: %s", address)
	}
}

func TestUniqueIdentifiers(t *testing.T) {
	t.Parallel()
	parse := func(kind IdentifierType, value string) Identifier {
		id, err := ParseIdentifier(kind, value)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	in := []Identifier{parse(IdentifierIP, "192.0.2.1"), parse(IdentifierDNS, "b.example"), parse(IdentifierDNS, "A.example"), parse(IdentifierDNS, "a.example")}
	got := UniqueIdentifiers(in)
	if len(got) != 3 || got[0].Value() != "a.example" || got[1].Value() != "b.example" || got[2].Value() != "192.0.2.1" {
		t.Errorf("got %v", got)
	}
	if in[0].Type() != IdentifierIP {
		t.Errorf("the argument was reordered")
	}
}

// Whatever is accepted is canonical: parsing it again changes nothing.
func FuzzParseIdentifier(f *testing.F) {
	for _, seed := range []string{"example.com", "*.example.com", "xn--bcher-kva.example", "192.0.2.1", "2001:db8::1", "a..b", "xn--", "É.example"} {
		f.Add("dns", seed)
		f.Add("ip", seed)
	}
	f.Fuzz(func(t *testing.T, kind, value string) {
		id, err := ParseIdentifier(IdentifierType(kind), value)
		if err != nil {
			var p *Problem
			if !errors.As(err, &p) {
				t.Errorf("an error that is no problem: %v", err)
			}
			return
		}
		again, err := ParseIdentifier(id.Type(), id.Value())
		if err != nil || again != id {
			t.Errorf("%q became %s, and that %s (%v)", value, id, again, err)
		}
		if len(id.Value()) > 256 || strings.ContainsAny(id.Value(), "\x00 \n") {
			t.Errorf("accepted %q", id.Value())
		}
	})
}
