package dns

import (
	"net"
	"strings"

	"github.com/miekg/dns"
)

// localhost answers for the name localhost what RFC 6761 §6.3 wants answered
// without asking the DNS: many recursive resolvers say that it does not exist.
// It tells whether the question is such a one.
func localhost(question Question) (Answer, bool) {
	if !strings.EqualFold(dns.Fqdn(question.Name), "localhost.") {
		return Answer{}, false
	}
	header := dns.RR_Header{Name: "localhost.", Rrtype: question.Type, Class: dns.ClassINET}
	a := Answer{Outcome: Found, Upstream: "RFC 6761"}
	switch question.Type {
	case dns.TypeA:
		a.Records = []dns.RR{&dns.A{Hdr: header, A: net.IPv4(127, 0, 0, 1)}}
	case dns.TypeAAAA:
		a.Records = []dns.RR{&dns.AAAA{Hdr: header, AAAA: net.IPv6loopback}}
	default:
		a.Outcome = NoData
	}
	return a, true
}
