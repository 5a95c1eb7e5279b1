package sa

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/cairn-ca/cairn/internal/acme"
)

// What Certificate Transparency (RFC 6962) adds to an issuance. The row tells
// how far it is: with tbs alone the precertificate is to be signed, with the
// precertificate alone SCTs are awaited, with both the final certificate is to
// be signed.
const (
	recordPrecertificate = `UPDATE certificates SET precertificate = $2, tbs = NULL
WHERE serial = $1 AND precertificate IS NULL AND der IS NULL AND lease_until IS NOT NULL`

	recordSCTs = `UPDATE certificates SET tbs = $2
WHERE serial = $1 AND precertificate IS NOT NULL AND tbs IS NULL AND der IS NULL AND lease_until IS NOT NULL`

	submissionDue = `SELECT 1 FROM certificates WHERE submit_at <= $1 LIMIT 1`

	completeSubmission = `UPDATE certificates SET submit_at = NULL WHERE serial = $1`
)

// claimSubmissions puts what is due off.
func claimSubmissions(d dialect) string {
	return `WITH due AS MATERIALIZED (
  SELECT serial FROM certificates WHERE submit_at <= $1 ORDER BY submit_at LIMIT $2` + d.skipLocked + `
)
UPDATE certificates SET submit_at = $3
WHERE serial IN (SELECT serial FROM due)
RETURNING ` + certificateColumns
}

// RecordPrecertificate implements CertificateStore.
func (d *DB) RecordPrecertificate(ctx context.Context, serial acme.Serial, der []byte) error {
	if len(der) == 0 {
		return errors.New("recording a precertificate: there are no signed bytes")
	}
	return d.advance(ctx, opRecordPrecertificate, recordPrecertificate, serial, der)
}

// RecordSCTs implements CertificateStore.
func (d *DB) RecordSCTs(ctx context.Context, serial acme.Serial, tbs []byte) error {
	if len(tbs) == 0 {
		return errors.New("recording SCTs: there is no certificate to be signed")
	}
	return d.advance(ctx, opRecordSCTs, recordSCTs, serial, tbs)
}

// advance takes an issuance a step on.
func (d *DB) advance(ctx context.Context, op operation, statement string, serial acme.Serial, bytes []byte) error {
	return d.write(ctx, op, func(ctx context.Context, s *session) error {
		n, err := s.exec(ctx, statement, serial.Bytes(), bytes)
		if err != nil {
			return fmt.Errorf("%s of certificate %s: %w", operationNames[op], serial, err)
		}
		if n == 0 {
			return d.conflictIfThere(ctx, s, ErrNotFound, certificateExists, serial.Bytes())
		}
		return nil
	})
}

// ClaimSubmissions implements CertificateStore.
func (d *DB) ClaimSubmissions(ctx context.Context, claim Claim) ([]acme.Certificate, error) {
	due, err := d.due(ctx, submissionDue)
	if err != nil || !due {
		return nil, err
	}
	var claimed []acme.Certificate
	err = d.write(ctx, opClaimSubmissions, func(ctx context.Context, s *session) error {
		claimed = nil
		args := []any{d.micros(), int64(claim.Limit), claim.LeaseUntil.UnixMicro()}
		return s.all(ctx, d.queries.claimSubmissions, args, func(rows *sql.Rows) error {
			var c acme.Certificate
			if err := rows.Scan(certificateDest(&c)...); err != nil {
				return err
			}
			claimed = append(claimed, c)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("claiming submissions: %w", err)
	}
	return claimed, nil
}

// CompleteSubmission implements CertificateStore.
func (d *DB) CompleteSubmission(ctx context.Context, serial acme.Serial) error {
	return d.write(ctx, opCompleteSubmission, func(ctx context.Context, s *session) error {
		n, err := s.exec(ctx, completeSubmission, serial.Bytes())
		if err != nil {
			return fmt.Errorf("recording the submission of certificate %s: %w", serial, err)
		}
		if n == 0 {
			return ErrNotFound
		}
		return nil
	})
}
