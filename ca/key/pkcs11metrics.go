package key

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// pkcs11Metrics are labelled with the token's name in the configuration.
type pkcs11Metrics struct {
	available  *prometheus.GaugeVec
	sessions   *prometheus.GaugeVec
	signatures *prometheus.HistogramVec
	reopened   *prometheus.CounterVec
}

func newPKCS11Metrics(reg prometheus.Registerer) (pkcs11Metrics, error) {
	m := pkcs11Metrics{
		available: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "cairn_pkcs11_token_available", Help: "1 while the PKCS#11 token can be used, 0 while it is away.",
		}, []string{"token"}),
		sessions: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "cairn_pkcs11_sessions_in_use", Help: "Sessions on the PKCS#11 token that are signing.",
		}, []string{"token"}),
		signatures: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cairn_pkcs11_signature_seconds", Help: "Time to make a signature on the PKCS#11 token, the wait for a session included: ok or failed.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 3, 11), // 0.1 ms to 6 s
		}, []string{"token", "result"}),
		reopened: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cairn_pkcs11_reopened_total", Help: "How often the PKCS#11 token came back after it was lost.",
		}, []string{"token"}),
	}
	if reg == nil {
		return m, nil
	}
	return m, errors.Join(reg.Register(m.available), reg.Register(m.sessions), reg.Register(m.signatures), reg.Register(m.reopened))
}
