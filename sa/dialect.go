package sa

import (
	"errors"
	"io/fs"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/cairn-ca/cairn/migrations"
)

// dialect is what differs between the databases, beside how transactions are
// run (engine). The statements are the same, with $N for arguments.
type dialect struct {
	name       string
	migrations fs.FS
	goose      goose.Dialect
	// hasTable is a query with one row when there is a table of the name $1.
	hasTable string
	// skipLocked ends a SELECT of rows that several processes share out.
	skipLocked string
	// idList is a subquery of the identifiers that formatIDs has put into $N,
	// which %[1]s stands for.
	idList string
	// isUniqueViolation tells whether a row with that key was there already.
	isUniqueViolation func(error) bool
}

var sqliteDialect = dialect{
	name:       "sqlite",
	migrations: migrations.SQLite,
	goose:      goose.DialectSQLite3,
	hasTable:   `SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = $1`,
	idList:     `(SELECT unhex(value) FROM json_each(%[1]s))`,
	isUniqueViolation: func(err error) bool {
		var e *sqlite.Error
		return errors.As(err, &e) &&
			(e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
	},
}

var postgresDialect = dialect{
	name:       "postgres",
	migrations: migrations.Postgres,
	goose:      goose.DialectPostgres,
	hasTable:   `SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename = $1`,
	skipLocked: ` FOR UPDATE SKIP LOCKED`,
	idList:     `(SELECT decode(value, 'hex') FROM jsonb_array_elements_text(CAST(%[1]s AS jsonb)))`,
	isUniqueViolation: func(err error) bool {
		var e *pgconn.PgError
		return errors.As(err, &e) && e.Code == "23505"
	},
}
