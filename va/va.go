// Package va is the validation authority: it proves, over the network, that
// whoever holds an account controls an identifier, and that the identifier's
// CAA records let this CA issue.
package va

import (
	"context"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

// Authority is the validation service.
type Authority interface {
	// Validate runs one try of a challenge and, when control is proven, the
	// CAA check that issuance needs (RFC 8659 for DNS names). What the try
	// found is in the Result; an error means that there is no result, as when
	// the context ended, and that the try counts for nothing. An *acme.Problem
	// of type rateLimited: no place was free in time.
	Validate(ctx context.Context, req Request) (Result, error)
	// CheckCAA runs the CAA check alone, for authorizations whose last check
	// is too old to issue on (Baseline Requirements §4.2.2.1).
	CheckCAA(ctx context.Context, req CAARequest) (CAAResult, error)
}

// Request is one challenge to validate.
type Request struct {
	// Directory is the name of the directory whose validation settings apply.
	Directory  string
	Identifier acme.Identifier // without "*."
	Wildcard   bool
	Type       acme.ChallengeType
	// Token is the challenge's token; for onion-csr-01, the base64url of its
	// nonce.
	Token string
	// KeyThumbprint is the account key's (RFC 7638), base64url; with Token it
	// makes the key authorization.
	KeyThumbprint string
	// AccountURL is the account's URL, byte for byte as clients have it:
	// dns-account-01, dns-persist-01 and CAA accounturi (RFC 8657) use it.
	AccountURL string
	// Response is the payload of the client's response, for challenge types
	// that carry a proof in it; for onion-csr-01 the CSR, DER.
	Response []byte
	// AccountThumbprints are those of all keys that the account ever had, the
	// current one first; none: it is not valid any more. dns-persist-01 uses
	// them.
	AccountThumbprints []string
	// Subdomains tells that the proof must hold for every name below
	// Identifier too (RFC 9444).
	Subdomains bool
}

// Result is what a try found.
type Result struct {
	// Problem is nil when control is proven and CAA permits.
	Problem *acme.Problem
	// MayHeal tells that another try may end differently: a look-up or a
	// connection failed, as opposed to a wrong answer.
	MayHeal  bool
	Evidence acme.Evidence
}

// CAARequest asks whether CAA permits issuing for a name.
type CAARequest struct {
	Directory  string
	Identifier acme.Identifier // without "*."
	Wildcard   bool
	Method     acme.ChallengeType // with which control was proven
	AccountURL string
	// OnionCAA is, for the name of an onion service, its CAA record set
	// (RFC 9799 §6.4), which no look-up finds; nil: it was not given.
	OnionCAA *acme.OnionCAA
}

// CAAResult is the decision. Problem is nil when CAA permits.
type CAAResult struct {
	Problem  *acme.Problem
	MayHeal  bool
	Evidence acme.CAAEvidence
}

// CAALifetime is how long a CAA check may be relied on (Baseline Requirements
// §4.2.2.1: 8 hours).
const CAALifetime = 8 * time.Hour
