package sa

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

// Incident is a set of certificates that must be revoked by a deadline
// (Baseline Requirements §4.9.1.1: 24 hours or 5 days from when the CA knows).
// Incidents are an operator's; no service offers them.
type Incident struct {
	ID       acme.ID
	Reason   acme.RevocationReason
	Deadline time.Time
	Comment  string
	OpenedAt time.Time
	OpenedBy string
	ClosedAt time.Time // zero: it is open
	Progress IncidentProgress
}

// IncidentProgress counts an incident's certificates. One that is neither
// revoked nor expired is Outstanding.
type IncidentProgress struct{ Certificates, Revoked, Expired, Outstanding int }

const (
	insertIncident = `INSERT INTO incidents (id, reason, deadline, comment, opened_at, opened_by) VALUES ($1, $2, $3, $4, $5, $6)`

	insertIncidentCertificate = `INSERT INTO incident_certificates (incident_id, serial) VALUES ($1, $2) ON CONFLICT DO NOTHING`

	selectIncidents = `SELECT i.id, i.reason, i.deadline, i.comment, i.opened_at, i.opened_by, i.closed_at,
  COUNT(c.serial),
  COALESCE(SUM(CASE WHEN r.serial IS NOT NULL THEN 1 ELSE 0 END), 0),
  COALESCE(SUM(CASE WHEN r.serial IS NULL AND c.not_after <= $1 THEN 1 ELSE 0 END), 0)
FROM incidents i
LEFT JOIN incident_certificates x ON x.incident_id = i.id
LEFT JOIN certificates c ON c.serial = x.serial
LEFT JOIN revocations r ON r.issuer = c.issuer AND r.crl_shard = c.crl_shard AND r.serial = c.serial
WHERE $2 = 0 OR i.closed_at IS NULL
GROUP BY i.id, i.reason, i.deadline, i.comment, i.opened_at, i.opened_by, i.closed_at
ORDER BY i.opened_at DESC, i.id DESC`

	selectIncidentCertificates = selectCertificates + `
JOIN incident_certificates x ON x.serial = certificates.serial
WHERE x.incident_id = $1 AND x.serial > $2 ORDER BY x.serial LIMIT $3`

	selectSuccessor = `SELECT 1 FROM replacements p
JOIN orders o ON o.id = p.order_id JOIN certificates c ON c.serial = o.certificate
WHERE p.cert_id = $1 AND c.der IS NOT NULL`

	closeIncident = `UPDATE incidents SET closed_at = $2 WHERE id = $1 AND closed_at IS NULL`

	incidentExists = `SELECT 1 FROM incidents WHERE id = $1`
)

// OpenIncident stores an incident, its certificates, and the renewal orders
// that tell their clients.
func (d *DB) OpenIncident(ctx context.Context, incident Incident, serials []acme.Serial, orders []RenewalOrder) error {
	if len(serials) == 0 {
		return errors.New("opening an incident: it has no certificates")
	}
	return d.write(ctx, opOpenIncident, func(ctx context.Context, s *session) error {
		_, err := s.exec(ctx, insertIncident, incident.ID[:], int64(incident.Reason), incident.Deadline.UnixMicro(), incident.Comment,
			incident.OpenedAt.UnixMicro(), incident.OpenedBy)
		if err != nil {
			return fmt.Errorf("inserting incident %s: %w", incident.ID, err)
		}
		for _, serial := range serials {
			if _, err := s.exec(ctx, insertIncidentCertificate, incident.ID[:], serial.Bytes()); err != nil {
				return fmt.Errorf("inserting certificate %s of incident %s: %w", serial, incident.ID, err)
			}
		}
		for i := range orders {
			if err := createRenewalOrder(ctx, s, &orders[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// Incidents lists the incidents, the newest first; with open, those alone that
// are not closed.
func (d *DB) Incidents(ctx context.Context, open bool) ([]Incident, error) {
	var list []Incident
	err := d.read(ctx, opIncidents, func(ctx context.Context, s *session) error {
		list = nil
		return s.all(ctx, selectIncidents, []any{d.micros(), boolValue(open)}, func(rows *sql.Rows) error {
			var i Incident
			p := &i.Progress
			err := rows.Scan((*scanID)(&i.ID), (*scanInt)(&i.Reason), (*scanTime)(&i.Deadline), (*scanText)(&i.Comment), (*scanTime)(&i.OpenedAt),
				(*scanText)(&i.OpenedBy), (*scanTime)(&i.ClosedAt), (*scanInt)(&p.Certificates), (*scanInt)(&p.Revoked), (*scanInt)(&p.Expired))
			if err != nil {
				return err
			}
			p.Outstanding = p.Certificates - p.Revoked - p.Expired
			list = append(list, i)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("listing incidents: %w", err)
	}
	return list, nil
}

// IncidentCertificates lists an incident's certificates in the order of their
// serials, beginning after the given one.
func (d *DB) IncidentCertificates(ctx context.Context, incident acme.ID, after acme.Serial, limit int) ([]acme.Certificate, error) {
	var list []acme.Certificate
	err := d.read(ctx, opIncidentCertificates, func(ctx context.Context, s *session) error {
		list = nil
		return s.all(ctx, selectIncidentCertificates, []any{incident[:], after.Bytes(), int64(limit)}, func(rows *sql.Rows) error {
			var row certificateRow
			if err := rows.Scan(row.dest()...); err != nil {
				return err
			}
			list = append(list, row.certificate())
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("listing the certificates of incident %s: %w", incident, err)
	}
	return list, nil
}

// Replaced tells whether a certificate, named as in RFC 9773 §4.1, has a
// successor: one that was issued for an order that replaces it.
func (d *DB) Replaced(ctx context.Context, certID string) (replaced bool, err error) {
	err = d.read(ctx, opIncidentCertificates, func(ctx context.Context, s *session) (err error) {
		replaced, err = s.has(ctx, selectSuccessor, certID)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("looking for what replaces %s: %w", certID, err)
	}
	return replaced, nil
}

// CloseIncident closes an incident; ErrNotFound when there is none, ErrConflict
// when it is closed.
func (d *DB) CloseIncident(ctx context.Context, id acme.ID, at time.Time) error {
	return d.write(ctx, opCloseIncident, func(ctx context.Context, s *session) error {
		n, err := s.exec(ctx, closeIncident, id[:], at.UnixMicro())
		if err != nil {
			return fmt.Errorf("closing incident %s: %w", id, err)
		}
		if n == 0 {
			return d.conflictIfThere(ctx, s, ErrNotFound, incidentExists, id[:])
		}
		return nil
	})
}
