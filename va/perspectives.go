package va

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-ca/cairn/internal/acme"
)

// DefaultPerspectiveWait is how long perspectives that do not matter to the
// result any more are waited for.
const DefaultPerspectiveWait = time.Second

// PerspectiveID is who a perspective is.
type PerspectiveID struct {
	Name   string // lower-case letters, digits and hyphens, at most 32
	Region acme.Region
}

func (id PerspectiveID) String() string { return id.Name + " (" + string(id.Region) + ")" }

// Perspective is a remote network perspective: a VA elsewhere on the network,
// with a resolver of its own.
type Perspective struct {
	PerspectiveID
	Authority Authority // see NewPerspectiveClient
}

// CorroborationConfig says whom a Corroborator asks.
type CorroborationConfig struct {
	// Local is the primary perspective.
	Local Authority
	// Perspectives are the remote ones.
	Perspectives []Perspective
	// Directories is the policy of each directory, by its name. A directory
	// that is not there is refused: nobody knows what it demands.
	Directories map[string]PerspectivePolicy
	// Timeout bounds one try; 0: the constant DefaultTimeout. The perspectives
	// have as long as the primary one.
	Timeout time.Duration
	// Wait is how long, once the primary perspective is done and the quorum is
	// reached or lost for certain, the answers that are still out are waited
	// for, so that the evidence has them too. 0: DefaultPerspectiveWait.
	Wait time.Duration
	// Now is the clock of evidence and of the dates of
	// PublicPerspectiveRequirements. nil: time.Now.
	Now func() time.Time
	// Logger gets what an operator wants to know. nil: nobody.
	Logger *slog.Logger
	// Audit gets one record for each poll. nil: nobody.
	Audit *slog.Logger
	// Metrics registers the collectors cairn_va_perspective_* and
	// cairn_va_corroborations_total. nil: nowhere.
	Metrics prometheus.Registerer
}

// Corroborator is a validation authority that believes its own eyes only when
// enough others see the same (multi-perspective issuance corroboration,
// Baseline Requirements §3.2.2.9). It implements Authority, for any number of
// goroutines, and keeps no state between tries: a corroboration of an earlier
// try never counts.
type Corroborator struct {
	CorroborationConfig
	regions []acme.Region // of Perspectives
	metrics corroborationMetrics
}

var _ Authority = (*Corroborator)(nil)

var perspectiveName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// ParsePerspectiveID reads the name and the region of a perspective.
func ParsePerspectiveID(name, region string) (PerspectiveID, error) {
	if !perspectiveName.MatchString(name) {
		return PerspectiveID{}, fmt.Errorf("%q is no name for a perspective: use 1 to 32 lower-case letters, digits and hyphens", name)
	}
	parsed, err := acme.ParseRegion(region)
	if err != nil {
		return PerspectiveID{}, fmt.Errorf("the region of perspective %s: %w", name, err)
	}
	return PerspectiveID{name, parsed}, nil
}

// NewCorroborator makes a Corroborator. It refuses a configuration with which
// a directory could never issue.
func NewCorroborator(config CorroborationConfig) (*Corroborator, error) {
	if config.Timeout == 0 {
		config.Timeout = DefaultTimeout
	}
	if config.Wait == 0 {
		config.Wait = DefaultPerspectiveWait
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Audit == nil {
		config.Audit = slog.New(slog.DiscardHandler)
	}
	c := &Corroborator{CorroborationConfig: config}
	names := make(map[string]bool)
	for _, p := range config.Perspectives {
		if names[p.Name] {
			return nil, fmt.Errorf("two perspectives have the name %s", p.Name)
		}
		names[p.Name] = true
		c.regions = append(c.regions, p.Region)
	}
	for _, name := range slices.Sorted(maps.Keys(config.Directories)) {
		if err := c.check(name, config.Directories[name]); err != nil {
			return nil, err
		}
	}
	var err error
	if c.metrics, err = newCorroborationMetrics(config.Metrics); err != nil {
		return nil, fmt.Errorf("registering the metrics of perspectives: %w", err)
	}
	return c, nil
}

// check finds what keeps a directory from ever having its quorum, and warns of
// a date after which that will be so.
func (c *Corroborator) check(name string, p PerspectivePolicy) error {
	switch {
	case p.Public && p.Mode != PerspectivesRequired:
		return fmt.Errorf("directory %q is public: its perspectives can't be %s, they are required (Baseline Requirements §3.2.2.9)", name, p.Mode)
	case p.Mode == PerspectivesOff:
		return nil
	case p.Mode == PerspectivesShadow:
		if len(c.Perspectives) == 0 {
			return fmt.Errorf("directory %q asks remote perspectives, and there are none", name)
		}
		return nil
	case p.Mode != PerspectivesRequired:
		return fmt.Errorf("directory %q: %q is no mode of perspectives", name, p.Mode)
	}
	now := c.Now()
	if short := p.shortage(now, c.regions); short != "" {
		return fmt.Errorf("directory %q can't issue: %s", name, short)
	}
	if p.Public {
		for _, r := range PublicPerspectiveRequirements {
			if short := p.shortage(r.From, c.regions); r.From.After(now) && short != "" {
				c.Logger.Warn("the directory will stop issuing for lack of remote perspectives", "directory", name, "on", r.From.Format(time.DateOnly), "reason", short)
				break
			}
		}
	}
	return nil
}

// Validate implements Authority.
func (c *Corroborator) Validate(ctx context.Context, req Request) (Result, error) {
	policy, problem := c.policy(req.Directory)
	if problem == nil && (policy.Mode == PerspectivesOff || !corroborable(req.Identifier, req.Type)) {
		return c.Local.Validate(ctx, req)
	}
	if problem == nil {
		problem = c.shortage(policy)
	}
	if problem != nil {
		return Result{Problem: problem, Evidence: acme.Evidence{
			Method: req.Type, DomainName: req.Identifier.Value(), At: c.Now().UTC(), Steps: []string{problem.Detail},
		}}, nil
	}
	poll := c.begin(ctx, policy, checkValidation, func(ctx context.Context, a Authority) (Result, error) {
		return a.Validate(ctx, req)
	})
	defer poll.end() // the perspectives stop when the primary one has failed
	result, err := c.Local.Validate(ctx, req)
	if err != nil || result.Problem != nil {
		return result, err
	}
	v := poll.settle(result)
	if ctx.Err() != nil {
		return Result{}, fmt.Errorf("corroborating %s for %s: %w", req.Type, req.Identifier, context.Cause(ctx))
	}
	result.Evidence.Perspectives, result.Evidence.Quorum = v.results, v.quorum
	result.Evidence.Steps = append(slices.Clip(result.Evidence.Steps), v.steps...)
	result.Problem, result.MayHeal = v.problem, v.mayHeal
	c.audit(ctx, v, slog.String("directory", req.Directory), slog.String("account", req.AccountURL),
		slog.String("identifier", named(req.Identifier, req.Wildcard)), slog.String("type", string(req.Type)))
	return result, nil
}

// CheckCAA implements Authority.
func (c *Corroborator) CheckCAA(ctx context.Context, req CAARequest) (CAAResult, error) {
	policy, problem := c.policy(req.Directory)
	if problem == nil && (policy.Mode == PerspectivesOff || req.Identifier.Type() != acme.IdentifierDNS || !corroborable(req.Identifier, req.Method)) {
		return c.Local.CheckCAA(ctx, req)
	}
	if problem == nil {
		problem = c.shortage(policy)
	}
	if problem != nil {
		return CAAResult{Problem: problem}, nil
	}
	poll := c.begin(ctx, policy, checkCAA, func(ctx context.Context, a Authority) (Result, error) {
		// That it is permitted is what counts; the records may differ.
		result, err := a.CheckCAA(ctx, req)
		return Result{Problem: result.Problem, MayHeal: result.MayHeal}, err
	})
	defer poll.end()
	result, err := c.Local.CheckCAA(ctx, req)
	if err != nil || result.Problem != nil {
		return result, err
	}
	v := poll.settle(Result{})
	if ctx.Err() != nil {
		return CAAResult{}, fmt.Errorf("corroborating CAA for %s: %w", req.Identifier, context.Cause(ctx))
	}
	result.Evidence.Perspectives, result.Evidence.Quorum = v.results, v.quorum
	result.Problem, result.MayHeal = v.problem, v.mayHeal
	c.audit(ctx, v, slog.String("directory", req.Directory), slog.String("account", req.AccountURL),
		slog.String("identifier", named(req.Identifier, req.Wildcard)), slog.String("method", string(req.Method)))
	return result, nil
}

// policy is the directory's, or why it has none.
func (c *Corroborator) policy(directory string) (PerspectivePolicy, *acme.Problem) {
	policy, ok := c.Directories[directory]
	if !ok {
		c.Logger.Error("a validation was asked for a directory that this configuration does not have; it is refused", "directory", directory)
		return policy, acme.NewProblem(acme.ServerInternal, "the validation authority does not know this directory; tell the CA's operator")
	}
	return policy, nil
}

// shortage is why nothing can be proven now, with the perspectives that there
// are: a date has passed since the start.
func (c *Corroborator) shortage(p PerspectivePolicy) *acme.Problem {
	if p.Mode != PerspectivesRequired {
		return nil
	}
	short := p.shortage(c.Now(), c.regions)
	if short == "" {
		return nil
	}
	c.Logger.Error("nothing is validated for lack of remote perspectives", "reason", short)
	return acme.NewProblem(acme.ServerInternal, "this CA can't validate anything: %s; tell its operator", short)
}

// corroborable tells whether other perspectives can see what proves control.
// Onion names are excluded (Baseline Requirements §3.2.2.9), and what a device
// attests is in the client's response, not on the network.
func corroborable(id acme.Identifier, method acme.ChallengeType) bool {
	if method == acme.OnionCSR01 || method == acme.DeviceAttest01 {
		return false
	}
	return id.Type() == acme.IdentifierIP || id.Type() == acme.IdentifierDNS && !id.IsOnion()
}

// audit writes down what a poll came to.
func (c *Corroborator) audit(ctx context.Context, v verdict, about ...slog.Attr) {
	c.Audit.LogAttrs(ctx, slog.LevelInfo, "corroboration", append(about,
		slog.String("check", v.check), slog.String("mode", string(v.mode)), slog.String("quorum", v.quorum), slog.Bool("reached", v.reached),
		problemAttr(v.problem), slog.Any("perspectives", v.results))...)
}

type corroborationMetrics struct {
	results        *prometheus.CounterVec   // by perspective, region, check and result
	durations      *prometheus.HistogramVec // by perspective and check
	corroborations *prometheus.CounterVec   // by check, mode and result
}

func newCorroborationMetrics(reg prometheus.Registerer) (corroborationMetrics, error) {
	m := corroborationMetrics{
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cairn_va_perspective_results_total",
			Help: "What remote perspectives said of what the primary one had found to be right: corroborated, the type of their problem, or why they did not count: unreachable, late, mistaken, different.",
		}, []string{"perspective", "region", "check", "result"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cairn_va_perspective_seconds", Help: "Time from the question to a remote perspective to its answer.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"perspective", "check"}),
		corroborations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cairn_va_corroborations_total", Help: "Polls of the remote perspectives by check, mode and whether the quorum was reached or lost.",
		}, []string{"check", "mode", "result"}),
	}
	if reg == nil {
		return m, nil
	}
	return m, errors.Join(reg.Register(m.results), reg.Register(m.durations), reg.Register(m.corroborations))
}
