// Package testmode makes Cairn a drop-in for Pebble in the test suites of ACME
// clients: it reads Pebble's environment variables and its configuration file,
// serves its paths and its management interface, and is as inconvenient to
// clients as Pebble is on purpose.
//
// Nothing here belongs into a CA. Each part wraps one of the services' own
// interfaces, so that they know nothing of it.
package testmode

import (
	"math/rand/v2"
	"strconv"
)

// Knobs are what Pebble reads from its environment. A value that can't be used
// counts as none, as with Pebble.
type Knobs struct {
	// SleepTime bounds the random wait before a validation, in seconds; 0: no
	// wait (PEBBLE_VA_NOSLEEP, PEBBLE_VA_SLEEPTIME).
	SleepTime int
	// AlwaysValid has every validation succeed without being run
	// (PEBBLE_VA_ALWAYS_VALID).
	AlwaysValid bool
	// NonceReject is how many percent of the good nonces are refused
	// (PEBBLE_WFE_NONCEREJECT).
	NonceReject int
	// AuthorizationReuse is how many percent of the valid authorizations that
	// an order could rely on it does rely on (PEBBLE_AUTHZREUSE).
	AuthorizationReuse int
	// OrdersPerPage is the length of a page of an account's orders
	// (PEBBLE_WFE_ORDERS_PER_PAGE).
	OrdersPerPage int
	// AlternateRoots is how many chains there are beside the first
	// (PEBBLE_ALTERNATE_ROOTS).
	AlternateRoots int
	// ChainLength is the number of intermediates in a chain
	// (PEBBLE_CHAIN_LENGTH).
	ChainLength int
}

// Bounds that Pebble does not have: a mistyped variable must not make
// thousands of keys.
const (
	maxAlternateRoots = 20
	maxChainLength    = 10
	maxSleepTime      = 600
)

// ReadKnobs reads the environment.
func ReadKnobs(getenv func(string) string) Knobs {
	number := func(name string, least, most, otherwise int) int {
		n, err := strconv.Atoi(getenv(name))
		if err != nil || n < least {
			return otherwise
		}
		return min(n, most)
	}
	k := Knobs{
		SleepTime:          number("PEBBLE_VA_SLEEPTIME", 1, maxSleepTime, 5),
		AlwaysValid:        truthy(getenv("PEBBLE_VA_ALWAYS_VALID")),
		NonceReject:        5,
		AuthorizationReuse: number("PEBBLE_AUTHZREUSE", 0, 1000, 50),
		OrdersPerPage:      number("PEBBLE_WFE_ORDERS_PER_PAGE", 1, 1000, 3),
		AlternateRoots:     number("PEBBLE_ALTERNATE_ROOTS", 0, maxAlternateRoots, 0),
		ChainLength:        number("PEBBLE_CHAIN_LENGTH", 1, maxChainLength, 1),
	}
	if truthy(getenv("PEBBLE_VA_NOSLEEP")) {
		k.SleepTime = 0
	}
	if n, err := strconv.Atoi(getenv("PEBBLE_WFE_NONCEREJECT")); err == nil {
		// Pebble makes 99 of what is over 100, so that a client gets through in
		// the end, and lets 100 be.
		if k.NonceReject = max(n, 0); n > 100 {
			k.NonceReject = 99
		}
	}
	if k.AuthorizationReuse > 100 {
		k.AuthorizationReuse = 50
	}
	return k
}

// truthy is what Pebble takes for yes.
func truthy(s string) bool { return s == "1" || s == "true" || s == "True" || s == "TRUE" }

// Roll is a random number from 0 to n-1.
type Roll func(n int) int

// Random rolls fairly. Nothing secret hangs on it.
func Random(n int) int { return rand.IntN(n) }

// happens tells whether what happens in so many percent of the cases does.
func (r Roll) happens(percent int) bool { return r(100) < percent }
