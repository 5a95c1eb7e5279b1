package acme

// AccountStatus is the state of an account (RFC 8555 §7.1.6).
type AccountStatus string

// The states of an account.
const (
	AccountValid       AccountStatus = "valid"
	AccountDeactivated AccountStatus = "deactivated" // by its holder
	AccountRevoked     AccountStatus = "revoked"     // by the CA
)

// OrderStatus is the state of an order (RFC 8555 §7.1.6, RFC 8739 §3.1.2).
type OrderStatus string

// The states of an order.
const (
	OrderPending    OrderStatus = "pending"
	OrderReady      OrderStatus = "ready"
	OrderProcessing OrderStatus = "processing"
	OrderValid      OrderStatus = "valid"
	OrderInvalid    OrderStatus = "invalid"
	OrderCanceled   OrderStatus = "canceled"
)

// AuthorizationStatus is the state of an authorization (RFC 8555 §7.1.6).
type AuthorizationStatus string

// The states of an authorization.
const (
	AuthorizationPending     AuthorizationStatus = "pending"
	AuthorizationValid       AuthorizationStatus = "valid"
	AuthorizationInvalid     AuthorizationStatus = "invalid"
	AuthorizationDeactivated AuthorizationStatus = "deactivated" // by the client
	AuthorizationExpired     AuthorizationStatus = "expired"
	AuthorizationRevoked     AuthorizationStatus = "revoked" // by the CA
)

// ChallengeStatus is the state of a challenge (RFC 8555 §7.1.6).
type ChallengeStatus string

// The states of a challenge.
const (
	ChallengePending    ChallengeStatus = "pending"
	ChallengeProcessing ChallengeStatus = "processing"
	ChallengeValid      ChallengeStatus = "valid"
	ChallengeInvalid    ChallengeStatus = "invalid"
)
