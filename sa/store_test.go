package sa_test

import (
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/pgtest"
	"github.com/cairn-ca/cairn/sa"
	"github.com/cairn-ca/cairn/sa/storetest"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, opener(func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "cairn.db") }))
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	storetest.Run(t, opener(func(t *testing.T) string { return pgtest.Database(t) + "&pool_max_conns=5" }))
}

// opener opens, for one t, the same database each time.
func opener(newURL func(t *testing.T) string) storetest.Open {
	var mu sync.Mutex
	urls := make(map[*testing.T]string)
	return func(t *testing.T, now func() time.Time) sa.Store {
		t.Helper()
		mu.Lock()
		url, ok := urls[t]
		mu.Unlock()
		if !ok {
			url = newURL(t)
			mu.Lock()
			urls[t] = url
			mu.Unlock()
		}
		store, err := sa.Open(t.Context(), sa.Config{URL: url, Migrate: true, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
}
