package dns

import (
	"testing"

	"github.com/miekg/dns"
)

// localhost needs no DNS, and names below it do.
func TestLocalhost(t *testing.T) {
	t.Parallel()
	// Nobody answers there.
	r, err := New(Config{Upstreams: []string{"127.0.0.1:1"}, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		qtype   uint16
		outcome Outcome
		addr    string
	}{
		{"localhost", dns.TypeA, Found, "127.0.0.1"},
		{"LocalHost.", dns.TypeAAAA, Found, "::1"},
		{"localhost", dns.TypeCAA, NoData, ""},
		{"localhost", dns.TypeTXT, NoData, ""},
		{"www.localhost", dns.TypeA, Network, ""},
		{"localhost.example", dns.TypeA, Network, ""},
	} {
		a := r.Lookup(t.Context(), Question{test.name, test.qtype})[0]
		var addr string
		if addrs := a.Addrs(); len(addrs) == 1 {
			addr = addrs[0].String()
		}
		if a.Outcome != test.outcome || addr != test.addr || a.Question.Name != test.name {
			t.Errorf("%s %s: %s %q of %v", test.name, dns.TypeToString[test.qtype], a.Outcome, addr, a.Question)
		}
	}
}
