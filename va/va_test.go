package va_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/responder"
	"github.com/cairn-ca/cairn/va"
)

const (
	token      = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
	thumbprint = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
	keyAuth    = token + "." + thumbprint
	// digest is base64url(SHA-256(keyAuth)), computed by OpenSSL.
	digest   = "ZTRx1Ckl1-tM05o5zaizTTA0yUy5AGereMgSNWC6Ll8"
	account  = "https://ca.example/acme/acct/1"
	identity = "ca.example"
)

// lab is a VA and the network that it looks at.
type lab struct {
	*va.VA
	*responder.Responder
}

func newLab(t testing.TB, change ...func(*va.Config)) *lab {
	t.Helper()
	r, err := responder.Start(context.Background(), responder.Config{Suffixes: []string{"test"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	config := va.Config{
		Resolvers: []string{r.DNSAddr()}, HTTPPort: r.HTTPPort(), TLSPort: r.TLSPort(),
		AllowPrivateAddresses: true, CAAIdentities: []string{identity}, DNSTimeout: 5 * time.Second,
	}
	for _, f := range change {
		f(&config)
	}
	v, err := va.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return &lab{v, r}
}

func dnsName(t testing.TB, name string) acme.Identifier {
	t.Helper()
	id, err := acme.ParseIdentifier(acme.IdentifierDNS, name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func request(id acme.Identifier, kind acme.ChallengeType) va.Request {
	return va.Request{Directory: "default", Identifier: id, Type: kind, Token: token, KeyThumbprint: thumbprint, AccountURL: account}
}

func (l *lab) validate(t testing.TB, req va.Request) va.Result {
	t.Helper()
	result, err := l.Validate(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(result.Evidence.Steps, detail(result)) {
		if len(s) > 4000 || strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
			t.Errorf("not a bounded printable line: %q", s)
		}
	}
	return result
}

func detail(r va.Result) string {
	if r.Problem == nil {
		return ""
	}
	return r.Problem.Detail
}

// expect holds a result to a problem type ("valid": none), to whether it may
// heal, and to words of its detail.
func expect(t testing.TB, result va.Result, kind acme.ProblemType, mayHeal bool, words ...string) {
	t.Helper()
	got := acme.ProblemType("valid")
	if result.Problem != nil {
		got = result.Problem.Type
	}
	if got != kind || result.MayHeal != mayHeal {
		t.Errorf("got %s (may heal: %v) %q, want %s (%v); steps:\n%s", got, result.MayHeal, detail(result), kind, mayHeal, strings.Join(result.Evidence.Steps, "\n"))
	}
	for _, word := range words {
		if !strings.Contains(detail(result), word) {
			t.Errorf("the detail %q does not say %q", detail(result), word)
		}
	}
}

const valid acme.ProblemType = "valid"

func TestEachChallenge(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.SetHTTP01(token, keyAuth)
	l.SetTXT("_acme-challenge.a.test", "other", digest)
	l.SetCNAME("_acme-challenge.alias.test", "_acme-challenge.a.test")
	l.SetTLSALPN01("a.test", keyAuth)
	loopback := acme.IdentifierFromIP(netip.MustParseAddr("127.0.0.1"))
	l.SetTLSALPN01("127.0.0.1", keyAuth)

	for _, c := range []struct {
		id       acme.Identifier
		wildcard bool
		kind     acme.ChallengeType
		want     acme.ProblemType
	}{
		{dnsName(t, "a.test"), false, acme.HTTP01, valid},
		{dnsName(t, "a.test"), false, acme.DNS01, valid},
		{dnsName(t, "a.test"), true, acme.DNS01, valid},
		{dnsName(t, "alias.test"), false, acme.DNS01, valid},
		{dnsName(t, "a.test"), false, acme.TLSALPN01, valid},
		{loopback, false, acme.HTTP01, valid},
		{loopback, false, acme.TLSALPN01, valid},
		{loopback, false, acme.DNS01, acme.Malformed},
		{dnsName(t, "a.test"), true, acme.HTTP01, acme.Malformed},
		{dnsName(t, "a.test"), true, acme.TLSALPN01, acme.Malformed},
		{dnsName(t, "a.test"), false, "no-such-01", acme.Malformed},
	} {
		req := request(c.id, c.kind)
		req.Wildcard = c.wildcard
		result := l.validate(t, req)
		expect(t, result, c.want, false)
		e := result.Evidence
		if e.Method != c.kind || e.DomainName != c.id.Value() || e.At.IsZero() {
			t.Errorf("%s %s: evidence %+v", c.id, c.kind, e)
		}
		if c.want == valid && (len(e.Steps) == 0 || (e.CAA != nil) != (c.id.Type() == acme.IdentifierDNS)) {
			t.Errorf("%s %s: evidence %+v", c.id, c.kind, e)
		}
	}
}

func TestMetricsAndAudit(t *testing.T) {
	t.Parallel()
	var audit bytes.Buffer
	registry := prometheus.NewRegistry()
	l := newLab(t, func(c *va.Config) {
		c.Metrics = registry
		c.Audit = slog.New(slog.NewJSONHandler(&audit, nil))
	})
	l.SetHTTP01(token, keyAuth)
	l.validate(t, request(dnsName(t, "a.test"), acme.HTTP01))
	l.validate(t, request(dnsName(t, "a.test"), acme.TLSALPN01))
	l.validate(t, request(dnsName(t, "a.test"), "weird\n"))

	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			s := f.GetName()
			for _, label := range m.GetLabel() {
				s += " " + label.GetValue()
			}
			if !strings.HasPrefix(f.GetName(), "cairn_va_dns_") {
				got = append(got, fmt.Sprint(s, " ", m.GetCounter().GetValue()+float64(m.GetHistogram().GetSampleCount())))
			}
		}
	}
	slices.Sort(got)
	want := []string{
		"cairn_va_busy_total 0", "cairn_va_caa_checks_total permitted 1", "cairn_va_in_flight 0",
		"cairn_va_validation_seconds http-01 1", "cairn_va_validation_seconds tls-alpn-01 1", "cairn_va_validation_seconds unknown 1",
		"cairn_va_validations_total malformed unknown 1", "cairn_va_validations_total tls tls-alpn-01 1", "cairn_va_validations_total valid http-01 1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("metrics:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	var record struct {
		Msg, Account, Identifier, Type, Result string
		Evidence                               acme.Evidence
	}
	line, _, _ := bytes.Cut(audit.Bytes(), []byte("\n"))
	if err := json.Unmarshal(line, &record); err != nil {
		t.Fatal(err)
	}
	if record.Account != account || record.Identifier != "a.test" || record.Type != "http-01" || record.Result != "valid" || len(record.Evidence.Steps) == 0 {
		t.Errorf("audit record %s", line)
	}
	if n := bytes.Count(audit.Bytes(), []byte("\n")); n != 3 {
		t.Errorf("%d audit records, want 3", n)
	}
}

// TestEndedContext: a try that its caller gave up is no result.
func TestEndedContext(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ctx, cancel := context.WithCancel(t.Context())
	l.SetFailure("a.test", mdns.TypeANY, responder.Failure{Answer: func(*mdns.Msg, bool) *mdns.Msg { cancel(); return nil }})
	if result, err := l.Validate(ctx, request(dnsName(t, "a.test"), acme.HTTP01)); err == nil {
		t.Errorf("a result: %+v", result)
	}
	if result, err := l.CheckCAA(ctx, va.CAARequest{Identifier: dnsName(t, "a.test")}); err == nil {
		t.Errorf("a CAA result: %+v", result)
	}
}

// TestCallersDeadline: a caller whose deadline is nearer than the VA's gets
// the result that time ran out.
func TestCallersDeadline(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(c *va.Config) { c.DNSTimeout = time.Hour })
	l.SetFailure("a.test", mdns.TypeA, responder.Failure{Silent: true})
	l.SetFailure("a.test", mdns.TypeAAAA, responder.Failure{Silent: true})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	result, err := l.Validate(ctx, request(dnsName(t, "a.test"), acme.HTTP01))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, result, acme.DNS, true, "no answer in time")
}

// TestPlaces: waiting for a free place is bounded, and a target that blocks
// keeps no other waiting.
func TestPlaces(t *testing.T) {
	t.Parallel()
	blocked := netip.MustParseAddr("198.51.100.1")
	dialled := make(chan struct{}, 10)
	var dialer net.Dialer
	change := func(inFlight, perAddress int) func(*va.Config) {
		return func(c *va.Config) {
			c.MaxInFlight, c.MaxPerAddress = inFlight, perAddress
			c.Dial = func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
				if addr.Addr() == blocked {
					dialled <- struct{}{}
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return dialer.DialContext(ctx, "tcp", addr.String())
			}
		}
	}
	for _, c := range []struct {
		name                 string
		inFlight, perAddress int
		words                string
	}{
		{"per address", 10, 1, "too many validations are connected to 198.51.100.1"},
		{"in all", 1, 1, "too many validations are running"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, change(c.inFlight, c.perAddress))
			l.SetHTTP01(token, keyAuth)
			l.SetAddresses("blocked.test", blocked)
			ctx, cancel := context.WithCancel(context.Background())
			var running sync.WaitGroup
			running.Go(func() { _, _ = l.Validate(ctx, request(dnsName(t, "blocked.test"), acme.HTTP01)) })
			defer running.Wait()
			defer cancel()
			<-dialled

			// Finding no place in time is no result.
			tried := func(name string, time time.Duration) (va.Result, error) {
				short, cancel := context.WithTimeout(t.Context(), time)
				defer cancel()
				return l.Validate(short, request(dnsName(t, name), acme.HTTP01))
			}
			isBusy := func(err error) {
				t.Helper()
				var p *acme.Problem
				if !errors.As(err, &p) || p.Type != acme.RateLimited || p.RetryAfter == 0 || !strings.Contains(p.Detail, c.words) {
					t.Errorf("got %v", err)
				}
			}
			_, err := tried("blocked.test", 300*time.Millisecond)
			isBusy(err)
			if c.inFlight == 1 {
				_, err = tried("good.test", 300*time.Millisecond)
				isBusy(err)
				return
			}
			result, err := tried("good.test", 10*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, result, valid, false)
		})
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, config := range []va.Config{{HTTPPort: 70000}, {TLSPort: -1}, {Resolvers: []string{"example.com"}}} {
		if _, err := va.New(config); err == nil {
			t.Errorf("%+v is accepted", config)
		}
	}
}
