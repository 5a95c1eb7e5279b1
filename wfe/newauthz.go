package wfe

import (
	"net/http"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/ra"
)

// newAuthorization authorizes an identifier before any order asks for it
// (RFC 8555 §7.4.1), and the names below it where asked (RFC 9444 §4.1).
func (w *WFE) newAuthorization(r *request) (*response, error) {
	var payload struct {
		Identifier requestedIdentifier `json:"identifier"`
	}
	if err := readPayload(r, &payload); err != nil {
		return nil, err
	}
	id, err := acme.ParseIdentifier(payload.Identifier.Type, payload.Identifier.Value)
	if err != nil {
		return nil, err
	}
	authz, created, err := w.RA.NewAuthorization(r.Context(), ra.NewAuthorization{
		Account: r.account, Identifier: id, Subdomains: payload.Identifier.Subdomains, Client: clientAddr(r.Request),
	})
	if err != nil {
		return nil, err
	}
	doc := newAuthorizationDocument(r.dir, authz)
	if err := w.addPersist(r, doc.Challenges); err != nil {
		return nil, err
	}
	resp := &response{status: http.StatusOK, location: r.dir.authorizationURL(authz.ID), body: doc}
	if created {
		resp.status = http.StatusCreated
	}
	return resp, nil
}
