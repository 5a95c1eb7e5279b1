// Package crl builds, checks, publishes and serves the CRLs of the issuers.
//
// An issuer's certificates are spread over shards when they are issued; each
// shard has a CRL of its own, at the URL that its certificates name. A CRL is
// made on a schedule, and soon after a revocation; of several processes one
// makes it. It is checked before anyone sees it, and the store takes it only
// with a number greater than the last one's.
package crl

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// Store is what the publisher asks of the store; sa.Store has it.
type Store interface {
	Certificate(ctx context.Context, serial acme.Serial) (acme.Certificate, error)
	CRL(ctx context.Context, issuer acme.IssuerID, shard int) (sa.CRL, error)
	CRLPart(ctx context.Context, part sa.CRLPart) ([]byte, error)
	Revocations(ctx context.Context, page sa.RevocationPage) ([]acme.Revocation, error)
	LatestRevocation(ctx context.Context, issuer acme.IssuerID, shard int) (time.Time, error)
	PutCRLPart(ctx context.Context, part sa.CRLPart) error
	PublishCRL(ctx context.Context, crl sa.CRL) error
	Lease(ctx context.Context, lease sa.Lease) (bool, error)
}

// Issuer is an issuer that signs CRLs.
type Issuer struct {
	ID          acme.IssuerID
	Certificate *x509.Certificate
	Signer      crypto.Signer
}

// Config is what a publisher works with.
type Config struct {
	Store   Store
	Issuers []Issuer
	// Shards is the number of CRLs of each issuer that certificates are issued
	// into. Shards beyond it that have a CRL, from when the number was greater,
	// go on being published.
	Shards int
	// URL is the URL of a shard's CRL, byte for byte as in certificates.
	URL func(issuer acme.IssuerID, shard int) string
	// Lifetime is from thisUpdate to nextUpdate, 10 days at most (Baseline
	// Requirements §7.2); 0: 7 days.
	Lifetime time.Duration
	// Interval is from one CRL to the next when nothing is revoked; 0: a day,
	// or half of Lifetime where that is less.
	Interval time.Duration
	// Delay is the longest time from a revocation to the CRL that has it; 0: a
	// minute.
	Delay time.Duration
	// Owner names this process among those that publish.
	Owner string
	// Folder is where long CRLs are put together, in temporary files; empty:
	// the system's folder for such.
	Folder string

	Now    func() time.Time
	Random io.Reader
	Logger *slog.Logger
	// Audit gets a record of each CRL; nil: none.
	Audit   *slog.Logger
	Metrics prometheus.Registerer // nil: none
}

const (
	defaultLifetime = 7 * 24 * time.Hour
	maxLifetime     = 10 * 24 * time.Hour
	defaultInterval = 24 * time.Hour
	defaultDelay    = time.Minute
	minPoll         = 50 * time.Millisecond
	// leaseFor is how long others wait for a process that died while it made a
	// CRL; one that lives renews its lease.
	leaseFor = time.Minute
	pageSize = 1000
	// settle is how long a revocation may take from the moment that it is
	// recorded with to the moment that others see it, and how far apart the
	// clocks of processes may be.
	settle = 10 * time.Second
	// rereadAfter is how long what is known of a published CRL is relied on
	// while nothing is due: the store may be restored from a backup.
	rereadAfter = 10 * time.Minute
)

// Publisher keeps the CRLs current.
type Publisher struct {
	cfg     Config
	metrics metrics
	states  map[place]*state // of Publish alone, which runs once at a time
	running chan struct{}
}

// place names a CRL.
type place struct {
	issuer acme.IssuerID
	shard  int
}

// state is what this process knows of the CRL that it last saw published.
type state struct {
	number                 int64
	thisUpdate, nextUpdate time.Time
	// read is when it was last seen in the store.
	read time.Time
	// latest is the shard's newest revocation when the CRL was last compared
	// with the store; another one makes it due.
	latest time.Time
	// entries is the hash of the CRL's entries.
	entries [sha256.Size]byte
	// recheck is when the entries are compared with the store once more: a
	// revocation may show later than one that was recorded after it. Zero: no
	// more.
	recheck time.Time
	// misnamed tells that the CRL names another URL than the configuration:
	// certificates issued from now on do not match it.
	misnamed bool
}

// NewPublisher makes a publisher. Run or Publish make it work.
func NewPublisher(cfg Config) (*Publisher, error) {
	if cfg.Lifetime == 0 {
		cfg.Lifetime = defaultLifetime
	}
	if cfg.Interval == 0 {
		cfg.Interval = min(defaultInterval, cfg.Lifetime/2)
	}
	if cfg.Delay == 0 {
		cfg.Delay = defaultDelay
	}
	if cfg.Audit == nil {
		cfg.Audit = slog.New(slog.DiscardHandler)
	}
	switch {
	case cfg.Lifetime > maxLifetime || cfg.Lifetime < time.Minute:
		return nil, fmt.Errorf("the lifetime of CRLs is %s; it is between a minute and %s (Baseline Requirements §7.2)", cfg.Lifetime, maxLifetime)
	case cfg.Interval < time.Second || cfg.Interval > cfg.Lifetime*3/4:
		return nil, fmt.Errorf("CRLs are made every %s; with a lifetime of %s, make them every %s at most", cfg.Interval, cfg.Lifetime, cfg.Lifetime*3/4)
	case cfg.Delay < 0:
		return nil, errors.New("the delay of CRLs is negative")
	case cfg.Shards < 1:
		return nil, errors.New("the number of CRL shards is at least 1")
	case cfg.Owner == "":
		return nil, errors.New("the publisher of CRLs needs a name")
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	return &Publisher{cfg: cfg, metrics: m, states: make(map[place]*state), running: make(chan struct{}, 1)}, nil
}

// Run publishes what is due until ctx ends.
func (p *Publisher) Run(ctx context.Context) error {
	// Twice within the delay: one tick may just miss a revocation.
	tick := time.NewTicker(max(p.cfg.Delay/2, minPoll))
	defer tick.Stop()
	for {
		if err := p.Publish(ctx); err != nil && ctx.Err() == nil {
			p.cfg.Logger.LogAttrs(ctx, slog.LevelError, "publishing CRLs; it is tried again", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Publish makes and publishes the CRLs that are due, once. When it returns nil
// each CRL exists and is current, or is another process's work at this moment.
func (p *Publisher) Publish(ctx context.Context) error {
	select {
	case p.running <- struct{}{}:
		defer func() { <-p.running }()
	case <-ctx.Done():
		return ctx.Err()
	}
	var failures []error
	for _, issuer := range p.cfg.Issuers {
		for shard := 0; ; shard++ {
			more, err := p.keep(ctx, issuer, shard)
			if err != nil {
				p.metrics.failures.Inc()
				failures = append(failures, fmt.Errorf("CRL %d of issuer %s: %w", shard, issuer.ID, err))
			}
			if !more && shard >= p.cfg.Shards-1 {
				break
			}
		}
	}
	return errors.Join(failures...)
}

// keep publishes a shard's CRL if it is due. more tells whether the shard
// exists, so that there may be another after it.
func (p *Publisher) keep(ctx context.Context, issuer Issuer, shard int) (more bool, err error) {
	at := place{issuer.ID, shard}
	quiet, err := p.quiet(ctx, at)
	if err != nil || quiet {
		return true, err
	}
	due, err := p.due(ctx, at)
	if err != nil {
		return false, err
	}
	if due.absent && shard >= p.cfg.Shards {
		return false, nil
	}
	if due.why == "" {
		return true, nil
	}
	hold := &holding{store: p.cfg.Store, now: p.cfg.Now, name: "crl/" + issuer.ID.String() + "/" + strconv.Itoa(shard), owner: p.cfg.Owner}
	held, err := hold.take(ctx)
	if err != nil {
		return true, err
	}
	if !held {
		return true, nil
	}
	defer func() { err = errors.Join(err, hold.release(ctx)) }()
	// Another process may have been at it between the two.
	if due, err = p.due(ctx, at); err != nil || due.why == "" {
		return true, err
	}
	return true, p.publish(ctx, hold, issuer, at, due)
}

// need is what was found out about a CRL.
type need struct {
	why     string // empty: it is current
	absent  bool
	current sa.CRL
	latest  time.Time // the newest revocation before the decision
}

// quiet tells, without reading the CRL, that it is not due. Another process may
// have published a later one since: that is not due either.
func (p *Publisher) quiet(ctx context.Context, at place) (bool, error) {
	s := p.states[at]
	if s == nil {
		return false, nil
	}
	now := p.cfg.Now()
	if age := now.Sub(s.read); age < 0 || age >= rereadAfter {
		return false, nil
	}
	latest, err := p.cfg.Store.LatestRevocation(ctx, at.issuer, at.shard)
	if err != nil {
		return false, err
	}
	return p.why(s, latest, now) == "", nil
}

// why tells why a CRL of the given state is due; empty: it is not.
func (p *Publisher) why(s *state, latest, now time.Time) string {
	switch {
	case s.misnamed:
		return "address"
	case !now.Before(s.thisUpdate.Add(p.cfg.Interval)) || !now.Before(s.nextUpdate.Add(-p.cfg.Lifetime/4)):
		return "schedule"
	case !latest.Equal(s.latest) || !s.recheck.IsZero() && !now.Before(s.recheck):
		return whyRevocation
	}
	return ""
}

func (p *Publisher) due(ctx context.Context, at place) (need, error) {
	var n need
	var err error
	n.current, err = p.cfg.Store.CRL(ctx, at.issuer, at.shard)
	if errors.Is(err, sa.ErrNotFound) {
		n.absent = true
	} else if err != nil {
		return need{}, fmt.Errorf("reading the published CRL: %w", err)
	}
	// Before the revocations are listed: one that comes between is seen the
	// next time.
	if n.latest, err = p.cfg.Store.LatestRevocation(ctx, at.issuer, at.shard); err != nil {
		return need{}, err
	}
	if n.absent {
		n.why = "first"
		return n, nil
	}
	now := p.cfg.Now()
	s := p.states[at]
	if s == nil || s.number != n.current.Number {
		if s, err = p.adopt(ctx, n, p.cfg.URL(at.issuer, at.shard)); err != nil {
			return need{}, err
		}
		p.states[at] = s
	}
	s.read = now
	n.why = p.why(s, n.latest, now)
	return n, nil
}

const whyRevocation = "revocation"

// adopt makes the state of a CRL that another process published, or this one
// before it was started.
func (p *Publisher) adopt(ctx context.Context, n need, url string) (*state, error) {
	d, err := open(sa.OpenCRL(ctx, p.cfg.Store, n.current))
	if err != nil {
		return nil, fmt.Errorf("reading the published CRL: %w", err)
	}
	digest := sha256.New()
	if _, err := io.Copy(digest, d.list); err != nil {
		return nil, fmt.Errorf("reading the published CRL: %w", err)
	}
	s := &state{
		number: n.current.Number, thisUpdate: n.current.ThisUpdate, nextUpdate: n.current.NextUpdate,
		entries: [sha256.Size]byte(digest.Sum(nil)), misnamed: d.url() != url,
	}
	if n.latest.Before(n.current.ThisUpdate.Add(-settle)) {
		s.latest = n.latest // the CRL surely has it
	}
	return s, nil
}

// publish makes, checks and stores a CRL.
func (p *Publisher) publish(ctx context.Context, hold *holding, issuer Issuer, at place, due need) (err error) {
	l := newList(p.cfg.Folder)
	defer func() { err = errors.Join(err, l.close()) }()
	expiresAfter, err := p.collect(ctx, hold, l, at, due.current)
	if err != nil {
		return err
	}
	s := &state{
		number: l.number, thisUpdate: l.thisUpdate, nextUpdate: l.nextUpdate, read: p.cfg.Now(),
		latest: due.latest, entries: l.sum(),
	}
	if p.cfg.Now().Sub(due.latest) < settle {
		s.recheck = due.latest.Add(settle)
	}
	if due.why == whyRevocation && p.states[at].entries == s.entries {
		// The current one has it all.
		s.number, s.thisUpdate, s.nextUpdate = due.current.Number, due.current.ThisUpdate, due.current.NextUpdate
		p.states[at] = s
		return nil
	}
	check := checker{store: p.cfg.Store, hold: hold, issuer: issuer, list: l, expiresAfter: expiresAfter}
	if !due.absent {
		if check.previous, err = open(sa.OpenCRL(ctx, p.cfg.Store, due.current)); err != nil {
			return fmt.Errorf("reading the CRL before: %w", err)
		}
	}
	if err := check.nothingLost(ctx); err != nil {
		p.metrics.withheld.Inc()
		return fmt.Errorf("the next CRL is not made: %w", err)
	}
	der, err := l.sign(p.cfg.Random, issuer.Certificate, issuer.Signer)
	if err != nil {
		return err
	}
	p.metrics.signatures.Inc()
	if err := check.run(der); err != nil {
		p.metrics.withheld.Inc()
		return fmt.Errorf("a CRL just made is not published: %w", err)
	}
	hash, err := p.put(ctx, hold, at, l, der)
	if errors.Is(err, sa.ErrConflict) {
		return nil // another process published a later one
	}
	if err != nil {
		return fmt.Errorf("storing CRL number %d: %w", l.number, err)
	}
	p.states[at] = s
	p.metrics.published(at, l)
	p.cfg.Audit.LogAttrs(ctx, slog.LevelInfo, "CRL published",
		slog.String("issuer", at.issuer.String()), slog.Int("shard", at.shard), slog.Int64("number", l.number), slog.String("why", due.why),
		slog.Int("entries", l.count), slog.Time("this_update", l.thisUpdate), slog.Time("next_update", l.nextUpdate),
		slog.String("sha256", hex.EncodeToString(hash)))
	return nil
}

// put stores a CRL, part by part, and returns its SHA-256. Nobody sees the
// parts until the last step.
func (p *Publisher) put(ctx context.Context, hold *holding, at place, l *list, der *io.SectionReader) ([]byte, error) {
	digest := sha256.New()
	crl := sa.CRL{Issuer: at.issuer, Shard: at.shard, Number: l.number, ThisUpdate: l.thisUpdate, NextUpdate: l.nextUpdate, Size: der.Size()}
	for part, rest := 0, der.Size(); rest > 0; part++ {
		some := make([]byte, min(rest, sa.CRLPartSize))
		if _, err := der.ReadAt(some, der.Size()-rest); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		rest -= int64(len(some))
		digest.Write(some)
		if part == 0 {
			crl.DER = some
			continue
		}
		if err := hold.renew(ctx); err != nil {
			return nil, err
		}
		if err := p.cfg.Store.PutCRLPart(ctx, sa.CRLPart{Issuer: at.issuer, Shard: at.shard, Number: l.number, Part: part, DER: some}); err != nil {
			return nil, err
		}
	}
	return digest.Sum(nil), p.cfg.Store.PublishCRL(ctx, crl)
}

// collect lists what a shard's next CRL holds: the revocations of certificates
// that expire after the returned time.
func (p *Publisher) collect(ctx context.Context, hold *holding, l *list, at place, current sa.CRL) (time.Time, error) {
	now := p.cfg.Now().UTC().Truncate(time.Second)
	// Milliseconds of Unix time, so that the numbers go on growing should the
	// store ever be restored from a backup (RFC 5280 §5.2.3).
	l.number = max(now.UnixMilli(), current.Number+1)
	l.thisUpdate, l.nextUpdate = now, now.Add(p.cfg.Lifetime)
	l.url = p.cfg.URL(at.issuer, at.shard)
	// An entry stays until a CRL made on schedule after the certificate's
	// expiry has had it (RFC 5280 §3.3); those made early do not count.
	expiresAfter := now.Add(-p.cfg.Interval)
	if current.DER != nil && current.ThisUpdate.Before(expiresAfter) {
		expiresAfter = current.ThisUpdate
	}
	expiresAfter = expiresAfter.Add(-time.Second)
	page := sa.RevocationPage{Issuer: at.issuer, Shard: at.shard, ExpiresAfter: expiresAfter, Limit: pageSize}
	for {
		revocations, err := p.cfg.Store.Revocations(ctx, page)
		if err != nil {
			return time.Time{}, err
		}
		for _, r := range revocations {
			if r.At.After(now) {
				r.At = now // recorded by a process whose clock is ahead
			}
			if err := l.add(r); err != nil {
				return time.Time{}, err
			}
		}
		if len(revocations) < page.Limit {
			return expiresAfter, nil
		}
		page.After = revocations[len(revocations)-1].Serial
		if err := hold.renew(ctx); err != nil {
			return time.Time{}, err
		}
	}
}
