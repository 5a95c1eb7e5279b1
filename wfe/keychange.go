package wfe

import (
	"encoding/json"
	"errors"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/ra"
)

// keyChange gives an account another key (RFC 8555 §7.3.5): the outer JWS is
// signed by the old key, its payload is a JWS signed by the new one.
func (w *WFE) keyChange(r *request) (*response, error) {
	inner, err := parseJWS(r.jws.payload)
	if err != nil {
		return nil, inPayload(err)
	}
	switch {
	case inner.header.JWK == nil:
		return nil, malformed("the inner JWS needs the new key in \"jwk\"")
	case inner.header.Nonce != nil:
		return nil, malformed("the inner JWS must not have a \"nonce\" (RFC 8555 §7.3.5)")
	case *inner.header.URL != *r.jws.header.URL:
		return nil, malformed("the inner JWS must have the same \"url\" as the outer one")
	}
	newKey, err := acme.ParseAccountKey(inner.header.JWK)
	if err != nil {
		return nil, err
	}
	if err := verifySignature(inner, newKey); err != nil {
		return nil, inPayload(err)
	}
	var payload struct {
		Account string          `json:"account"`
		OldKey  json.RawMessage `json:"oldKey"`
	}
	if err := readPayload(&request{jws: inner}, &payload); err != nil {
		return nil, inPayload(err)
	}
	if payload.Account != *r.jws.header.KID {
		return nil, malformed("\"account\" must be the account URL in the outer JWS's \"kid\"")
	}
	if payload.OldKey == nil {
		return nil, malformed("\"oldKey\" must be the account's current key")
	}
	oldKey, err := acme.ParseAccountKey(payload.OldKey)
	if err != nil || oldKey.Thumbprint() != r.account.Key.Thumbprint() {
		return nil, malformed("\"oldKey\" must be the account's current key")
	}
	account, err := w.RA.ChangeKey(r.Context(), ra.ChangeKey{Account: r.account.ID, OldKey: oldKey, NewKey: newKey})
	if err != nil {
		return nil, err
	}
	w.accounts.changed(account)
	return &response{body: newAccountDocument(r.dir, account), location: r.dir.accountURL(account.ID)}, nil
}

// inPayload says that a problem is the inner JWS's.
func inPayload(err error) error { return prefixed(err, "inner JWS: ") }

// prefixed says in a problem's detail what it is about.
func prefixed(err error, what string) error {
	var p *acme.Problem
	if !errors.As(err, &p) {
		return err
	}
	about := *p
	about.Detail = what + p.Detail
	return &about
}
