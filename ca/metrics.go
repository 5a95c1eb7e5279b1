package ca

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	issuances  *prometheus.CounterVec // by profile and result
	signatures *prometheus.CounterVec // by kind
	lints      *prometheus.CounterVec // by lint and status
}

func newMetrics(reg prometheus.Registerer) (metrics, error) {
	m := metrics{
		issuances: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cairn_ca_issuances_total", Help: "Requests for certificates: issued, refused, or failed.",
		}, []string{"profile", "result"}),
		signatures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cairn_ca_signatures_total", Help: "Signatures made with issuer keys.",
		}, []string{"kind"}),
		lints: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cairn_ca_lint_findings_total", Help: "What lints found in certificates before they were signed: info, warn, error, fatal.",
		}, []string{"lint", "status"}),
	}
	if reg == nil {
		return m, nil
	}
	return m, errors.Join(reg.Register(m.issuances), reg.Register(m.signatures), reg.Register(m.lints))
}
