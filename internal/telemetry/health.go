package telemetry

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// checkTimeout bounds the checks of one /readyz request.
const checkTimeout = 3 * time.Second

// Health knows what a process needs to do its work.
type Health struct {
	mu       sync.Mutex
	checks   []check
	draining bool
}

type check struct {
	name  string
	check func(context.Context) error
}

// Add adds something that must be in order for the process to be ready. The
// check may be called concurrently, and ends when its context does.
func (h *Health) Add(name string, f func(context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = append(h.checks, check{name, f})
}

// Drain makes the process not ready for good: it is about to stop.
func (h *Health) Drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
}

// NotReady runs the checks, all at once, and returns a line for each that
// failed, in the order in which they were added.
func (h *Health) NotReady(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	h.mu.Lock()
	checks, draining := slices.Clone(h.checks), h.draining
	h.mu.Unlock()
	found := make([]string, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() {
			if err := c.check(ctx); err != nil {
				found[i] = fmt.Sprintf("%s: %s", c.name, strings.ReplaceAll(err.Error(), "\n", " "))
			}
		})
	}
	wg.Wait()
	found = slices.DeleteFunc(found, func(s string) bool { return s == "" })
	if draining {
		found = append(found, "stopping: this process takes no more work")
	}
	return found
}

// Live answers /healthz: the process runs.
func (h *Health) Live(rw http.ResponseWriter, _ *http.Request) {
	plain(rw, http.StatusOK, "ok\n")
}

// Ready answers /readyz: 200 when the process can do its work, and otherwise
// 503 with what is not in order, one thing a line.
func (h *Health) Ready(rw http.ResponseWriter, r *http.Request) {
	if lines := h.NotReady(r.Context()); len(lines) > 0 {
		plain(rw, http.StatusServiceUnavailable, strings.Join(lines, "\n")+"\n")
		return
	}
	plain(rw, http.StatusOK, "ready\n")
}

func plain(rw http.ResponseWriter, status int, body string) {
	rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
	rw.Header().Set("Cache-Control", "no-store")
	rw.WriteHeader(status)
	_, _ = rw.Write([]byte(body)) // a client that is gone needs no answer
}

// AdminHandler serves /metrics, /healthz and /readyz.
func AdminHandler(gatherer prometheus.Gatherer, health *Health) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 20 * time.Second}))
	mux.HandleFunc("GET /healthz", health.Live)
	mux.HandleFunc("GET /readyz", health.Ready)
	return mux
}
