package dns

import (
	"strings"

	"github.com/miekg/dns"
)

// onion answers for names below .onion: they are not in the DNS, and asking
// for them would tell strangers who visits which onion service (RFC 7686 §2).
// It tells whether the question is such a one.
func onion(question Question) (Answer, bool) {
	name := strings.ToLower(dns.Fqdn(question.Name))
	if name != "onion." && !strings.HasSuffix(name, ".onion.") {
		return Answer{}, false
	}
	return Answer{Outcome: NXDomain, Upstream: "RFC 7686"}, true
}
