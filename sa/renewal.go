package sa

import (
	"context"
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
