package sa

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config says which store to open and how.
type Config struct {
	// URL is sqlite:PATH for a file of this machine, or postgres://... in the
	// form of libpq, with pgxpool's parameters (pool_max_conns and so on).
	// With several hosts, add target_session_attrs=read-write, so that a
	// failover is followed.
	URL string
	// Migrate lets Open create the schema, or bring an older one up to date.
	// Without it a store that isn't up to date is refused.
	Migrate bool
	// ReadOnly is for a read replica (PostgreSQL): nothing is ever written.
	ReadOnly bool
	// Now is the clock by which things expire and leases lapse; nil: time.Now.
	Now func() time.Time
	// Logger hears of migrations and of statements that are tried again; nil:
	// nobody does.
	Logger *slog.Logger
	// Metrics registers the store's metrics; nil: they are not collected.
	Metrics prometheus.Registerer
}

// DB is a Store in a database.
type DB struct {
	dialect
	engine  engine
	queries queries
	now     func() time.Time
	metrics *metrics
	keys    keyCache
}

var _ Store = (*DB)(nil)

// engine is how a database runs reads and transactions.
type engine interface {
	// read runs fn outside of a transaction. It is short when it reads few
	// rows by their keys.
	read(ctx context.Context, short bool, fn txFunc) error
	// write runs fn as a transaction. When it returns nil, what fn wrote is
	// durable; when fn failed, nothing of it is there.
	write(ctx context.Context, fn txFunc) error
	ping(ctx context.Context) error
	// close waits for what is under way.
	close() error
}

// Open opens a store. The error wraps ErrSchema, and the database is as it
// was, when its schema is newer than this binary or, without Migrate, older.
func Open(ctx context.Context, config Config) (*DB, error) {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(config.Metrics)
	if err != nil {
		return nil, err
	}
	d := &DB{now: config.Now, metrics: m}
	scheme, rest, _ := strings.Cut(config.URL, ":")
	switch scheme {
	case "sqlite":
		if config.ReadOnly {
			return nil, errors.New("opening the store: SQLite has no read replicas; give the URL of a PostgreSQL server")
		}
		d.dialect = sqliteDialect
		d.engine, err = openSQLite(ctx, rest, config, m)
	case "postgres", "postgresql":
		d.dialect = postgresDialect
		d.engine, err = openPostgres(ctx, config)
	default:
		// Not the URL itself: it may hold a password.
		return nil, fmt.Errorf("the store's URL begins with %q: write sqlite:PATH or postgres://USER@HOST/DATABASE", scheme)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	d.queries = newQueries(d.dialect)
	if config.Metrics != nil && !config.ReadOnly {
		if err := config.Metrics.Register(newIncidentCollector(d)); err != nil {
			return nil, errors.Join(fmt.Errorf("registering the metrics of incidents: %w", err), d.Close())
		}
	}
	return d, nil
}

// Migrate brings the schema of a store up to date, creating it if need be.
func Migrate(ctx context.Context, config Config) error {
	config.Migrate = true
	d, err := Open(ctx, config)
	if err != nil {
		return err
	}
	return d.Close()
}

// Close waits for the transactions under way and closes the store. What is
// asked of it later fails.
func (d *DB) Close() error {
	if err := d.engine.close(); err != nil {
		return fmt.Errorf("closing the store: %w", err)
	}
	return nil
}

// Ping implements Reader.
func (d *DB) Ping(ctx context.Context) error {
	defer d.metrics.observe(opPing, time.Now())
	return d.engine.ping(ctx)
}

func (d *DB) read(ctx context.Context, op operation, fn txFunc) error {
	defer d.metrics.observe(op, time.Now())
	return d.engine.read(ctx, op.short(), fn)
}

func (d *DB) write(ctx context.Context, op operation, fn txFunc) error {
	defer d.metrics.observe(op, time.Now())
	return d.engine.write(ctx, fn)
}

// micros is the time as of which a statement decides.
func (d *DB) micros() int64 { return d.now().UnixMicro() }
