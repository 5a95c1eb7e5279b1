package dns

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/resolver"
)

// Defaults of Probe. The bogus names are kept so by their owners, for tests
// such as this one.
var (
	DefaultSecureNames = []string{"."}
	DefaultBogusNames  = []string{"dnssec-failed.org", "rhybar.cz"}
)

// Defaults of Probe.
const (
	DefaultProbeInterval = time.Minute
	DefaultProbeMaxAge   = 10 * time.Minute
)

// hurriedProbe is the wait for the next probe while an upstream is unproven.
const hurriedProbe = 5 * time.Second

// Probe says how an upstream proves that it validates with DNSSEC (RFC 4035
// §4.9): it must vouch for a name that is signed, and refuse a name whose
// signatures are wrong, though it can find it when asked not to check. The
// names are asked for their SOA record.
type Probe struct {
	// Secure are names that are signed; the first that can be looked up
	// decides. Empty: DefaultSecureNames.
	Secure []string
	// Bogus are names that are signed wrongly; likewise. Empty:
	// DefaultBogusNames.
	Bogus []string
	// Interval is from one probe to the next. 0: DefaultProbeInterval.
	Interval time.Duration
	// MaxAge is how long a proof counts when later probes come to no result,
	// as when nobody answers for the names. A probe that shows that the
	// upstream does not validate ends it at once. 0: DefaultProbeMaxAge.
	MaxAge time.Duration
}

func (p Probe) withDefaults() *Probe {
	if len(p.Secure) == 0 {
		p.Secure = DefaultSecureNames
	}
	if len(p.Bogus) == 0 {
		p.Bogus = DefaultBogusNames
	}
	if p.Interval == 0 {
		p.Interval = DefaultProbeInterval
	}
	if p.MaxAge == 0 {
		p.MaxAge = DefaultProbeMaxAge
	}
	return &p
}

type requirement struct{}

// RequireValidation makes every look-up under the context one that only an
// upstream which has proven to validate may answer; without one, the look-up
// fails. It is part of the context so that no way to a look-up goes around it.
func RequireValidation(ctx context.Context) context.Context {
	return context.WithValue(ctx, requirement{}, true)
}

func validationRequired(ctx context.Context) bool {
	required, _ := ctx.Value(requirement{}).(bool)
	return required
}

// proof is whether an upstream has proven to validate.
type proof struct {
	proofMu sync.Mutex
	proven  time.Time // zero: it has not
	reason  string    // why not
}

// proves tells whether an upstream counts as one that validates.
func (r *Resolver) proves(u *upstream, now time.Time) bool {
	if r.config.Probe == nil {
		return false
	}
	u.proofMu.Lock()
	defer u.proofMu.Unlock()
	return !u.proven.IsZero() && now.Before(u.proven.Add(r.config.Probe.MaxAge))
}

// unproven says, for a person, why no upstream counts as one that validates.
func (r *Resolver) unproven() string {
	if r.config.Probe == nil {
		return "no probe is configured"
	}
	const most = 3
	var reasons []string
	for _, u := range r.upstreams {
		if len(reasons) == most {
			reasons = append(reasons, "and more")
			break
		}
		u.proofMu.Lock()
		reason := u.reason
		u.proofMu.Unlock()
		if reason == "" {
			reason = "the last probe is too old"
		}
		reasons = append(reasons, u.name+": "+reason)
	}
	return strings.Join(reasons, "; ")
}

// Run probes the upstreams, if Config.Probe asks for that, until the context
// ends. Before the first probe is through, look-ups under RequireValidation
// wait.
func (r *Resolver) Run(ctx context.Context) error {
	if r.config.Probe == nil {
		return nil
	}
	r.warnOfPaths()
	var first sync.Once
	for {
		wait := r.config.Probe.Interval
		if !r.probe(ctx) {
			wait = min(wait, hurriedProbe)
		}
		first.Do(func() { close(r.probed) })
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// warnOfPaths warns where the word of a resolver that validates can be
// changed on its way (RFC 4035 §4.9.3).
func (r *Resolver) warnOfPaths() {
	for _, u := range r.upstreams {
		switch u.endpoint.Transport {
		case resolver.TLS, resolver.HTTPS:
		default:
			if !u.endpoint.Loopback() {
				r.config.Logger.Warn("the path to this DNS resolver is not protected: whoever is on it can undo DNSSEC; use tls:// or https://, or a resolver on this machine", "upstream", u.name)
			}
		}
	}
}

// awaitProbe waits until each upstream was probed once; false when the context
// ended first.
func (r *Resolver) awaitProbe(ctx context.Context) bool {
	if r.config.Probe == nil {
		return true
	}
	select {
	case <-r.probed:
		return true
	case <-ctx.Done():
		return false
	}
}

// probe probes every upstream and tells whether all of them are proven.
func (r *Resolver) probe(ctx context.Context) bool {
	var probing sync.WaitGroup
	for _, u := range r.upstreams {
		probing.Go(func() {
			f := r.probeUpstream(ctx, u)
			if ctx.Err() == nil {
				r.note(u, f)
			}
		})
	}
	probing.Wait()
	now := r.config.Now()
	for _, u := range r.upstreams {
		if !r.proves(u, now) {
			return false
		}
	}
	return true
}

// finding is the result of a probe.
type finding struct {
	result string // of the metrics
	reason string // why it is not proven
}

func refuted(format string, args ...any) finding {
	return finding{"refuted", fmt.Sprintf(format, args...)}
}

var validates = finding{result: "proven"}

// note takes up the result of a probe.
func (r *Resolver) note(u *upstream, f finding) {
	u.proofMu.Lock()
	before := u.reason
	first := u.proven.IsZero()
	u.reason = f.reason
	switch f.result {
	case "proven":
		u.proven = r.config.Now()
	case "refuted":
		u.proven = time.Time{}
	}
	u.proofMu.Unlock()
	r.metrics.probes.WithLabelValues(u.name, f.result).Inc()
	switch {
	case f == validates && (first || before != ""):
		r.config.Logger.Info("the DNS resolver validates with DNSSEC", "upstream", u.name)
	case f != validates && f.reason != before:
		level := slog.LevelWarn
		if f.result == "refuted" {
			level = slog.LevelError
		}
		r.config.Logger.Log(context.Background(), level, "the DNS resolver has not proven that it validates with DNSSEC", "upstream", u.name, "reason", f.reason)
	}
}

// probeUpstream probes one upstream. What refutes it counts, whatever the
// other half of the probe comes to.
func (r *Resolver) probeUpstream(ctx context.Context, u *upstream) finding {
	bogus := firstConclusive(r.config.Probe.Bogus, func(name string) finding { return r.probeBogus(ctx, u, name) })
	if bogus.result == "refuted" {
		return bogus
	}
	secure := firstConclusive(r.config.Probe.Secure, func(name string) finding { return r.probeSecure(ctx, u, name) })
	if secure != validates {
		return secure
	}
	return bogus
}

func firstConclusive(names []string, probe func(name string) finding) (f finding) {
	for _, name := range names {
		if f = probe(name); f.result != "inconclusive" {
			break
		}
	}
	return f
}

// probeBogus asks for a name whose signatures are wrong.
func (r *Resolver) probeBogus(ctx context.Context, u *upstream, name string) finding {
	checked := r.askOne(ctx, u, name, false)
	switch {
	case !checked.Failed():
		return refuted("it gave an answer for %s, whose DNSSEC signatures are wrong", name)
	case checked.Outcome != ServFail:
		return finding{"inconclusive", checked.Problem()}
	}
	// It may have failed for another reason than the signatures.
	if unchecked := r.askOne(ctx, u, name, true); unchecked.Outcome != Found && unchecked.Outcome != NoData {
		return finding{"inconclusive", "with checking disabled: " + unchecked.Problem()}
	}
	return validates
}

// probeSecure asks for a name that is signed.
func (r *Resolver) probeSecure(ctx context.Context, u *upstream, name string) finding {
	answer := r.askOne(ctx, u, name, false)
	switch {
	case answer.Failed():
		return finding{"inconclusive", answer.Problem()}
	case !answer.Authenticated:
		return refuted("it does not vouch for the answer for %s, which is signed with DNSSEC", name)
	}
	return validates
}

// askOne asks one upstream for the SOA record of a name.
func (r *Resolver) askOne(ctx context.Context, u *upstream, name string, unchecked bool) Answer {
	question := Question{name, dns.TypeSOA}
	q := &query{asked: question, current: question, unchecked: unchecked}
	open := []*query{q}
	for range r.config.Attempts {
		if open = r.round(ctx, u, open); len(open) == 0 || ctx.Err() != nil {
			break
		}
	}
	r.giveUp(ctx, open)
	return q.finish()
}
