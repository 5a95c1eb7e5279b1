package dns

import (
	"net/http"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/resolver"
)

const (
	// failuresToRest is how many questions in a row an upstream may leave
	// unanswered before it is set aside. Names that nobody answers for cause
	// such failures too, so one alone says little.
	failuresToRest = 8
	// shortestRest is for how long it is set aside at first. The time doubles
	// with each failure after a rest, up to longestRest.
	shortestRest = 10 * time.Second
	longestRest  = 5 * time.Minute
	// trialTime is how long the one question after a rest may stay undecided
	// before another is let through.
	trialTime = 10 * time.Second
)

// upstream is one recursive resolver.
type upstream struct {
	endpoint resolver.Endpoint
	name     string
	health
	proof
	connections *connectionPool // of TLS
	https       *http.Client    // of HTTPS
}

// health is whether an upstream answers. One that does not is set aside while
// others do; when its rest is over, a single question finds out whether it
// does again.
type health struct {
	mu       sync.Mutex
	failures int           // in a row
	rest     time.Duration // 0: it is well
	until    time.Time     // the end of the rest, or of the trial after it
	trial    bool
}

// answered notes an answer, whatever it says.
func (h *health) answered() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures, h.rest, h.trial = 0, 0, false
}

// failed notes a question without an answer.
func (h *health) failed(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures++
	if h.failures < failuresToRest || h.rest > 0 && !h.trial && now.Before(h.until) {
		// In the rest fail those questions that were open when it began.
		return
	}
	h.rest = min(max(2*h.rest, shortestRest), longestRest)
	h.until, h.trial = now.Add(h.rest), false
}

// take tells whether the upstream is to be asked now. After a rest it is so
// once; until that question is decided, others are preferred still.
func (h *health) take(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.rest == 0:
		return true
	case now.Before(h.until):
		return false
	}
	h.until, h.trial = now.Add(trialTime), true
	return true
}

// resting tells whether the upstream is set aside.
func (h *health) resting() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.rest > 0
}

// pick is the upstream whose turn it is, other than the one that just failed
// where there is a choice. Those that rest are passed over while another does
// not. With proven, only those that have proven to validate are picked; nil
// when there is none.
func (r *Resolver) pick(failed *upstream, proven bool) *upstream {
	now := r.config.Now()
	start := int(r.next.Add(1)) % len(r.upstreams)
	var resting, again *upstream
	for i := range r.upstreams {
		u := r.upstreams[(start+i)%len(r.upstreams)]
		switch {
		case proven && !r.proves(u, now):
		case u == failed:
			again = u
		case u.take(now):
			return u
		case resting == nil:
			resting = u
		}
	}
	if resting == nil {
		return again
	}
	return resting
}
