package telemetry

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// BuildInfo says what is running.
type BuildInfo struct {
	Version string
	Role    string // serve, or the name of a role
}

// NewRegistry makes a registry with the collectors of the Go runtime and the
// process, and with the build as a metric.
func NewRegistry(build BuildInfo) (*prometheus.Registry, error) {
	reg := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "cairn_build_info",
		Help:        "What is running; the value is 1.",
		ConstLabels: prometheus.Labels{"version": build.Version, "role": build.Role},
	})
	info.Set(1)
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		info,
	} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("setting up metrics: %w", err)
		}
	}
	return reg, nil
}

// HTTPMetrics counts the requests of a listener and measures the time to
// answer them.
type HTTPMetrics struct {
	requests *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	now      func() time.Time
	writers  sync.Pool
}

// NewHTTPMetrics registers the metrics of the listener with the given name.
func NewHTTPMetrics(reg prometheus.Registerer, listener string, now func() time.Time) (*HTTPMetrics, error) {
	labels := prometheus.Labels{"listener": listener}
	m := &HTTPMetrics{
		now: now,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cairn_http_requests_total", Help: "HTTP requests answered.", ConstLabels: labels,
		}, []string{"endpoint", "method", "status"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cairn_http_request_seconds", Help: "Time to answer HTTP requests.", ConstLabels: labels,
			Buckets: prometheus.ExponentialBuckets(0.0001, 3, 10), // 0.1 ms to 2 s
		}, []string{"endpoint"}),
	}
	m.writers.New = func() any { return new(statusWriter) }
	for _, c := range []prometheus.Collector{m.requests, m.latency} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("setting up metrics of the %s listener: %w", listener, err)
		}
	}
	return m, nil
}

// Endpoint wraps a handler; its requests are counted under the endpoint's
// name.
func (m *HTTPMetrics) Endpoint(name string, next http.Handler) http.Handler {
	latency := m.latency.WithLabelValues(name)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		start := m.now()
		sw := m.writers.Get().(*statusWriter)
		sw.ResponseWriter, sw.status = rw, 0
		// Deferred: a handler that panics to cut the connection is counted
		// too.
		defer func() {
			m.requests.WithLabelValues(name, method(r.Method), statusText(sw.status)).Inc()
			latency.Observe(m.now().Sub(start).Seconds())
			sw.ResponseWriter = nil
			m.writers.Put(sw)
		}()
		next.ServeHTTP(sw, r)
	})
}

// method keeps strangers from making label values.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions, http.MethodPut, http.MethodDelete, http.MethodPatch:
		return m
	}
	return "other"
}

func statusText(status int) string {
	if status == 0 {
		status = http.StatusOK
	}
	return strconv.Itoa(status)
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach what the writer can do.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
