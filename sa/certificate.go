package sa

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/cairn-ca/cairn/internal/acme"
)

const certificateColumns = `certificates.serial, certificates.issuer, account_id, order_id, profile, certificates.crl_shard,
  not_before, certificates.not_after, certificates.recorded_at, tbs, der, precertificate`

const (
	selectCertificates = `SELECT ` + certificateColumns + `, revoked_at, reason, revoked_by
FROM certificates
LEFT JOIN revocations r ON r.issuer = certificates.issuer AND r.crl_shard = certificates.crl_shard AND r.serial = certificates.serial`

	selectCertificate = selectCertificates + `
WHERE certificates.serial = $1`

	insertCertificate = `INSERT INTO certificates (serial, issuer, account_id, order_id, profile, crl_shard, not_before, not_after, recorded_at, lease_owner, lease_until, tbs)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`

	insertAutoRenewalCertificate = `INSERT INTO certificates (serial, issuer, account_id, order_id, profile, crl_shard, not_before, not_after, recorded_at, lease_owner, lease_until, tbs, auto_renewal)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 1)`

	finalizeOrder            = takeReadyOrder + ` AND o.auto_renewal IS NULL`
	finalizeAutoRenewalOrder = takeReadyOrder + ` AND o.auto_renewal IS NOT NULL`

	// takeReadyOrder takes a ready order (orderStatus) to processing.
	takeReadyOrder = `UPDATE orders AS o SET certificate = $1
WHERE id = $2 AND account_id = $4 AND certificate IS NULL AND error IS NULL AND expires > $3
  AND EXISTS (SELECT 1 FROM accounts WHERE accounts.id = $4 AND accounts.status = 'valid')
  AND EXISTS (SELECT 1 FROM order_authorizations x WHERE x.order_id = o.id)
  AND NOT EXISTS (SELECT 1 FROM order_authorizations x LEFT JOIN authorizations a ON a.id = x.authorization_id
    WHERE x.order_id = o.id AND (a.id IS NULL OR a.status <> 'valid' OR a.expires <= $3))`

	completeIssuance            = storeSigned + ` AND auto_renewal IS NULL`
	completeAutoRenewalIssuance = storeSigned + ` AND auto_renewal IS NOT NULL RETURNING order_id`

	// storeSigned leaves a certificate whose SCTs are awaited alone.
	storeSigned = `UPDATE certificates SET der = $2, tbs = NULL, lease_owner = NULL, lease_until = NULL,
  submit_at = CASE WHEN precertificate IS NOT NULL THEN recorded_at END
WHERE serial = $1 AND der IS NULL AND tbs IS NOT NULL AND lease_until IS NOT NULL`

	failIssuance = `UPDATE certificates SET lease_owner = NULL, lease_until = NULL
WHERE serial = $1 AND der IS NULL AND lease_until IS NOT NULL
RETURNING order_id, auto_renewal`

	failOrder = `UPDATE orders SET error = $2 WHERE id = $1 AND certificate = $3`

	certificateExists = `SELECT 1 FROM certificates WHERE serial = $1`

	issuanceDue = `SELECT 1 FROM certificates WHERE lease_until <= $1 LIMIT 1`
)

// claimIssuances takes the lapsed leases over.
func claimIssuances(d dialect) string {
	return `WITH due AS MATERIALIZED (
  SELECT serial FROM certificates WHERE lease_until <= $1 ORDER BY lease_until LIMIT $2` + d.skipLocked + `
)
UPDATE certificates SET lease_owner = $3, lease_until = $4
WHERE serial IN (SELECT serial FROM due)
RETURNING ` + certificateColumns
}

// queries are the statements that the dialect has a word in.
type queries struct{ validationsDue, claimValidations, claimIssuances, claimRenewals, claimSubmissions string }

func newQueries(d dialect) queries {
	return queries{
		validationsDue: validationsDue(d), claimValidations: claimValidations(d),
		claimIssuances: claimIssuances(d), claimRenewals: claimRenewals(d), claimSubmissions: claimSubmissions(d),
	}
}

func certificateDest(c *acme.Certificate) []any {
	return []any{
		(*scanSerial)(&c.Serial), (*scanIssuer)(&c.Issuer), (*scanID)(&c.Account), (*scanID)(&c.Order), (*scanText)(&c.Profile), (*scanInt)(&c.CRLShard),
		(*scanTime)(&c.NotBefore), (*scanTime)(&c.NotAfter), (*scanTime)(&c.RecordedAt), (*scanBytes)(&c.TBS), (*scanBytes)(&c.DER),
		(*scanBytes)(&c.Precertificate),
	}
}

// certificateRow is a row of selectCertificates.
type certificateRow struct {
	c acme.Certificate
	r acme.Revocation
}

func (row *certificateRow) dest() []any {
	return append(certificateDest(&row.c), (*scanTime)(&row.r.At), (*scanInt)(&row.r.Reason), (*scanText)(&row.r.By))
}

func (row *certificateRow) certificate() acme.Certificate {
	c, r := row.c, row.r
	if !r.At.IsZero() {
		r.Serial, r.Issuer, r.CRLShard, r.NotAfter = c.Serial, c.Issuer, c.CRLShard, c.NotAfter
		c.Revocation = &r
	}
	return c
}

// Certificate implements Reader.
func (d *DB) Certificate(ctx context.Context, serial acme.Serial) (acme.Certificate, error) {
	var row certificateRow
	err := d.read(ctx, opCertificate, func(ctx context.Context, s *session) error {
		row = certificateRow{}
		return s.one(ctx, selectCertificate, []any{serial.Bytes()}, row.dest()...)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return acme.Certificate{}, ErrNotFound
	}
	if err != nil {
		return acme.Certificate{}, fmt.Errorf("reading certificate %s: %w", serial, err)
	}
	return row.certificate(), nil
}

// RecordIssuance implements CertificateStore.
func (d *DB) RecordIssuance(ctx context.Context, issuance Issuance) error {
	c := &issuance.Certificate
	switch {
	case len(c.DER) != 0:
		return errors.New("recording an issuance: the certificate is signed already")
	case c.Order.IsZero() != c.Account.IsZero():
		return errors.New("recording an issuance: an order and its account go together")
	case c.Order.IsZero() && len(issuance.AutoRenewalCSR) != 0:
		return errors.New("recording an issuance: only an order renews its certificate")
	}
	finalize, insert := finalizeOrder, insertCertificate
	autoRenewal := len(issuance.AutoRenewalCSR) != 0
	if autoRenewal {
		finalize, insert = finalizeAutoRenewalOrder, insertAutoRenewalCertificate
	}
	return d.write(ctx, opRecordIssuance, func(ctx context.Context, s *session) error {
		if !c.Order.IsZero() {
			n, err := s.exec(ctx, finalize, c.Serial.Bytes(), c.Order[:], d.micros(), c.Account[:])
			if err != nil {
				return fmt.Errorf("finalizing order %s: %w", c.Order, err)
			}
			if n == 0 {
				return ErrConflict
			}
		}
		if err := d.insertIssuance(ctx, s, insert, &issuance); err != nil {
			return err
		}
		if autoRenewal {
			return beginAutoRenewal(ctx, s, &issuance)
		}
		return nil
	})
}

// insertIssuance stores the certificate of an issuance.
func (d *DB) insertIssuance(ctx context.Context, s *session, insert string, issuance *Issuance) error {
	c := &issuance.Certificate
	_, err := s.exec(ctx, insert, c.Serial.Bytes(), c.Issuer[:], idValue(c.Account), idValue(c.Order), c.Profile, int64(c.CRLShard),
		c.NotBefore.UnixMicro(), c.NotAfter.UnixMicro(), c.RecordedAt.UnixMicro(), issuance.Owner, issuance.LeaseUntil.UnixMicro(), bytesValue(c.TBS))
	if err != nil && d.isUniqueViolation(err) {
		return fmt.Errorf("recording certificate %s: the serial exists already", c.Serial)
	}
	if err != nil {
		return fmt.Errorf("recording certificate %s: %w", c.Serial, err)
	}
	return nil
}

// ClaimIssuances implements CertificateStore.
func (d *DB) ClaimIssuances(ctx context.Context, claim Claim) ([]acme.Certificate, error) {
	due, err := d.due(ctx, issuanceDue)
	if err != nil || !due {
		return nil, err
	}
	var claimed []acme.Certificate
	err = d.write(ctx, opClaimIssuances, func(ctx context.Context, s *session) error {
		claimed = nil
		args := []any{d.micros(), int64(claim.Limit), claim.Owner, claim.LeaseUntil.UnixMicro()}
		return s.all(ctx, d.queries.claimIssuances, args, func(rows *sql.Rows) error {
			var c acme.Certificate
			if err := rows.Scan(certificateDest(&c)...); err != nil {
				return err
			}
			claimed = append(claimed, c)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("claiming issuances: %w", err)
	}
	slices.SortFunc(claimed, func(a, b acme.Certificate) int {
		if c := a.RecordedAt.Compare(b.RecordedAt); c != 0 {
			return c
		}
		return bytes.Compare(a.Serial.Bytes(), b.Serial.Bytes())
	})
	return claimed, nil
}

// CompleteIssuance implements CertificateStore. The order follows: it is valid
// once its certificate is signed.
func (d *DB) CompleteIssuance(ctx context.Context, serial acme.Serial, der []byte) error {
	if len(der) == 0 {
		return errors.New("completing an issuance: there are no signed bytes")
	}
	return d.write(ctx, opCompleteIssuance, func(ctx context.Context, s *session) error {
		n, err := s.exec(ctx, completeIssuance, serial.Bytes(), der)
		if err != nil {
			return fmt.Errorf("storing certificate %s: %w", serial, err)
		}
		if n == 0 {
			err := completeAutoRenewal(ctx, s, serial, der)
			return d.conflictIfThere(ctx, s, err, certificateExists, serial.Bytes())
		}
		return nil
	})
}

// FailIssuance implements CertificateStore. A renewal that fails does no harm to
// its order, which names the certificate before.
func (d *DB) FailIssuance(ctx context.Context, serial acme.Serial, problem *acme.Problem) error {
	if problem == nil {
		return errors.New("giving an issuance up: there is no problem")
	}
	text, err := jsonValue(problem)
	if err != nil {
		return err
	}
	return d.write(ctx, opFailIssuance, func(ctx context.Context, s *session) error {
		var order acme.ID
		var autoRenewal bool
		err := s.one(ctx, failIssuance, []any{serial.Bytes()}, (*scanID)(&order), (*scanBool)(&autoRenewal))
		if errors.Is(err, sql.ErrNoRows) {
			return d.conflictIfThere(ctx, s, ErrNotFound, certificateExists, serial.Bytes())
		}
		if err != nil {
			return fmt.Errorf("giving up certificate %s: %w", serial, err)
		}
		if order.IsZero() {
			return nil
		}
		if _, err := s.exec(ctx, failOrder, order[:], text, serial.Bytes()); err != nil {
			return fmt.Errorf("failing order %s: %w", order, err)
		}
		if autoRenewal {
			return d.failAutoRenewal(ctx, s, order, serial)
		}
		return nil
	})
}
