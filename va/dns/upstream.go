package dns

import (
	"net/netip"
	"sync/atomic"
	"time"
)

const (
	// failuresToRest is how many questions in a row an upstream may leave
	// unanswered before others are preferred. Names that nobody answers for
	// cause such failures too, so one alone says little.
	failuresToRest = 8
	// rest is for how long others are preferred.
	rest = 10 * time.Second
)

// upstream is one recursive resolver and its health.
type upstream struct {
	addr         netip.AddrPort
	name         string
	failures     atomic.Int32 // in a row
	restingUntil atomic.Int64 // Unix nanoseconds
}

// answered notes an answer, whatever it says.
func (u *upstream) answered() {
	if u.failures.Load() != 0 {
		u.failures.Store(0)
		u.restingUntil.Store(0)
	}
}

// failed notes a question without an answer.
func (u *upstream) failed(now time.Time) {
	if u.failures.Add(1) >= failuresToRest {
		u.restingUntil.Store(now.Add(rest).UnixNano())
	}
}

// pick is the upstream whose turn it is, other than the one that just failed
// where there is a choice. Those that rest are passed over while another does
// not.
func (r *Resolver) pick(failed *upstream) *upstream {
	if len(r.upstreams) == 1 {
		return r.upstreams[0]
	}
	now := r.config.Now().UnixNano()
	start := int(r.next.Add(1)) % len(r.upstreams)
	var resting *upstream
	for i := range r.upstreams {
		u := r.upstreams[(start+i)%len(r.upstreams)]
		switch {
		case u == failed:
		case u.restingUntil.Load() <= now:
			return u
		case resting == nil:
			resting = u
		}
	}
	return resting
}
