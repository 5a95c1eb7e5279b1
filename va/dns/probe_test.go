package dns_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-ca/cairn/internal/responder"
	"github.com/cairn-ca/cairn/va/dns"
)

// validator is a server that behaves as a resolver that validates: it vouches
// for all names but those below insecure.test, and refuses bogus.test.
type validator struct {
	*server
	bogus, vouches, answersCD atomic.Bool
	probed                    chan struct{} // gets one for each query for secure.test
}

func startValidator(t *testing.T) *validator {
	t.Helper()
	v := &validator{server: startServer(t), probed: make(chan struct{}, 1000)}
	v.bogus.Store(true)
	v.vouches.Store(true)
	v.answersCD.Store(true)
	v.SetFailure("bogus.test", mdns.TypeSOA, responder.Failure{Answer: func(m *mdns.Msg, _ bool) *mdns.Msg {
		if v.bogus.Load() && !(m.CheckingDisabled && v.answersCD.Load()) {
			m.Rcode = mdns.RcodeServerFailure
		}
		return m
	}})
	vouch := func(m *mdns.Msg, _ bool) *mdns.Msg {
		m.AuthenticatedData = v.vouches.Load()
		return m
	}
	v.SetFailure("a.test", mdns.TypeA, responder.Failure{Answer: vouch})
	v.SetFailure("secure.test", mdns.TypeSOA, responder.Failure{Answer: func(m *mdns.Msg, tcp bool) *mdns.Msg {
		select {
		case v.probed <- struct{}{}:
		default:
		}
		return vouch(m, tcp)
	}})
	return v
}

var testProbe = dns.Probe{Secure: []string{"secure.test"}, Bogus: []string{"bogus.test"}, Interval: time.Millisecond, MaxAge: time.Hour}

// run runs the resolver's probes until the test ends.
func run(t *testing.T, r *dns.Resolver) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func strict(t *testing.T, r *dns.Resolver, name string) dns.Answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return r.Lookup(dns.RequireValidation(ctx), dns.Question{Name: name, Type: mdns.TypeA})[0]
}

// TestRequireValidation: which resolvers count as such that validate.
func TestRequireValidation(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name    string
		change  func(*validator)
		outcome dns.Outcome
		says    string
	}{
		{"validates", func(*validator) {}, dns.Found, ": 127.0.0.1 [secure]"},
		{"accepts bogus signatures", func(v *validator) { v.bogus.Store(false) }, dns.Unvalidated, "it gave an answer for bogus.test, whose DNSSEC signatures are wrong"},
		{"vouches for nothing", func(v *validator) { v.vouches.Store(false) }, dns.Unvalidated, "it does not vouch for the answer for secure.test"},
		{"can't find the bogus name", func(v *validator) { v.answersCD.Store(false) }, dns.Unvalidated, "with checking disabled: looking for SOA records of bogus.test"},
		{"can't find the secure name", func(v *validator) {
			v.SetFailure("secure.test", mdns.TypeSOA, responder.Failure{Rcode: mdns.RcodeServerFailure})
		}, dns.Unvalidated, "looking for SOA records of secure.test"},
		{"refuses the bogus name", func(v *validator) {
			v.SetFailure("bogus.test", mdns.TypeSOA, responder.Failure{Rcode: mdns.RcodeRefused})
		}, dns.Unvalidated, "refused the question"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := startValidator(t)
			c.change(v)
			probe := testProbe
			metrics := prometheus.NewRegistry()
			r := newResolver(t, dns.Config{Probe: &probe, Metrics: metrics}, v.server)
			run(t, r)
			answer := strict(t, r, "a.test")
			if answer.Outcome != c.outcome || !strings.Contains(answer.String(), c.says) {
				t.Errorf("got %s, want %s with %q", answer, c.outcome, c.says)
			}
			if answer.Validated != (c.outcome == dns.Found) {
				t.Errorf("Validated is %v", answer.Validated)
			}
			if !strings.Contains(answer.Problem(), "a.test") {
				t.Errorf("problem %q", answer.Problem())
			}
			if lax := r.Lookup(t.Context(), dns.Question{Name: "a.test", Type: mdns.TypeA})[0]; lax.Outcome != dns.Found {
				t.Errorf("without the requirement: %s", lax)
			}
			want := map[dns.Outcome]float64{dns.Found: 1}[c.outcome]
			if got := gather(t, metrics)["cairn_va_dns_upstream_validating "+v.DNSAddr()]; got != want {
				t.Errorf("the metric says %v, want %v", got, want)
			}
		})
	}
}

// TestSecurity: the state of each answer is told.
func TestSecurity(t *testing.T) {
	t.Parallel()
	v := startValidator(t)
	probe := testProbe
	r := newResolver(t, dns.Config{Probe: &probe}, v.server)
	run(t, r)
	// A resolver that hands out the alias alone: the whole is as secure as the
	// weaker half.
	alias := func(target string, secure bool) responder.Failure {
		return responder.Failure{Answer: func(m *mdns.Msg, _ bool) *mdns.Msg {
			header := mdns.RR_Header{Name: m.Question[0].Name, Rrtype: mdns.TypeCNAME, Class: mdns.ClassINET}
			m.Answer, m.AuthenticatedData = []mdns.RR{&mdns.CNAME{Hdr: header, Target: target}}, secure
			return m
		}}
	}
	v.SetFailure("alias.test", mdns.TypeA, alias("a.test.", true))
	v.SetFailure("insecure-alias.test", mdns.TypeA, alias("a.test.", false))
	v.SetFailure("to-insecure.test", mdns.TypeA, alias("b.test.", true))
	for name, want := range map[string]string{
		"a.test": "[secure]", "b.test": "[insecure]", "absent.example": "nxdomain [insecure]", "alias.test": "[secure]",
		"insecure-alias.test": "[insecure]", "to-insecure.test": "[insecure]", "localhost": "127.0.0.1",
	} {
		if answer := strict(t, r, name); !strings.HasSuffix(answer.String(), want) {
			t.Errorf("%s: got %q, want it to end in %q", name, answer, want)
		}
	}
}

// TestProbesGoOn: a resolver that stops to validate is refused, and taken
// again when it validates again; one of several that validates is enough.
func TestProbesGoOn(t *testing.T) {
	t.Parallel()
	v, other := startValidator(t), startServer(t)
	probe := testProbe
	r := newResolver(t, dns.Config{Probe: &probe}, other, v.server)
	run(t, r)
	for range 4 {
		if answer := strict(t, r, "a.test"); answer.Outcome != dns.Found || answer.Upstream != v.DNSAddr() {
			t.Fatalf("with one resolver that validates: %s", answer)
		}
	}
	until := func(outcome dns.Outcome) {
		t.Helper()
		late := time.After(30 * time.Second)
		for {
			if strict(t, r, "a.test").Outcome == outcome {
				return
			}
			select {
			case <-v.probed:
			case <-late:
				t.Fatalf("it does not become %s", outcome)
			}
		}
	}
	v.vouches.Store(false)
	until(dns.Unvalidated)
	v.vouches.Store(true)
	until(dns.Found)
}

// TestProofAges: a proof counts while probes come to no result, but not for
// long.
func TestProofAges(t *testing.T) {
	t.Parallel()
	v := startValidator(t)
	probe := testProbe
	var now atomic.Int64
	r := newResolver(t, dns.Config{Probe: &probe, Now: func() time.Time { return time.Unix(1000+now.Load(), 0) }}, v.server)
	run(t, r)
	if answer := strict(t, r, "a.test"); answer.Outcome != dns.Found {
		t.Fatal(answer)
	}
	v.answersCD.Store(false)
	inconclusive := func() { // waits for probes that began after now
		t.Helper()
		seen := v.udp.Load()
		for v.udp.Load() < seen+8 {
			if strict(t, r, "b.test").Failed() && now.Load() < 3600 {
				t.Fatal("the proof is lost early")
			}
		}
	}
	inconclusive()
	now.Store(3599)
	inconclusive()
	now.Store(3600)
	if answer := strict(t, r, "a.test"); answer.Outcome != dns.Unvalidated {
		t.Errorf("with an old proof: %s", answer)
	}
}

// TestWithoutProbe: nobody is taken to validate.
func TestWithoutProbe(t *testing.T) {
	t.Parallel()
	v := startValidator(t)
	r := newResolver(t, dns.Config{}, v.server)
	if err := r.Run(t.Context()); err != nil {
		t.Error(err)
	}
	if answer := strict(t, r, "a.test"); answer.Outcome != dns.Unvalidated {
		t.Errorf("without a probe: %s", answer)
	}
	probe := testProbe
	r = newResolver(t, dns.Config{Probe: &probe}, v.server)
	ctx, cancel := context.WithTimeout(dns.RequireValidation(t.Context()), 20*time.Millisecond)
	defer cancel()
	if answer := r.LookupTXT(ctx, "a.test"); !answer.Failed() || v.udp.Load() != 0 {
		t.Errorf("before the first probe: %s", answer)
	}
}
