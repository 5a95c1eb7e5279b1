package va_test

import (
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/responder"
)

func TestDNS01(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	const label = "_acme-challenge."
	l.SetTXT(label+"wrong.test", "one", "tw\"o\x00", "three", "four", strings.Repeat("x", 1000))
	l.SetTXT(label+"keyauth.test", keyAuth)
	l.SetTXT(label+"space.test", digest+" ")
	l.SetTXT(label+"padded.test", digest+"=")
	l.SetTXT("misplaced.test", digest)
	l.SetRecords(label+"split.test", mdns.TypeTXT, &mdns.TXT{
		Hdr: mdns.RR_Header{Rrtype: mdns.TypeTXT, Class: mdns.ClassINET}, Txt: []string{digest[:20], digest[20:]},
	})
	l.SetFailure(label+"bogus.test", mdns.TypeTXT, responder.Failure{Rcode: mdns.RcodeServerFailure, ExtendedCode: 7, ExtendedError: "expired"})
	for _, c := range []struct {
		name    string
		want    acme.ProblemType
		mayHeal bool
		words   string
	}{
		{"split.test", valid, false, ""},
		{"wrong.test", acme.Unauthorized, false, `found "one", "tw\"o\x00", "three" and 2 more; one must be ` + digest},
		{"keyauth.test", acme.Unauthorized, false, keyAuth},
		{"space.test", acme.Unauthorized, false, digest},
		{"padded.test", acme.Unauthorized, false, digest},
		{"misplaced.test", acme.DNS, true, "there are no TXT records of _acme-challenge.misplaced.test; create one with the value " + digest},
		{"absent.example", acme.DNS, true, "NXDOMAIN"},
		{"bogus.test", acme.DNS, true, "EDE 7 Signature Expired: expired"},
	} {
		expect(t, l.validate(t, request(dnsName(t, c.name), acme.DNS01)), c.want, c.mayHeal, c.words)
	}
}
