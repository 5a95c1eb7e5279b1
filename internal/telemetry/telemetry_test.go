package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestNewLogger(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	logger, err := NewLogger(&b, LogConfig{Level: "warn", Format: "json"})
	if err != nil {
		t.Fatal(err)
	}
	logger.Info("not written")
	logger.Warn("written", "n", 1)
	var record struct {
		Time  time.Time
		Level string
		Msg   string
		N     int
	}
	if err := json.Unmarshal(b.Bytes(), &record); err != nil {
		t.Fatalf("%v in %q", err, b.String())
	}
	if record.Msg != "written" || record.Level != "WARN" || record.N != 1 || !strings.Contains(b.String(), `Z",`) {
		t.Errorf("record %q", b.String())
	}
	b.Reset()
	logger, err = NewLogger(&b, LogConfig{Level: "debug", Format: "text"})
	if err != nil {
		t.Fatal(err)
	}
	logger.Debug("hello")
	if !strings.Contains(b.String(), "level=DEBUG msg=hello") {
		t.Errorf("record %q", b.String())
	}
	for _, cfg := range []LogConfig{{"loud", "text"}, {"info", "xml"}} {
		if _, err := NewLogger(&b, cfg); err == nil {
			t.Errorf("%v is accepted", cfg)
		}
	}
}

func TestAuditLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	for _, message := range []string{"first", "second"} {
		a, err := OpenAuditLog(path)
		if err != nil {
			t.Fatal(err)
		}
		a.Logger().Info(message, "serial", "01ab")
		if err := a.Check(); err != nil {
			t.Error(err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		if err := a.Close(); err != nil {
			t.Errorf("closing twice: %v", err)
		}
		if a.Logger().Info("too late"); a.Check() == nil {
			t.Error("a closed log takes records")
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"msg":"first","serial":"01ab"`) || !strings.Contains(lines[1], `"msg":"second"`) {
		t.Errorf("the log is %q", data)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestAuditLogThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	a := NewAuditLog(brokenWriter{})
	if err := a.Check(); err != nil {
		t.Errorf("before a record: %v", err)
	}
	a.Logger().Info("a decision")
	if err := a.Check(); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("after it: %v", err)
	}
}

func TestHTTPMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	now := time.Unix(0, 0)
	m, err := NewHTTPMetrics(reg, "public", func() time.Time { now = now.Add(time.Millisecond); return now })
	if err != nil {
		t.Fatal(err)
	}
	h := m.Endpoint("ocsp", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/early":
			rw.WriteHeader(http.StatusEarlyHints)
			rw.WriteHeader(http.StatusNotFound)
		case "/panic":
			panic(http.ErrAbortHandler)
		}
	}))
	for _, r := range []*http.Request{
		httptest.NewRequest("GET", "/", nil),
		httptest.NewRequest("BREW", "/", nil),
		httptest.NewRequest("POST", "/early", nil),
		httptest.NewRequest("GET", "/panic", nil),
	} {
		func() {
			defer func() { _ = recover() }()
			h.ServeHTTP(httptest.NewRecorder(), r)
		}()
	}
	rec := httptest.NewRecorder()
	AdminHandler(reg, &Health{}).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`cairn_http_requests_total{endpoint="ocsp",listener="public",method="GET",status="200"} 2`,
		`cairn_http_requests_total{endpoint="ocsp",listener="public",method="POST",status="404"} 1`,
		`cairn_http_requests_total{endpoint="ocsp",listener="public",method="other",status="200"} 1`,
		`cairn_http_request_seconds_count{endpoint="ocsp",listener="public"} 4`,
	} {
		if !strings.Contains(rec.Body.String(), want+"\n") {
			t.Errorf("no %s in:\n%s", want, rec.Body)
		}
	}
	if _, err := NewHTTPMetrics(reg, "public", time.Now); err == nil {
		t.Error("the same listener is registered twice")
	}
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	reg, err := NewRegistry(BuildInfo{Version: "v1", Role: "serve"})
	if err != nil {
		t.Fatal(err)
	}
	var health Health
	var storeErr error
	health.Add("store", func(context.Context) error { return storeErr })
	health.Add("issuer", func(context.Context) error { return nil })
	h := AdminHandler(reg, &health)
	get := func(path string) string {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
		return fmt.Sprint(rec.Code, " ", rec.Body.String())
	}
	if got := get("/healthz"); got != "200 ok\n" {
		t.Errorf("/healthz: %q", got)
	}
	if got := get("/readyz"); got != "200 ready\n" {
		t.Errorf("/readyz: %q", got)
	}
	if got := get("/metrics"); !strings.Contains(got, `cairn_build_info{role="serve",version="v1"} 1`) || !strings.Contains(got, "go_goroutines") || !strings.Contains(got, "process_cpu_seconds_total") {
		t.Errorf("/metrics: %q", got)
	}
	storeErr = errors.New("connection\nrefused")
	if got := get("/readyz"); got != "503 store: connection refused\n" {
		t.Errorf("/readyz without a store: %q", got)
	}
	storeErr = nil
	health.Drain()
	if got := get("/readyz"); got != "503 stopping: this process takes no more work\n" {
		t.Errorf("/readyz when stopping: %q", got)
	}
	if got := get("/healthz"); got != "200 ok\n" {
		t.Errorf("/healthz when stopping: %q", got)
	}
}

func BenchmarkHTTPMetrics(b *testing.B) {
	m, err := NewHTTPMetrics(prometheus.NewRegistry(), "public", time.Now)
	if err != nil {
		b.Fatal(err)
	}
	h := m.Endpoint("x", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {}))
	rec, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(rec, r)
	}
}
