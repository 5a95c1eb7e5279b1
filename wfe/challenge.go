package wfe

import (
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/strictjson"
	"github.com/cairn-ca/cairn/ra"
)

// challengeDocument is a challenge object (RFC 8555 §7.1.5, §8).
type challengeDocument struct {
	Type      acme.ChallengeType   `json:"type"`
	URL       string               `json:"url"`
	Status    acme.ChallengeStatus `json:"status"`
	Token     string               `json:"token,omitempty"`
	Nonce     string               `json:"nonce,omitempty"` // RFC 9799 §3.2
	Validated string               `json:"validated,omitempty"`
	Error     *problemDocument     `json:"error,omitempty"`
	persistMembers
}

func newChallengeDocument(dir *directory, authz acme.Authorization, c acme.Challenge) challengeDocument {
	return challengeDocument{
		Type:      c.Type,
		URL:       dir.challengeURL(authz.ID, c.Type),
		Status:    c.Status,
		Token:     c.Token,
		Nonce:     c.Nonce,
		Validated: timestamp(c.Validated),
		Error:     newProblemDocument(c.Error),
	}
}

// challenge reads a challenge or responds to it (RFC 8555 §7.5.1). The answer
// to a response waits a bounded time for the result, so that most clients see
// "valid" at once.
func (w *WFE) challenge(r *request) (*response, error) {
	t := acme.ChallengeType(r.param("type"))
	var authz acme.Authorization
	var err error
	if r.asGet() {
		authz, err = w.ownAuthorization(r)
	} else {
		authz, err = w.respond(r, t)
	}
	if err != nil {
		return nil, err
	}
	challenge, ok := authz.Challenge(t)
	if !ok {
		return nil, noSuch("challenge")
	}
	docs := []challengeDocument{newChallengeDocument(r.dir, authz, challenge)}
	if err := w.addPersist(r, docs); err != nil {
		return nil, err
	}
	resp := &response{
		body:     docs[0],
		links:    []string{link(r.dir.authorizationURL(authz.ID), "up")},
		location: r.dir.challengeURL(authz.ID, t),
	}
	if challenge.Status == acme.ChallengeProcessing {
		resp.retryAfter = w.untilNextTry(authz) // RFC 8555 §8.2
	}
	return resp, nil
}

func (w *WFE) respond(r *request, t acme.ChallengeType) (acme.Authorization, error) {
	id, err := acme.ParseID(r.param("id"))
	if err != nil {
		return acme.Authorization{}, noSuch("challenge")
	}
	// A response is an object; which members it has is the challenge type's
	// business, and unknown ones are ignored (RFC 8555 §7.5.1).
	var object map[string]any
	if err := strictjson.Unmarshal(r.jws.payload, &object); err != nil || object == nil {
		return acme.Authorization{}, malformed("the payload of a challenge response must be a JSON object, {} for most types")
	}
	response := r.jws.payload
	if t == acme.OnionCSR01 {
		if response, err = parseOnionResponse(response); err != nil {
			return acme.Authorization{}, err
		}
	}
	return w.RA.RespondToChallenge(r.Context(), ra.RespondToChallenge{
		Account: r.account, Authorization: id, Type: t, Response: response,
	})
}

// untilNextTry is the Retry-After of a validation under way.
func (w *WFE) untilNextTry(authz acme.Authorization) time.Duration {
	if next := authz.Attempt.NextTry; next.After(w.Now().Add(time.Second)) {
		return next.Sub(w.Now())
	}
	return retryAfter
}
