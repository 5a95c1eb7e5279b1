package va

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

// method is one challenge type.
type method interface {
	// unfit says why the challenge type can't prove control of an identifier;
	// empty: it can.
	unfit(id acme.Identifier, wildcard bool) string
	// prove runs one try. It returns nil when control is proven. What it saw
	// on the way is in t's steps.
	prove(ctx context.Context, t *try) *failure
}

// try is one run of one challenge.
type try struct {
	Request
	keyAuthorization string
	steps
	persisted *persisted // what dns-persist-01 relied on
	// attestation is what device-attest-01 found out.
	attestation *acme.AttestationEvidence
}

// Validate implements Authority.
func (v *VA) Validate(ctx context.Context, req Request) (Result, error) {
	start := v.Now()
	t := &try{Request: req, keyAuthorization: acme.KeyAuthorization(req.Token, req.KeyThumbprint)}
	tryCtx, cancel := context.WithDeadline(v.underDirectory(ctx, req.Directory), v.deadline(ctx))
	defer cancel()

	caa, fail := v.run(tryCtx, t)
	if ctx.Err() != nil {
		return Result{}, fmt.Errorf("validating %s for %s: %w", req.Type, req.Identifier, context.Cause(ctx))
	}
	if fail != nil && fail.busy {
		v.metrics.busy.Inc()
		return Result{}, fmt.Errorf("validating %s for %s: %w", req.Type, req.Identifier, fail.problem)
	}
	result := Result{Evidence: acme.Evidence{
		Method: req.Type, DomainName: req.Identifier.Value(), At: start.UTC(), Steps: append(t.steps, caa.Steps...), CAA: caa.evidence(),
		Attestation: t.attestation,
	}}
	t.persisted.record(&result.Evidence)
	if fail != nil {
		result.Problem, result.MayHeal = fail.problem, fail.mayHeal
	}
	v.record(ctx, req, result, v.Now().Sub(start))
	return result, nil
}

// run proves control and checks CAA, both at once.
func (v *VA) run(ctx context.Context, t *try) (CAADecision, *failure) {
	m, ok := v.methods[t.Type]
	if !ok {
		return CAADecision{}, wrong(acme.Malformed, "challenges of type %s are not validated here; respond to another one", quote(string(t.Type)))
	}
	if t.Identifier.IsOnion() && t.Type != acme.OnionCSR01 {
		// RFC 9799 §3.1: not in the DNS, and not reached without Tor.
		return CAADecision{}, wrong(acme.Malformed, "%s can't prove control of the name of an onion service here; respond to onion-csr-01", quote(string(t.Type)))
	}
	if reason := m.unfit(t.Identifier, t.Wildcard); reason != "" {
		return CAADecision{}, wrong(acme.Malformed, "%s", reason)
	}
	if err := v.inFlight.acquire(ctx); err != nil {
		return CAADecision{}, busy("too many validations are running; try again later")
	}
	defer v.inFlight.release()
	if t.Identifier.Type() != acme.IdentifierDNS || t.Identifier.IsOnion() {
		// An address has no CAA records; an onion service's come with the
		// finalize request (RFC 9799 §6.4).
		return CAADecision{}, m.prove(ctx, t)
	}

	caaCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	decided := make(chan CAADecision, 1)
	go func() {
		decided <- v.caa.Check(caaCtx, CAARequest{
			Directory: t.Directory, Identifier: t.Identifier, Wildcard: t.Wildcard, Method: t.Type, AccountURL: t.AccountURL,
		})
	}()
	if fail := m.prove(ctx, t); fail != nil {
		return CAADecision{}, fail
	}
	decision := <-decided
	v.countCAA(decision)
	if decision.Problem != nil {
		return decision, &failure{problem: decision.Problem, mayHeal: decision.MayHeal}
	}
	return decision, nil
}

// CheckCAA implements Authority.
func (v *VA) CheckCAA(ctx context.Context, req CAARequest) (CAAResult, error) {
	checkCtx, cancel := context.WithDeadline(v.underDirectory(ctx, req.Directory), v.deadline(ctx))
	defer cancel()
	decision := v.caa.Check(checkCtx, req)
	if ctx.Err() != nil {
		return CAAResult{}, fmt.Errorf("checking CAA for %s: %w", req.Identifier, context.Cause(ctx))
	}
	v.countCAA(decision)
	result := CAAResult{Problem: decision.Problem, MayHeal: decision.MayHeal}
	if evidence := decision.evidence(); evidence != nil {
		result.Evidence = *evidence
	}
	v.Audit.LogAttrs(ctx, slog.LevelInfo, "CAA check",
		slog.String("account", req.AccountURL), slog.String("identifier", named(req.Identifier, req.Wildcard)),
		slog.String("result", outcome(decision.Problem)), problemAttr(decision.Problem), slog.Any("steps", decision.Steps))
	return result, nil
}

// deadline is when a try ends. A caller's own deadline is shaved, so that the
// caller still gets the result that time ran out.
func (v *VA) deadline(ctx context.Context) time.Time { return tryDeadline(ctx, v.Timeout) }

func tryDeadline(ctx context.Context, timeout time.Duration) time.Time {
	now := time.Now() // contexts run on the system's clock
	end := now.Add(timeout)
	if theirs, ok := ctx.Deadline(); ok {
		margin := min(theirs.Sub(now)/10, 500*time.Millisecond)
		if theirs = theirs.Add(-margin); theirs.Before(end) {
			return theirs
		}
	}
	return end
}

func (v *VA) countCAA(decision CAADecision) {
	result := "permitted"
	switch {
	case decision.Problem != nil && decision.Problem.Type == acme.CAA:
		result = "forbidden"
	case decision.Problem != nil:
		result = "failed"
	}
	v.metrics.caa.WithLabelValues(result).Inc()
}

// record counts a result and writes it to the logs.
func (v *VA) record(ctx context.Context, req Request, result Result, took time.Duration) {
	kind := string(req.Type)
	if _, known := v.methods[req.Type]; !known {
		kind = "unknown"
	}
	v.metrics.validations.WithLabelValues(kind, outcome(result.Problem)).Inc()
	v.metrics.durations.WithLabelValues(kind).Observe(took.Seconds())
	v.Audit.LogAttrs(ctx, slog.LevelInfo, "validation",
		slog.String("directory", req.Directory), slog.String("account", req.AccountURL),
		slog.String("identifier", named(req.Identifier, req.Wildcard)), slog.String("type", string(req.Type)),
		slog.String("result", outcome(result.Problem)), problemAttr(result.Problem),
		slog.Bool("mayHeal", result.MayHeal), slog.Any("evidence", result.Evidence))
	v.Logger.LogAttrs(ctx, slog.LevelDebug, "validation",
		slog.String("identifier", named(req.Identifier, req.Wildcard)), slog.String("type", string(req.Type)),
		slog.String("result", outcome(result.Problem)), problemAttr(result.Problem), slog.Duration("took", took))
}

func outcome(problem *acme.Problem) string {
	if problem == nil {
		return "valid"
	}
	return string(problem.Type)
}

func problemAttr(problem *acme.Problem) slog.Attr {
	if problem == nil {
		return slog.Attr{}
	}
	return slog.String("problem", problem.Detail)
}

func named(id acme.Identifier, wildcard bool) string {
	if wildcard {
		id = id.Wildcard()
	}
	return id.Value()
}
