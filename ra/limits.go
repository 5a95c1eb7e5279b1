package ra

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

// Rate is how often something may happen: Burst times at once, and then once
// every Per/Burst. The zero value sets no limit.
type Rate struct {
	Burst int
	Per   time.Duration
}

// Limits are the rate limits of a registration authority.
type Limits struct {
	// Accounts bounds new accounts from one IPv4 address or IPv6 /48.
	Accounts Rate
	// Orders bounds the new orders of one account.
	Orders Rate
	// FailedValidations bounds the failed validations of one account for one
	// name.
	FailedValidations Rate
}

// DefaultLimits stop a client that runs wild, and no other.
var DefaultLimits = Limits{
	Accounts:          Rate{Burst: 1000, Per: time.Hour},
	Orders:            Rate{Burst: 100_000, Per: time.Hour},
	FailedValidations: Rate{Burst: 60, Per: time.Hour},
}

// limiter counts by the generic cell rate algorithm: of each key it keeps the
// one moment at which its budget is whole again.
type limiter struct {
	Limits
	now func() time.Time

	mu    sync.Mutex
	whole map[limitKey]time.Time // theoretical arrival times
	swept time.Time
}

type limitKey struct {
	limit string
	key   string
}

// limitedError is a refused request, before it becomes a problem.
type limitedError struct {
	limit string
	retry time.Duration
}

func (e *limitedError) Error() string { return "rate limit " + e.limit }

const sweepEvery = time.Minute

func newLimiter(limits Limits, now func() time.Time) *limiter {
	return &limiter{Limits: limits, now: now, whole: make(map[limitKey]time.Time), swept: now()}
}

func (l *limiter) newAccount(client netip.Addr) error {
	if !client.IsValid() {
		return nil
	}
	bits := 32
	if client = client.Unmap(); client.Is6() {
		bits = 48
	}
	prefix, err := client.WithZone("").Prefix(bits)
	if err != nil {
		return nil
	}
	return l.take("new accounts from one address", prefix.String(), l.Accounts)
}

func (l *limiter) newOrder(account acme.ID) error {
	return l.take("new orders of one account", string(account[:]), l.Orders)
}

// failedValidation counts a failure; mayValidate asks whether the budget for
// failures is used up.
func (l *limiter) failedValidation(account acme.ID, id acme.Identifier) {
	_ = l.take(failedValidations, string(account[:])+id.String(), l.FailedValidations)
}

func (l *limiter) mayValidate(account acme.ID, id acme.Identifier) error {
	return l.look(failedValidations, string(account[:])+id.String(), l.FailedValidations)
}

const failedValidations = "failed validations of one account for one name"

func (l *limiter) take(limit, key string, rate Rate) error { return l.spend(limit, key, rate, true) }
func (l *limiter) look(limit, key string, rate Rate) error { return l.spend(limit, key, rate, false) }

func (l *limiter) spend(limit, key string, rate Rate, take bool) error {
	if rate.Burst <= 0 {
		return nil
	}
	now := l.now()
	interval := rate.Per / time.Duration(rate.Burst)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	k := limitKey{limit, key}
	whole := l.whole[k]
	if whole.Before(now) {
		whole = now
	}
	next := whole.Add(interval)
	if wait := next.Sub(now) - rate.Per; wait > 0 {
		return &limitedError{limit: limit, retry: wait}
	}
	if take {
		l.whole[k] = next
	}
	return nil
}

// sweep forgets keys whose budget is whole again.
func (l *limiter) sweep(now time.Time) {
	if now.Sub(l.swept) < sweepEvery {
		return
	}
	l.swept = now
	for k, whole := range l.whole {
		if whole.Before(now) {
			delete(l.whole, k)
		}
	}
}

// limited makes a refused request a rateLimited problem (RFC 8555 §6.6).
func (r *RA) limited(err error) error {
	var limited *limitedError
	if !errors.As(err, &limited) {
		return err
	}
	r.metrics.limited.WithLabelValues(limited.limit).Inc()
	// Whole seconds, rounded up: a client that waits as told is let in.
	retry := (limited.retry + time.Second - 1).Truncate(time.Second)
	p := acme.NewProblem(acme.RateLimited, "too many %s; try again in %s", limited.limit, retry)
	p.RetryAfter = retry
	return p
}
