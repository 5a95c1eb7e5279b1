package sa

import (
	"context"
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
