package acme

import "time"

// Order is an order (RFC 8555 §7.1.3) as it stands at the moment of reading:
// its status follows from its own record and its authorizations'.
type Order struct {
	ID             ID
	Account        ID
	Status         OrderStatus
	Profile        string       // the profile's name; never empty
	Identifiers    []Identifier // sorted, none twice
	Authorizations []ID         // those that the order relies on, reused ones too
	Expires        time.Time
	CreatedAt      time.Time
	// NotBefore and NotAfter are what the client asked for; zero: the
	// profile's choice.
	NotBefore, NotAfter time.Time
	Replaces            string       // RFC 9773 certID; empty: none
	Error               *Problem     // set when invalid and the cause is known
	Certificate         Serial       // set when processing (recorded) or valid; the latest of an auto-renewal order
	AutoRenewal         *AutoRenewal // nil: an ordinary order
}

// AutoRenewal is what makes an order renew its certificate by itself until it
// ends or is canceled (RFC 8739 §3.1.1).
type AutoRenewal struct {
	Start, End time.Time
	Lifetime   time.Duration // of each certificate
	// Adjust is how much earlier than the end of the one before a certificate
	// becomes valid.
	Adjust time.Duration
	// AllowGet lets anyone who knows the URL fetch the certificate with GET.
	AllowGet bool
	// CSR is what the order was finalized with, DER: the renewals have its
	// key. Nil before.
	CSR []byte
	// Next is when the next certificate is due; zero: none is.
	Next time.Time
	// CanceledAt is when the client ended the renewals; zero: it did not.
	CanceledAt time.Time
}
