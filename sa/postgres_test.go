package sa

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/pgtest"
)

func TestPostgresServerRestarts(t *testing.T) {
	t.Parallel()
	server := pgtest.NewServer(t)
	url := server.Database(t)
	db, err := Open(t.Context(), Config{URL: url, Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	write := func(n int64) error {
		return db.PublishCRL(t.Context(), CRL{Number: n, ThisUpdate: time.Now(), NextUpdate: time.Now(), DER: []byte{1}})
	}
	number := func() int64 {
		crl, err := db.CRL(t.Context(), acme.IssuerID{}, 0)
		if err != nil {
			t.Fatal(err)
		}
		return crl.Number
	}
	if err := write(1); err != nil {
		t.Fatal(err)
	}

	// While nothing is asked: the connections of the pool are dead.
	server.Stop(t)
	server.Start(t)
	if err := write(2); err != nil {
		t.Fatal(err)
	}
	server.Stop(t)
	server.Start(t)
	if got := number(); got != 2 {
		t.Fatalf("number %d", got)
	}

	// While something is asked.
	server.Stop(t)
	errs := make(chan error)
	go func() { errs <- write(3) }()
	go func() { _, err := db.CRL(t.Context(), acme.IssuerID{}, 0); errs <- err }()
	server.Start(t)
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := number(); got != 3 {
		t.Fatalf("number %d", got)
	}
}

// A connection that is lost in the middle of a transaction costs a retry.
func TestPostgresConnectionIsLost(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), Config{URL: pgtest.Database(t), Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	kill := func(ctx context.Context, s *session) error {
		_, err := s.exec(ctx, "SELECT pg_terminate_backend(pg_backend_pid())")
		return err
	}
	var runs atomic.Int32
	fn := func(ctx context.Context, s *session) error {
		if runs.Add(1) == 1 {
			return kill(ctx, s)
		}
		return nil
	}
	if err := db.engine.write(t.Context(), fn); err != nil || runs.Load() != 2 {
		t.Errorf("write: %v after %d runs", err, runs.Load())
	}
	runs.Store(0)
	if err := db.engine.read(t.Context(), false, fn); err != nil || runs.Load() != 2 {
		t.Errorf("read: %v after %d runs", err, runs.Load())
	}
}

// A COMMIT whose answer is lost is not run again.
func TestPostgresLostCommitIsNotRetried(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), Config{URL: pgtest.Database(t), Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	// The trigger runs inside of COMMIT, and ends the connection there.
	if err := db.engine.write(t.Context(), func(ctx context.Context, s *session) error {
		for _, statement := range []string{
			`CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$`,
			`CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON leases DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION lose()`,
		} {
			if _, err := s.exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	runs := 0
	err = db.engine.write(t.Context(), func(ctx context.Context, s *session) error {
		runs++
		_, err := s.exec(ctx, takeLease, "a", "b", int64(1), int64(0))
		return err
	})
	if err == nil || runs != 1 {
		t.Errorf("error %v after %d runs", err, runs)
	}
}

func TestPostgresStandbyIsLeft(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), Config{URL: pgtest.Database(t), Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	runs := 0
	if err := db.engine.write(t.Context(), func(ctx context.Context, s *session) error {
		if runs++; runs == 1 {
			if _, err := s.exec(ctx, "SET TRANSACTION READ ONLY"); err != nil {
				return err
			}
		}
		_, err := s.exec(ctx, takeLease, "a", "b", int64(1), int64(0))
		return err
	}); err != nil || runs != 2 {
		t.Errorf("error %v after %d runs", err, runs)
	}
}

func TestPostgresRetryEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), Config{URL: pgtest.Database(t), Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ctx, cancel := context.WithCancel(t.Context())
	if err := db.engine.write(ctx, func(context.Context, *session) error {
		cancel()
		return io.ErrUnexpectedEOF
	}); err == nil {
		t.Error("no error")
	}
}

func TestErrorClasses(t *testing.T) {
	t.Parallel()
	pg := func(code string) error { return fmt.Errorf("inserting: %w", &pgconn.PgError{Code: code}) }
	for _, c := range []struct {
		err       error
		heals     bool
		afterSent bool // also for a COMMIT that was sent
	}{
		{pg("40001"), true, true},
		{pg("40P01"), true, true},
		{pg("25006"), true, false},
		{pg("57P01"), true, false},
		{pg("57P03"), true, false},
		{pg("53300"), true, false},
		{pg("08006"), true, false},
		{pg("23505"), false, false},
		{pg("28P01"), false, false},
		{pg("42P01"), false, false},
		{fmt.Errorf("reading: %w", io.ErrUnexpectedEOF), true, false},
		{&net.OpError{Op: "read", Err: errors.New("connection reset by peer")}, true, false},
		{context.DeadlineExceeded, false, false},
		{context.Canceled, false, false},
		{ErrConflict, false, false},
		{sql.ErrNoRows, false, false},
	} {
		if got := mayHeal(c.err); got != c.heals {
			t.Errorf("%v: may heal: %v", c.err, got)
		}
		if got := met(c.err); got != c.afterSent {
			t.Errorf("%v: met: %v", c.err, got)
		}
	}
}
