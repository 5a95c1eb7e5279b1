package va

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

// What perspectives are asked for.
const (
	checkValidation = "validation"
	checkCAA        = "caa"
)

const (
	// maxPerspectiveDetail bounds what is kept of a perspective's problem, in
	// bytes.
	maxPerspectiveDetail = 500
	// In a problem document maxDiffering perspectives are quoted, each with as
	// many bytes as maxDifferingDetail.
	maxDiffering       = 4
	maxDifferingDetail = 240
)

// poll is one question to all perspectives.
type poll struct {
	*Corroborator
	policy  PerspectivePolicy
	check   string
	quorum  quorum
	ballots []ballot
	arrived chan arrival
	end     context.CancelFunc
	over    <-chan struct{} // the time of the try is
}

// ballot is what became of one perspective.
type ballot struct {
	cast    bool          // it has answered, or failed to
	problem *acme.Problem // nil, once it is cast: it corroborates
	mayHeal bool
	// result is the metric's word for it.
	result string
}

// arrival is an answer.
type arrival struct {
	perspective int
	result      Result
	err         error
	took        time.Duration
}

// begin asks all perspectives. The caller calls settle at most once, and end
// in any case.
func (c *Corroborator) begin(ctx context.Context, policy PerspectivePolicy, check string, ask func(context.Context, Authority) (Result, error)) *poll {
	ctx, cancel := context.WithDeadline(ctx, tryDeadline(ctx, c.Timeout))
	_, regions := policy.needs(c.Now())
	p := &poll{
		Corroborator: c, policy: policy, check: check,
		quorum:  quorum{perspectives: c.regions, regions: regions},
		ballots: make([]ballot, len(c.Perspectives)),
		arrived: make(chan arrival, len(c.Perspectives)), // nobody waits for a reader
		end:     cancel, over: ctx.Done(),
	}
	for i, perspective := range c.Perspectives {
		go func() {
			start := time.Now()
			result, err := ask(ctx, perspective.Authority)
			p.arrived <- arrival{i, result, err, time.Since(start)}
		}()
	}
	return p
}

// verdict is what a poll came to.
type verdict struct {
	check   string
	mode    PerspectiveMode
	results []acme.PerspectiveResult
	quorum  string // such as "3/4"
	reached bool
	steps   []string
	// problem is nil when the quorum is reached, or not required.
	problem *acme.Problem
	mayHeal bool
}

// settle waits for the answers and judges them by what the primary perspective
// has found. It waits for those that can change the result until the time of
// the try is over, for the others no longer than Wait.
func (p *poll) settle(local Result) verdict {
	var enough <-chan time.Time
	for open := len(p.ballots); open > 0; open-- {
		if enough == nil && p.decided() {
			timer := time.NewTimer(p.Wait)
			defer timer.Stop()
			enough = timer.C
		}
		select {
		case a := <-p.arrived:
			if errors.Is(a.err, errMistaken) {
				p.Logger.Error("a perspective is not where va.perspectives says", "error", a.err)
			}
			p.ballots[a.perspective] = judge(a, local)
			p.metrics.durations.WithLabelValues(p.Perspectives[a.perspective].Name, p.check).Observe(a.took.Seconds())
			continue
		case <-enough:
		case <-p.over:
		}
		break
	}
	for i := range p.ballots {
		if !p.ballots[i].cast {
			p.ballots[i] = late()
		}
	}
	return p.verdict()
}

// decided tells whether the answers that are out can't change the result.
func (p *poll) decided() bool {
	if p.policy.Mode == PerspectivesShadow {
		return true // nothing depends on them
	}
	atLeast := p.quorum.reached(p.corroborates)
	atMost := p.quorum.reached(func(i int) bool { return !p.ballots[i].cast || p.corroborates(i) })
	return atLeast == atMost
}

func (p *poll) corroborates(i int) bool { return p.ballots[i].cast && p.ballots[i].problem == nil }

// judge makes a ballot of an answer. What is not plainly a corroboration is
// none.
func judge(a arrival, local Result) ballot {
	switch {
	case errors.Is(a.err, errMistaken):
		return failed("mistaken", false, "it is another perspective than the one that was asked")
	case errors.Is(a.err, context.DeadlineExceeded) || errors.Is(a.err, context.Canceled):
		return late()
	case a.err != nil:
		// The error may name inner addresses; the log of the calls has it.
		return failed("unreachable", true, "it could not be asked")
	case a.result.Problem != nil:
		return ballot{
			cast: true, mayHeal: a.result.MayHeal, result: string(a.result.Problem.Type),
			problem: acme.NewProblem(a.result.Problem.Type, "%s", clip(a.result.Problem.Detail, maxPerspectiveDetail)),
		}
	}
	if what := difference(local.Evidence, a.result.Evidence); what != "" {
		return ballot{cast: true, result: "different", problem: acme.NewProblem(acme.Unauthorized, "it found control proven %s", what)}
	}
	return ballot{cast: true, result: "corroborated"}
}

func late() ballot { return failed("late", true, "it did not answer in time") }

// failed is the ballot of a perspective that is at fault itself.
func failed(result string, mayHeal bool, detail string) ballot {
	return ballot{cast: true, mayHeal: mayHeal, result: result, problem: acme.NewProblem(acme.ServerInternal, "%s", detail)}
}

// difference says how what a remote perspective has found is not what the
// primary one has; empty: it is the same. Each has compared the token and the
// key authorization itself.
func difference(local, remote acme.Evidence) string {
	switch {
	case local.Method != remote.Method:
		return "by " + quote(string(remote.Method))
	case local.DomainName != remote.DomainName:
		return "of " + quote(remote.DomainName)
	case local.AccountURI != remote.AccountURI:
		// Baseline Requirements §3.2.2.4.22.
		return "for the accounturi " + quote(remote.AccountURI)
	}
	return ""
}

// verdict sums the ballots up.
func (p *poll) verdict() verdict {
	corroborating, regions := p.quorum.count(p.corroborates)
	v := verdict{
		check: p.check, mode: p.policy.Mode, quorum: fmt.Sprintf("%d/%d", corroborating, len(p.ballots)),
		reached: p.quorum.reached(p.corroborates),
	}
	for i, b := range p.ballots {
		id := p.Perspectives[i].PerspectiveID
		v.results = append(v.results, acme.PerspectiveResult{Name: id.Name, Region: string(id.Region), Problem: b.problem})
		p.metrics.results.WithLabelValues(id.Name, string(id.Region), p.check, b.result).Inc()
		if b.problem == nil {
			v.steps = append(v.steps, fmt.Sprintf("perspective %s: corroborates", id))
		} else {
			v.steps = append(v.steps, fmt.Sprintf("perspective %s: %s: %s", id, b.problem.Type, b.problem.Detail))
		}
	}
	result, summary := "reached", "the quorum is reached"
	if !v.reached {
		result, summary = "lost", "the quorum is lost"
	}
	if v.mode == PerspectivesShadow {
		summary += ", and not required"
	}
	v.steps = append(v.steps, fmt.Sprintf("%s of the remote perspectives corroborate, in %d %s: %s", v.quorum, regions, plural(regions, "region"), summary))
	p.metrics.corroborations.WithLabelValues(p.check, string(v.mode), result).Inc()
	if !v.reached && v.mode != PerspectivesShadow {
		v.problem = p.refusal(corroborating, regions)
		v.mayHeal = p.quorum.reached(func(i int) bool { return p.corroborates(i) || p.ballots[i].mayHeal })
	}
	return v
}

// refusal is what the client reads when the quorum is lost.
func (p *poll) refusal(corroborating, regions int) *acme.Problem {
	found := "this is right as seen from the CA itself"
	if p.check == checkCAA {
		found = "CAA permits issuing as seen from the CA itself"
	}
	remotes := len(p.ballots)
	var reason string
	if differing := remotes - corroborating; differing > mayDiffer(remotes) {
		reason = fmt.Sprintf("%d of its %d remote perspectives did not see the same, and at most %d may differ", differing, remotes, mayDiffer(remotes))
	} else {
		reason = fmt.Sprintf("its remote perspectives that saw the same are in %d %s, and %d are needed", regions, plural(regions, "region"), p.quorum.regions)
	}
	var seen []string
	more := 0
	for i, b := range p.ballots {
		switch {
		case b.problem == nil:
		case len(seen) == maxDiffering:
			more++
		default:
			seen = append(seen, fmt.Sprintf("%s: %s: %s", p.Perspectives[i].PerspectiveID, b.problem.Type, clip(b.problem.Detail, maxDifferingDetail)))
		}
	}
	if more > 0 {
		seen = append(seen, fmt.Sprintf("and %d more", more))
	}
	return acme.NewProblem(p.problemType(), "%s, but %s. %s. Make sure that the same answers are given to the whole Internet, by every name server and every address of the name",
		found, reason, strings.Join(seen, "; "))
}

// problemType is the type that most of the perspectives named that saw
// something else, of equally many the first. That of perspectives which are at
// fault themselves counts when there are no others.
func (p *poll) problemType() acme.ProblemType {
	votes := make(map[acme.ProblemType]int)
	best := acme.ServerInternal
	for _, b := range p.ballots {
		if b.problem != nil && b.problem.Type != acme.ServerInternal {
			votes[b.problem.Type]++
		}
	}
	for _, b := range p.ballots {
		if b.problem != nil && votes[b.problem.Type] > votes[best] {
			best = b.problem.Type
		}
	}
	return best
}

// clip makes what another process sent fit for a problem or a log: printable,
// bounded.
func clip(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}
