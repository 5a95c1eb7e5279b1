package sa

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-ca/cairn/internal/acme"
)

// incidentTime is how long a scrape waits for the store.
const incidentTime = 5 * time.Second

// incidentCollector counts open incidents down when it is scraped.
type incidentCollector struct {
	db           *DB
	certificates *prometheus.Desc
	deadline     *prometheus.Desc
}

func newIncidentCollector(db *DB) *incidentCollector {
	return &incidentCollector{
		db: db,
		certificates: prometheus.NewDesc("cairn_incident_certificates",
			"Certificates of open incidents: outstanding, revoked or expired.", []string{"incident", "state"}, nil),
		deadline: prometheus.NewDesc("cairn_incident_deadline_timestamp_seconds",
			"When the outstanding certificates of open incidents must be revoked.", []string{"incident"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *incidentCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.certificates
	ch <- c.deadline
}

// Collect implements prometheus.Collector.
func (c *incidentCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), incidentTime)
	defer cancel()
	incidents, err := c.db.Incidents(ctx, true)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.certificates, err)
		return
	}
	for _, i := range incidents {
		c.count(ch, i.ID, "outstanding", i.Progress.Outstanding)
		c.count(ch, i.ID, "revoked", i.Progress.Revoked)
		c.count(ch, i.ID, "expired", i.Progress.Expired)
		ch <- prometheus.MustNewConstMetric(c.deadline, prometheus.GaugeValue, float64(i.Deadline.Unix()), i.ID.String())
	}
}

func (c *incidentCollector) count(ch chan<- prometheus.Metric, id acme.ID, state string, n int) {
	ch <- prometheus.MustNewConstMetric(c.certificates, prometheus.GaugeValue, float64(n), id.String(), state)
}
