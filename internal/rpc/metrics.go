package rpc

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
)

// latencyBuckets go from a loopback call to a validation that times out.
var latencyBuckets = []float64{.0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30}

// callMetrics counts one side's calls.
type callMetrics struct {
	calls   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

// newCallMetrics registers the metrics of a side, "server" or "client". A
// process that calls several services shares one set.
func newCallMetrics(registerer prometheus.Registerer, side string) (callMetrics, error) {
	calls, err := register(registerer, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cairn_rpc_" + side + "_calls_total",
		Help: "Calls over gRPC by service, method and status code.",
	}, []string{"service", "method", "code"}))
	if err != nil {
		return callMetrics{}, err
	}
	seconds, err := register(registerer, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "cairn_rpc_" + side + "_call_seconds",
		Help:    "Duration of calls over gRPC, in seconds.",
		Buckets: latencyBuckets,
	}, []string{"service", "method"}))
	return callMetrics{calls, seconds}, err
}

func newExpiryMetric(registerer prometheus.Registerer) (*prometheus.GaugeVec, error) {
	return register(registerer, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "cairn_rpc_certificate_not_after_seconds",
		Help: "End of the validity of a certificate of mutual TLS, in Unix time.",
	}, []string{"cert"}))
}

// register registers a collector, or finds the same one there already. A nil
// registerer registers nothing.
func register[C prometheus.Collector](registerer prometheus.Registerer, c C) (C, error) {
	if registerer == nil {
		return c, nil
	}
	err := registerer.Register(c)
	var there prometheus.AlreadyRegisteredError
	if errors.As(err, &there) {
		if existing, ok := there.ExistingCollector.(C); ok {
			return existing, nil
		}
	}
	if err != nil {
		return c, fmt.Errorf("registering the metrics of gRPC: %w", err)
	}
	return c, nil
}

func (m callMetrics) observe(fullMethod string, code codes.Code, took time.Duration) {
	service, method, _ := strings.Cut(strings.TrimPrefix(fullMethod, "/"), "/")
	m.calls.WithLabelValues(service, method, code.String()).Inc()
	m.seconds.WithLabelValues(service, method).Observe(took.Seconds())
}
