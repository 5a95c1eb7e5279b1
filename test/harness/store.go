package harness

import (
	"testing"

	"github.com/cairn-ca/cairn/internal/pgtest"
)

// storeURL is the server's store: empty for SQLite in the data folder.
func storeURL(t testing.TB, w Wiring) string {
	t.Helper()
	if !w.Postgres {
		return ""
	}
	return pgtest.Database(t)
}

// keep is a test whose clean-ups do not run when it ends. A database that is
// made for it lasts as long as the PostgreSQL server, which ends with the test
// process.
type keep struct{ testing.TB }

func (keep) Cleanup(func()) {}
