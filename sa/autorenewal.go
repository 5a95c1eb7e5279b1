package sa

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

// AutoRenewalStore keeps orders whose certificates renew themselves
// (RFC 8739). The first certificate of such an order is recorded like any
// other; Issuance.AutoRenewalCSR goes with it. The status of an order that
// was canceled reads as canceled.
type AutoRenewalStore interface {
	// CancelOrder ends the renewals of a valid auto-renewal order; ErrConflict
	// when the order is not valid, or canceled already.
	CancelOrder(ctx context.Context, order acme.ID, at time.Time) (acme.Order, error)
	// ClaimRenewals takes over valid auto-renewal orders whose next
	// certificate is due (AutoRenewal.Next has come), which are not canceled
	// and not past their end, whose account is valid, and that nobody holds a
	// lease on.
	ClaimRenewals(ctx context.Context, claim Claim) ([]acme.Order, error)
	// RecordRenewal is RecordIssuance for a further certificate of a valid
	// auto-renewal order. ErrConflict when the order was canceled or the lease
	// is not RenewalOwner's. When it is signed (CompleteIssuance), the order's
	// Certificate becomes this one.
	RecordRenewal(ctx context.Context, issuance Issuance) error
}

const (
	insertAutoRenewalRow = `INSERT INTO auto_renewals (order_id, start_at, end_at, lifetime, adjust, allow_get) VALUES ($1, $2, $3, $4, $5, $6)`

	// selectAutoRenewal tells of the renewal under way as if it were signed.
	selectAutoRenewal = `SELECT start_at, end_at, lifetime, adjust, allow_get, csr,
  CASE WHEN renewing IS NULL THEN next_renewal ELSE renewing_next END, canceled_at
FROM auto_renewals WHERE order_id = $1`

	beginFirstIssuance = `UPDATE auto_renewals SET csr = $2, renewing = $3, renewing_next = $4 WHERE order_id = $1`

	beginRenewal = `UPDATE auto_renewals SET renewing = $2, renewing_next = $3, lease_owner = NULL, lease_until = NULL
WHERE order_id = $1 AND lease_owner = $4 AND canceled_at IS NULL AND end_at > $5
  AND EXISTS (SELECT 1 FROM orders o JOIN accounts a ON a.id = o.account_id WHERE o.id = $1 AND o.account_id = $6 AND a.status = 'valid')`

	renewOrder = `UPDATE orders SET certificate = $2 WHERE id = $1`

	completeRenewal = `UPDATE auto_renewals SET next_renewal = renewing_next, lease_until = renewing_next, renewing = NULL, renewing_next = NULL
WHERE order_id = $1 AND renewing = $2`

	// failRenewal makes the renewal due again, behind others that are: nothing
	// is due when this was the first certificate, or the order was canceled.
	failRenewal = `UPDATE auto_renewals SET renewing = NULL, renewing_next = NULL,
  lease_until = CASE WHEN next_renewal IS NULL THEN NULL ELSE CAST($3 AS BIGINT) END
WHERE order_id = $1 AND renewing = $2`

	// cancelOrder leaves alone the certificate that is being signed.
	cancelOrder = `UPDATE auto_renewals SET canceled_at = $2, next_renewal = NULL, renewing_next = NULL, lease_owner = NULL, lease_until = NULL
WHERE order_id = $1 AND canceled_at IS NULL
  AND EXISTS (SELECT 1 FROM orders o JOIN certificates c ON c.serial = o.certificate WHERE o.id = $1 AND o.error IS NULL AND c.der IS NOT NULL)`

	orderExists = `SELECT 1 FROM orders WHERE id = $1`

	renewalDue = `SELECT 1 FROM auto_renewals WHERE lease_until <= $1 LIMIT 1`
)

// claimRenewals takes the lapsed leases over. What can't be renewed any more,
// for good, leaves the queue.
func claimRenewals(d dialect) string {
	const renewable = `end_at > $1 AND EXISTS (SELECT 1 FROM orders o JOIN accounts a ON a.id = o.account_id WHERE o.id = r.order_id AND a.status = 'valid')`
	return `WITH due AS MATERIALIZED (
  SELECT order_id FROM auto_renewals WHERE lease_until <= $1 ORDER BY lease_until LIMIT $2` + d.skipLocked + `
)
UPDATE auto_renewals AS r
SET lease_owner = CASE WHEN ` + renewable + ` THEN CAST($3 AS TEXT) END,
  lease_until = CASE WHEN ` + renewable + ` THEN CAST($4 AS BIGINT) END,
  next_renewal = CASE WHEN ` + renewable + ` THEN next_renewal END
WHERE order_id IN (SELECT order_id FROM due)
RETURNING order_id, lease_owner IS NOT NULL`
}

// checkAutoRenewal checks what a new order says of its renewals.
func checkAutoRenewal(r *acme.AutoRenewal) error {
	switch {
	case r.End.IsZero():
		return errors.New("its renewals have no end")
	case r.Lifetime <= 0:
		return errors.New("its certificates have no lifetime")
	case len(r.CSR) != 0 || !r.Next.IsZero() || !r.CanceledAt.IsZero():
		return errors.New("its renewals began before it was stored")
	}
	return nil
}

func insertAutoRenewal(ctx context.Context, s *session, o *acme.Order) error {
	r := o.AutoRenewal
	_, err := s.exec(ctx, insertAutoRenewalRow, o.ID[:], timeValue(r.Start), r.End.UnixMicro(), r.Lifetime.Microseconds(), r.Adjust.Microseconds(),
		boolValue(r.AllowGet))
	if err != nil {
		return fmt.Errorf("inserting the renewals of order %s: %w", o.ID, err)
	}
	return nil
}

// readAutoRenewal completes an order that renews its certificate.
func readAutoRenewal(ctx context.Context, s *session, o *acme.Order) error {
	r := new(acme.AutoRenewal)
	var lifetime, adjust int64
	if err := s.one(ctx, selectAutoRenewal, []any{o.ID[:]}, (*scanTime)(&r.Start), (*scanTime)(&r.End), (*scanInt64)(&lifetime), (*scanInt64)(&adjust),
		(*scanBool)(&r.AllowGet), (*scanBytes)(&r.CSR), (*scanTime)(&r.Next), (*scanTime)(&r.CanceledAt)); err != nil {
		return fmt.Errorf("reading the renewals of order %s: %w", o.ID, err)
	}
	r.Lifetime, r.Adjust = time.Duration(lifetime)*time.Microsecond, time.Duration(adjust)*time.Microsecond
	o.AutoRenewal = r
	if !r.CanceledAt.IsZero() {
		o.Status = acme.OrderCanceled // it was valid then
	}
	return nil
}

// beginAutoRenewal records, with the first certificate, how the order goes on.
func beginAutoRenewal(ctx context.Context, s *session, i *Issuance) error {
	n, err := s.exec(ctx, beginFirstIssuance, i.Certificate.Order[:], i.AutoRenewalCSR, i.Certificate.Serial.Bytes(), timeValue(i.NextRenewal))
	if err != nil {
		return fmt.Errorf("beginning the renewals of order %s: %w", i.Certificate.Order, err)
	}
	if n == 0 {
		return fmt.Errorf("beginning the renewals of order %s: it has none", i.Certificate.Order)
	}
	return nil
}

// completeAutoRenewal is CompleteIssuance for a certificate of an auto-renewal
// order; ErrNotFound when there is no such certificate to be signed.
func completeAutoRenewal(ctx context.Context, s *session, serial acme.Serial, der []byte) error {
	var order acme.ID
	err := s.one(ctx, completeAutoRenewalIssuance, []any{serial.Bytes(), der}, (*scanID)(&order))
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("storing certificate %s: %w", serial, err)
	}
	if _, err := s.exec(ctx, renewOrder, order[:], serial.Bytes()); err != nil {
		return fmt.Errorf("giving order %s its certificate: %w", order, err)
	}
	if _, err := s.exec(ctx, completeRenewal, order[:], serial.Bytes()); err != nil {
		return fmt.Errorf("planning the next renewal of order %s: %w", order, err)
	}
	return nil
}

// failAutoRenewal gives the lease back.
func (d *DB) failAutoRenewal(ctx context.Context, s *session, order acme.ID, serial acme.Serial) error {
	if _, err := s.exec(ctx, failRenewal, order[:], serial.Bytes(), d.micros()); err != nil {
		return fmt.Errorf("giving back the renewal of order %s: %w", order, err)
	}
	return nil
}

// CancelOrder implements AutoRenewalStore.
func (d *DB) CancelOrder(ctx context.Context, order acme.ID, at time.Time) (o acme.Order, err error) {
	err = d.write(ctx, opCancelOrder, func(ctx context.Context, s *session) error {
		n, err := s.exec(ctx, cancelOrder, order[:], at.UnixMicro())
		if err != nil {
			return fmt.Errorf("canceling order %s: %w", order, err)
		}
		if n == 0 {
			return d.conflictIfThere(ctx, s, ErrNotFound, orderExists, order[:])
		}
		o, err = readOrder(ctx, s, order, d.now())
		return err
	})
	if err != nil {
		return acme.Order{}, err
	}
	return o, nil
}

// ClaimRenewals implements AutoRenewalStore.
func (d *DB) ClaimRenewals(ctx context.Context, claim Claim) ([]acme.Order, error) {
	due, err := d.due(ctx, renewalDue)
	if err != nil || !due {
		return nil, err
	}
	var claimed []acme.Order
	err = d.write(ctx, opClaimRenewals, func(ctx context.Context, s *session) error {
		claimed = nil
		var ids []acme.ID
		args := []any{d.micros(), int64(claim.Limit), claim.Owner, claim.LeaseUntil.UnixMicro()}
		if err := s.all(ctx, d.queries.claimRenewals, args, func(rows *sql.Rows) error {
			var id acme.ID
			var leased bool
			if err := rows.Scan((*scanID)(&id), (*scanBool)(&leased)); err != nil {
				return err
			}
			if leased {
				ids = append(ids, id)
			}
			return nil
		}); err != nil {
			return err
		}
		for _, id := range ids {
			o, err := readOrder(ctx, s, id, d.now())
			if err != nil {
				return err
			}
			claimed = append(claimed, o)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("claiming renewals: %w", err)
	}
	slices.SortFunc(claimed, func(a, b acme.Order) int {
		if c := a.AutoRenewal.Next.Compare(b.AutoRenewal.Next); c != 0 {
			return c
		}
		return slices.Compare(a.ID[:], b.ID[:])
	})
	return claimed, nil
}

// RecordRenewal implements AutoRenewalStore.
func (d *DB) RecordRenewal(ctx context.Context, issuance Issuance) error {
	c := &issuance.Certificate
	switch {
	case len(c.DER) != 0:
		return errors.New("recording a renewal: the certificate is signed already")
	case c.Order.IsZero() || c.Account.IsZero():
		return errors.New("recording a renewal: it has no order, or no account")
	}
	return d.write(ctx, opRecordRenewal, func(ctx context.Context, s *session) error {
		n, err := s.exec(ctx, beginRenewal, c.Order[:], c.Serial.Bytes(), timeValue(issuance.NextRenewal), issuance.RenewalOwner, d.micros(), c.Account[:])
		if err != nil {
			return fmt.Errorf("renewing the certificate of order %s: %w", c.Order, err)
		}
		if n == 0 {
			return ErrConflict
		}
		return d.insertIssuance(ctx, s, insertAutoRenewalCertificate, &issuance)
	})
}
