// Package harness runs Cairn as its users do, for the tests that cross
// services: the real binary, in one process or as one process per role, on
// SQLite or PostgreSQL, with a DNS, HTTP and TLS responder on loopback to
// validate against.
//
// A test package calls Main from its TestMain, then Start for a server of its
// own or Shared for the one that the package's tests have in common.
package harness

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
)

var exit struct {
	sync.Mutex
	work []func() error
}

// atExit has Main run f after the tests, in reverse order.
func atExit(f func() error) {
	exit.Lock()
	defer exit.Unlock()
	exit.work = append(exit.work, f)
}

// Main runs the tests of a package, stops what they shared and exits. A shared
// server that does not stop cleanly fails the package.
func Main(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	code := m.Run()
	exit.Lock()
	defer exit.Unlock()
	var errs []error
	for _, f := range slices.Backward(exit.work) {
		errs = append(errs, f())
	}
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, "after the tests:", err)
		code = max(code, 1)
	}
	if code != 0 {
		shared.dump()
	}
	return code
}
