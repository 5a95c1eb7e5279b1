package sa

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

// RenewalOrder is an operator's word that certificates be renewed earlier
// than planned (RFC 9773 §4.2): those issued in a span of time, or one.
type RenewalOrder struct {
	ID acme.ID
	// Serial is the one certificate meant; zero: all that were recorded at or
	// after IssuedFrom and before IssuedBefore.
	Serial                   acme.Serial
	IssuedFrom, IssuedBefore time.Time
	// Start and End are the window that clients are told.
	Start, End     time.Time
	ExplanationURL string
	CreatedAt      time.Time
	By             string
}

// RenewalStore keeps renewal orders and which order replaces which
// certificate.
type RenewalStore interface {
	RenewalReader
	CreateRenewalOrder(ctx context.Context, order RenewalOrder) error
	// RenewalOrders lists the orders, newest first.
	RenewalOrders(ctx context.Context) ([]RenewalOrder, error)
}

// RenewalReader is what a front end may ask about renewals.
type RenewalReader interface {
	// RenewalOrder finds the newest order that covers the certificate;
	// ErrNotFound when none does.
	RenewalOrder(ctx context.Context, cert acme.Certificate) (RenewalOrder, error)
}

// ReplacedError is returned by CreateOrder when another order, which is not
// invalid, replaces the certificate already (RFC 9773 §5).
type ReplacedError struct{ Order acme.ID }

func (e ReplacedError) Error() string {
	return fmt.Sprintf("the certificate is replaced by order %s", e.Order)
}

const (
	renewalOrderColumns = `id, serial, issued_from, issued_before, window_start, window_end, explanation_url, created_at, created_by`

	insertRenewalOrder = `INSERT INTO renewal_orders (` + renewalOrderColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`

	selectRenewalOrder = `SELECT ` + renewalOrderColumns + ` FROM renewal_orders WHERE serial = $1
UNION ALL SELECT ` + renewalOrderColumns + ` FROM renewal_orders
WHERE serial IS NULL AND (issued_from IS NULL OR issued_from <= $2) AND issued_before > $2
ORDER BY created_at DESC, id DESC LIMIT 1`

	selectRenewalOrders = `SELECT ` + renewalOrderColumns + ` FROM renewal_orders ORDER BY created_at DESC, id DESC`

	insertReplacement = `INSERT INTO replacements (cert_id, order_id) VALUES ($1, $2) ON CONFLICT (cert_id) DO NOTHING`
	selectReplacement = `SELECT order_id FROM replacements WHERE cert_id = $1`
	updateReplacement = `UPDATE replacements SET order_id = $2 WHERE cert_id = $1 AND order_id = $3`
)

func renewalOrderDest(o *RenewalOrder) []any {
	return []any{
		(*scanID)(&o.ID), (*scanSerial)(&o.Serial), (*scanTime)(&o.IssuedFrom), (*scanTime)(&o.IssuedBefore), (*scanTime)(&o.Start), (*scanTime)(&o.End),
		(*scanText)(&o.ExplanationURL), (*scanTime)(&o.CreatedAt), (*scanText)(&o.By),
	}
}

// CreateRenewalOrder implements RenewalStore.
func (d *DB) CreateRenewalOrder(ctx context.Context, order RenewalOrder) error {
	return d.write(ctx, opCreateRenewalOrder, func(ctx context.Context, s *session) error {
		return createRenewalOrder(ctx, s, &order)
	})
}

func createRenewalOrder(ctx context.Context, s *session, order *RenewalOrder) error {
	switch {
	case order.Serial.IsZero() && !order.IssuedBefore.After(order.IssuedFrom):
		return errors.New("creating a renewal order: it names neither a certificate nor a span of time")
	case order.End.Before(order.Start):
		return errors.New("creating a renewal order: its window ends before it starts")
	}
	_, err := s.exec(ctx, insertRenewalOrder, order.ID[:], bytesValue(order.Serial.Bytes()), timeValue(order.IssuedFrom), timeValue(order.IssuedBefore),
		order.Start.UnixMicro(), order.End.UnixMicro(), textValue(order.ExplanationURL), order.CreatedAt.UnixMicro(), order.By)
	if err != nil {
		return fmt.Errorf("inserting renewal order %s: %w", order.ID, err)
	}
	return nil
}

// RenewalOrder implements RenewalReader.
func (d *DB) RenewalOrder(ctx context.Context, cert acme.Certificate) (o RenewalOrder, err error) {
	err = d.read(ctx, opRenewalOrder, func(ctx context.Context, s *session) error {
		o = RenewalOrder{}
		return s.one(ctx, selectRenewalOrder, []any{cert.Serial.Bytes(), cert.RecordedAt.UnixMicro()}, renewalOrderDest(&o)...)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return RenewalOrder{}, ErrNotFound
	}
	if err != nil {
		return RenewalOrder{}, fmt.Errorf("looking for a renewal order of certificate %s: %w", cert.Serial, err)
	}
	return o, nil
}

// RenewalOrders implements RenewalStore.
func (d *DB) RenewalOrders(ctx context.Context) ([]RenewalOrder, error) {
	var list []RenewalOrder
	err := d.read(ctx, opRenewalOrders, func(ctx context.Context, s *session) error {
		list = nil
		return s.all(ctx, selectRenewalOrders, nil, func(rows *sql.Rows) error {
			var o RenewalOrder
			if err := rows.Scan(renewalOrderDest(&o)...); err != nil {
				return err
			}
			list = append(list, o)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("listing renewal orders: %w", err)
	}
	return list, nil
}

// replace makes the new order the one that replaces its certificate, in the
// place of none or of an invalid one.
func (d *DB) replace(ctx context.Context, s *session, o *acme.Order) error {
	n, err := s.exec(ctx, insertReplacement, o.Replaces, o.ID[:])
	if err != nil {
		return fmt.Errorf("noting what order %s replaces: %w", o.ID, err)
	}
	if n == 1 {
		return nil
	}
	holder, err := replacement(ctx, s, o.Replaces)
	if err != nil {
		return err
	}
	// Invalid is final; an order that isn't there has expired and was dropped.
	switch held, err := readOrder(ctx, s, holder, d.now()); {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return err
	case held.Status != acme.OrderInvalid:
		return ReplacedError{Order: holder}
	}
	n, err = s.exec(ctx, updateReplacement, o.Replaces, o.ID[:], holder[:])
	if err != nil {
		return fmt.Errorf("noting what order %s replaces: %w", o.ID, err)
	}
	if n == 1 {
		return nil
	}
	// Another new order took the place meanwhile.
	if holder, err = replacement(ctx, s, o.Replaces); err != nil {
		return err
	}
	return ReplacedError{Order: holder}
}

// replacement is the order that replaces the certificate.
func replacement(ctx context.Context, s *session, certID string) (order acme.ID, err error) {
	if err := s.one(ctx, selectReplacement, []any{certID}, (*scanID)(&order)); err != nil {
		return acme.ID{}, fmt.Errorf("reading which order replaces certificate %s: %w", certID, err)
	}
	return order, nil
}
