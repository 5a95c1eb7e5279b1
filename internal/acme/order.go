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
	Replaces            string   // RFC 9773 certID; empty: none
	Error               *Problem // set when invalid and the cause is known
	Certificate         Serial   // set when processing (recorded) or valid
}
