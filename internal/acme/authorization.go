package acme

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"time"
)

// Authorization is an authorization (RFC 8555 §7.1.4). At most one of its
// challenges is ever attempted: the result decides the authorization.
type Authorization struct {
	ID         ID
	Account    ID
	Identifier Identifier // for a wildcard: the name without "*."
	Wildcard   bool       // it authorizes the wildcard name below Identifier
	// Subdomains tells that it authorizes every name below Identifier too
	// (RFC 9444).
	Subdomains bool
	Status     AuthorizationStatus
	Expires    time.Time
	CreatedAt  time.Time
	Seed       TokenSeed
	Offered    []ChallengeType // in the order in which they are shown
	Attempt    *Attempt        // nil: no challenge was responded to yet
}

// Attempt is the work on the one challenge that the client responded to.
type Attempt struct {
	Type      ChallengeType
	StartedAt time.Time
	// Response is the payload that the client sent, for challenge types whose
	// response carries a proof, or of it the proof alone: for onion-csr-01 the
	// CSR, DER; nil for the others.
	Response []byte
	// KeyThumbprint is the account key's at the time of the response: the key
	// authorization must not change when the key does (RFC 8555 §7.5.1).
	KeyThumbprint string
	Tries         int       // validations run so far
	NextTry       time.Time // zero: no retry is planned
	Validated     time.Time // zero unless valid
	Error         *Problem  // of the last try
	Evidence      Evidence
}

// Challenge is one challenge of an authorization, as clients see it.
type Challenge struct {
	Type      ChallengeType
	Status    ChallengeStatus
	Token     string
	Nonce     string // onion-csr-01 has it in place of a token (RFC 9799 §3.2)
	Validated time.Time
	Error     *Problem
	// RetryAfter is when the server tries again; zero: no retry is planned.
	RetryAfter time.Time
}

// Names is the identifier that the authorization authorizes: Identifier
// itself, or its wildcard.
func (a Authorization) Names() Identifier {
	if a.Wildcard {
		return a.Identifier.Wildcard()
	}
	return a.Identifier
}

// Challenge is the authorization's challenge of the given type; false when it
// is not offered.
func (a Authorization) Challenge(t ChallengeType) (Challenge, bool) {
	if !slices.Contains(a.Offered, t) {
		return Challenge{}, false
	}
	c := Challenge{Type: t, Status: ChallengePending}
	switch {
	case t.HasToken():
		c.Token = a.Seed.Token(t)
	case t == OnionCSR01:
		c.Nonce = a.Seed.Nonce(t)
	}
	if a.Attempt == nil || a.Attempt.Type != t {
		return c, true
	}
	c.Error = a.Attempt.Error
	c.Validated = a.Attempt.Validated
	switch {
	case !c.Validated.IsZero():
		c.Status = ChallengeValid
	case a.Status == AuthorizationPending:
		c.Status = ChallengeProcessing
		c.RetryAfter = a.Attempt.NextTry
	default:
		c.Status = ChallengeInvalid
	}
	return c, true
}

// Challenges are the authorization's challenges. Once one was attempted to
// its end, only that one is left (RFC 8555 §7.1.4 and §7.5.1).
func (a Authorization) Challenges() []Challenge {
	decided := a.Attempt != nil && a.Status != AuthorizationPending
	var all []Challenge
	for _, t := range a.Offered {
		if decided && t != a.Attempt.Type {
			continue
		}
		if c, ok := a.Challenge(t); ok {
			all = append(all, c)
		}
	}
	return all
}

// Evidence is what the CA keeps of a validation (Baseline Requirements
// §5.4.1): what was proven, how, and what was seen on the way. It is stored as
// JSON beside the authorization.
type Evidence struct {
	Method     ChallengeType `json:"method,omitempty"`
	DomainName string        `json:"authorizationDomainName,omitempty"` // Baseline Requirements §3.2.2.4
	At         time.Time     `json:"at,omitzero"`
	// AccountURI is the accounturi of the record that was relied on, and
	// PersistUntil its end (zero: none), for dns-persist-01. Perspectives
	// corroborate each other only with the same AccountURI (Baseline
	// Requirements §3.2.2.4.22).
	AccountURI   string    `json:"accountURI,omitempty"`
	PersistUntil time.Time `json:"persistUntil,omitzero"`
	// Steps are the look-ups, connections and answers in their order, each a
	// short line.
	Steps []string     `json:"steps,omitempty"`
	CAA   *CAAEvidence `json:"caa,omitempty"`
	// Perspectives are the results of the remote perspectives, Quorum the
	// summary, such as "4/4".
	Perspectives []PerspectiveResult `json:"perspectives,omitempty"`
	Quorum       string              `json:"quorum,omitempty"`
	// Attestation is what a device's attestation proved besides its identity;
	// nil with other challenge types.
	Attestation *AttestationEvidence `json:"attestation,omitempty"`
}

// AttestationEvidence is what a device's attestation said of the key that the
// certificate is to have (draft-ietf-acme-device-attest §10).
type AttestationEvidence struct {
	// Format is the attestation statement format.
	Format string `json:"format"`
	// KeySHA256 is the SHA-256 of the attested key's SubjectPublicKeyInfo, as
	// PublicKeySHA256 writes it.
	KeySHA256 string `json:"keySHA256"`
	// RootSHA256 is the SHA-256, in hexadecimal, of the root certificate that
	// the attestation chains to.
	RootSHA256 string `json:"rootSHA256"`
}

// PublicKeySHA256 is the SHA-256 of a key's SubjectPublicKeyInfo in
// hexadecimal. The key is encoded anew, so that one key has one hash however
// it came here.
func PublicKeySHA256(key crypto.PublicKey) (string, error) {
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", fmt.Errorf("encoding a public key: %w", err)
	}
	sum := sha256.Sum256(spki)
	return hex.EncodeToString(sum[:]), nil
}

// CAAEvidence is the CAA decision that was relied on (RFC 8659).
type CAAEvidence struct {
	CheckedAt time.Time `json:"checkedAt"`
	// FoundAt is the name that held the relevant record set; empty: none did.
	FoundAt string   `json:"foundAt,omitempty"`
	Records []string `json:"records,omitempty"`
	// Perspectives and Quorum are those of a CAA check made alone; where it
	// came with a validation, the Evidence around it has them.
	Perspectives []PerspectiveResult `json:"perspectives,omitempty"`
	Quorum       string              `json:"quorum,omitempty"`
}

// PerspectiveResult is what one remote perspective saw.
type PerspectiveResult struct {
	Name    string   `json:"name"`
	Region  string   `json:"region"`
	Problem *Problem `json:"problem,omitempty"` // nil: it corroborated
}
