package sa

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

const (
	// insertRevocation takes what the CRL needs from the certificate itself,
	// and has no row to insert unless that, or its precertificate, is signed. On a revocation that is
	// there already it changes at most the reason, and to keyCompromise only.
	insertRevocation = `INSERT INTO revocations (issuer, crl_shard, serial, revoked_at, reason, not_after, revoked_by, recorded_at)
SELECT issuer, crl_shard, serial, CAST($2 AS BIGINT), CAST($3 AS INTEGER), not_after, CAST($4 AS TEXT), CAST($5 AS BIGINT)
FROM certificates WHERE serial = $1 AND (der IS NOT NULL OR precertificate IS NOT NULL)
ON CONFLICT (issuer, crl_shard, serial) DO UPDATE SET reason = excluded.reason, recorded_at = excluded.recorded_at
WHERE excluded.reason = 1 AND revocations.reason <> 1`

	signedCertificateExists = `SELECT 1 FROM certificates WHERE serial = $1 AND (der IS NOT NULL OR precertificate IS NOT NULL)`

	selectRevocations = `SELECT serial, revoked_at, reason, not_after, revoked_by FROM revocations
WHERE issuer = $1 AND crl_shard = $2 AND serial > $3 AND not_after > $4
ORDER BY serial LIMIT $5`

	latestRevocation = `SELECT recorded_at FROM revocations WHERE issuer = $1 AND crl_shard = $2 ORDER BY recorded_at DESC LIMIT 1`
)

// Revoke implements CertificateStore.
func (d *DB) Revoke(ctx context.Context, r acme.Revocation) error {
	return d.write(ctx, opRevoke, func(ctx context.Context, s *session) error {
		n, err := s.exec(ctx, insertRevocation, r.Serial.Bytes(), r.At.UnixMicro(), int64(r.Reason), r.By, d.micros())
		if err != nil {
			return fmt.Errorf("revoking certificate %s: %w", r.Serial, err)
		}
		if n == 0 {
			return d.conflictIfThere(ctx, s, ErrNotFound, signedCertificateExists, r.Serial.Bytes())
		}
		return nil
	})
}

// Revocations implements CertificateStore.
func (d *DB) Revocations(ctx context.Context, page RevocationPage) ([]acme.Revocation, error) {
	var list []acme.Revocation
	err := d.read(ctx, opRevocations, func(ctx context.Context, s *session) error {
		list = nil
		args := []any{page.Issuer[:], int64(page.Shard), page.After.Bytes(), page.ExpiresAfter.UnixMicro(), int64(page.Limit)}
		return s.all(ctx, selectRevocations, args, func(rows *sql.Rows) error {
			r := acme.Revocation{Issuer: page.Issuer, CRLShard: page.Shard}
			if err := rows.Scan((*scanSerial)(&r.Serial), (*scanTime)(&r.At), (*scanInt)(&r.Reason), (*scanTime)(&r.NotAfter), (*scanText)(&r.By)); err != nil {
				return err
			}
			list = append(list, r)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("listing revocations: %w", err)
	}
	return list, nil
}

// LatestRevocation implements CertificateStore.
func (d *DB) LatestRevocation(ctx context.Context, issuer acme.IssuerID, shard int) (latest time.Time, err error) {
	err = d.read(ctx, opLatestRevocation, func(ctx context.Context, s *session) error {
		return s.one(ctx, latestRevocation, []any{issuer[:], int64(shard)}, (*scanTime)(&latest))
	})
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("looking for the latest revocation: %w", err)
	}
	return latest, nil
}
