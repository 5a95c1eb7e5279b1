package dns_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-ca/cairn/internal/responder"
	"github.com/cairn-ca/cairn/va/dns"
)

type server struct {
	*responder.Responder
	udp, tcp atomic.Int64 // queries
}

func startServer(t testing.TB) *server {
	t.Helper()
	s := new(server)
	var err error
	s.Responder, err = responder.Start(context.Background(), responder.Config{
		Suffixes: []string{"test"},
		OnQuery: func(q responder.Query) {
			if q.TCP {
				s.tcp.Add(1)
			} else {
				s.udp.Add(1)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func newResolver(t testing.TB, config dns.Config, servers ...*server) *dns.Resolver {
	t.Helper()
	for _, s := range servers {
		config.Upstreams = append(config.Upstreams, s.DNSAddr())
	}
	r, err := dns.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLookup(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	r := newResolver(t, dns.Config{}, s)
	s.SetTXT("txt.test", `plain`, `with "quotes" and \ and `+"\x00\xff", strings.Repeat("long", 100))
	s.SetAddresses("both.test", netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"))
	s.SetCNAME("alias.test", "middle.test")
	s.SetCNAME("middle.test", "both.test")
	s.SetFailure("bogus.test", mdns.TypeANY, responder.Failure{Rcode: mdns.RcodeServerFailure, ExtendedCode: 6, ExtendedError: "no \x1b[31msignature"})
	s.SetFailure("refused.test", mdns.TypeANY, responder.Failure{Rcode: mdns.RcodeRefused})

	cases := []struct {
		name    string
		qtype   uint16
		outcome dns.Outcome
		line    string // of Answer.String, without the server
		queries int64
	}{
		{"both.test", mdns.TypeA, dns.Found, "both.test A: 192.0.2.1", 1},
		{"both.test.", mdns.TypeAAAA, dns.Found, "both.test AAAA: 2001:db8::1", 1},
		{"alias.test", mdns.TypeA, dns.Found, "alias.test A -> middle.test -> both.test: 192.0.2.1", 1},
		{"plain.test", mdns.TypeCAA, dns.NoData, "plain.test CAA: nodata", 1},
		{"absent.example", mdns.TypeTXT, dns.NXDomain, "absent.example TXT: nxdomain", 1},
		{"bogus.test", mdns.TypeA, dns.ServFail, `bogus.test A: servfail [EDE 6 DNSSEC Bogus: no \x1b[31msignature]`, 2},
		{"refused.test", mdns.TypeA, dns.Refused, "refused.test A: refused [REFUSED]", 2},
		{strings.Repeat("x", 64) + ".test", mdns.TypeA, dns.Malformed, "", 0},
	}
	for _, c := range cases {
		before := s.udp.Load() + s.tcp.Load()
		answer := r.Lookup(t.Context(), dns.Question{Name: c.name, Type: c.qtype})[0]
		line := strings.Replace(answer.String(), " at "+s.DNSAddr(), "", 1)
		if answer.Outcome != c.outcome || c.line != "" && line != c.line {
			t.Errorf("%s: %s %q, want %s %q", c.name, answer.Outcome, line, c.outcome, c.line)
		}
		if got := s.udp.Load() + s.tcp.Load() - before; got != c.queries {
			t.Errorf("%s: %d queries, want %d", c.name, got, c.queries)
		}
		if strings.IndexFunc(answer.Problem(), func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
			t.Errorf("%s: problem %q is not printable", c.name, answer.Problem())
		}
	}

	texts := r.LookupTXT(t.Context(), "txt.test").Texts()
	want := []string{`plain`, `with "quotes" and \ and ` + "\x00\xff", strings.Repeat("long", 100)}
	if !slices.Equal(texts, want) {
		t.Errorf("TXT: got %q, want %q", texts, want)
	}
}

func TestBatchOnOneSocket(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	r := newResolver(t, dns.Config{}, s)
	s.SetAddresses("both.test", netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"))
	aaaa, a := r.LookupAddresses(t.Context(), "both.test")
	if fmt.Sprint(aaaa.Addrs(), a.Addrs()) != "[2001:db8::1] [192.0.2.1]" {
		t.Errorf("got %s and %s", aaaa, a)
	}
	questions := []dns.Question{{Name: "both.test", Type: mdns.TypeCAA}, {Name: "x.example", Type: mdns.TypeCAA}, {Name: "both.test", Type: mdns.TypeA}}
	answers := r.Lookup(t.Context(), questions...)
	for i, want := range []dns.Outcome{dns.NoData, dns.NXDomain, dns.Found} {
		if answers[i].Outcome != want || answers[i].Question != questions[i] {
			t.Errorf("answer %d: %s, want %s", i, answers[i], want)
		}
	}
}

// TestHostileAnswers sends answers that a resolver must not believe.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	forged := &mdns.A{Hdr: mdns.RR_Header{Name: "other.test.", Rrtype: mdns.TypeA, Class: mdns.ClassINET}, A: []byte{6, 6, 6, 6}}
	cases := []struct {
		name    string
		change  func(m *mdns.Msg)
		outcome dns.Outcome
		overTCP bool // the honest answer is got over TCP
	}{
		{"other-case", func(m *mdns.Msg) { m.Question[0].Name = swapCase(m.Question[0].Name) }, dns.Found, true},
		{"truncated", func(m *mdns.Msg) { m.Truncated, m.Answer = true, nil }, dns.Found, true},
		{"other-id", func(m *mdns.Msg) { m.Id++ }, dns.Timeout, false},
		{"other-name", func(m *mdns.Msg) { m.Question[0].Name = "x.test." }, dns.Timeout, false},
		{"other-type", func(m *mdns.Msg) { m.Question[0].Qtype = mdns.TypeTXT }, dns.Timeout, false},
		{"other-class", func(m *mdns.Msg) { m.Question[0].Qclass = mdns.ClassCHAOS }, dns.Timeout, false},
		{"no-response", func(m *mdns.Msg) { m.Response = false }, dns.Timeout, false},
		{"two-questions", func(m *mdns.Msg) { m.Question = append(m.Question, m.Question[0]) }, dns.Timeout, false},
		{"bare-error", func(m *mdns.Msg) { m.Question, m.Answer, m.Rcode = nil, nil, mdns.RcodeServerFailure }, dns.Found, true},
		{"foreign-records", func(m *mdns.Msg) { m.Answer = []mdns.RR{forged} }, dns.NoData, false},
		{"referral", func(m *mdns.Msg) {
			m.Answer, m.RecursionAvailable = nil, false
			m.Ns = []mdns.RR{&mdns.NS{Hdr: mdns.RR_Header{Name: "test.", Rrtype: mdns.TypeNS, Class: mdns.ClassINET}, Ns: "ns.test."}}
		}, dns.Refused, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t)
			timeout := time.Minute
			if c.outcome == dns.Timeout {
				timeout = 300 * time.Millisecond
			}
			r := newResolver(t, dns.Config{Timeout: timeout, Attempts: 1}, s)
			s.SetFailure("a.test", mdns.TypeA, responder.Failure{Answer: func(m *mdns.Msg, tcp bool) *mdns.Msg {
				if !tcp { // over TCP it is honest
					c.change(m)
				}
				return m
			}})
			answer := r.Lookup(t.Context(), dns.Question{Name: "a.test", Type: mdns.TypeA})[0]
			if answer.Outcome != c.outcome {
				t.Errorf("got %s, want %s", answer, c.outcome)
			}
			if got := s.tcp.Load() > 0; got != c.overTCP {
				t.Errorf("asked over TCP: %v, want %v", got, c.overTCP)
			}
		})
	}
}

func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r ^ 0x20
		}
		return r
	}, s)
}

func TestAliases(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	r := newResolver(t, dns.Config{}, s)
	cname := func(owner, target string) mdns.RR {
		return &mdns.CNAME{Hdr: mdns.RR_Header{Name: owner, Rrtype: mdns.TypeCNAME, Class: mdns.ClassINET}, Target: target}
	}
	// A resolver that hands out the alias alone.
	bare := func(target string) responder.Failure {
		return responder.Failure{Answer: func(m *mdns.Msg, _ bool) *mdns.Msg {
			m.Answer = []mdns.RR{cname(m.Question[0].Name, target)}
			return m
		}}
	}
	s.SetFailure("bare.test", mdns.TypeCAA, bare("target.test."))
	if err := s.SetCAA("target.test", `0 issue ";"`); err != nil {
		t.Fatal(err)
	}
	// RFC 7686 §2: a target below .onion is not asked for. This one has an answer.
	s.SetFailure("tor.test", mdns.TypeCAA, bare("a.onion."))
	s.SetFailure("a.onion", mdns.TypeCAA, responder.Failure{Answer: func(m *mdns.Msg, _ bool) *mdns.Msg {
		m.Rcode, m.Ns = mdns.RcodeSuccess, nil
		m.Answer = []mdns.RR{cname(m.Question[0].Name, "target.test.")}
		return m
	}})
	s.SetFailure("loop.test", mdns.TypeCAA, bare("loop.test."))
	s.SetFailure("long.test", mdns.TypeCAA, responder.Failure{Answer: func(m *mdns.Msg, _ bool) *mdns.Msg {
		owner := m.Question[0].Name
		for i := range 12 {
			target := fmt.Sprintf("l%d.test.", i)
			m.Answer = append(m.Answer, cname(owner, target))
			owner = target
		}
		return m
	}})
	for name, want := range map[string]dns.Outcome{"bare.test": dns.Found, "tor.test": dns.NXDomain, "loop.test": dns.Malformed, "long.test": dns.Malformed} {
		answer := r.Lookup(t.Context(), dns.Question{Name: name, Type: mdns.TypeCAA})[0]
		if answer.Outcome != want {
			t.Errorf("%s: %s, want %s", name, answer, want)
		}
	}
}

func TestUpstreams(t *testing.T) {
	t.Parallel()
	good, bad := startServer(t), startServer(t)
	metrics := prometheus.NewRegistry()
	r := newResolver(t, dns.Config{Timeout: time.Second, Metrics: metrics}, good, bad)
	for name, failure := range map[string]responder.Failure{
		"servfail.test": {Rcode: mdns.RcodeServerFailure},
		"refused.test":  {Rcode: mdns.RcodeRefused},
		"silent.test":   {Silent: true},
	} {
		bad.SetFailure(name, mdns.TypeANY, failure)
		for range 4 { // whoever is asked first
			if answer := r.Lookup(t.Context(), dns.Question{Name: name, Type: mdns.TypeA})[0]; answer.Outcome != dns.Found || answer.Upstream != good.DNSAddr() {
				t.Errorf("%s: %s", name, answer)
			}
		}
	}
	bad.Close()
	for range 20 {
		if answer := r.Lookup(t.Context(), dns.Question{Name: "a.test", Type: mdns.TypeA})[0]; answer.Outcome != dns.Found {
			t.Errorf("with an upstream gone: %s", answer)
		}
	}
	good.Close()
	answer := r.Lookup(t.Context(), dns.Question{Name: "a.test", Type: mdns.TypeA})[0]
	if answer.Outcome != dns.Network || !strings.Contains(answer.Problem(), "connection refused") {
		t.Errorf("with all upstreams gone: %s: %s", answer, answer.Problem())
	}
	got := gather(t, metrics)
	for name, want := range map[string]float64{
		"cairn_va_dns_queries_total found A":                32,
		"cairn_va_dns_queries_total network A":              1,
		"cairn_va_dns_upstream_available " + good.DNSAddr(): 1,
		"cairn_va_dns_upstream_available " + bad.DNSAddr():  0,
	} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s is %v, want %v", name, value, want)
		}
	}
	for _, name := range []string{
		"found " + good.DNSAddr(), "servfail " + bad.DNSAddr(), "refused " + bad.DNSAddr(), "timeout " + bad.DNSAddr(), "network " + bad.DNSAddr(),
	} {
		if got["cairn_va_dns_upstream_queries_total "+name] == 0 {
			t.Errorf("no %s in %v", name, got)
		}
	}
}

// gather are the values of counters and gauges, by name and labels.
func gather(t testing.TB, metrics prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return got
}

func TestContext(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	s := startServer(t)
	r := newResolver(t, dns.Config{Timeout: time.Hour}, s)
	s.SetFailure("silent.test", mdns.TypeANY, responder.Failure{Answer: func(*mdns.Msg, bool) *mdns.Msg {
		asked <- struct{}{}
		return nil
	}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if answer := r.LookupTXT(ctx, "silent.test"); answer.Outcome != dns.Canceled {
		t.Errorf("cancelled: %s", answer)
	}
	if answer := r.LookupTXT(ctx, "silent.test"); answer.Outcome != dns.Canceled {
		t.Errorf("cancelled before: %s", answer)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if answer := r.LookupTXT(ctx, "silent.test"); answer.Outcome != dns.Timeout {
		t.Errorf("timed out: %s", answer)
	}
}

func TestUpstreamAddresses(t *testing.T) {
	t.Parallel()
	for address, good := range map[string]bool{
		"127.0.0.1": true, "127.0.0.1:8053": true, "[::1]:53": true, "tcp://127.0.0.1": true, "tls://127.0.0.1": true, "https://127.0.0.1/dns-query": true,
		"": false, "localhost:53": false, "127.0.0.1:0": false, "https://127.0.0.1": false,
	} {
		if _, err := dns.New(dns.Config{Upstreams: []string{address}}); (err == nil) != good {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// TestKeepCase: an upstream that answers in its own letter case is asked over
// TCP, unless the letter case is kept.
func TestKeepCase(t *testing.T) {
	t.Parallel()
	for _, keep := range []bool{false, true} {
		s := startServer(t)
		r := newResolver(t, dns.Config{KeepCase: keep}, s)
		s.SetFailure("some-long-name.test", mdns.TypeA, responder.Failure{Answer: func(m *mdns.Msg, tcp bool) *mdns.Msg {
			if keep && m.Question[0].Name != "some-long-name.test." {
				t.Errorf("asked for %s", m.Question[0].Name)
			}
			m.Question[0].Name = strings.ToUpper(m.Question[0].Name)
			return m
		}})
		if answer := r.Lookup(t.Context(), dns.Question{Name: "some-long-name.test", Type: mdns.TypeA})[0]; answer.Outcome != dns.Found {
			t.Errorf("KeepCase %v: %s", keep, answer)
		}
		if overTCP := s.tcp.Load() > 0; overTCP == keep {
			t.Errorf("KeepCase %v: asked over TCP: %v", keep, overTCP)
		}
	}
}

// TestTCP: an upstream can be asked over TCP alone.
func TestTCP(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	r := newResolver(t, dns.Config{Upstreams: []string{"tcp://" + s.DNSAddr()}})
	if answer := r.Lookup(t.Context(), dns.Question{Name: "a.test", Type: mdns.TypeA})[0]; answer.Outcome != dns.Found || s.udp.Load() != 0 || s.tcp.Load() != 1 {
		t.Errorf("%s after %d queries over UDP and %d over TCP", answer, s.udp.Load(), s.tcp.Load())
	}
}

// TestExtendedErrors: what the resolver says is shown, bounded and printable.
func TestExtendedErrors(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	r := newResolver(t, dns.Config{}, s)
	var again atomic.Bool // from the cache it says less
	s.SetFailure("bogus.test", mdns.TypeA, responder.Failure{Answer: func(m *mdns.Msg, _ bool) *mdns.Msg {
		m.Rcode, m.Answer = mdns.RcodeServerFailure, nil
		if again.Swap(true) {
			m.IsEdns0().Option = []mdns.EDNS0{&mdns.EDNS0_EDE{InfoCode: 13}}
			return m
		}
		for code := range uint16(6) {
			m.IsEdns0().Option = append(m.IsEdns0().Option, &mdns.EDNS0_EDE{InfoCode: code + 6, ExtraText: strings.Repeat("\x07", 250)})
		}
		return m
	}})
	problem := r.Lookup(t.Context(), dns.Question{Name: "bogus.test", Type: mdns.TypeA})[0].Problem()
	for _, part := range []string{"SERVFAIL", "[EDE 6 DNSSEC Bogus: ", "; EDE 7 Signature Expired: ", "; and more]"} {
		if !strings.Contains(problem, part) {
			t.Errorf("%q is not in %q", part, problem)
		}
	}
	if strings.Contains(problem, "\x07") || len(problem) > 3500 {
		t.Errorf("%d octets, or not printable: %q", len(problem), problem)
	}
}

func BenchmarkLookupAddresses(b *testing.B) {
	s := startServer(b)
	r := newResolver(b, dns.Config{}, s)
	for b.Loop() {
		if _, a := r.LookupAddresses(b.Context(), "name.example.test"); a.Outcome != dns.Found {
			b.Fatal(a)
		}
	}
}
