package sa

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

const (
	// selectOrder has one row for each authorization of the order, with what
	// the status follows from.
	selectOrder = `SELECT o.account_id, o.profile, o.identifiers, o.expires, o.created_at, o.not_before, o.not_after, o.replaces, o.error,
  o.certificate, o.auto_renewal, c.der IS NOT NULL, x.authorization_id, a.status, a.expires
FROM orders o
LEFT JOIN certificates c ON c.serial = o.certificate
LEFT JOIN order_authorizations x ON x.order_id = o.id
LEFT JOIN authorizations a ON a.id = x.authorization_id
WHERE o.id = $1
ORDER BY x.position`

	// selectOrders leaves out what orderStatus calls invalid.
	selectOrders = `SELECT o.id FROM orders o
WHERE o.account_id = $1 AND o.id > $2 AND o.error IS NULL
  AND (o.certificate IS NOT NULL OR o.expires > $3 AND NOT EXISTS (` + unusableAuthorization + `))
ORDER BY o.id LIMIT $4`

	// unusableAuthorization finds the authorizations that make the order o
	// invalid at $3.
	unusableAuthorization = `SELECT 1 FROM order_authorizations x LEFT JOIN authorizations a ON a.id = x.authorization_id
  WHERE x.order_id = o.id AND (a.id IS NULL OR a.expires <= $3 OR a.status NOT IN ('pending', 'valid'))`

	insertOrder = `INSERT INTO orders (id, account_id, profile, identifiers, expires, created_at, not_before, not_after, replaces)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9` + ofValidAccount

	insertAutoRenewalOrder = `INSERT INTO orders (id, account_id, profile, identifiers, expires, created_at, not_before, not_after, replaces, auto_renewal)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, 1` + ofValidAccount

	// ofValidAccount ends the SELECT of a row for account $2.
	ofValidAccount = ` WHERE EXISTS (SELECT 1 FROM accounts WHERE id = $2 AND status = 'valid')`
)

// Order implements Reader.
func (d *DB) Order(ctx context.Context, id acme.ID) (acme.Order, error) {
	var order acme.Order
	err := d.read(ctx, opOrder, func(ctx context.Context, s *session) error {
		var err error
		order, err = readOrder(ctx, s, id, d.now())
		return err
	})
	return order, err
}

func readOrder(ctx context.Context, s *session, id acme.ID, now time.Time) (acme.Order, error) {
	o := acme.Order{ID: id}
	var identifiers, problem string
	var signed, autoRenewal bool
	var states authorizationStates
	err := s.all(ctx, selectOrder, []any{id[:]}, func(rows *sql.Rows) error {
		var authz acme.ID
		var status acme.AuthorizationStatus
		var expires time.Time
		if err := rows.Scan((*scanID)(&o.Account), (*scanText)(&o.Profile), (*scanText)(&identifiers), (*scanTime)(&o.Expires),
			(*scanTime)(&o.CreatedAt), (*scanTime)(&o.NotBefore), (*scanTime)(&o.NotAfter), (*scanText)(&o.Replaces), (*scanText)(&problem),
			(*scanSerial)(&o.Certificate), (*scanBool)(&autoRenewal), (*scanBool)(&signed), (*scanID)(&authz), (*scanText)(&status), (*scanTime)(&expires)); err != nil {
			return err
		}
		o.Authorizations = append(o.Authorizations, authz)
		states.add(statusAt(status, expires, now))
		return nil
	})
	if err != nil {
		return acme.Order{}, fmt.Errorf("reading order %s: %w", id, err)
	}
	if o.Account.IsZero() {
		return acme.Order{}, ErrNotFound
	}
	if err := json.Unmarshal([]byte(identifiers), &o.Identifiers); err != nil {
		return acme.Order{}, fmt.Errorf("reading the identifiers of order %s: %w", id, err)
	}
	if o.Error, err = fromJSON[acme.Problem](problem); err != nil {
		return acme.Order{}, fmt.Errorf("reading the error of order %s: %w", id, err)
	}
	o.Status = orderStatus(o, signed, states, now)
	if autoRenewal {
		if err := readAutoRenewal(ctx, s, &o); err != nil {
			return acme.Order{}, err
		}
	}
	if o.Status == acme.OrderInvalid {
		o.Certificate = acme.Serial{} // it was given up
	}
	return o, nil
}

// authorizationStates counts the authorizations of an order by what they mean
// for it.
type authorizationStates struct{ valid, pending, failed int }

func (s *authorizationStates) add(status acme.AuthorizationStatus) {
	switch status {
	case acme.AuthorizationValid:
		s.valid++
	case acme.AuthorizationPending:
		s.pending++
	default:
		s.failed++
	}
}

// orderStatus is the order's state (RFC 8555 §7.1.6). An order is finalized
// when its certificate is recorded; from then on neither its expiry nor its
// authorizations matter.
func orderStatus(o acme.Order, signed bool, states authorizationStates, now time.Time) acme.OrderStatus {
	switch {
	case o.Error != nil:
		return acme.OrderInvalid
	case !o.Certificate.IsZero() && signed:
		return acme.OrderValid
	case !o.Certificate.IsZero():
		return acme.OrderProcessing
	case !o.Expires.After(now) || states.failed > 0:
		return acme.OrderInvalid
	case states.pending > 0:
		return acme.OrderPending
	}
	return acme.OrderReady
}

// Orders implements Reader.
func (d *DB) Orders(ctx context.Context, page OrderPage) ([]acme.ID, error) {
	var ids []acme.ID
	err := d.read(ctx, opOrders, func(ctx context.Context, s *session) error {
		ids = nil
		return s.all(ctx, selectOrders, []any{page.Account[:], page.After[:], d.micros(), int64(page.Limit)}, func(rows *sql.Rows) error {
			var id acme.ID
			if err := rows.Scan((*scanID)(&id)); err != nil {
				return err
			}
			ids = append(ids, id)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("listing the orders of account %s: %w", page.Account, err)
	}
	return ids, nil
}

// CreateOrder implements OrderStore.
func (d *DB) CreateOrder(ctx context.Context, order NewOrder) error {
	o := &order.Order
	if len(o.Authorizations) == 0 {
		return errors.New("creating an order: it has no authorizations")
	}
	identifiers, err := json.Marshal(o.Identifiers)
	if err != nil {
		return fmt.Errorf("writing identifiers as JSON: %w", err)
	}
	reused := reusedAuthorizations(order)
	if len(o.Authorizations)-len(reused) != len(order.Authorizations) {
		return errors.New("creating an order: it does not name each of its new authorizations once")
	}
	insert := insertOrder
	if o.AutoRenewal != nil {
		if err := checkAutoRenewal(o.AutoRenewal); err != nil {
			return fmt.Errorf("creating an order: %w", err)
		}
		insert = insertAutoRenewalOrder
	}
	return d.write(ctx, opCreateOrder, func(ctx context.Context, s *session) error {
		if err := d.checkUsable(ctx, s, o.Account, reused); err != nil {
			return err
		}
		n, err := s.exec(ctx, insert, o.ID[:], o.Account[:], o.Profile, string(identifiers), o.Expires.UnixMicro(), o.CreatedAt.UnixMicro(),
			timeValue(o.NotBefore), timeValue(o.NotAfter), textValue(o.Replaces))
		if err != nil {
			return fmt.Errorf("inserting order %s: %w", o.ID, err)
		}
		if n == 0 {
			return ErrConflict
		}
		if o.Replaces != "" {
			if err := d.replace(ctx, s, o); err != nil {
				return err
			}
		}
		if o.AutoRenewal != nil {
			if err := insertAutoRenewal(ctx, s, o); err != nil {
				return err
			}
		}
		if err := insertAuthorizations(ctx, s, order.Authorizations); err != nil {
			return fmt.Errorf("inserting the authorizations of order %s: %w", o.ID, err)
		}
		if err := insertOrderAuthorizations(ctx, s, o); err != nil {
			return fmt.Errorf("inserting the authorizations of order %s: %w", o.ID, err)
		}
		return nil
	})
}

// reusedAuthorizations are those that the order names and doesn't bring.
func reusedAuthorizations(order NewOrder) []acme.ID {
	brought := make(map[acme.ID]struct{}, len(order.Authorizations))
	for i := range order.Authorizations {
		brought[order.Authorizations[i].ID] = struct{}{}
	}
	var reused []acme.ID
	for _, id := range order.Order.Authorizations {
		if _, ok := brought[id]; !ok {
			reused = append(reused, id)
		}
	}
	return reused
}

// checkUsable checks that an order may rely on the authorizations: they are
// the account's, and pending or valid.
func (d *DB) checkUsable(ctx context.Context, s *session, account acme.ID, ids []acme.ID) error {
	if len(ids) == 0 {
		return nil
	}
	args := make([]any, 0, 2+len(ids))
	args = append(args, account[:], d.micros())
	for i := range ids {
		args = append(args, ids[i][:])
	}
	query := `SELECT count(*) FROM authorizations
WHERE account_id = $1 AND expires > $2 AND status IN ('pending', 'valid') AND id IN ` + placeholders(3, len(ids))
	var usable int
	if err := s.one(ctx, query, args, (*scanInt)(&usable)); err != nil {
		return fmt.Errorf("checking the authorizations to reuse: %w", err)
	}
	if usable != len(ids) {
		return ErrConflict
	}
	return nil
}

func insertOrderAuthorizations(ctx context.Context, s *session, o *acme.Order) error {
	return insertRows(ctx, s, `INSERT INTO order_authorizations (order_id, position, authorization_id) VALUES `, 3, len(o.Authorizations),
		func(args []any, i int) ([]any, error) {
			return append(args, o.ID[:], int64(i), o.Authorizations[i][:]), nil
		})
}
