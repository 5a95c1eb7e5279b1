package dns

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	lookups *prometheus.CounterVec   // by record type and outcome
	queries *prometheus.CounterVec   // by upstream and outcome
	seconds *prometheus.HistogramVec // by upstream
	probes  *prometheus.CounterVec   // by upstream and result
}

func newMetrics(r *Resolver) (metrics, error) {
	m := metrics{
		lookups: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cairn_va_dns_queries_total",
			Help: "DNS look-ups by record type and outcome.",
		}, []string{"type", "outcome"}),
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cairn_va_dns_upstream_queries_total",
			Help: "Questions put to each DNS resolver, by how they ended.",
		}, []string{"upstream", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "cairn_va_dns_upstream_seconds",
			Help:    "Time that each DNS resolver took for an answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"upstream"}),
		probes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cairn_va_dnssec_probes_total",
			Help: "Probes of whether each DNS resolver validates, by result: proven, refuted or inconclusive.",
		}, []string{"upstream", "result"}),
	}
	if r.config.Metrics == nil {
		return m, nil
	}
	err := errors.Join(
		r.config.Metrics.Register(m.lookups), r.config.Metrics.Register(m.queries),
		r.config.Metrics.Register(m.seconds), r.config.Metrics.Register(m.probes),
		r.config.Metrics.Register(gauges{r}),
	)
	if err != nil {
		return m, fmt.Errorf("registering the DNS metrics: %w", err)
	}
	return m, nil
}

// answer counts how a question to an upstream ended.
func (m metrics) answer(u *upstream, outcome Outcome) {
	m.queries.WithLabelValues(u.name, outcome.String()).Inc()
}

var (
	availableGauge = prometheus.NewDesc("cairn_va_dns_upstream_available",
		"1 while a DNS resolver is asked, 0 while it is set aside because it does not answer.", []string{"upstream"}, nil)
	validatingGauge = prometheus.NewDesc("cairn_va_dns_upstream_validating",
		"1 while a DNS resolver counts as one that validates with DNSSEC.", []string{"upstream"}, nil)
)

// gauges read the state of the upstreams when they are collected.
type gauges struct{ r *Resolver }

// Describe implements prometheus.Collector.
func (gauges) Describe(descs chan<- *prometheus.Desc) {
	descs <- availableGauge
	descs <- validatingGauge
}

// Collect implements prometheus.Collector.
func (g gauges) Collect(collected chan<- prometheus.Metric) {
	now := g.r.config.Now()
	for _, u := range g.r.upstreams {
		collected <- gauge(availableGauge, !u.resting(), u)
		if g.r.config.Probe != nil {
			collected <- gauge(validatingGauge, g.r.proves(u, now), u)
		}
	}
}

func gauge(desc *prometheus.Desc, on bool, u *upstream) prometheus.Metric {
	value := 0.0
	if on {
		value = 1
	}
	return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, u.name)
}
