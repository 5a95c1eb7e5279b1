package ct

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	submissions *prometheus.CounterVec   // by log, entry and result
	seconds     *prometheus.HistogramVec // by log
}

func newMetrics(reg prometheus.Registerer) (metrics, error) {
	m := metrics{
		submissions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cairn_ct_submissions_total",
			Help: "Submissions of precertificates and certificates to a log: sct, failed, or abandoned because others were faster.",
		}, []string{"log", "entry", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cairn_ct_submission_seconds", Help: "Time that a log took to answer a submission with an SCT.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 11), // to 10 s
		}, []string{"log"}),
	}
	if reg == nil {
		return m, nil
	}
	return m, errors.Join(reg.Register(m.submissions), reg.Register(m.seconds))
}
