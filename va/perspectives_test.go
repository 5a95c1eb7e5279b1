package va

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"pgregory.net/rapid"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/rpc"
	"github.com/cairn-ca/cairn/internal/rpc/rpctest"
	"github.com/cairn-ca/cairn/internal/rpc/vapb"
)

// place is a perspective whose view the test decides. The zero value sees what
// is right, at once.
type place struct {
	problem *acme.Problem
	mayHeal bool
	err     error
	after   time.Duration
	hang    bool // until the context ends
	name    string
	asked   atomic.Int32
	stopped atomic.Int32
}

func (p *place) look(ctx context.Context) error {
	p.asked.Add(1)
	var after <-chan time.Time
	if !p.hang {
		timer := time.NewTimer(p.after)
		defer timer.Stop()
		after = timer.C
	}
	select {
	case <-after:
		return p.err
	case <-ctx.Done():
		p.stopped.Add(1)
		return ctx.Err()
	}
}

func (p *place) Validate(ctx context.Context, req Request) (Result, error) {
	if err := p.look(ctx); err != nil {
		return Result{}, err
	}
	name := req.Identifier.Value()
	if p.name != "" {
		name = p.name
	}
	return Result{Problem: p.problem, MayHeal: p.mayHeal, Evidence: acme.Evidence{
		Method: req.Type, DomainName: name, Steps: []string{"looked"}, CAA: &acme.CAAEvidence{},
	}}, nil
}

func (p *place) CheckCAA(ctx context.Context, _ CAARequest) (CAAResult, error) {
	if err := p.look(ctx); err != nil {
		return CAAResult{}, err
	}
	return CAAResult{Problem: p.problem, MayHeal: p.mayHeal, Evidence: acme.CAAEvidence{FoundAt: p.name}}, nil
}

func hijacked() *place {
	return &place{problem: acme.NewProblem(acme.Unauthorized, "192.0.2.66 answered with \"evil\"")}
}

func down() *place {
	return &place{err: &rpc.RemoteError{Text: "dial tcp 10.9.8.7:9010: connection refused"}}
}

// world is a primary perspective and remote ones, in the regions of their
// order: RIPE, ARIN, APNIC, LACNIC, AFRINIC, RIPE and so on.
type world struct {
	*Corroborator
	local    *place
	registry *prometheus.Registry
	log      *bytes.Buffer
}

var regionOrder = []acme.Region{acme.RIPE, acme.ARIN, acme.APNIC, acme.LACNIC, acme.AFRINIC}

func newWorld(t testing.TB, policy PerspectivePolicy, places []*place, change ...func(*CorroborationConfig)) *world {
	t.Helper()
	w := &world{local: &place{}, registry: prometheus.NewRegistry(), log: &bytes.Buffer{}}
	config := CorroborationConfig{
		Local: w.local, Directories: map[string]PerspectivePolicy{"default": policy},
		Audit: slog.New(slog.NewJSONHandler(w.log, nil)), Metrics: w.registry,
	}
	for i, p := range places {
		config.Perspectives = append(config.Perspectives, Perspective{
			PerspectiveID: PerspectiveID{fmt.Sprintf("p%d", i), regionOrder[i%len(regionOrder)]}, Authority: p,
		})
	}
	for _, f := range change {
		f(&config)
	}
	c, err := NewCorroborator(config)
	if err != nil {
		t.Fatal(err)
	}
	w.Corroborator = c
	return w
}

var required = PerspectivePolicy{Mode: PerspectivesRequired}

func aRequest(t testing.TB) Request {
	t.Helper()
	id, err := acme.ParseIdentifier(acme.IdentifierDNS, "example.org")
	if err != nil {
		t.Fatal(err)
	}
	return Request{Directory: "default", Identifier: id, Type: acme.HTTP01, Token: "t", KeyThumbprint: "k", AccountURL: "https://ca.example/acct/1"}
}

func (w *world) try(t testing.TB) Result {
	t.Helper()
	result, err := w.Validate(t.Context(), aRequest(t))
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestCorroboration(t *testing.T) {
	t.Parallel()
	caa := func() *place { return &place{problem: acme.NewProblem(acme.CAA, "the CAA records do not permit it")} }
	unsure := func() *place { return &place{problem: acme.NewProblem(acme.DNS, "SERVFAIL"), mayHeal: true} }
	elsewhere := func() *place { return &place{name: "other.example.org"} }
	fine := func() *place { return &place{} }
	mistaken := func() *place { return &place{err: fmt.Errorf("asking: %w", errMistaken)} }
	for _, test := range []struct {
		name    string
		policy  PerspectivePolicy
		places  []*place
		problem acme.ProblemType // empty: valid
		mayHeal bool
		quorum  string
		says    []string
	}{
		{"all of four", required, []*place{fine(), fine(), fine(), fine()}, "", false, "4/4", nil},
		{"three of four", required, []*place{fine(), hijacked(), fine(), fine()}, "", false, "3/4", nil},
		{"two of four", required, []*place{fine(), hijacked(), hijacked(), fine()}, acme.Unauthorized, false, "2/4",
			[]string{"2 of its 4 remote perspectives", "at most 1 may differ", "p1 (ARIN): unauthorized: 192.0.2.66 answered", "p2 (APNIC)"}},
		{"none of four", required, []*place{hijacked(), hijacked(), hijacked(), hijacked()}, acme.Unauthorized, false, "0/4", nil},
		{"one of two", PerspectivePolicy{Mode: PerspectivesRequired, Regions: 1}, []*place{fine(), hijacked()}, "", false, "1/2", nil},
		{"one of two, where two regions are needed", required, []*place{fine(), hijacked()}, acme.Unauthorized, false, "1/2", []string{"are in 1 region, and 2 are needed"}},
		{"four of six", required, []*place{fine(), hijacked(), fine(), fine(), hijacked(), fine()}, "", false, "4/6", nil},
		{"three of six", required, []*place{fine(), hijacked(), fine(), fine(), hijacked(), hijacked()}, acme.Unauthorized, false, "3/6", []string{"at most 2 may differ"}},
		{"one down", required, []*place{fine(), down(), fine(), fine()}, "", false, "3/4", nil},
		{"two down", required, []*place{fine(), down(), fine(), down()}, acme.ServerInternal, true, "2/4", []string{"p1 (ARIN): serverInternal: it could not be asked"}},
		{"one down and one hijacked may heal: the one that is down may come back", required, []*place{fine(), down(), fine(), hijacked()}, acme.Unauthorized, true, "2/4", nil},
		{"one down and two hijacked can't heal", required, []*place{fine(), down(), hijacked(), hijacked()}, acme.Unauthorized, false, "1/4", nil},
		{"CAA forbids in one place", required, []*place{fine(), caa(), fine(), fine()}, "", false, "3/4", nil},
		{"CAA forbids in two places", required, []*place{fine(), caa(), caa(), fine()}, acme.CAA, false, "2/4", []string{"p1 (ARIN): caa: "}},
		{"most of the types counts", required, []*place{hijacked(), caa(), caa(), fine()}, acme.CAA, false, "1/4", nil},
		{"look-ups that failed", required, []*place{fine(), unsure(), unsure(), fine()}, acme.DNS, true, "2/4", nil},
		{"another domain name was proven", required, []*place{fine(), elsewhere(), elsewhere(), fine()}, acme.Unauthorized, false, "2/4", []string{`it found control proven of "other.example.org"`}},
		{"mistaken perspectives", required, []*place{fine(), mistaken(), mistaken(), fine()}, acme.ServerInternal, false, "2/4", []string{"it is another perspective"}},
		{"shadow", PerspectivePolicy{Mode: PerspectivesShadow}, []*place{fine(), hijacked(), hijacked(), down()}, "", false, "1/4", nil},
		{"shadow of one", PerspectivePolicy{Mode: PerspectivesShadow}, []*place{hijacked()}, "", false, "0/1", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, test.policy, test.places)
			result := w.try(t)
			check := func(what string, problem *acme.Problem, mayHeal bool, perspectives []acme.PerspectiveResult, quorum string) {
				t.Helper()
				var kind acme.ProblemType
				detail := ""
				if problem != nil {
					kind, detail = problem.Type, problem.Detail
				}
				if kind != test.problem || mayHeal != test.mayHeal || quorum != test.quorum {
					t.Errorf("%s: %q, may heal %t, quorum %s; want %q, %t, %s: %s", what, kind, mayHeal, quorum, test.problem, test.mayHeal, test.quorum, detail)
				}
				if strings.Contains(detail, "10.9.8.7") {
					t.Errorf("%s: the client is told of inner addresses: %s", what, detail)
				}
				if len(detail) > 2000 {
					t.Errorf("%s: the detail has %d bytes", what, len(detail))
				}
				if len(perspectives) != len(test.places) {
					t.Errorf("%s: results of %d perspectives are kept: %+v", what, len(perspectives), perspectives)
				}
			}
			check("validation", result.Problem, result.MayHeal, result.Evidence.Perspectives, result.Evidence.Quorum)
			for _, says := range test.says {
				if !strings.Contains(result.Problem.Detail, says) {
					t.Errorf("the detail does not say %q: %s", says, result.Problem.Detail)
				}
			}
			if len(result.Evidence.Steps) != 1+len(test.places)+1 {
				t.Errorf("steps: %q", result.Evidence.Steps)
			}
			if log := w.log.String(); !strings.Contains(log, `"quorum":"`+test.quorum+`"`) || !strings.Contains(log, `"region":"RIPE"`) {
				t.Errorf("the audit log has %s", log)
			}
			if strings.HasPrefix(test.name, "another domain") {
				return // CAA compares nothing but the permission
			}
			req := aRequest(t)
			answer, err := w.CheckCAA(t.Context(), CAARequest{Directory: req.Directory, Identifier: req.Identifier, Method: req.Type})
			if err != nil {
				t.Fatal(err)
			}
			check("CAA", answer.Problem, answer.MayHeal, answer.Evidence.Perspectives, answer.Evidence.Quorum)
		})
	}
}

// Whatever the perspectives do, a validation is valid exactly when the quorum
// is there, and every perspective is on record.
func TestCorroborationProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		kinds := rapid.SliceOfN(rapid.IntRange(0, 3), 2, 8).Draw(r, "kinds")
		places := make([]*place, len(kinds))
		var differ int
		regions := map[acme.Region]bool{}
		for i, kind := range kinds {
			places[i] = []*place{{}, {}, hijacked(), down()}[kind]
			if kind > 1 {
				differ++
			} else {
				regions[regionOrder[i%len(regionOrder)]] = true
			}
		}
		most := 1
		if len(kinds) > 5 {
			most = 2
		}
		want := differ <= most && len(regions) >= 2
		result := newWorld(t, required, places).try(t)
		if (result.Problem == nil) != want {
			r.Fatalf("quorum %s in %d regions: %v", result.Evidence.Quorum, len(regions), result.Problem)
		}
		for i, p := range result.Evidence.Perspectives {
			if (p.Problem == nil) != (kinds[i] < 2) {
				r.Fatalf("perspective %d of kind %d is on record as %v", i, kinds[i], p.Problem)
			}
		}
	})
}

// What the primary perspective refuses is refused, and the others are told to
// stop.
func TestLocalRefusalStopsPerspectives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		remote := &place{hang: true}
		w := newWorld(t, required, []*place{remote, remote})
		*w.local = place{problem: acme.NewProblem(acme.Connection, "refused"), mayHeal: true, after: time.Second}
		start := time.Now()
		result := w.try(t)
		if result.Problem == nil || result.Problem.Type != acme.Connection || !result.MayHeal || result.Evidence.Quorum != "" {
			t.Errorf("%+v", result)
		}
		synctest.Wait()
		if took := time.Since(start); took != time.Second || remote.asked.Load() != 2 || remote.stopped.Load() != 2 {
			t.Errorf("after %v, %d of %d perspectives had stopped", took, remote.stopped.Load(), remote.asked.Load())
		}
	})
}

// An answer that can change the result is waited for until the try is over;
// one that can't, no longer than Wait after the primary perspective is done.
func TestLateAnswers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		policy PerspectivePolicy
		places []*place
		took   time.Duration
		quorum string
		valid  bool
	}{
		{"all are quick", required, []*place{{}, {}, {}, {}}, time.Second, "4/4", true},
		{"a slow one, with the quorum reached", required, []*place{{}, {}, {}, {after: 1500 * time.Millisecond}}, 1500 * time.Millisecond, "4/4", true},
		{"a slower one counts as a failure", required, []*place{{}, {}, {}, {after: 5 * time.Second}}, 2 * time.Second, "3/4", true},
		{"one that never answers", required, []*place{{}, {}, {}, {hang: true}}, 2 * time.Second, "3/4", true},
		{"two slow ones: the first of them decides", required, []*place{{}, {}, {after: 5 * time.Second}, {hang: true}}, 6 * time.Second, "3/4", true},
		{"two that never answer", required, []*place{{}, {}, {hang: true}, {hang: true}}, 10 * time.Second, "2/4", false},
		{"in shadow mode nothing depends on them", PerspectivePolicy{Mode: PerspectivesShadow}, []*place{{}, {}, {hang: true}, {hang: true}}, 2 * time.Second, "2/4", true},
		{"the quorum is lost already", required, []*place{hijacked(), hijacked(), {}, {hang: true}}, 2 * time.Second, "1/4", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, test.policy, test.places, func(c *CorroborationConfig) { c.Wait = time.Second })
				w.local.after = time.Second
				start := time.Now()
				result := w.try(t)
				if took := time.Since(start); took != test.took || result.Evidence.Quorum != test.quorum || (result.Problem == nil) != test.valid {
					t.Errorf("after %v (want %v) with quorum %s: %v", took, test.took, result.Evidence.Quorum, result.Problem)
				}
				corroborate := 0
				for _, p := range result.Evidence.Perspectives {
					if p.Problem == nil {
						corroborate++
					}
				}
				if got := fmt.Sprintf("%d/%d", corroborate, len(result.Evidence.Perspectives)); got != test.quorum {
					t.Errorf("on record are %s", got)
				}
			})
		})
	}
}

// A caller who has gone gets an error, not a result that might be stored.
func TestCorroborationOfNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, required, []*place{{hang: true}, {hang: true}})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if result, err := w.Validate(ctx, aRequest(t)); !errors.Is(err, context.Canceled) {
			t.Errorf("%+v, %v", result, err)
		}
		req := aRequest(t)
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if result, err := w.CheckCAA(ctx, CAARequest{Directory: "default", Identifier: req.Identifier, Method: req.Type}); !errors.Is(err, context.Canceled) {
			t.Errorf("%+v, %v", result, err)
		}
	})
}

// A try starts from nothing: what a perspective said the last time is
// forgotten.
func TestEarlierCorroborationsDoNotCount(t *testing.T) {
	t.Parallel()
	places := []*place{{}, {}, down(), down()}
	w := newWorld(t, required, places)
	if result := w.try(t); result.Problem == nil || !result.MayHeal {
		t.Fatalf("%+v", result)
	}
	places[0].problem, places[1].problem = hijacked().problem, hijacked().problem
	places[2].err, places[3].err = nil, nil
	if result := w.try(t); result.Problem == nil || result.Evidence.Quorum != "2/4" {
		t.Errorf("four perspectives have corroborated in two tries, two in each, and the quorum is %s: %v", result.Evidence.Quorum, result.Problem)
	}
}

func TestNotCorroborated(t *testing.T) {
	t.Parallel()
	id := func(kind acme.IdentifierType, value string) acme.Identifier {
		parsed, err := acme.ParseIdentifier(kind, value)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	name, ip := id(acme.IdentifierDNS, "example.org"), id(acme.IdentifierIP, "192.0.2.1")
	for _, test := range []struct {
		what          string
		policy        PerspectivePolicy
		id            acme.Identifier
		method        acme.ChallengeType
		asked, askCAA int32
	}{
		{"a name", required, name, acme.DNS01, 1, 1},
		{"an address: it has no CAA records", required, ip, acme.HTTP01, 1, 0},
		{"an onion name", required, id(acme.IdentifierDNS, "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"), acme.HTTP01, 0, 0},
		{"an onion name's own challenge", required, name, acme.OnionCSR01, 0, 0},
		{"a device", required, name, acme.DeviceAttest01, 0, 0},
		{"off", PerspectivePolicy{Mode: PerspectivesOff}, name, acme.DNS01, 0, 0},
	} {
		remote := &place{}
		w := newWorld(t, test.policy, []*place{remote, {}})
		req := aRequest(t)
		req.Identifier, req.Type = test.id, test.method
		if result, err := w.Validate(t.Context(), req); err != nil || result.Problem != nil || (result.Evidence.Quorum != "") != (test.asked == 1) {
			t.Errorf("%s: %+v, %v", test.what, result, err)
		}
		if got := remote.asked.Swap(0); got != test.asked {
			t.Errorf("%s: perspectives were asked %d times", test.what, got)
		}
		if result, err := w.CheckCAA(t.Context(), CAARequest{Directory: "default", Identifier: test.id, Method: test.method}); err != nil || result.Problem != nil {
			t.Errorf("%s: %+v, %v", test.what, result, err)
		}
		if got := remote.asked.Load(); got != test.askCAA {
			t.Errorf("%s: perspectives were asked %d times for CAA", test.what, got)
		}
	}
}

func TestUnknownDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, PerspectivePolicy{Mode: PerspectivesOff}, nil)
	req := aRequest(t)
	req.Directory = "other"
	if result, err := w.Validate(t.Context(), req); err != nil || result.Problem == nil || w.local.asked.Load() != 0 {
		t.Errorf("%+v, %v", result, err)
	}
	if result, err := w.CheckCAA(t.Context(), CAARequest{Directory: "other", Identifier: req.Identifier}); err != nil || result.Problem == nil {
		t.Errorf("%+v, %v", result, err)
	}
}

// A public directory is held to the date: at the start, and when the date
// comes while the process runs.
func TestPublicDirectory(t *testing.T) {
	t.Parallel()
	public := PerspectivePolicy{Mode: PerspectivesRequired, Public: true}
	now := date(2026, time.November, 24)
	var log bytes.Buffer
	clock := func(c *CorroborationConfig) {
		c.Now = func() time.Time { return now }
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	}
	fine := func(n int) []*place {
		places := make([]*place, n)
		for i := range places {
			places[i] = &place{}
		}
		return places
	}
	w := newWorld(t, public, fine(4), clock)
	if !strings.Contains(log.String(), "on=2026-12-15") || !strings.Contains(log.String(), "at least 5 remote perspectives") {
		t.Errorf("no warning of the date to come: %s", log.String())
	}
	if result := w.try(t); result.Problem != nil {
		t.Errorf("in November: %v", result.Problem)
	}
	now = date(2026, time.December, 15).Add(-time.Second)
	if result := w.try(t); result.Problem != nil {
		t.Errorf("a second before: %v", result.Problem)
	}
	now = date(2026, time.December, 15)
	asked := w.local.asked.Load()
	result := w.try(t)
	if result.Problem == nil || result.Problem.Type != acme.ServerInternal || !strings.Contains(result.Problem.Detail, "at least 5 remote perspectives") || w.local.asked.Load() != asked {
		t.Errorf("on the date: %+v", result)
	}
	req := aRequest(t)
	if caa, err := w.CheckCAA(t.Context(), CAARequest{Directory: "default", Identifier: req.Identifier}); err != nil || caa.Problem == nil {
		t.Errorf("on the date: %+v, %v", caa, err)
	}

	log.Reset()
	newWorld(t, public, fine(5), clock)
	if log.Len() > 0 {
		t.Errorf("five are enough, and yet: %s", log.String())
	}
}

func TestCorroborationConfigRefusals(t *testing.T) {
	t.Parallel()
	four := []acme.Region{acme.RIPE, acme.RIPE, acme.ARIN, acme.ARIN}
	for _, test := range []struct {
		name    string
		policy  PerspectivePolicy
		regions []acme.Region
		want    string // empty: accepted
	}{
		{"off without any", PerspectivePolicy{Mode: PerspectivesOff}, nil, ""},
		{"shadow without any", PerspectivePolicy{Mode: PerspectivesShadow}, nil, "there are none"},
		{"one", required, four[:1], "at least 2 remote perspectives are required, and there are 1"},
		{"two in one region", required, four[:2], "in at least 2 regions are required, and they are in 1"},
		{"two in one region are allowed where one is asked for", PerspectivePolicy{Mode: PerspectivesRequired, Regions: 1}, four[:2], ""},
		{"public with three", PerspectivePolicy{Mode: PerspectivesRequired, Public: true}, four[:3], "at least 4 remote perspectives are required of a public directory since 2026-06-15 (Baseline Requirements §3.2.2.9), and there are 3"},
		{"public with four", PerspectivePolicy{Mode: PerspectivesRequired, Public: true}, four, ""},
		{"public in one region", PerspectivePolicy{Mode: PerspectivesRequired, Public: true, Regions: 1}, []acme.Region{acme.RIPE, acme.RIPE, acme.RIPE, acme.RIPE}, "at least 2 regions"},
		{"public in the shadow", PerspectivePolicy{Mode: PerspectivesShadow, Public: true}, four, "can't be shadow"},
		{"public without", PerspectivePolicy{Mode: PerspectivesOff, Public: true}, four, "can't be off"},
		{"no mode", PerspectivePolicy{}, four, "no mode"},
	} {
		config := CorroborationConfig{
			Local: &place{}, Directories: map[string]PerspectivePolicy{"default": test.policy},
			Now: func() time.Time { return date(2026, time.November, 24) },
		}
		for i, region := range test.regions {
			config.Perspectives = append(config.Perspectives, Perspective{PerspectiveID: PerspectiveID{fmt.Sprint("p", i), region}, Authority: &place{}})
		}
		_, err := NewCorroborator(config)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
	twice := Perspective{PerspectiveID: PerspectiveID{"p", acme.RIPE}, Authority: &place{}}
	if _, err := NewCorroborator(CorroborationConfig{Local: &place{}, Perspectives: []Perspective{twice, twice}}); err == nil {
		t.Error("a perspective counts twice")
	}
}

func TestPerspectiveMetrics(t *testing.T) {
	t.Parallel()
	w := newWorld(t, required, []*place{{}, hijacked(), down(), {}})
	w.try(t)
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			if m.GetCounter() != nil {
				got[family.GetName()+" "+strings.Join(labels, " ")] = m.GetCounter().GetValue()
			}
		}
	}
	want := map[string]float64{ // labels in the order of their names
		"cairn_va_corroborations_total validation required lost":               1,
		"cairn_va_perspective_results_total validation p0 RIPE corroborated":   1,
		"cairn_va_perspective_results_total validation p1 ARIN unauthorized":   1,
		"cairn_va_perspective_results_total validation p2 APNIC unreachable":   1,
		"cairn_va_perspective_results_total validation p3 LACNIC corroborated": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What a perspective says is bounded and printable before anybody sees it.
func TestPerspectiveProblemsAreBounded(t *testing.T) {
	t.Parallel()
	loud := func() *place {
		return &place{problem: acme.NewProblem(acme.Unauthorized, "%s\x00\u202e\n", strings.Repeat("x", 100_000))}
	}
	places := []*place{{}}
	for range 9 {
		places = append(places, loud())
	}
	result := newWorld(t, required, places).try(t)
	if len(result.Problem.Detail) > 2000 || !strings.Contains(result.Problem.Detail, "and 5 more") {
		t.Errorf("a detail of %d bytes", len(result.Problem.Detail))
	}
	for _, p := range result.Evidence.Perspectives[1:] {
		if len(p.Problem.Detail) > 600 || strings.ContainsFunc(p.Problem.Detail, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q", p.Problem.Detail)
		}
	}
}

var fra = PerspectiveID{"fra", acme.RIPE}

// remote serves a perspective and connects to it as the named role.
func remote(t *testing.T, client rpc.Role, id PerspectiveID, directories []string, impl Authority) *grpc.ClientConn {
	t.Helper()
	return rpctest.Connect(t, rpc.RolePerspective, client, rpc.Grants(rpc.RolePerspective, nil), func(s grpc.ServiceRegistrar) {
		RegisterPerspective(s, id, directories, impl)
	})
}

func TestPerspectiveRPC(t *testing.T) {
	t.Parallel()
	recorder := &rpctest.Recorder{}
	conn := remote(t, rpc.RoleVA, fra, []string{"default"}, anyDirectory{recorded{recorder}})
	client := NewPerspectiveClient(conn, fra)
	if _, err := client.Validate(t.Context(), aRequest(t)); err != nil {
		t.Fatal(err)
	}
	req := aRequest(t)
	req.Directory = "other"
	if _, err := client.Validate(t.Context(), req); err == nil || !strings.Contains(err.Error(), `does not have the directory "other"`) {
		t.Errorf("a directory that the perspective does not have: %v", err)
	}
	if _, err := client.CheckCAA(t.Context(), CAARequest{Directory: "other", Identifier: req.Identifier}); err == nil {
		t.Error("a directory that the perspective does not have is checked for CAA")
	}
	// Another name, another region: each end notices by itself.
	for _, other := range []PerspectiveID{{"iad", acme.RIPE}, {"fra", acme.ARIN}} {
		if _, err := NewPerspectiveClient(conn, other).Validate(t.Context(), aRequest(t)); !errors.Is(err, errMistaken) {
			t.Errorf("asked as %s, the perspective %s answers: %v", other, fra, err)
		}
		if _, err := NewPerspectiveClient(conn, other).CheckCAA(t.Context(), CAARequest{Directory: "default", Identifier: req.Identifier}); !errors.Is(err, errMistaken) {
			t.Errorf("asked as %s, the perspective %s answers: %v", other, fra, err)
		}
	}
}

// anyDirectory answers without a recorder's results.
type anyDirectory struct{ recorded }

func (anyDirectory) Validate(context.Context, Request) (Result, error) {
	return Result{Evidence: acme.Evidence{}}, nil
}

// Everything that crosses to a perspective and back arrives whole.
func TestPerspectiveRPCRoundTrip(t *testing.T) {
	t.Parallel()
	recorder := &rpctest.Recorder{}
	directories := []string{""}
	for n := range 2000 { // what rpctest fills in
		directories = append(directories, fmt.Sprintf("text-%d", n))
	}
	conn := rpctest.Connect(t, rpc.RolePerspective, rpc.RoleVA, rpc.Grants(rpc.RolePerspective, nil), func(s grpc.ServiceRegistrar) {
		RegisterPerspective(s, fra, directories, recorded{recorder})
	})
	rpctest.RoundTrip(t, NewPerspectiveClient(conn, fra), recorder)
}

// Only the primary perspective calls, and an answer that says nothing, or
// comes from another place, proves nothing.
func TestPerspectiveRPCRefusals(t *testing.T) {
	t.Parallel()
	for _, client := range []rpc.Role{rpc.RoleRA, rpc.RoleWFE, rpc.RoleCA, rpc.RoleSA, rpc.RoleOCSP} {
		conn := remote(t, client, fra, []string{"default"}, &place{})
		if _, err := NewPerspectiveClient(conn, fra).Validate(t.Context(), aRequest(t)); err == nil {
			t.Errorf("the role %s may ask a perspective", client)
		}
	}
	for name, answer := range map[string]*vapb.RemoteValidateResponse{
		"nothing":     {},
		"no identity": {Response: encodeResult(Result{})},
		"no result":   {Perspective: encodePerspective(fra)},
		"no proof":    {Perspective: encodePerspective(fra), Response: &vapb.ValidateResponse{Evidence: rpc.EncodeEvidence(acme.Evidence{})}},
		"another":     {Perspective: encodePerspective(PerspectiveID{"iad", acme.ARIN}), Response: encodeResult(Result{})},
	} {
		conn := rpctest.Connect(t, rpc.RolePerspective, rpc.RoleVA, rpc.Grants(rpc.RolePerspective, nil), func(s grpc.ServiceRegistrar) {
			vapb.RegisterRemotePerspectiveServer(s, fixedPerspective{answer: answer})
		})
		if result, err := NewPerspectiveClient(conn, fra).Validate(t.Context(), aRequest(t)); err == nil {
			t.Errorf("%s: %+v", name, result)
		}
	}
}

type fixedPerspective struct {
	vapb.UnimplementedRemotePerspectiveServer
	answer *vapb.RemoteValidateResponse
}

func (f fixedPerspective) Validate(context.Context, *vapb.RemoteValidateRequest) (*vapb.RemoteValidateResponse, error) {
	return f.answer, nil
}
