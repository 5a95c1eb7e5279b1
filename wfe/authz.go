package wfe

import (
	"errors"
	"fmt"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// authorizationDocument is an authorization object (RFC 8555 §7.1.4).
type authorizationDocument struct {
	Identifier identifierDocument       `json:"identifier"`
	Status     acme.AuthorizationStatus `json:"status"`
	Expires    string                   `json:"expires"`
	Challenges []challengeDocument      `json:"challenges"`
	Wildcard   bool                     `json:"wildcard,omitempty"`
	Subdomains bool                     `json:"subdomainAuthAllowed,omitempty"` // RFC 9444 §4.1
}

func newAuthorizationDocument(dir *directory, authz acme.Authorization) authorizationDocument {
	doc := authorizationDocument{
		Identifier: newIdentifierDocument(authz.Identifier),
		Status:     authz.Status,
		Expires:    timestamp(authz.Expires),
		Challenges: []challengeDocument{},
		Wildcard:   authz.Wildcard,
		Subdomains: authz.Subdomains,
	}
	for _, c := range authz.Challenges() {
		doc.Challenges = append(doc.Challenges, newChallengeDocument(dir, authz, c))
	}
	return doc
}

// authorization reads or deactivates an authorization (RFC 8555 §7.5,
// §7.5.2).
func (w *WFE) authorization(r *request) (*response, error) {
	authz, err := w.ownAuthorization(r)
	if err != nil {
		return nil, err
	}
	if !r.asGet() {
		var payload struct {
			Status acme.AuthorizationStatus `json:"status"`
		}
		if err := readPayload(r, &payload); err != nil {
			return nil, err
		}
		if payload.Status != acme.AuthorizationDeactivated {
			return nil, malformed("the only change that a client can make is \"status\": \"deactivated\"")
		}
		if authz, err = w.RA.DeactivateAuthorization(r.Context(), r.account.ID, authz.ID); err != nil {
			return nil, err
		}
	}
	doc := newAuthorizationDocument(r.dir, authz)
	if err := w.addPersist(r, doc.Challenges); err != nil {
		return nil, err
	}
	resp := &response{body: doc}
	if authz.Status == acme.AuthorizationPending && authz.Attempt != nil {
		resp.retryAfter = w.untilNextTry(authz)
	}
	return resp, nil
}

func (w *WFE) ownAuthorization(r *request) (acme.Authorization, error) {
	id, err := acme.ParseID(r.param("id"))
	if err != nil {
		return acme.Authorization{}, noSuch("authorization")
	}
	authz, err := w.Store.Authorization(r.Context(), id)
	if errors.Is(err, sa.ErrNotFound) {
		return acme.Authorization{}, noSuch("authorization")
	}
	if err != nil {
		return acme.Authorization{}, fmt.Errorf("reading authorization %s: %w", id, err)
	}
	if authz.Account != r.account.ID {
		return acme.Authorization{}, notYours("authorization")
	}
	return authz, nil
}
