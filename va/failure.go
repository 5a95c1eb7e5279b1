package va

import (
	"fmt"
	"strconv"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

// failure is why a try proved nothing.
type failure struct {
	problem *acme.Problem
	mayHeal bool
	// busy tells that nothing was tried, because there was no place: it is no
	// result.
	busy bool
}

// wrong is a failure that another try would meet again: what was found is not
// what was asked for.
func wrong(t acme.ProblemType, format string, args ...any) *failure {
	return &failure{problem: acme.NewProblem(t, format, args...)}
}

// unreached is a failure that may heal: nothing was found out.
func unreached(t acme.ProblemType, format string, args ...any) *failure {
	return &failure{problem: acme.NewProblem(t, format, args...), mayHeal: true}
}

// busy is the failure of a try that found no place in time.
func busy(format string, args ...any) *failure {
	p := acme.NewProblem(acme.RateLimited, format, args...)
	p.RetryAfter = busyRetry
	return &failure{problem: p, mayHeal: true, busy: true}
}

// busyRetry is when places may be free again.
const busyRetry = 10 * time.Second

// steps are what a try did and saw, in order.
type steps []string

func (s *steps) step(format string, args ...any) { *s = append(*s, fmt.Sprintf(format, args...)) }

// maxQuote is how much of what a stranger sent is shown.
const maxQuote = 200

// quote makes what a stranger sent fit for a problem or a log: in quotes,
// printable ASCII, bounded.
func quote[T ~string | ~[]byte](s T) string {
	if len(s) > maxQuote {
		return strconv.QuoteToASCII(string(s[:maxQuote])) + "..."
	}
	return strconv.QuoteToASCII(string(s))
}
