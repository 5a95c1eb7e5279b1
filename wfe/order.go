package wfe

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/ra"
	"github.com/cairn-ca/cairn/sa"
)

// identifierDocument is an identifier object (RFC 8555 §7.1.3).
type identifierDocument struct {
	Type  acme.IdentifierType `json:"type"`
	Value string              `json:"value"`
}

func newIdentifierDocument(id acme.Identifier) identifierDocument {
	return identifierDocument{Type: id.Type(), Value: id.Value()}
}

// orderDocument is an order object (RFC 8555 §7.1.3).
type orderDocument struct {
	Status         acme.OrderStatus     `json:"status"`
	Expires        string               `json:"expires"`
	Identifiers    []identifierDocument `json:"identifiers"`
	Profile        string               `json:"profile,omitempty"`
	NotBefore      string               `json:"notBefore,omitempty"`
	NotAfter       string               `json:"notAfter,omitempty"`
	Error          *problemDocument     `json:"error,omitempty"`
	Authorizations []string             `json:"authorizations"`
	Finalize       string               `json:"finalize"`
	Certificate    string               `json:"certificate,omitempty"`
}

func newOrderDocument(dir *directory, order acme.Order) orderDocument {
	doc := orderDocument{
		Status:    order.Status,
		Expires:   timestamp(order.Expires),
		Profile:   order.Profile,
		NotBefore: timestamp(order.NotBefore),
		NotAfter:  timestamp(order.NotAfter),
		Error:     newProblemDocument(order.Error),
		Finalize:  dir.finalizeURL(order.ID),
	}
	if len(dir.Profiles) == 0 {
		doc.Profile = "" // the directory does not speak of profiles
	}
	for _, id := range order.Identifiers {
		doc.Identifiers = append(doc.Identifiers, newIdentifierDocument(id))
	}
	for _, id := range order.Authorizations {
		doc.Authorizations = append(doc.Authorizations, dir.authorizationURL(id))
	}
	if order.Status == acme.OrderValid {
		doc.Certificate = dir.certificateURL(order.Certificate, 0)
	}
	return doc
}

// newOrder asks for an order (RFC 8555 §7.4).
func (w *WFE) newOrder(r *request) (*response, error) {
	var payload struct {
		Identifiers []identifierDocument `json:"identifiers"`
		NotBefore   string               `json:"notBefore"`
		NotAfter    string               `json:"notAfter"`
		Profile     string               `json:"profile"`
	}
	if err := readPayload(r, &payload); err != nil {
		return nil, err
	}
	identifiers, err := parseIdentifiers(payload.Identifiers)
	if err != nil {
		return nil, err
	}
	notBefore, err := parseTimestamp("notBefore", payload.NotBefore)
	if err != nil {
		return nil, err
	}
	notAfter, err := parseTimestamp("notAfter", payload.NotAfter)
	if err != nil {
		return nil, err
	}
	order, err := w.RA.NewOrder(r.Context(), ra.NewOrder{
		Account: r.account, Identifiers: identifiers, Profile: payload.Profile,
		NotBefore: notBefore, NotAfter: notAfter, Client: clientAddr(r.Request),
	})
	if err != nil {
		return nil, err
	}
	return &response{status: http.StatusCreated, location: r.dir.orderURL(order.ID), body: newOrderDocument(r.dir, order)}, nil
}

// maxIdentifiers bounds the work on one newOrder before any policy is asked.
const maxIdentifiers = 1000

// parseIdentifiers reads the identifiers of an order; what is wrong with each
// becomes a subproblem (RFC 8555 §6.7.1).
func parseIdentifiers(docs []identifierDocument) ([]acme.Identifier, error) {
	if len(docs) > maxIdentifiers {
		return nil, malformed("an order has at most %d identifiers", maxIdentifiers)
	}
	var ids []acme.Identifier
	var problems []*acme.Problem
	for _, doc := range docs {
		id, err := acme.ParseIdentifier(doc.Type, doc.Value)
		var p *acme.Problem
		switch {
		case errors.As(err, &p):
			problems = append(problems, p)
		case err != nil:
			return nil, err
		default:
			ids = append(ids, id)
		}
	}
	if p := acme.Combine(problems); p != nil {
		return nil, p
	}
	return ids, nil
}

// order reads an order (RFC 8555 §7.4).
func (w *WFE) order(r *request) (*response, error) {
	order, err := w.ownOrder(r)
	if err != nil {
		return nil, err
	}
	if err := r.onlyAsGet(); err != nil {
		return nil, err
	}
	resp := &response{body: newOrderDocument(r.dir, order)}
	if order.Status == acme.OrderProcessing {
		resp.retryAfter = retryAfter
	}
	return resp, nil
}

func (w *WFE) ownOrder(r *request) (acme.Order, error) {
	id, err := acme.ParseID(r.param("id"))
	if err != nil {
		return acme.Order{}, noSuch("order")
	}
	order, err := w.Store.Order(r.Context(), id)
	if errors.Is(err, sa.ErrNotFound) {
		return acme.Order{}, noSuch("order")
	}
	if err != nil {
		return acme.Order{}, fmt.Errorf("reading order %s: %w", id, err)
	}
	if order.Account != r.account.ID {
		return acme.Order{}, notYours("order")
	}
	return order, nil
}

// finalize asks for the certificate of an order (RFC 8555 §7.4).
func (w *WFE) finalize(r *request) (*response, error) {
	id, err := acme.ParseID(r.param("id"))
	if err != nil {
		return nil, noSuch("order")
	}
	var payload struct {
		CSR string `json:"csr"`
	}
	if err := readPayload(r, &payload); err != nil {
		return nil, err
	}
	csr, err := decodeBase64(payload.CSR)
	if err != nil || len(csr) == 0 {
		return nil, acme.NewProblem(acme.BadCSR, "\"csr\" must be the base64url of a PKCS#10 request in DER, without padding")
	}
	order, err := w.RA.FinalizeOrder(r.Context(), ra.FinalizeOrder{Account: r.account, Order: id, CSR: csr})
	if err != nil {
		return nil, err
	}
	resp := &response{location: r.dir.orderURL(order.ID), body: newOrderDocument(r.dir, order)}
	if order.Status == acme.OrderProcessing {
		resp.retryAfter = retryAfter
	}
	return resp, nil
}

func noSuch(what string) error {
	return acme.NewProblem(acme.Malformed, "there is no such %s", what).WithStatus(http.StatusNotFound)
}

func notYours(what string) error {
	return acme.NewProblem(acme.Unauthorized, "the %s belongs to another account", what)
}

// timestamp is a time on the wire: RFC 3339 in UTC, whole seconds (some
// clients fail on fractions); empty for the zero time.
func timestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func parseTimestamp(name, value string) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return time.Time{}, malformed("%q must be a time in RFC 3339 form, such as 2026-01-02T15:04:05Z", name)
	}
	return t.UTC(), nil
}
