package crl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// CopierStore is what a Copier asks of the store; sa.Store has it.
type CopierStore interface {
	CRL(ctx context.Context, issuer acme.IssuerID, shard int) (sa.CRL, error)
	CRLPart(ctx context.Context, part sa.CRLPart) ([]byte, error)
	CRLs(ctx context.Context, page sa.CRLPage) ([]sa.CRL, error)
	Lease(ctx context.Context, lease sa.Lease) (bool, error)
}

// CopierConfig is what a copier works with.
type CopierConfig struct {
	Store CopierStore
	// Issuers are those whose CRLs are copied; they may change.
	Issuers func() []acme.IssuerID
	Targets []Target
	// Every is from one look at the store to the next.
	Every time.Duration
	Owner string // names this process

	Now     func() time.Time
	Logger  *slog.Logger
	Metrics prometheus.Registerer // nil: none
}

// Copier publishes to targets the CRLs that the store has, whichever process
// made them. What fails is tried again; the store serves all the while.
type Copier struct {
	cfg     CopierConfig
	metrics copierMetrics
	targets []*targetState // of Copy alone
}

// targetState is what this process knows of a target.
type targetState struct {
	Target
	have map[place]copied
	// failures in a row, and when the next try is.
	failures int
	next     time.Time
}

type copied struct {
	number int64
	seen   time.Time
}

const (
	// copyFor bounds the copying of one CRL.
	copyFor = 10 * time.Minute
	// lookAgainAfter is how long a copy is taken to be still there.
	lookAgainAfter = time.Hour
	// maxPause is the longest pause between tries.
	maxPause = 5 * time.Minute
	crlPage  = 1000
)

// NewCopier makes a copier. Run or Copy make it work.
func NewCopier(cfg CopierConfig) (*Copier, error) {
	if cfg.Every <= 0 {
		cfg.Every = defaultDelay
	}
	m, err := newCopierMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	c := &Copier{cfg: cfg, metrics: m}
	for _, target := range cfg.Targets {
		c.targets = append(c.targets, &targetState{Target: target, have: make(map[place]copied)})
		m.behind.WithLabelValues(target.Name()).Set(0)
	}
	return c, nil
}

// Run copies until ctx ends.
func (c *Copier) Run(ctx context.Context) error {
	tick := time.NewTicker(max(c.cfg.Every, minPoll))
	defer tick.Stop()
	for {
		if err := c.Copy(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Logger.LogAttrs(ctx, slog.LevelError, "publishing CRLs outside of the store; it is tried again", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Copy brings the targets up to date, once; not those that failed a short time
// ago.
func (c *Copier) Copy(ctx context.Context) error {
	list, err := c.list(ctx)
	if err != nil {
		return err
	}
	var failures []error
	for _, t := range c.targets {
		if c.cfg.Now().Before(t.next) {
			continue
		}
		if err := c.bring(ctx, t, list); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", t.Name(), err))
			t.next = c.cfg.Now().Add(min(c.cfg.Every<<min(t.failures, 16), maxPause))
			t.failures++
			continue
		}
		t.failures, t.next = 0, time.Time{}
	}
	return errors.Join(failures...)
}

func (c *Copier) list(ctx context.Context) ([]sa.CRL, error) {
	var all []sa.CRL
	for _, issuer := range c.cfg.Issuers() {
		for page := (sa.CRLPage{Issuer: issuer, Limit: crlPage}); ; {
			some, err := c.cfg.Store.CRLs(ctx, page)
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
			if len(some) < page.Limit {
				break
			}
			page.From = some[len(some)-1].Shard + 1
		}
	}
	return all, nil
}

// bring brings one target up to date. A CRL that fails holds no other up, but
// that many failures end the try.
func (c *Copier) bring(ctx context.Context, t *targetState, list []sa.CRL) error {
	var failures []error
	behind := 0
	for _, crl := range list {
		at := place{crl.Issuer, crl.Shard}
		if known, ok := t.have[at]; ok && known.number >= crl.Number && c.cfg.Now().Sub(known.seen) < lookAgainAfter {
			continue
		}
		done := false
		if len(failures) < 3 {
			var err error
			if done, err = c.copy(ctx, t, at); err != nil {
				c.metrics.failures.WithLabelValues(t.Name()).Inc()
				failures = append(failures, fmt.Errorf("CRL %d of issuer %s: %w", at.shard, at.issuer, err))
			}
		}
		if !done {
			behind++
		}
	}
	c.metrics.behind.WithLabelValues(t.Name()).Set(float64(behind))
	return errors.Join(failures...)
}

// copy copies one CRL, unless the target has it. done is false when another
// process is at it, too.
func (c *Copier) copy(ctx context.Context, t *targetState, at place) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, copyFor)
	defer cancel()
	name := copyName(at.issuer, at.shard)
	if t.Shared() {
		lease := sa.Lease{Name: "crl copy " + t.Name() + "/" + name, Owner: c.cfg.Owner, Until: c.cfg.Now().Add(copyFor)}
		held, err := c.cfg.Store.Lease(ctx, lease)
		if err != nil || !held {
			return false, err
		}
		defer func() {
			lease.Until = c.cfg.Now()
			if _, freeErr := c.cfg.Store.Lease(context.WithoutCancel(ctx), lease); freeErr != nil {
				err = errors.Join(err, fmt.Errorf("giving the lease back: %w", freeErr))
			}
		}()
	}
	crl, err := c.cfg.Store.CRL(ctx, at.issuer, at.shard)
	if err != nil {
		return false, err
	}
	there, err := t.Number(ctx, name)
	if err != nil {
		return false, err
	}
	if there < crl.Number { // never back to an older one
		if err := t.Put(ctx, name, crl, sa.OpenCRL(ctx, c.cfg.Store, crl)); err != nil {
			return false, err
		}
		c.metrics.copies.WithLabelValues(t.Name()).Inc()
		there = crl.Number
	}
	t.have[at] = copied{there, c.cfg.Now()}
	return true, nil
}

type copierMetrics struct {
	copies, failures *prometheus.CounterVec // by target
	behind           *prometheus.GaugeVec
}

func newCopierMetrics(reg prometheus.Registerer) (copierMetrics, error) {
	by := []string{"target"}
	m := copierMetrics{
		copies: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cairn_crl_copies_total", Help: "CRLs published outside of the store.",
		}, by),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cairn_crl_copy_failures_total", Help: "Attempts to publish a CRL outside of the store that failed.",
		}, by),
		behind: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "cairn_crl_copies_behind", Help: "CRLs of which the target had not the newest at the last look.",
		}, by),
	}
	if reg == nil {
		return m, nil
	}
	return m, errors.Join(reg.Register(m.copies), reg.Register(m.failures), reg.Register(m.behind))
}
