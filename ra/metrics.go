package ra

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	orders      *prometheus.CounterVec // by profile
	validations *prometheus.CounterVec // by challenge type and result
	revocations *prometheus.CounterVec // by reason
	limited     *prometheus.CounterVec // by limit
	waits       prometheus.Counter     // accepted validations that found no place
}

func newMetrics(reg prometheus.Registerer, places *places) (metrics, error) {
	m := metrics{
		orders: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cairn_ra_orders_total", Help: "Orders created.",
		}, []string{"profile"}),
		validations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cairn_ra_validations_total", Help: "Validation tries that came to a result: valid, invalid, or retry.",
		}, []string{"type", "result"}),
		revocations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cairn_ra_revocations_total", Help: "Certificates revoked over ACME, and those whose key was blocked.",
		}, []string{"reason"}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cairn_ra_rate_limited_total", Help: "Requests refused by a rate limit.",
		}, []string{"limit"}),
		waits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cairn_ra_validation_waits_total", Help: "Challenge responses whose validation had to wait for a place.",
		}),
	}
	if reg == nil {
		return m, nil
	}
	running := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "cairn_ra_validations_in_flight", Help: "Validation tries that are running.",
	}, func() float64 { return float64(places.inFlight()) })
	return m, errors.Join(reg.Register(m.orders), reg.Register(m.validations), reg.Register(m.revocations), reg.Register(m.limited),
		reg.Register(m.waits), reg.Register(running))
}
