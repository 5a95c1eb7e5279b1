//go:build unix

package pgtest_test

import (
	"database/sql"
	"testing"

	"github.com/cairn-ca/cairn/internal/pgtest"
)

func TestDatabasesAreEmptyAndApart(t *testing.T) {
	t.Parallel()
	for range 2 {
		db, err := sql.Open("pgx", pgtest.Database(t))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec("CREATE TABLE mine (id BIGINT)"); err != nil {
			t.Fatal(err)
		}
	}
}
