package harness

import (
	"bufio"
	"context"
	"crypto/tls"
	"database/sql"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx
	_ "modernc.org/sqlite"             // the driver sqlite
)

// HoldWrites keeps the server from changing any authorization, until release
// is called; reading goes on. What it wants to write in the meantime waits, a
// few seconds at most.
func (s *Server) HoldWrites(t testing.TB) (release func()) {
	t.Helper()
	driver, url, lock := "pgx", s.store, []string{"BEGIN", "LOCK TABLE authorizations IN SHARE MODE"}
	if url == "" {
		driver, url = "sqlite", "file:"+filepath.Join(s.storing().data, "cairn.db")+"?_pragma=busy_timeout(10000)"
		lock = []string{"BEGIN IMMEDIATE"}
	}
	db, err := sql.Open(driver, url)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range lock {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("locking the store: %v", err)
		}
	}
	var released bool
	release = func() {
		if released {
			return
		}
		released = true
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if _, err := conn.ExecContext(ctx, "ROLLBACK"); err != nil {
			t.Errorf("unlocking the store: %v", err)
		}
		conn.Close()
		db.Close()
	}
	t.Cleanup(release)
	return release
}

// storing is the process that opens the store.
func (s *Server) storing() plan { return s.plan[0] }

// process is the plan of the process that does a role's work: in one process,
// that one.
func (s *Server) process(role string) plan {
	for _, p := range s.plan {
		if p.name == role {
			return p
		}
	}
	return s.plan[0]
}

// Metric is the sum of a role's metric over all its labels that hold the given
// text; "": all of them.
func (s *Server) Metric(t testing.TB, role, name, labels string) float64 {
	t.Helper()
	// The listeners of roles have certificates of their own CA, and nothing
	// secret is read.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.process(role).admin+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatalf("reading the metrics of %s: %v", role, err)
	}
	defer resp.Body.Close()
	var sum float64
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		text, value, ok := cutLast(lines.Text())
		if !ok || text != name && !strings.HasPrefix(text, name+"{") || !strings.Contains(text, labels) {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	if err := lines.Err(); err != nil {
		t.Fatal(fmt.Errorf("reading the metrics of %s: %w", role, err))
	}
	return sum
}

func cutLast(line string) (before, after string, ok bool) {
	i := strings.LastIndexByte(line, ' ')
	if i < 0 {
		return "", "", false
	}
	return line[:i], line[i+1:], true
}
