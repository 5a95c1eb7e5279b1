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

// requestedIdentifier is an identifier in a request: RFC 9444 adds members to
// it in newOrder (§4.2) and newAuthz (§4.1).
type requestedIdentifier struct {
	identifierDocument
	AncestorDomain string `json:"ancestorDomain"`
	Subdomains     bool   `json:"subdomainAuthAllowed"`
}

func newIdentifierDocument(id acme.Identifier) identifierDocument {
	return identifierDocument{Type: id.Type(), Value: id.Value()}
}

// orderDocument is an order object (RFC 8555 §7.1.3).
type orderDocument struct {
	Status          acme.OrderStatus     `json:"status"`
	Expires         string               `json:"expires"`
	Identifiers     []identifierDocument `json:"identifiers"`
	Profile         string               `json:"profile,omitempty"`
	NotBefore       string               `json:"notBefore,omitempty"`
	NotAfter        string               `json:"notAfter,omitempty"`
	Error           *problemDocument     `json:"error,omitempty"`
	Authorizations  []string             `json:"authorizations"`
	Finalize        string               `json:"finalize"`
	Certificate     string               `json:"certificate,omitempty"`
	Replaces        string               `json:"replaces,omitempty"`         // RFC 9773 §5
	AutoRenewal     *autoRenewalDocument `json:"auto-renewal,omitempty"`     // RFC 8739 §3.1.1
	StarCertificate string               `json:"star-certificate,omitempty"` // RFC 8739 §3.1.1
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
	doc.Replaces = order.Replaces
	doc.AutoRenewal = newAutoRenewalDocument(order.AutoRenewal)
	switch {
	case order.Status != acme.OrderValid:
	case order.AutoRenewal != nil:
		doc.StarCertificate = dir.starURL(order.ID)
	default:
		doc.Certificate = dir.certificateURL(order.Certificate, 0)
	}
	return doc
}

// newOrder asks for an order (RFC 8555 §7.4).
func (w *WFE) newOrder(r *request) (*response, error) {
	var payload struct {
		Identifiers []requestedIdentifier `json:"identifiers"`
		NotBefore   string                `json:"notBefore"`
		NotAfter    string                `json:"notAfter"`
		Profile     string                `json:"profile"`
		Replaces    string                `json:"replaces"`
		AutoRenewal *autoRenewalDocument  `json:"auto-renewal"`
	}
	if err := readPayload(r, &payload); err != nil {
		return nil, err
	}
	identifiers, ancestors, err := parseIdentifiers(payload.Identifiers)
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
	var replaces acme.CertID
	if payload.Replaces != "" {
		if replaces, err = acme.ParseCertID(payload.Replaces); err != nil {
			return nil, err
		}
	}
	autoRenewal, err := payload.AutoRenewal.parse()
	if err != nil {
		return nil, err
	}
	order, err := w.RA.NewOrder(r.Context(), ra.NewOrder{
		Account: r.account, Identifiers: identifiers, Ancestors: ancestors, Profile: payload.Profile,
		NotBefore: notBefore, NotAfter: notAfter, Replaces: replaces, AutoRenewal: autoRenewal,
		Client: clientAddr(r.Request),
	})
	if err != nil {
		return nil, err
	}
	return &response{status: http.StatusCreated, location: r.dir.orderURL(order.ID), body: newOrderDocument(r.dir, order)}, nil
}

// maxIdentifiers bounds the work on one newOrder before any policy is asked.
const maxIdentifiers = 1000

// parseIdentifiers reads the identifiers of an order, and the ancestors that
// some name; what is wrong with each becomes a subproblem (RFC 8555 §6.7.1).
func parseIdentifiers(docs []requestedIdentifier) ([]acme.Identifier, map[acme.Identifier]acme.Identifier, error) {
	if len(docs) > maxIdentifiers {
		return nil, nil, malformed("an order has at most %d identifiers", maxIdentifiers)
	}
	var ids []acme.Identifier
	var ancestors map[acme.Identifier]acme.Identifier
	var problems []*acme.Problem
	for _, doc := range docs {
		id, err := acme.ParseIdentifier(doc.Type, doc.Value)
		var ancestor acme.Identifier
		if err == nil && doc.AncestorDomain != "" {
			ancestor, err = acme.ParseIdentifier(acme.IdentifierDNS, doc.AncestorDomain)
		}
		var p *acme.Problem
		switch {
		case errors.As(err, &p):
			problems = append(problems, p)
			continue
		case err != nil:
			return nil, nil, err
		}
		ids = append(ids, id)
		if !ancestor.IsZero() {
			if ancestors == nil {
				ancestors = make(map[acme.Identifier]acme.Identifier)
			}
			ancestors[id] = ancestor
		}
	}
	if p := acme.Combine(problems); p != nil {
		return nil, nil, p
	}
	return ids, ancestors, nil
}

// order reads an order (RFC 8555 §7.4) or cancels one that renews itself
// (RFC 8739 §3.1.2).
func (w *WFE) order(r *request) (*response, error) {
	order, err := w.ownOrder(r)
	if err != nil {
		return nil, err
	}
	if !r.asGet() {
		if order, err = w.cancelOrder(r, order); err != nil {
			return nil, err
		}
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
		CSR      string                      `json:"csr"`
		OnionCAA map[string]onionCAADocument `json:"onionCAA"` // RFC 9799 §6.4
	}
	if err := readPayload(r, &payload); err != nil {
		return nil, err
	}
	csr, err := decodeBase64(payload.CSR)
	if err != nil || len(csr) == 0 {
		return nil, acme.NewProblem(acme.BadCSR, "\"csr\" must be the base64url of a PKCS#10 request in DER, without padding")
	}
	onionCAA, err := parseOnionCAA(payload.OnionCAA)
	if err != nil {
		return nil, err
	}
	order, err := w.RA.FinalizeOrder(r.Context(), ra.FinalizeOrder{Account: r.account, Order: id, CSR: csr, OnionCAA: onionCAA})
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
