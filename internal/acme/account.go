package acme

import "time"

// Account is an account (RFC 8555 §7.1.2). It belongs to one directory.
type Account struct {
	ID        ID
	Directory string // the directory's name
	Status    AccountStatus
	Key       AccountKey
	Contacts  []string // mailto: URLs
	// TermsOfService is the URL of the terms that were agreed to; empty: none.
	TermsOfService string
	// ExternalAccountBinding is the JWS that bound the account, as the client
	// sent it (RFC 8555 §7.3.4), and ExternalKeyID the key that it named.
	ExternalAccountBinding string
	ExternalKeyID          string
	CreatedAt              time.Time
}

// UsedKey is a key that an account has or had.
type UsedKey struct {
	Thumbprint string    // RFC 7638, base64url
	Since      time.Time // when the account had it first
}
