package ocsp

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	answers    *prometheus.CounterVec // by status
	signatures prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (metrics, error) {
	m := metrics{
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cairn_ocsp_answers_total", Help: "Answers to OCSP requests, by certificate status or, for failures, response status.",
		}, []string{"status"}),
		signatures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cairn_ocsp_signatures_total", Help: "Answers signed; the others were kept ones.",
		}),
	}
	if reg == nil {
		return m, nil
	}
	return m, errors.Join(reg.Register(m.answers), reg.Register(m.signatures))
}
