package sa

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// versionTable is where goose notes the migrations that were applied.
const versionTable = "goose_db_version"

// newestVersion is the schema version that this binary works with.
func (d dialect) newestVersion() (int64, error) {
	names, err := fs.Glob(d.migrations, d.name+"/*.sql")
	if err != nil {
		return 0, fmt.Errorf("listing the migrations: %w", err)
	}
	var newest int64
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return 0, fmt.Errorf("reading the version of migration %s: %w", name, err)
		}
		newest = max(newest, version)
	}
	return newest, nil
}

// version reads the schema version of a database; 0: there is no schema. It
// changes nothing.
func (d dialect) version(ctx context.Context, db *sql.DB) (int64, error) {
	var found int
	switch err := db.QueryRowContext(ctx, d.hasTable, versionTable).Scan(&found); {
	case errors.Is(err, sql.ErrNoRows):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("reading the schema version: %w", err)
	}
	var version int64
	if err := db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM "+versionTable).Scan(&version); err != nil {
		return 0, fmt.Errorf("reading the schema version: %w", err)
	}
	return version, nil
}

// admit decides whether a database of that version may be used, and whether
// it must be migrated first.
func (d dialect) admit(version int64, migrate bool) (needed bool, err error) {
	newest, err := d.newestVersion()
	switch {
	case err != nil:
		return false, err
	case version > newest:
		return false, fmt.Errorf("%w %d of the store is newer than %d, the newest that this cairn knows: install the newer cairn that made it", ErrSchema, version, newest)
	case version < newest && !migrate:
		return false, fmt.Errorf("%w %d of the store is older than %d, which this cairn needs: run `cairn migrate`", ErrSchema, version, newest)
	}
	return version < newest, nil
}

// migrate applies the migrations that are missing. On PostgreSQL an advisory
// lock lets one of several processes do it.
func (d dialect) migrate(ctx context.Context, db *sql.DB, logger *slog.Logger) error {
	files, err := fs.Sub(d.migrations, d.name)
	if err != nil {
		return fmt.Errorf("opening the migrations: %w", err)
	}
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true), goose.WithTableName(versionTable)}
	if d.goose == goose.DialectPostgres {
		// Look for the lock each second, ten minutes long.
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 600))
		if err != nil {
			return fmt.Errorf("preparing the lock for migrations: %w", err)
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	provider, err := goose.NewProvider(d.goose, db, files, options...)
	if err != nil {
		return fmt.Errorf("reading the migrations: %w", err)
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrating the store: %w", err)
	}
	for _, r := range results {
		logger.LogAttrs(ctx, slog.LevelInfo, "store migrated",
			slog.Int64("version", r.Source.Version), slog.Duration("took", r.Duration))
	}
	return nil
}
