// Package ocsp is an OCSP responder (RFC 6960, with the profile of RFC 5019
// and the nonces of RFC 9654). It reads certificates from the store and signs
// with delegated keys: it has no issuer's key.
//
// What it says is the store's state at the moment of the query. Answers are
// signed once and kept, and thrown away as soon as the state is another, so
// that a revocation shows at the next query. A certificate is good only when
// the store has it, signed: of anything else a responder says unknown
// (Baseline Requirements §4.9.10).
package ocsp

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// Store is what the responder reads; sa.Reader has it.
type Store interface {
	Certificate(ctx context.Context, serial acme.Serial) (acme.Certificate, error)
	Issuers(ctx context.Context) ([]acme.Issuer, error)
}

// Signer is a delegated OCSP signer (RFC 6960 §4.2.2.2): a key that an issuer
// certified for nothing else.
type Signer struct {
	Key         crypto.Signer
	Certificate []byte // DER
}

// Signers gives the current signer of an issuer. It is asked for every answer
// that is signed, so that a new signer is used as soon as it is there; it must
// be quick, and may be called concurrently.
type Signers interface {
	OCSPSigner(issuer acme.IssuerID) (Signer, error)
}

// Config is what a responder works with.
type Config struct {
	Store   Store
	Signers Signers
	// Path is the path that the responder is mounted at, such as "/ocsp". What
	// follows it in the URL of a GET is the request.
	Path string
	// Lifetime is from an answer's thisUpdate to its nextUpdate, 8 hours to 10
	// days (Baseline Requirements §4.9.10); 0: 4 days. An answer is replaced
	// when half of it is over.
	Lifetime time.Duration
	// MaxAge is how long HTTP caches may keep the answer to a GET, at most; 0:
	// an hour. A revocation shows behind a cache only after it.
	MaxAge time.Duration
	// IgnoreNonce leaves nonces out of the answers, which are then signed once
	// for all clients (RFC 9654 §2.1 allows both).
	IgnoreNonce bool
	// Kept is how many signed answers are kept in memory, at some 1 KiB each;
	// 0: 20,000.
	Kept int

	Now     func() time.Time
	Random  io.Reader
	Logger  *slog.Logger
	Metrics prometheus.Registerer // nil: none
}

const (
	defaultLifetime = 4 * 24 * time.Hour
	minLifetime     = 8 * time.Hour
	maxLifetime     = 10 * 24 * time.Hour
	// unknownLifetime is from thisUpdate to nextUpdate when a certificate is
	// not known: it may be in a moment, and clients keep answers. (The 8 hours
	// at least of the Baseline Requirements are for certificates that exist.)
	unknownLifetime = 5 * time.Minute
	defaultMaxAge   = time.Hour
	defaultKept     = 20_000
)

// Responder answers OCSP requests over HTTP. It may be used concurrently.
type Responder struct {
	Config
	issuers issuers
	signers signers
	kept    kept
	metrics metrics
}

// New makes a responder.
func New(cfg Config) (*Responder, error) {
	if cfg.Lifetime == 0 {
		cfg.Lifetime = defaultLifetime
	}
	if cfg.Lifetime < minLifetime || cfg.Lifetime > maxLifetime {
		return nil, fmt.Errorf("the lifetime of OCSP answers is %s; it is between %s and %s (Baseline Requirements §4.9.10)", cfg.Lifetime, minLifetime, maxLifetime)
	}
	if cfg.MaxAge == 0 {
		cfg.MaxAge = defaultMaxAge
	}
	if cfg.Kept == 0 {
		cfg.Kept = defaultKept
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	return &Responder{
		Config:  cfg,
		issuers: issuers{store: cfg.Store, now: cfg.Now, logger: cfg.Logger},
		signers: signers{source: cfg.Signers, checked: make(map[acme.IssuerID]*signer)},
		kept:    kept{limit: cfg.Kept, answers: make(map[string]answer)},
		metrics: m,
	}, nil
}

// answer is an OCSPResponse, ready to be sent.
type answer struct {
	der    []byte
	status responseStatus
	single single // what it says; of several certificates: of the first
	// thisUpdate and nextUpdate bound the time in which it may be relied on,
	// renewAt is when it is replaced. Zero in failures.
	thisUpdate, nextUpdate, renewAt time.Time
	// private answers are for this client alone: they have its nonce, or may
	// be another in a moment.
	private bool
}

func failed(s responseStatus) answer { return answer{der: failure(s), status: s, private: true} }

// answer decides and signs the answer to a request in DER.
func (r *Responder) answer(ctx context.Context, der []byte) answer {
	a := r.respond(ctx, der)
	r.metrics.answers.WithLabelValues(label(a)).Inc()
	return a
}

func label(a answer) string {
	if a.status != successful {
		return a.status.String()
	}
	return a.single.status.String()
}

func (r *Responder) respond(ctx context.Context, der []byte) answer {
	req, err := parseRequest(der)
	if err != nil {
		return failed(malformedRequest)
	}
	iss, err := r.issuers.find(ctx, req.certificates[0].issuer)
	if err != nil {
		return r.fail(ctx, tryLater, err)
	}
	if iss == nil {
		return failed(unauthorized)
	}
	singles := make([]single, len(req.certificates))
	for i, id := range req.certificates {
		// A delegated signer speaks for its issuer alone (RFC 6960 §4.2.2.2):
		// one answer can't be about several issuers' certificates.
		other, err := r.issuers.find(ctx, id.issuer)
		if err != nil {
			return r.fail(ctx, tryLater, err)
		}
		if other == nil || other.id != iss.id {
			return failed(unauthorized)
		}
		if singles[i], err = r.status(ctx, iss.id, id); err != nil {
			return r.fail(ctx, tryLater, err)
		}
	}
	if r.IgnoreNonce {
		req.nonce = nil
	}
	// Unknown may become known, and what has a nonce or several certificates
	// is asked once.
	keep := req.nonce == nil && len(singles) == 1 && singles[0].status != unknown
	sign := func() (answer, error) { return r.make(iss, singles, req.nonce) }
	var a answer
	if keep {
		a, err = r.kept.getOrMake(singles[0], r.Now, sign)
	} else {
		a, err = sign()
	}
	switch {
	case errors.Is(err, errNoSigner):
		// RFC 6960 §2.3: the responder is operational, and can't answer for now.
		return r.fail(ctx, tryLater, err)
	case err != nil:
		return r.fail(ctx, internalError, err)
	}
	a.private = req.nonce != nil || slices.ContainsFunc(singles, func(s single) bool { return s.status == unknown })
	return a
}

// likeliest is the reading of a path that asks about a certificate that the
// store knows; failing that, one that asks for one of ours; failing that, the
// first.
func (r *Responder) likeliest(ctx context.Context, readings [][]byte) []byte {
	if len(readings) == 1 {
		return readings[0]
	}
	best := readings[0]
	found := false
	for _, der := range readings {
		req, err := parseRequest(der)
		if err != nil {
			continue
		}
		id := req.certificates[0]
		iss, err := r.issuers.find(ctx, id.issuer)
		if err != nil || iss == nil {
			continue
		}
		if !found {
			best, found = der, true
		}
		if s, err := r.status(ctx, iss.id, id); err == nil && s.status != unknown {
			return der
		}
	}
	return best
}

func (r *Responder) fail(ctx context.Context, s responseStatus, err error) answer {
	r.Logger.LogAttrs(ctx, slog.LevelError, "answering an OCSP request", slog.String("status", s.String()), slog.Any("error", err))
	return failed(s)
}

// status is what the store knows of a certificate.
func (r *Responder) status(ctx context.Context, issuer acme.IssuerID, id certID) (single, error) {
	s := single{id: id.raw, status: unknown}
	if id.illegal {
		return s, nil
	}
	cert, err := r.Store.Certificate(ctx, id.serial)
	switch {
	case errors.Is(err, sa.ErrNotFound):
		return s, nil
	case err != nil:
		return single{}, fmt.Errorf("reading certificate %s: %w", id.serial, err)
	case cert.Issuer != issuer || cert.Signed() == nil:
		return s, nil // another issuer's, or not issued; a precertificate counts (Baseline Requirements §4.9.10)
	case cert.Revocation == nil:
		s.status = good
	default:
		s.status = revoked
		s.revokedAt = cert.Revocation.At.UTC().Truncate(time.Second)
		s.reason = cert.Revocation.Reason
	}
	return s, nil
}

// make signs an answer.
func (r *Responder) make(iss *issuer, singles []single, nonce []byte) (answer, error) {
	s, err := r.signers.of(iss)
	if err != nil {
		return answer{}, err
	}
	now := r.Now().UTC().Truncate(time.Second)
	next := now.Add(r.Lifetime)
	if next.After(s.notAfter) {
		// An answer is worth no more than its signer.
		next = s.notAfter
	}
	if !next.After(now) {
		return answer{}, fmt.Errorf("%w: that of issuer %s expired at %s; the signing authority (cairn ca) makes new ones in time: see that it runs, and that this responder has its files", errNoSigner, iss.id, s.notAfter)
	}
	b := basic{singles: singles, producedAt: now, thisUpdate: now, nextUpdate: next, nonce: nonce}
	if b.unknownUntil = now.Add(unknownLifetime); b.unknownUntil.After(next) {
		b.unknownUntil = next
	}
	der, err := b.sign(r.Random, s)
	if err != nil {
		return answer{}, err
	}
	r.metrics.signatures.Inc()
	return answer{der: der, single: singles[0], thisUpdate: now, nextUpdate: next, renewAt: now.Add(next.Sub(now) / 2)}, nil
}
