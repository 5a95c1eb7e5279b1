package ct

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config is what a Submitter works with. Every field is needed unless its
// comment says otherwise.
type Config struct {
	Logs   []*Log
	Policy Policy
	// Timeout bounds the collecting of the SCTs of one certificate, and so each
	// submission; 0: 10 s.
	Timeout time.Duration
	// HedgeAfter is how long logs may take before another is asked as well;
	// 0: 1 s.
	HedgeAfter time.Duration
	// Transport carries the requests; nil: one of its own, which takes the
	// proxy from the environment.
	Transport http.RoundTripper

	Now     func() time.Time
	Random  io.Reader
	Logger  *slog.Logger
	Metrics prometheus.Registerer // may be nil
}

const (
	defaultTimeout    = 10 * time.Second
	defaultHedgeAfter = time.Second
	maxConnsPerLog    = 64
	// A log that fails is asked last, for a time that doubles with each
	// failure.
	firstPenalty = time.Second
	maxPenalty   = time.Minute
)

// Submitter submits certificates to logs. Its methods may be called
// concurrently.
type Submitter struct {
	Config
	client  *http.Client
	metrics metrics

	mu      sync.Mutex
	random  *rand.Rand
	failing map[*Log]penalty
}

type penalty struct {
	until time.Time
	next  time.Duration
}

// New makes a Submitter.
func New(cfg Config) (*Submitter, error) {
	if err := checkLogs(cfg.Logs); err != nil {
		return nil, err
	}
	if cfg.Policy.SCTs < 0 || cfg.Policy.Operators < 0 {
		return nil, errors.New("a policy of a negative number of SCTs or operators")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.HedgeAfter == 0 {
		cfg.HedgeAfter = defaultHedgeAfter
	}
	if cfg.Transport == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxConnsPerHost = maxConnsPerLog
		transport.MaxIdleConnsPerHost = maxConnsPerLog / 4
		transport.MaxResponseHeaderBytes = 16 << 10
		cfg.Transport = transport
	}
	var seed [16]byte
	if _, err := io.ReadFull(cfg.Random, seed[:]); err != nil {
		return nil, fmt.Errorf("reading a seed: %w", err)
	}
	s := &Submitter{
		Config: cfg,
		client: &http.Client{Transport: cfg.Transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}},
		random:  rand.New(rand.NewPCG(binary.BigEndian.Uint64(seed[:8]), binary.BigEndian.Uint64(seed[8:]))),
		failing: make(map[*Log]penalty),
	}
	var err error
	s.metrics, err = newMetrics(cfg.Metrics)
	return s, err
}

// Submission is a certificate for logs.
type Submission struct {
	// DER is the precertificate or certificate, Chain what follows it: the
	// issuing certificate first, DER.
	DER   []byte
	Chain [][]byte
	// IssuerSPKI is the DER of the issuing certificate's public key.
	IssuerSPKI          []byte
	NotBefore, NotAfter time.Time
}

// Logged is an SCT and who gave it.
type Logged struct {
	SCT
	Log string
}

// received is a verified SCT.
type received struct {
	log *Log
	sct SCT
}

// Check tells why no certificate with that validity can have its SCTs; nil: it
// can, as long as logs answer.
func (s *Submitter) Check(notBefore, notAfter time.Time) error {
	n, logs := s.Policy.of(notBefore, notAfter), s.logsFor(notAfter)
	if n.met(logs) {
		return nil
	}
	return fmt.Errorf("SCTs of %s are needed, and of the configured logs %d take certificates that expire on %s", n, len(logs), notAfter.UTC().Format(time.DateOnly))
}

// Precertificate collects the SCTs of a precertificate that the policy wants:
// it asks as many logs as are needed at once, and others when one fails or is
// slow. Every SCT was verified.
func (s *Submitter) Precertificate(ctx context.Context, sub Submission) ([]Logged, error) {
	return s.collect(ctx, Precertificate, sub, s.Policy.of(sub.NotBefore, sub.NotAfter))
}

// Certificate submits a final certificate to one log.
func (s *Submitter) Certificate(ctx context.Context, sub Submission) ([]Logged, error) {
	return s.collect(ctx, Certificate, sub, needs{1, 1})
}

func (s *Submitter) logsFor(notAfter time.Time) []*Log {
	var logs []*Log
	for _, l := range s.Logs {
		if l.takes(notAfter) {
			logs = append(logs, l)
		}
	}
	return logs
}

// ordered are the logs for a certificate in a random order, so that all share
// the load, those that failed lately at the end.
func (s *Submitter) ordered(notAfter time.Time) []*Log {
	logs := s.logsFor(notAfter)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.random.Shuffle(len(logs), func(i, j int) { logs[i], logs[j] = logs[j], logs[i] })
	now := s.Now()
	slices.SortStableFunc(logs, func(a, b *Log) int {
		switch x, y := s.failing[a].until.After(now), s.failing[b].until.After(now); {
		case x == y:
			return 0
		case x:
			return 1
		}
		return -1
	})
	return logs
}

func (s *Submitter) failed(l *Log, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.failing[l]
	wait := max(p.next, firstPenalty)
	p.next = min(2*wait, maxPenalty)
	var answer *answerError
	if errors.As(err, &answer) {
		wait = max(wait, answer.retryAfter)
	}
	p.until = s.Now().Add(wait)
	s.failing[l] = p
}

func (s *Submitter) worked(l *Log) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.failing, l)
}

// collection is the collecting of one certificate's SCTs.
type collection struct {
	needs
	waiting []*Log // not asked yet
	asked   []*Log // and not failed
	got     []received
	errs    []error
}

// next is the log to ask next: of an operator that no log asked so far is of
// while the policy wants more of them.
func (c *collection) next() *Log {
	operators := make(map[string]bool)
	for _, l := range c.asked {
		operators[l.Operator] = true
	}
	i := slices.IndexFunc(c.waiting, func(l *Log) bool { return !operators[l.Operator] })
	if i < 0 || len(operators) >= c.operators && len(c.asked) < c.scts {
		i = 0
	}
	if len(c.waiting) == 0 {
		return nil
	}
	l := c.waiting[i]
	c.waiting = slices.Delete(c.waiting, i, i+1)
	c.asked = append(c.asked, l)
	return l
}

type result struct {
	log *Log
	sct SCT
	err error
}

func (s *Submitter) collect(ctx context.Context, kind EntryKind, sub Submission, n needs) ([]Logged, error) {
	e, err := newEntry(kind, sub.DER, sub.IssuerSPKI)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	c := collection{needs: n, waiting: s.ordered(sub.NotAfter)}
	if !n.met(c.waiting) {
		return nil, s.Check(sub.NotBefore, sub.NotAfter)
	}
	chain := append([][]byte{sub.DER}, sub.Chain...)
	results := make(chan result, len(c.waiting)) // nobody waits for it once it is left
	ask := func() bool {
		l := c.next()
		if l == nil {
			return false
		}
		go func() {
			sct, err := s.ask(ctx, l, e, chain)
			results <- result{l, sct, err}
		}()
		return true
	}
	for range n.scts {
		ask()
	}
	inFlight := len(c.asked)
	hedge := time.NewTicker(s.HedgeAfter)
	defer hedge.Stop()
	for inFlight > 0 {
		select {
		case r := <-results:
			inFlight--
			if r.err != nil {
				c.errs = append(c.errs, fmt.Errorf("%s: %w", r.log.Name, r.err))
				c.asked = slices.DeleteFunc(c.asked, func(l *Log) bool { return l == r.log })
				if ask() {
					inFlight++
				}
				continue
			}
			c.got = append(c.got, received{r.log, r.sct})
			if chosen := n.choose(c.got); chosen != nil {
				return logged(chosen), nil
			}
			if inFlight == 0 && ask() { // enough SCTs, of too few operators
				inFlight++
			}
		case <-hedge.C:
			if ask() {
				inFlight++
			}
		case <-ctx.Done():
			return nil, c.fail(ctx.Err())
		}
	}
	return nil, c.fail(nil)
}

// fail says why there are not enough SCTs.
func (c *collection) fail(err error) error {
	return fmt.Errorf("%d SCTs came of those of %s that are needed: %w", len(c.got), c.needs, errors.Join(append(c.errs, err)...))
}

// ask is submit, measured.
func (s *Submitter) ask(ctx context.Context, l *Log, e entry, chain [][]byte) (SCT, error) {
	began := time.Now()
	sct, err := s.submit(ctx, l, e, chain)
	outcome := "sct"
	switch {
	case err == nil:
		s.worked(l)
		s.metrics.seconds.WithLabelValues(l.Name).Observe(time.Since(began).Seconds())
	case errors.Is(ctx.Err(), context.Canceled):
		outcome = "abandoned"
	default:
		outcome = "failed"
		s.failed(l, err)
		s.Logger.LogAttrs(ctx, slog.LevelWarn, "a log gave no SCT", slog.String("log", l.Name), slog.String("entry", e.kind.String()),
			slog.String("error", bounded(err.Error())))
	}
	s.metrics.submissions.WithLabelValues(l.Name, e.kind.String(), outcome).Inc()
	return sct, err
}

func logged(chosen []received) []Logged {
	list := make([]Logged, len(chosen))
	for i, r := range chosen {
		list[i] = Logged{r.sct, r.log.Name}
	}
	return list
}

func bounded(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) > 500 {
		return s[:500] + "..."
	}
	return s
}

// SCTs are those in a list of Logged.
func SCTs(list []Logged) []SCT {
	scts := make([]SCT, len(list))
	for i, l := range list {
		scts[i] = l.SCT
	}
	return scts
}
