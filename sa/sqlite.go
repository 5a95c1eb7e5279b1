package sa

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"modernc.org/sqlite"
)

// sqliteEngine is SQLite in the WAL mode: one connection writes, the others
// read, and neither waits for the other. Short reads use the writer's
// connection while nothing is written.
type sqliteEngine struct {
	writerDB, readerDB *sql.DB
	writer             *groupWriter
	readers            chan *session // those that nobody uses
	reading            int           // how many there are

	closing  sync.Once
	closed   chan struct{}
	closeErr error
}

const (
	// busyTimeout, in milliseconds, is how long to wait for a lock that
	// another process (a backup, the sqlite3 shell) holds.
	busyTimeout = "_pragma=busy_timeout(10000)"
	// writerPragmas: FULL makes each commit durable. The checkpoint, which
	// copies the log's pages to the database, comes every 16 MiB.
	writerPragmas = busyTimeout + "&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
		"&_pragma=wal_autocheckpoint(4000)&_pragma=journal_size_limit(67108864)" +
		"&_pragma=temp_store(MEMORY)&_pragma=cache_size(-32768)&_txlock=immediate&_dqs=0"
	readerPragmas = busyTimeout + "&_pragma=temp_store(MEMORY)&_dqs=0&_query_only=1"
)

// sqliteDSN is the name of a database file for the driver. As a file: URI it
// may hold any character.
func sqliteDSN(path, parameters string) string {
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: parameters}).String()
}

func openSQLite(ctx context.Context, path string, config Config, m *metrics) (*sqliteEngine, error) {
	if path == "" {
		return nil, errors.New("the store's URL names no file: write sqlite:PATH")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", path, err)
	}
	needed, err := admitSQLite(ctx, path, config.Migrate)
	if err != nil {
		return nil, err
	}
	// Where there is no fdatasync, commits use fsync.
	if _, err := sqlite.Fdatasync(true); err != nil && !errors.Is(err, sqlite.ErrFdatasyncUnavailable) {
		return nil, fmt.Errorf("choosing how commits reach the disk: %w", err)
	}
	e := &sqliteEngine{closed: make(chan struct{})}
	if err := e.open(ctx, path, needed, config, m); err != nil {
		return nil, errors.Join(err, e.closeConnections())
	}
	return e, nil
}

// admitSQLite checks the schema version and creates the file when there is
// none and there may be; an existing file is not touched.
func admitSQLite(ctx context.Context, path string, migrate bool) (needed bool, err error) {
	switch _, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		if needed, err = sqliteDialect.admit(0, migrate); err != nil {
			return false, fmt.Errorf("%s: %w", path, err)
		}
		return needed, createFile(path)
	case err != nil:
		return false, err
	}
	db, err := sql.Open("sqlite", sqliteDSN(path, busyTimeout+"&mode=ro"))
	if err != nil {
		return false, fmt.Errorf("opening %s: %w", path, err)
	}
	defer db.Close()
	version, err := sqliteDialect.version(ctx, db)
	if err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	if needed, err = sqliteDialect.admit(version, migrate); err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	if version == 0 {
		var tables int
		if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
			return false, fmt.Errorf("reading %s: %w", path, err)
		}
		if tables > 0 {
			return false, fmt.Errorf("%s is a database of another program: name another file", path)
		}
	}
	return needed, nil
}

// createFile makes an empty database that only its owner can read; SQLite
// gives its log the same mode. The folder is synced so that the file's name
// outlives a power loss, as its contents do.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("syncing the folder of %s: %w", path, err)
	}
	return nil
}

func (e *sqliteEngine) open(ctx context.Context, path string, migrate bool, config Config, m *metrics) error {
	var err error
	if e.writerDB, err = sql.Open("sqlite", sqliteDSN(path, writerPragmas)); err != nil {
		return fmt.Errorf("opening %s: %w", path, err)
	}
	if migrate {
		if err := sqliteDialect.migrate(ctx, e.writerDB, config.Logger); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	// The driver's own connections are kept for good, and with them the
	// statements prepared on them.
	conn, err := e.writerDB.Conn(ctx)
	if err != nil {
		return fmt.Errorf("opening %s: %w", path, err)
	}
	e.writer = newGroupWriter(cachingSession(conn), func(group int) { m.group.Observe(float64(group)) })

	if e.readerDB, err = sql.Open("sqlite", sqliteDSN(path, readerPragmas)); err != nil {
		return fmt.Errorf("opening %s: %w", path, err)
	}
	readers := max(4, runtime.GOMAXPROCS(0))
	e.readers = make(chan *session, readers)
	for range readers {
		conn, err := e.readerDB.Conn(ctx)
		if err != nil {
			return fmt.Errorf("opening %s: %w", path, err)
		}
		e.readers <- cachingSession(conn)
		e.reading++
	}
	return nil
}

// read runs fn to its end once it has a connection: reads are bounded by
// keys and limits, and watching ctx would cost more than most of them.
func (e *sqliteEngine) read(ctx context.Context, short bool, fn txFunc) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if short {
		if done, err := e.writer.tryRead(fn); done {
			return err
		}
	}
	select {
	case s := <-e.readers:
		defer func() { e.readers <- s }()
		return fn(context.Background(), s)
	case <-ctx.Done():
		return ctx.Err()
	case <-e.closed:
		return errClosed
	}
}

func (e *sqliteEngine) write(ctx context.Context, fn txFunc) error { return e.writer.write(ctx, fn) }

func (e *sqliteEngine) ping(ctx context.Context) error {
	return e.read(ctx, true, func(ctx context.Context, s *session) error {
		_, err := s.has(ctx, "SELECT 1")
		return err
	})
}

func (e *sqliteEngine) close() error {
	e.closing.Do(func() {
		close(e.closed)
		e.closeErr = e.closeConnections()
	})
	return e.closeErr
}

func (e *sqliteEngine) closeConnections() error {
	var errs []error
	if e.writer != nil {
		e.writer.close()
	}
	for range e.reading {
		errs = append(errs, (<-e.readers).close())
	}
	if e.readerDB != nil {
		errs = append(errs, e.readerDB.Close())
	}
	// The writer goes last: as the last connection it empties the log.
	if e.writer != nil {
		errs = append(errs, e.writer.session.close())
	}
	if e.writerDB != nil {
		errs = append(errs, e.writerDB.Close())
	}
	return errors.Join(errs...)
}
