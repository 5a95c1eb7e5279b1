package sa_test

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/pgtest"
	"github.com/cairn-ca/cairn/sa"
)

func open(t *testing.T, config sa.Config) *sa.DB {
	t.Helper()
	db, err := sa.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// refused checks that the store isn't opened, and why.
func refused(t *testing.T, config sa.Config, want error, words ...string) {
	t.Helper()
	db, err := sa.Open(t.Context(), config)
	if err == nil {
		_ = db.Close()
		t.Fatal("opened")
	}
	if want != nil && !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error of several lines: %q", err)
	}
}

func TestOpenURL(t *testing.T) {
	t.Parallel()
	for url, words := range map[string][]string{
		"":                                {"sqlite:PATH"},
		"mysql://u:secret@host/":          {"mysql", "sqlite:PATH"},
		"sqlite:":                         {"names no file"},
		"postgres://u:secret@[":           {"URL"},
		"sqlite:/no/such/folder/cairn.db": {"/no/such/folder"},
		"postgres://u:secret@localhost/db?sslmode=nonsense":                       {"URL"},
		"sqlite:" + filepath.Join(t.TempDir(), "not", "there", "cairn.db?mode=x"): {"no such file"},
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			db, err := sa.Open(t.Context(), sa.Config{URL: url, Migrate: true})
			if err == nil {
				_ = db.Close()
				t.Fatal("opened")
			}
			for _, word := range words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("error %q does not say %q", err, word)
				}
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("error %q tells the password", err)
			}
		})
	}
}

func TestSQLiteFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a b%20c?d#e.db")
	db := open(t, sa.Config{URL: "sqlite:" + path, Migrate: true})
	if err := db.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", name, info.Mode().Perm())
		}
	}
}

func TestSQLiteIsNotMigratedUnasked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "cairn.db")
	url := "sqlite:" + path
	refused(t, sa.Config{URL: url}, sa.ErrSchema, "cairn migrate")
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("a database was made: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, sa.Config{URL: url}, sa.ErrSchema, "cairn migrate")
	unchanged(t, path, nil)

	if err := sa.Migrate(t.Context(), sa.Config{URL: url}); err != nil {
		t.Fatal(err)
	}
	open(t, sa.Config{URL: url})
}

func TestSQLiteOfANewerVersion(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "cairn.db")
	if err := sa.Migrate(t.Context(), sa.Config{URL: "sqlite:" + path}); err != nil {
		t.Fatal(err)
	}
	execute(t, "sqlite", path, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, TRUE)")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, migrate := range []bool{false, true} {
		refused(t, sa.Config{URL: "sqlite:" + path, Migrate: migrate}, sa.ErrSchema, "9999", "install the newer cairn")
	}
	unchanged(t, path, before)
}

func TestSQLiteOfAnotherProgram(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "cairn.db")
	execute(t, "sqlite", path, "CREATE TABLE accounts (name TEXT)")
	refused(t, sa.Config{URL: "sqlite:" + path, Migrate: true}, nil, "another program")

	text := filepath.Join(t.TempDir(), "cairn.db")
	content := bytes.Repeat([]byte("this is no database\n"), 1000)
	if err := os.WriteFile(text, content, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, sa.Config{URL: "sqlite:" + text, Migrate: true}, nil, "not a database")
	unchanged(t, text, content)
}

func unchanged(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s was changed", path)
	}
}

func execute(t *testing.T, driver, url, statement string) {
	t.Helper()
	db, err := sql.Open(driver, url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

func TestPostgresVersions(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	refused(t, sa.Config{URL: url}, sa.ErrSchema, "cairn migrate")
	execute(t, "pgx", url, "CREATE TABLE accounts (name TEXT)") // nothing was made that is in the way
	execute(t, "pgx", url, "DROP TABLE accounts")
	if err := sa.Migrate(t.Context(), sa.Config{URL: url}); err != nil {
		t.Fatal(err)
	}
	open(t, sa.Config{URL: url})
	execute(t, "pgx", url, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, TRUE)")
	for _, migrate := range []bool{false, true} {
		refused(t, sa.Config{URL: url, Migrate: migrate}, sa.ErrSchema, "9999", "install the newer cairn")
	}
}

// Several processes that start at once migrate once.
func TestPostgresMigratesOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	errs := make([]error, 4)
	var done sync.WaitGroup
	for i := range errs {
		done.Go(func() { errs[i] = sa.Migrate(t.Context(), sa.Config{URL: url}) })
	}
	done.Wait()
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	db := open(t, sa.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "cairn.db"), Migrate: true, Metrics: registry})
	if _, err := db.Account(t.Context(), acme.ID{}); !errors.Is(err, sa.ErrNotFound) {
		t.Fatal(err)
	}
	if _, err := db.Lease(t.Context(), sa.Lease{Name: "x", Owner: "y", Until: time.Now()}); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]uint64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			counts[name] = m.GetHistogram().GetSampleCount()
		}
	}
	for name, want := range map[string]uint64{"cairn_store_seconds account": 1, "cairn_store_seconds lease": 1, "cairn_store_seconds order": 0, "cairn_store_group_size": 1} {
		if got, ok := counts[name]; !ok || got != want {
			t.Errorf("%s: %d observations (there: %v), want %d", name, got, ok, want)
		}
	}
}
