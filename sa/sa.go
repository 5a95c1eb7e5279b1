// Package sa is the storage authority: it remembers accounts, orders,
// authorizations, certificates and revocations, in domain words and in one
// place.
//
// Every change of state is compare-and-set inside one transaction: two racing
// requests never both win, and the loser gets ErrConflict. What a method that
// returned nil has written is durable. Times are UTC and cut to microseconds.
// What a method changes or reads by its name and does not exist is ErrNotFound.
package sa

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

var (
	// ErrNotFound is returned when the thing named does not exist.
	ErrNotFound = errors.New("not found")
	// ErrConflict is returned when the thing is not in the state that the
	// change starts from, because another request changed it first.
	ErrConflict = errors.New("changed by another request")
	// ErrSchema is wrapped by Open when the schema is newer than this binary,
	// or older and not to be migrated.
	ErrSchema = errors.New("schema version")
)

// KeyInUseError is returned when an account key belongs to another account of
// the same directory.
type KeyInUseError struct{ Account acme.ID }

func (e KeyInUseError) Error() string {
	return fmt.Sprintf("the key belongs to account %s", e.Account)
}

// Reader is what a front end may see.
type Reader interface {
	Account(ctx context.Context, id acme.ID) (acme.Account, error)
	// AccountByKey finds an account, in whatever state, by the thumbprint of
	// its current key.
	AccountByKey(ctx context.Context, directory, thumbprint string) (acme.Account, error)
	// AccountKeys lists the keys that a valid account has or ever had: the
	// current one first, then the newest first. None for an account that is
	// not valid.
	AccountKeys(ctx context.Context, account acme.ID) ([]acme.UsedKey, error)
	// Order returns the order with its status as of now: pending, ready or
	// invalid follow from its authorizations and its expiry.
	Order(ctx context.Context, id acme.ID) (acme.Order, error)
	// Orders lists the identifiers of an account's orders that are not
	// invalid, oldest first, beginning after the given one (zero: from the
	// first).
	Orders(ctx context.Context, page OrderPage) ([]acme.ID, error)
	// Authorization returns the authorization with its status as of now:
	// pending and valid ones past their expiry are invalid and expired.
	Authorization(ctx context.Context, id acme.ID) (acme.Authorization, error)
	Certificate(ctx context.Context, serial acme.Serial) (acme.Certificate, error)
	Issuer(ctx context.Context, id acme.IssuerID) (acme.Issuer, error)
	Issuers(ctx context.Context) ([]acme.Issuer, error)
	// CRL returns the newest published CRL of a shard.
	CRL(ctx context.Context, issuer acme.IssuerID, shard int) (CRL, error)
	RenewalReader
	// Ping tells whether the store answers.
	Ping(ctx context.Context) error
}

// Store is everything that the services ask of the store.
type Store interface {
	Reader
	AccountStore
	OrderStore
	CertificateStore
	ExternalKeyStore
	RenewalStore
	AutoRenewalStore
	InventoryStore
	Close() error
}

// AccountStore changes accounts.
type AccountStore interface {
	// CreateAccount stores a new account. When the directory has an account
	// with that key already, in whatever state, nothing changes and that
	// account is returned with created false. An account with an
	// ExternalKeyID uses that key in the same transaction: ErrConflict when it
	// does not exist in the directory, is revoked, or is not reusable and was
	// used before.
	CreateAccount(ctx context.Context, account acme.Account) (stored acme.Account, created bool, err error)
	// UpdateAccount changes a valid account; ErrConflict if it is not valid.
	UpdateAccount(ctx context.Context, change AccountChange) (acme.Account, error)
	// ChangeAccountKey gives a valid account another key; KeyInUseError when
	// that key has an account, ErrConflict when OldThumbprint is not the
	// current key's.
	ChangeAccountKey(ctx context.Context, change KeyChange) (acme.Account, error)
}

// OrderStore creates and advances orders and authorizations.
type OrderStore interface {
	// CreateOrder stores an order and the authorizations made for it, in one
	// transaction. ErrConflict when the account is not valid, or when an
	// authorization that the order reuses is no longer usable. An order that
	// replaces a certificate (Order.Replaces) gets a ReplacedError when
	// another order does already and is not invalid.
	CreateOrder(ctx context.Context, order NewOrder) error
	// ReusableAuthorizations finds, for each identifier (a wildcard asks for
	// a wildcard's authorization), the account's authorization that is valid
	// until ValidUntil at least; failing that, with Pending, one that is
	// pending, unattempted and does not expire before PendingUntil. A DNS name
	// or wildcard may also be covered by an authorization with Subdomains for
	// the name or one of its ancestors, valid rather than pending, the nearest
	// first; an exact one comes before these. Each authorization is returned
	// once.
	ReusableAuthorizations(ctx context.Context, query ReuseQuery) ([]acme.Authorization, error)
	// CreateAuthorization stores an authorization that belongs to no order
	// yet (RFC 8555 §7.4.1). ErrConflict when the account is not valid.
	CreateAuthorization(ctx context.Context, authorization acme.Authorization) error
	// DeactivateAuthorization ends a pending or valid authorization;
	// ErrConflict when it is neither.
	DeactivateAuthorization(ctx context.Context, id acme.ID) (acme.Authorization, error)

	// BeginValidation records, durably, that a challenge was responded to and
	// leases the work to Owner until LeaseUntil. ErrConflict when the
	// authorization is not pending, was attempted before, or its account is
	// not valid.
	BeginValidation(ctx context.Context, begin BeginValidation) (acme.Authorization, error)
	// ClaimValidations takes over validations whose lease has lapsed and
	// whose NextTry has come, at most Limit. Accounts take turns, each with
	// its oldest first.
	ClaimValidations(ctx context.Context, claim Claim) ([]acme.Authorization, error)
	// RetryValidation records a try that did not succeed and may yet: the
	// challenge stays processing and shows the error. ErrConflict when the
	// lease is not Owner's.
	RetryValidation(ctx context.Context, retry RetryValidation) error
	// CompleteValidation records the result and returns the authorization.
	// ErrConflict when the lease is not Owner's or the authorization is no
	// longer pending.
	CompleteValidation(ctx context.Context, result ValidationResult) (acme.Authorization, error)
	// RecordCAA replaces the CAA evidence of valid authorizations after a
	// recheck at finalize; ErrConflict, and none is replaced, when one of them
	// is not valid.
	RecordCAA(ctx context.Context, evidence map[acme.ID]acme.CAAEvidence) error
}

// CertificateStore records issuance and revocation.
type CertificateStore interface {
	// RecordIssuance makes durable what is about to be signed, and takes the
	// order from ready to processing in the same transaction. It checks there
	// that the account is valid and that every authorization of the order is
	// valid and not expired. ErrConflict when any of that fails; an error when
	// the serial exists. Without an order (the CA's own certificates) it only
	// stores the certificate. The work of signing is leased to Owner.
	RecordIssuance(ctx context.Context, issuance Issuance) error
	// ClaimIssuances takes over recorded, unsigned certificates whose lease
	// has lapsed.
	ClaimIssuances(ctx context.Context, claim Claim) ([]acme.Certificate, error)
	// CompleteIssuance stores the signed bytes and makes the order valid.
	// ErrConflict when signed bytes are there already: the caller drops its
	// own and nobody ever sees them. A certificate with a precertificate must
	// have its SCTs (ErrConflict), and is then to be submitted to logs.
	CompleteIssuance(ctx context.Context, serial acme.Serial, der []byte) error
	// RecordPrecertificate stores the signed precertificate (RFC 6962 §3.1)
	// of what RecordIssuance recorded. From then on TBS, which it contains, is
	// nil, until RecordSCTs. ErrConflict when one is there already, when the
	// certificate is signed or was given up: the caller drops its own.
	RecordPrecertificate(ctx context.Context, serial acme.Serial, der []byte) error
	// RecordSCTs stores the TBS of the final certificate, which has the SCTs
	// of its precertificate in it. ErrConflict when there is no precertificate
	// or such a TBS already, when the certificate is signed or was given up.
	RecordSCTs(ctx context.Context, serial acme.Serial, tbs []byte) error
	// ClaimSubmissions takes final certificates that are to be submitted to
	// logs; one that CompleteSubmission does not name is due again at
	// LeaseUntil. The claim's Owner is not read.
	ClaimSubmissions(ctx context.Context, claim Claim) ([]acme.Certificate, error)
	// CompleteSubmission records that a final certificate was submitted, or
	// is not to be any more; no error when it was recorded before.
	CompleteSubmission(ctx context.Context, serial acme.Serial) error
	// FailIssuance gives a recorded, unsigned certificate up and makes its
	// order invalid with the problem.
	FailIssuance(ctx context.Context, serial acme.Serial, problem *acme.Problem) error

	// Revoke records a revocation; ErrNotFound when no such certificate or
	// precertificate was signed. When it is revoked already: ErrConflict, but for a change of the
	// reason to keyCompromise from another one, which replaces the reason. The
	// issuer, the shard and the expiry are the certificate's, whatever the
	// revocation says.
	Revoke(ctx context.Context, revocation acme.Revocation) error
	// Revocations lists a shard's revocations of certificates that expire
	// after ExpiresAfter, in the order of their serials, beginning after the
	// given serial.
	Revocations(ctx context.Context, page RevocationPage) ([]acme.Revocation, error)
	// LatestRevocation is the time at which the newest revocation of a shard
	// was recorded, or its reason changed; zero: none.
	LatestRevocation(ctx context.Context, issuer acme.IssuerID, shard int) (time.Time, error)
	// PublishCRL stores a CRL; ErrConflict unless its number is greater than
	// the published one's.
	PublishCRL(ctx context.Context, crl CRL) error
	// PutIssuer stores an issuer's certificates, replacing those there.
	PutIssuer(ctx context.Context, issuer acme.Issuer) error

	// BlockKey blocks a public key (SHA-256 of its SPKI) for good.
	BlockKey(ctx context.Context, key BlockedKey) error
	// KeyBlocked tells whether a key is blocked.
	KeyBlocked(ctx context.Context, spkiSHA256 [32]byte) (bool, error)

	// Lease takes or renews the named lease for owner until the given time;
	// false when another owner holds it.
	Lease(ctx context.Context, lease Lease) (bool, error)
}

// OrderPage asks for a page of an account's orders.
type OrderPage struct {
	Account acme.ID
	After   acme.ID
	Limit   int
}

// AccountChange says what to change of an account; nil fields stay.
type AccountChange struct {
	Account        acme.ID
	Contacts       *[]string
	TermsOfService *string
	Status         *acme.AccountStatus // deactivated or revoked
}

// KeyChange says which key replaces which.
type KeyChange struct {
	Account       acme.ID
	OldThumbprint string
	NewKey        acme.AccountKey
}

// NewOrder is an order and its new authorizations. Order.Authorizations names
// these and the reused ones; Order.Status is not read.
type NewOrder struct {
	Order          acme.Order
	Authorizations []acme.Authorization
}

// ReuseQuery asks for authorizations that a new order can rely on.
type ReuseQuery struct {
	Account      acme.ID
	Identifiers  []acme.Identifier
	ValidUntil   time.Time
	ValidatedBy  time.Time // only those validated at or after; zero: any
	Pending      bool
	PendingUntil time.Time
	// Except are the challenge types whose valid authorizations don't count.
	Except []acme.ChallengeType
}

// BeginValidation starts the attempt on an authorization's challenge.
type BeginValidation struct {
	Authorization acme.ID
	Type          acme.ChallengeType
	Response      []byte
	KeyThumbprint string
	Owner         string
	LeaseUntil    time.Time
}

// Claim takes over work whose lease has lapsed.
type Claim struct {
	Owner      string
	LeaseUntil time.Time
	Limit      int
	// PerAccount is how many validations of one account are claimed at most,
	// 0: Limit; Except are accounts of which none are. They are for
	// ClaimValidations alone.
	PerAccount int
	Except     []acme.ID
}

// RetryValidation plans another try.
type RetryValidation struct {
	Authorization acme.ID
	Owner         string
	Error         *acme.Problem
	NextTry       time.Time // the lease lapses then
}

// ValidationResult ends an attempt: valid when Problem is nil.
type ValidationResult struct {
	Authorization acme.ID
	Owner         string
	Problem       *acme.Problem
	Validated     time.Time
	Expires       time.Time // of the valid authorization
	Evidence      acme.Evidence
}

// Issuance is a certificate about to be signed. Certificate.DER is nil.
type Issuance struct {
	Certificate acme.Certificate
	Owner       string
	LeaseUntil  time.Time
	// AutoRenewalCSR, for an auto-renewal order, is the CSR that its renewals
	// take their key from, and NextRenewal when the next one is due (zero:
	// never).
	AutoRenewalCSR []byte
	NextRenewal    time.Time
	// RenewalOwner holds the lease of ClaimRenewals, for RecordRenewal.
	RenewalOwner string
}

// RevocationPage asks for a page of a shard's revocations.
type RevocationPage struct {
	Issuer       acme.IssuerID
	Shard        int
	ExpiresAfter time.Time
	After        acme.Serial // zero: from the first
	Limit        int
}

// CRL is a published CRL.
type CRL struct {
	Issuer     acme.IssuerID
	Shard      int
	Number     int64
	ThisUpdate time.Time
	NextUpdate time.Time
	DER        []byte
}

// BlockedKey is a public key that must not be certified.
type BlockedKey struct {
	SPKISHA256 [32]byte
	At         time.Time
	By         string // who blocked it, in the words of acme.Revocation.By
	Comment    string
}

// Lease is exclusive work, held by one process at a time.
type Lease struct {
	Name  string
	Owner string
	Until time.Time
}
