package sa

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// operation names a method of the store in the metrics.
type operation int

const (
	opAccount operation = iota
	opAccountByKey
	opOrder
	opOrders
	opAuthorization
	opCertificate
	opIssuer
	opIssuers
	opCRL
	opPing
	opCreateAccount
	opUpdateAccount
	opChangeAccountKey
	opCreateOrder
	opReusableAuthorizations
	opDeactivateAuthorization
	opBeginValidation
	opClaimValidations
	opRetryValidation
	opCompleteValidation
	opRecordCAA
	opRecordIssuance
	opClaimIssuances
	opCompleteIssuance
	opFailIssuance
	opRecordPrecertificate
	opRecordSCTs
	opClaimSubmissions
	opCompleteSubmission
	opRevoke
	opRevocations
	opLatestRevocation
	opPublishCRL
	opPutIssuer
	opBlockKey
	opKeyBlocked
	opLease
	opCreateExternalKey
	opExternalKey
	opExternalKeys
	opRevokeExternalKey
	opCreateRenewalOrder
	opRenewalOrder
	opRenewalOrders
	opCreateAuthorization
	opCancelOrder
	opClaimRenewals
	opRecordRenewal
	opAccountKeys
	opCertificates
	opBlockedKeys
	opKeysToSweep
	opRecordKeySweep
	opOpenIncident
	opIncidents
	opIncidentCertificates
	opCloseIncident
	operations
)

var operationNames = [operations]string{
	"account", "account_by_key", "order", "orders", "authorization", "certificate", "issuer", "issuers", "crl", "ping",
	"create_account", "update_account", "change_account_key",
	"create_order", "reusable_authorizations", "deactivate_authorization",
	"begin_validation", "claim_validations", "retry_validation", "complete_validation", "record_caa",
	"record_issuance", "claim_issuances", "complete_issuance", "fail_issuance",
	"record_precertificate", "record_scts", "claim_submissions", "complete_submission",
	"revoke", "revocations", "latest_revocation", "publish_crl", "put_issuer",
	"block_key", "key_blocked", "lease",
	"create_external_key", "external_key", "external_keys", "revoke_external_key",
	"create_renewal_order", "renewal_order", "renewal_orders",
	"create_authorization", "cancel_order", "claim_renewals", "record_renewal",
	"account_keys",
	"certificates", "blocked_keys", "keys_to_sweep", "record_key_sweep",
	"open_incident", "incidents", "incident_certificates", "close_incident",
}

// short tells whether the operation reads few rows by their keys.
func (op operation) short() bool {
	switch op {
	case opOrders, opIssuers, opCRL, opReusableAuthorizations, opRevocations, opExternalKeys, opRenewalOrders,
		opAccountKeys, opCertificates, opBlockedKeys, opKeysToSweep, opIncidents, opIncidentCertificates:
		return false
	}
	return true
}

// metrics are the store's, with the observers looked up once.
type metrics struct {
	seconds [operations]prometheus.Observer
	group   prometheus.Histogram
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "cairn_store_seconds",
		Help: "Time that the store took, by operation; the wait for a connection and for the commit included.",
		// 25 µs (a read of SQLite) to 6.5 s (a failover of PostgreSQL).
		Buckets: prometheus.ExponentialBuckets(25e-6, 4, 10),
	}, []string{"operation"})
	m := &metrics{group: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "cairn_store_group_size",
		Help:    "Write transactions that shared one commit (SQLite).",
		Buckets: prometheus.ExponentialBuckets(1, 2, 8),
	})}
	for op := range operations {
		m.seconds[op] = seconds.WithLabelValues(operationNames[op])
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{seconds, m.group} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("registering the store's metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) observe(op operation, began time.Time) {
	m.seconds[op].Observe(time.Since(began).Seconds())
}
