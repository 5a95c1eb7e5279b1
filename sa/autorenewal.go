package sa

import (
	"context"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

// AutoRenewalStore keeps orders whose certificates renew themselves
// (RFC 8739).
type AutoRenewalStore interface {
	// CancelOrder ends the renewals of a valid auto-renewal order; ErrConflict
	// when the order is not valid, or cancelled already.
	CancelOrder(ctx context.Context, order acme.ID, at time.Time) (acme.Order, error)
	// ClaimRenewals takes over auto-renewal orders whose next certificate is
	// due (acme.AutoRenewal.Next has come), whose end has not, and that nobody
	// holds a lease on; the lease ends with the next RecordIssuance.
	ClaimRenewals(ctx context.Context, claim Claim) ([]acme.Order, error)
}

// PlanRenewal says when an auto-renewal order's next certificate is due; it
// goes with the completion of the one before.
type PlanRenewal struct {
	Order acme.ID
	Next  time.Time // zero: the last certificate covers the end
}
