package acme

import (
	"fmt"
	"net/http"
	"time"
)

// ProblemType is an ACME error type without its URN prefix.
type ProblemType string

// ProblemNamespace precedes a ProblemType on the wire (RFC 8555 §6.7).
const ProblemNamespace = "urn:ietf:params:acme:error:"

// The registered error types: RFC 8555 §6.7 and the extensions named beside.
const (
	AccountDoesNotExist            ProblemType = "accountDoesNotExist"
	AlreadyReplaced                ProblemType = "alreadyReplaced" // RFC 9773 §7.4
	AlreadyRevoked                 ProblemType = "alreadyRevoked"
	AutoRenewalCanceled            ProblemType = "autoRenewalCanceled"               // RFC 8739 §6.4
	AutoRenewalCancellationInvalid ProblemType = "autoRenewalCancellationInvalid"    // RFC 8739 §6.4
	AutoRenewalExpired             ProblemType = "autoRenewalExpired"                // RFC 8739 §6.4
	AutoRenewalRevocation          ProblemType = "autoRenewalRevocationNotSupported" // RFC 8739 §6.4
	BadAttestationStatement        ProblemType = "badAttestationStatement"           // draft-ietf-acme-device-attest
	BadCSR                         ProblemType = "badCSR"
	BadNonce                       ProblemType = "badNonce"
	BadPublicKey                   ProblemType = "badPublicKey"
	BadRevocationReason            ProblemType = "badRevocationReason"
	BadSignatureAlgorithm          ProblemType = "badSignatureAlgorithm"
	CAA                            ProblemType = "caa"
	Compound                       ProblemType = "compound"
	Connection                     ProblemType = "connection"
	DNS                            ProblemType = "dns"
	ExternalAccountRequired        ProblemType = "externalAccountRequired"
	IncorrectResponse              ProblemType = "incorrectResponse"
	InvalidContact                 ProblemType = "invalidContact"
	InvalidProfile                 ProblemType = "invalidProfile" // draft-ietf-acme-profiles
	Malformed                      ProblemType = "malformed"
	OnionCAARequired               ProblemType = "onionCAARequired" // RFC 9799
	OrderNotReady                  ProblemType = "orderNotReady"
	RateLimited                    ProblemType = "rateLimited"
	RejectedIdentifier             ProblemType = "rejectedIdentifier"
	ServerInternal                 ProblemType = "serverInternal"
	TLS                            ProblemType = "tls"
	Unauthorized                   ProblemType = "unauthorized"
	UnsupportedContact             ProblemType = "unsupportedContact"
	UnsupportedIdentifier          ProblemType = "unsupportedIdentifier"
	UserActionRequired             ProblemType = "userActionRequired"
)

// statuses is the HTTP status that goes with a type where the code that made
// the problem named none.
var statuses = map[ProblemType]int{
	AlreadyReplaced:         http.StatusConflict,
	AutoRenewalCanceled:     http.StatusForbidden,
	AutoRenewalExpired:      http.StatusForbidden,
	AutoRenewalRevocation:   http.StatusForbidden,
	CAA:                     http.StatusForbidden,
	ExternalAccountRequired: http.StatusForbidden,
	OnionCAARequired:        http.StatusForbidden,
	OrderNotReady:           http.StatusForbidden,
	RateLimited:             http.StatusTooManyRequests,
	RejectedIdentifier:      http.StatusForbidden,
	ServerInternal:          http.StatusInternalServerError,
	Unauthorized:            http.StatusForbidden,
	UserActionRequired:      http.StatusForbidden,
}

// Problem is an error that a client may see (RFC 8555 §6.7, RFC 9457). It
// crosses every service boundary whole, and wfe alone writes it out. Detail is
// for a person: it says what was wrong and what to do next, and holds nothing
// secret. Its JSON is the store's, not the problem document that clients get.
type Problem struct {
	Type        ProblemType `json:"type"`
	Detail      string      `json:"detail,omitempty"`
	Status      int         `json:"status,omitempty"` // HTTP status; 0: the one that goes with Type
	Identifier  *Identifier `json:"identifier,omitempty"`
	Subproblems []Problem   `json:"subproblems,omitempty"`

	Instance   string        `json:"instance,omitempty"`   // RFC 8555 §7.3.3: a page for the user to visit
	Algorithms []string      `json:"algorithms,omitempty"` // RFC 8555 §6.2: with badSignatureAlgorithm
	RetryAfter time.Duration `json:"retryAfter,omitempty"` // 0: no Retry-After header; nanoseconds in the store
	// Account is the account that stands in the way (RFC 8555 §7.3.5: the
	// answer names it in Location); zero: none.
	Account ID `json:"account,omitzero"`
}

// NewProblem makes a problem of the given type; the detail is formatted as by
// fmt.Sprintf.
func NewProblem(t ProblemType, format string, args ...any) *Problem {
	return &Problem{Type: t, Detail: fmt.Sprintf(format, args...)}
}

// Error is the type and the detail, for logs.
func (p *Problem) Error() string { return string(p.Type) + ": " + p.Detail }

// HTTPStatus is Status, or the status that goes with the type.
func (p *Problem) HTTPStatus() int {
	if p.Status != 0 {
		return p.Status
	}
	if status, ok := statuses[p.Type]; ok {
		return status
	}
	return http.StatusBadRequest
}

// WithStatus sets the HTTP status and returns the problem.
func (p *Problem) WithStatus(status int) *Problem { p.Status = status; return p }

// For sets the identifier that a subproblem is about and returns the problem.
func (p *Problem) For(id Identifier) *Problem { p.Identifier = &id; return p }

// Combine makes one problem of those found with several identifiers
// (RFC 8555 §6.7.1): none is nil, one stands for itself, several become the
// subproblems of their common type or, where the types differ, of compound.
func Combine(problems []*Problem) *Problem {
	switch len(problems) {
	case 0:
		return nil
	case 1:
		p := *problems[0]
		if p.Identifier == nil {
			return &p
		}
		// RFC 8555 §6.7.1: "identifier" must not stand at the top level.
		return &Problem{Type: p.Type, Status: p.Status, Detail: p.Detail, RetryAfter: p.RetryAfter, Subproblems: []Problem{p}}
	}
	whole := &Problem{Type: problems[0].Type, Status: problems[0].Status, Detail: fmt.Sprintf("%d identifiers have problems; see subproblems", len(problems))}
	for _, p := range problems {
		if p.Type != whole.Type {
			whole.Type, whole.Status = Compound, 0
		}
		whole.RetryAfter = max(whole.RetryAfter, p.RetryAfter)
		whole.Subproblems = append(whole.Subproblems, *p)
	}
	return whole
}
