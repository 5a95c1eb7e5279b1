package crl

import (
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	signatures prometheus.Counter
	failures   prometheus.Counter
	withheld   prometheus.Counter
	entries    *prometheus.GaugeVec // by issuer and shard
	nextUpdate *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) (metrics, error) {
	m := metrics{
		signatures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cairn_crl_signatures_total", Help: "CRLs signed.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cairn_crl_failures_total", Help: "Attempts to make a CRL that failed.",
		}),
		withheld: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cairn_crl_withheld_total", Help: "CRLs made and not published: they were not what they are to be, or lacked an entry of the one before.",
		}),
		entries: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "cairn_crl_entries", Help: "Entries of the CRL that this process published last.",
		}, []string{"issuer", "shard"}),
		nextUpdate: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "cairn_crl_next_update_seconds", Help: "Unix time of the nextUpdate of the CRL that this process published last.",
		}, []string{"issuer", "shard"}),
	}
	if reg == nil {
		return m, nil
	}
	return m, errors.Join(reg.Register(m.signatures), reg.Register(m.failures), reg.Register(m.withheld), reg.Register(m.entries), reg.Register(m.nextUpdate))
}

func (m metrics) published(at place, l *list) {
	issuer, shard := at.issuer.String(), strconv.Itoa(at.shard)
	m.entries.WithLabelValues(issuer, shard).Set(float64(l.count))
	m.nextUpdate.WithLabelValues(issuer, shard).Set(float64(l.nextUpdate.Unix()))
}
