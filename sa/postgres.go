package sa

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	// retryFor is how long a failover may take before callers hear of it.
	retryFor = 15 * time.Second
	// firstRetry is the wait before the first retry; it doubles up to maxRetry.
	firstRetry = 10 * time.Millisecond
	maxRetry   = time.Second
	// connectTimeout bounds one attempt to connect to one host.
	connectTimeout = 5 * time.Second
	// maxConnections is the pool's size when the URL has no pool_max_conns.
	maxConnections = 16
)

// postgresEngine runs transactions on PostgreSQL. What fails because a
// connection was lost, because a standby took over, or because transactions
// met, is tried again as long as it is known that nothing was committed.
type postgresEngine struct {
	pool   *pgxpool.Pool
	db     *sql.DB
	logger *slog.Logger

	mu       sync.Mutex
	closed   bool
	underway sync.WaitGroup // added to under mu
}

func openPostgres(ctx context.Context, config Config) (*postgresEngine, error) {
	poolConfig, err := pgxpool.ParseConfig(config.URL)
	if err != nil {
		return nil, fmt.Errorf("reading the store's URL: %w", err) // pgx leaves the password out
	}
	if !strings.Contains(config.URL, "pool_max_conns") {
		poolConfig.MaxConns = maxConnections
	}
	if poolConfig.ConnConfig.ConnectTimeout == 0 {
		poolConfig.ConnConfig.ConnectTimeout = connectTimeout
	}
	if _, ok := poolConfig.ConnConfig.RuntimeParams["application_name"]; !ok {
		poolConfig.ConnConfig.RuntimeParams["application_name"] = "cairn"
	}
	if config.ReadOnly {
		poolConfig.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	}
	pool, err := pgxpool.NewWithConfig(ctx, poolConfig)
	if err != nil {
		return nil, fmt.Errorf("preparing connections to PostgreSQL: %w", err)
	}
	e := &postgresEngine{pool: pool, db: stdlib.OpenDBFromPool(pool), logger: config.Logger}
	if err := e.prepare(ctx, config); err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

// prepare checks the schema version and migrates.
func (e *postgresEngine) prepare(ctx context.Context, config Config) error {
	var version int64
	if err := e.read(ctx, false, func(ctx context.Context, _ *session) (err error) {
		version, err = postgresDialect.version(ctx, e.db)
		return err
	}); err != nil {
		return err
	}
	needed, err := postgresDialect.admit(version, config.Migrate)
	if err != nil || !needed {
		return err
	}
	if err := postgresDialect.migrate(ctx, e.db, config.Logger); err != nil {
		return err
	}
	// While this process waited, a newer one may have gone further.
	if version, err = postgresDialect.version(ctx, e.db); err != nil {
		return err
	}
	_, err = postgresDialect.admit(version, false)
	return err
}

func (e *postgresEngine) begin() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errClosed
	}
	e.underway.Add(1)
	return nil
}

func (e *postgresEngine) read(ctx context.Context, _ bool, fn txFunc) error {
	return e.retry(ctx, func() (error, bool) {
		err := fn(ctx, &session{connection: e.db})
		return err, mayHeal(err)
	})
}

func (e *postgresEngine) write(ctx context.Context, fn txFunc) error {
	return e.retry(ctx, func() (error, bool) {
		tx, err := e.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		if err != nil {
			return fmt.Errorf("beginning a transaction: %w", err), mayHeal(err)
		}
		defer func() { _ = tx.Rollback() }() // after Commit it does nothing
		if err := fn(ctx, &session{connection: tx}); err != nil {
			return err, mayHeal(err) // the COMMIT was not sent
		}
		if err := tx.Commit(); err != nil {
			// A connection that is lost now leaves open whether the
			// transaction was committed: only a plain refusal is tried again.
			return fmt.Errorf("committing: %w", err), met(err) || pgconn.SafeToRetry(err)
		}
		return nil, false
	})
}

// retry runs attempt until it succeeds, its error is final, or time is up.
func (e *postgresEngine) retry(ctx context.Context, attempt func() (err error, again bool)) error {
	if err := e.begin(); err != nil {
		return err
	}
	defer e.underway.Done()
	began, wait := time.Now(), firstRetry
	for {
		err, again := attempt()
		if err == nil || !again || ctx.Err() != nil || time.Since(began) > retryFor {
			return err
		}
		if readOnly(err) {
			e.pool.Reset() // these connections lead to what is now a standby
		}
		e.logger.LogAttrs(ctx, slog.LevelWarn, "trying a store operation again", slog.Any("error", err))
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
		wait = min(2*wait, maxRetry)
	}
}

func (e *postgresEngine) ping(ctx context.Context) error { return e.db.PingContext(ctx) }

func (e *postgresEngine) close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.underway.Wait()
	err := e.db.Close()
	e.pool.Close()
	return err
}

// mayHeal tells whether an error from before the COMMIT may not come again.
func mayHeal(err error) bool { return met(err) || readOnly(err) || disconnected(err) }

// met tells whether transactions met: serialization_failure, deadlock_detected.
func met(err error) bool {
	code := sqlState(err)
	return code == "40001" || code == "40P01"
}

// readOnly tells whether the server takes no writes (read_only_sql_transaction).
func readOnly(err error) bool { return sqlState(err) == "25006" }

// disconnected tells whether the connection was lost, or none was to be had:
// the server is shutting down, starting (class 57P), or full
// (too_many_connections).
func disconnected(err error) bool {
	if code := sqlState(err); code != "" {
		return strings.HasPrefix(code, "08") || strings.HasPrefix(code, "57P") || code == "53300"
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return true // even when it is a timeout: it is that of one attempt
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var network net.Error
	return errors.As(err, &network) || pgconn.SafeToRetry(err) || errors.Is(err, driver.ErrBadConn) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

func sqlState(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
