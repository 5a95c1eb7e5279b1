package dns

import (
	"testing"

	"github.com/miekg/dns"
)

// Names below .onion are not there, and nobody is asked (RFC 7686 §2).
func TestOnionAsksNobody(t *testing.T) {
	t.Parallel()
	// Nobody answers there.
	r, err := New(Config{Upstreams: []string{"127.0.0.1:1"}, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]Outcome{
		"onion": NXDomain, "a.onion": NXDomain, "_acme-challenge.B.a.Onion.": NXDomain,
		"onion.example": Network, "aonion": Network,
	} {
		for _, qtype := range []uint16{dns.TypeA, dns.TypeTXT, dns.TypeCAA} {
			if a := r.Lookup(t.Context(), Question{name, qtype})[0]; a.Outcome != want {
				t.Errorf("%s %s: %s, want %s", name, dns.TypeToString[qtype], a.Outcome, want)
			}
		}
	}
}
