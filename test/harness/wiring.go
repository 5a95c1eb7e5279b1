package harness

import (
	"fmt"
	"os"
	"testing"
)

// Wiring is a way to run Cairn. The zero value is `cairn serve` on SQLite.
type Wiring struct {
	// Roles runs each service as a process of its own, over gRPC with mutual
	// TLS.
	Roles bool
	// Postgres stores in PostgreSQL, in a database made for the server.
	Postgres bool
}

// Wirings are all the ways.
var Wirings = []Wiring{{}, {Postgres: true}, {Roles: true}, {Roles: true, Postgres: true}}

func (w Wiring) String() string {
	processes, store := "serve", "sqlite"
	if w.Roles {
		processes = "roles"
	}
	if w.Postgres {
		store = "postgres"
	}
	return processes + "/" + store
}

// EachWiring runs a test once for each way to run Cairn.
func EachWiring(t *testing.T, test func(t *testing.T, w Wiring)) {
	for _, w := range Wirings {
		t.Run(w.String(), func(t *testing.T) {
			t.Parallel()
			test(t, w)
		})
	}
}

// envWiring names the wiring that tests run on which need but one, such as
// "roles/postgres"; empty: serve/sqlite.
const envWiring = "CAIRN_TEST_WIRING"

// DefaultWiring is the wiring for tests that need but one.
func DefaultWiring() (Wiring, error) {
	name := os.Getenv(envWiring)
	if name == "" {
		return Wiring{}, nil
	}
	for _, w := range Wirings {
		if w.String() == name {
			return w, nil
		}
	}
	return Wiring{}, fmt.Errorf("%s=%q is not one of %v", envWiring, name, Wirings)
}
