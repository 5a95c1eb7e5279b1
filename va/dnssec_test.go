package va_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/responder"
	"github.com/cairn-ca/cairn/va"
	"github.com/cairn-ca/cairn/va/dns"
)

// TestRequireDNSSEC: where a directory requires it, neither a challenge nor
// CAA is looked up at a resolver that has not proven to validate.
func TestRequireDNSSEC(t *testing.T) {
	t.Parallel()
	for _, proves := range []bool{false, true} {
		l := newLab(t, func(c *va.Config) {
			c.DirectoryRequireDNSSEC = map[string]bool{"lax": false, "strict": true}
			c.RequireDNSSEC = true // for directories that are not named
			c.DNSSECProbe = &dns.Probe{Secure: []string{"secure.test"}, Bogus: []string{"bogus.test"}, Interval: time.Hour}
		})
		l.SetFailure("bogus.test", mdns.TypeSOA, responder.Failure{Answer: func(m *mdns.Msg, _ bool) *mdns.Msg {
			if proves && !m.CheckingDisabled {
				m.Rcode = mdns.RcodeServerFailure
			}
			return m
		}})
		l.SetFailure("secure.test", mdns.TypeSOA, responder.Failure{Answer: func(m *mdns.Msg, _ bool) *mdns.Msg {
			m.AuthenticatedData = proves
			return m
		}})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		l.SetHTTP01(token, keyAuth)
		l.SetTXT("_acme-challenge.a.test", digest)
		l.SetTLSALPN01("a.test", keyAuth)

		for _, directory := range []string{"strict", "other", "lax"} {
			refuses := directory != "lax" && !proves
			for _, kind := range []acme.ChallengeType{acme.HTTP01, acme.DNS01, acme.TLSALPN01} {
				req := request(dnsName(t, "a.test"), kind)
				req.Directory = directory
				result := l.validate(t, req)
				if refuses {
					expect(t, result, acme.DNS, true, "has proven that it validates with DNSSEC", "it gave an answer for bogus.test")
				} else {
					expect(t, result, valid, false)
				}
				for _, step := range result.Evidence.Steps {
					if said := strings.HasSuffix(step, " [insecure]"); said != proves && strings.Contains(step, l.DNSAddr()) && !refuses {
						t.Errorf("%s: the step %q", directory, step)
					}
				}
			}
			caa, err := l.CheckCAA(t.Context(), va.CAARequest{Directory: directory, Identifier: dnsName(t, "a.test"), Method: acme.HTTP01, AccountURL: account})
			if err != nil {
				t.Fatal(err)
			}
			if (caa.Problem != nil) != refuses || refuses && (caa.Problem.Type != acme.DNS || !caa.MayHeal) {
				t.Errorf("%s: CAA: %+v", directory, caa.Problem)
			}
			// No look-up, no DNSSEC.
			req := request(acme.IdentifierFromIP(netip.MustParseAddr("127.0.0.1")), acme.HTTP01)
			req.Directory = directory
			expect(t, l.validate(t, req), valid, false)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
