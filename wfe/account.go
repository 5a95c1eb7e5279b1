package wfe

import (
	"encoding/json"
	"net/http"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/ra"
)

// accountDocument is an account object (RFC 8555 §7.1.2).
type accountDocument struct {
	Status                 acme.AccountStatus `json:"status"`
	Contact                []string           `json:"contact,omitempty"`
	TermsOfServiceAgreed   bool               `json:"termsOfServiceAgreed,omitempty"`
	ExternalAccountBinding json.RawMessage    `json:"externalAccountBinding,omitempty"`
	Orders                 string             `json:"orders"`
	Key                    json.RawMessage    `json:"key"`
	CreatedAt              string             `json:"createdAt"`
}

func newAccountDocument(dir *directory, account acme.Account) accountDocument {
	return accountDocument{
		Status:                 account.Status,
		Contact:                account.Contacts,
		TermsOfServiceAgreed:   account.TermsOfService != "",
		ExternalAccountBinding: json.RawMessage(account.ExternalAccountBinding),
		Orders:                 dir.ordersURL(account.ID),
		Key:                    json.RawMessage(account.Key.JSON()),
		CreatedAt:              timestamp(account.CreatedAt),
	}
}

// newAccount creates an account or finds the one with the key (RFC 8555
// §7.3, §7.3.1).
func (w *WFE) newAccount(r *request) (*response, error) {
	var payload struct {
		Contact              []string        `json:"contact"`
		TermsOfServiceAgreed bool            `json:"termsOfServiceAgreed"`
		OnlyReturnExisting   bool            `json:"onlyReturnExisting"`
		Binding              json.RawMessage `json:"externalAccountBinding"`
	}
	if err := readPayload(r, &payload); err != nil {
		return nil, err
	}
	binding, err := parseBinding(r, payload.Binding)
	if err != nil {
		return nil, err
	}
	account, created, err := w.RA.NewAccount(r.Context(), ra.NewAccount{
		Directory: r.dir.Name, Key: r.key, Contacts: payload.Contact,
		TermsOfServiceAgreed: payload.TermsOfServiceAgreed,
		OnlyReturnExisting:   payload.OnlyReturnExisting,
		Binding:              binding,
		Client:               clientAddr(r.Request),
	})
	if err != nil {
		return nil, err
	}
	resp := &response{status: http.StatusOK, location: r.dir.accountURL(account.ID), body: newAccountDocument(r.dir, account)}
	if created {
		resp.status = http.StatusCreated
	}
	if r.dir.TermsOfService != "" {
		resp.links = append(resp.links, link(r.dir.TermsOfService, "terms-of-service"))
	}
	return resp, nil
}

// account reads, updates or deactivates an account (RFC 8555 §7.3.2, §7.3.6).
// Members that a client may not change are ignored.
func (w *WFE) account(r *request) (*response, error) {
	if r.param("id") != r.account.ID.String() {
		return nil, acme.NewProblem(acme.Unauthorized, "the request is signed by another account")
	}
	if r.asGet() {
		return &response{body: newAccountDocument(r.dir, r.account)}, nil
	}
	var payload struct {
		Status               acme.AccountStatus `json:"status"`
		Contact              *[]string          `json:"contact"`
		TermsOfServiceAgreed bool               `json:"termsOfServiceAgreed"`
	}
	if err := readPayload(r, &payload); err != nil {
		return nil, err
	}
	var account acme.Account
	var err error
	if payload.Status == acme.AccountDeactivated {
		account, err = w.RA.DeactivateAccount(r.Context(), r.account.ID)
	} else {
		account, err = w.RA.UpdateAccount(r.Context(), ra.UpdateAccount{
			Account: r.account, Contacts: payload.Contact, TermsOfServiceAgreed: payload.TermsOfServiceAgreed,
		})
	}
	if err != nil {
		return nil, err
	}
	w.accounts.changed(account)
	return &response{body: newAccountDocument(r.dir, account)}, nil
}
