// Package ra is the registration authority: it decides what an account may
// have, and carries orders and authorizations through their lives. It owns no
// socket and no key.
package ra

import (
	"context"
	"net/netip"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

// Authority is the registration service. Its callers have authenticated the
// account and parsed what the client sent; each method is one step of
// RFC 8555. Errors that the client may see are *acme.Problem.
type Authority interface {
	// NewAccount creates an account or finds the one that has the key
	// (RFC 8555 §7.3).
	NewAccount(ctx context.Context, req NewAccount) (account acme.Account, created bool, err error)
	UpdateAccount(ctx context.Context, req UpdateAccount) (acme.Account, error)
	DeactivateAccount(ctx context.Context, account acme.ID) (acme.Account, error)
	// ChangeKey is RFC 8555 §7.3.5.
	ChangeKey(ctx context.Context, req ChangeKey) (acme.Account, error)

	NewOrder(ctx context.Context, req NewOrder) (acme.Order, error)
	// CancelOrder ends the renewals of an auto-renewal order (RFC 8739
	// §3.1.2).
	CancelOrder(ctx context.Context, account, order acme.ID) (acme.Order, error)
	// FinalizeOrder is RFC 8555 §7.4; it answers valid, or processing when
	// issuing takes longer than the configured wait.
	FinalizeOrder(ctx context.Context, req FinalizeOrder) (acme.Order, error)

	// NewAuthorization authorizes an identifier before any order asks for it
	// (RFC 8555 §7.4.1); created is false when the account has a usable
	// authorization for it already.
	NewAuthorization(ctx context.Context, req NewAuthorization) (authz acme.Authorization, created bool, err error)
	// RespondToChallenge starts the validation and waits a bounded time for
	// its result (RFC 8555 §7.5.1).
	RespondToChallenge(ctx context.Context, req RespondToChallenge) (acme.Authorization, error)
	DeactivateAuthorization(ctx context.Context, account, authorization acme.ID) (acme.Authorization, error)

	// RevokeCertificate is RFC 8555 §7.6.
	RevokeCertificate(ctx context.Context, req RevokeCertificate) error
}

// NewAccount asks for an account.
type NewAccount struct {
	Directory            string
	Key                  acme.AccountKey
	Contacts             []string
	TermsOfServiceAgreed bool
	OnlyReturnExisting   bool
	Binding              *ExternalAccountBinding // nil: none
	// Client is the address that the request came from; invalid: unknown.
	Client netip.Addr
}

// ExternalAccountBinding is an external account binding (RFC 8555 §7.3.4)
// whose form was checked; its MAC was not.
type ExternalAccountBinding struct {
	KeyID     string
	Algorithm string // HS256, HS384 or HS512
	JWS       string // in the compact serialization
	Document  string // as the client sent it
}

// UpdateAccount changes an account; nil fields stay.
type UpdateAccount struct {
	Account              acme.Account
	Contacts             *[]string
	TermsOfServiceAgreed bool
}

// ChangeKey gives an account another key; wfe has verified both signatures.
type ChangeKey struct {
	Account acme.ID
	OldKey  acme.AccountKey
	NewKey  acme.AccountKey
}

// NewOrder asks for an order.
type NewOrder struct {
	Account             acme.Account
	Identifiers         []acme.Identifier
	Profile             string // empty: the directory's default
	NotBefore, NotAfter time.Time
	// Replaces is the certificate that the order's will replace (RFC 9773
	// §5); zero: none.
	Replaces acme.CertID
	// Ancestors are, for some of the identifiers, the name above it whose
	// control the client can prove instead (RFC 9444 §4.2).
	Ancestors map[acme.Identifier]acme.Identifier
	// AutoRenewal asks for a certificate that renews itself (RFC 8739); nil:
	// an ordinary one. Of its fields, CSR, Next and CanceledAt are not read.
	AutoRenewal *acme.AutoRenewal
	Client      netip.Addr
}

// NewAuthorization asks for an authorization without an order.
type NewAuthorization struct {
	Account    acme.Account
	Identifier acme.Identifier
	Subdomains bool // RFC 9444: it is to cover the names below, too
	Client     netip.Addr
}

// FinalizeOrder asks for the certificate of an order.
type FinalizeOrder struct {
	Account acme.Account
	Order   acme.ID
	CSR     []byte // PKCS#10, DER
	// OnionCAA are the CAA record sets of onion services that came with the
	// request (RFC 9799 §6.4), one a service; their signatures are unverified.
	OnionCAA []acme.OnionCAA
}

// RespondToChallenge says that a challenge can be validated.
type RespondToChallenge struct {
	Account       acme.Account
	Authorization acme.ID
	Type          acme.ChallengeType
	// Response is the payload; for onion-csr-01 the CSR in it, DER.
	Response []byte
}

// RevokeCertificate asks for a revocation. Either Account is set, or the
// request was signed with the certificate's own key.
type RevokeCertificate struct {
	Directory string
	Account   *acme.Account
	ByKey     bool
	DER       []byte
	Reason    *acme.RevocationReason // nil: none given
}
