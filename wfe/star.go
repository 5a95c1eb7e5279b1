package wfe

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// autoRenewalDocument is an auto-renewal object (RFC 8739 §3.1.1). Lifetimes
// are seconds.
type autoRenewalDocument struct {
	StartDate           string `json:"start-date,omitempty"`
	EndDate             string `json:"end-date"`
	Lifetime            int64  `json:"lifetime"`
	LifetimeAdjust      int64  `json:"lifetime-adjust,omitempty"`
	AllowCertificateGet bool   `json:"allow-certificate-get,omitempty"`
}

func newAutoRenewalDocument(a *acme.AutoRenewal) *autoRenewalDocument {
	if a == nil {
		return nil
	}
	return &autoRenewalDocument{
		StartDate: timestamp(a.Start), EndDate: timestamp(a.End),
		Lifetime: wholeSeconds(a.Lifetime), LifetimeAdjust: wholeSeconds(a.Adjust),
		AllowCertificateGet: a.AllowGet,
	}
}

func wholeSeconds(d time.Duration) int64 { return int64(d / time.Second) }

// maxSeconds keeps what a client sent within a time.Duration.
const maxSeconds = 100 * 365 * 24 * 3600

// parse reads the object; nil for nil.
func (d *autoRenewalDocument) parse() (*acme.AutoRenewal, error) {
	if d == nil {
		return nil, nil
	}
	start, err := parseTimestamp("start-date", d.StartDate)
	if err != nil {
		return nil, err
	}
	end, err := parseTimestamp("end-date", d.EndDate)
	if err != nil {
		return nil, err
	}
	if d.Lifetime <= 0 || d.Lifetime > maxSeconds || d.LifetimeAdjust < 0 || d.LifetimeAdjust > maxSeconds {
		return nil, malformed("auto-renewal: \"lifetime\" and \"lifetime-adjust\" are seconds, and \"lifetime\" is needed")
	}
	return &acme.AutoRenewal{
		Start: start, End: end,
		Lifetime: time.Duration(d.Lifetime) * time.Second, Adjust: time.Duration(d.LifetimeAdjust) * time.Second,
		AllowGet: d.AllowCertificateGet,
	}, nil
}

// cancelOrder ends the renewals of an order (RFC 8739 §3.1.2): the only thing
// that a client can change of an order.
func (w *WFE) cancelOrder(r *request, order acme.Order) (acme.Order, error) {
	var payload struct {
		Status acme.OrderStatus `json:"status"`
	}
	if err := readPayload(r, &payload); err != nil {
		return acme.Order{}, err
	}
	if payload.Status != acme.OrderCanceled {
		return acme.Order{}, malformed("an order is read with POST-as-GET, with an empty payload; the only change that a client can make is \"status\": \"canceled\", of an auto-renewal order")
	}
	return w.RA.CancelOrder(r.Context(), r.account.ID, order.ID)
}

// starCertificate hands out the current certificate of an auto-renewal order
// (RFC 8739 §3.3): to its account or, where it was agreed, to anyone.
func (w *WFE) starCertificate(r *request) (*response, error) {
	order, err := w.starOrder(r)
	if err != nil {
		return nil, err
	}
	switch {
	case order.Status == acme.OrderCanceled:
		return nil, acme.NewProblem(acme.AutoRenewalCanceled, "the renewals of this order were canceled")
	case !w.Now().Before(order.AutoRenewal.End):
		return nil, acme.NewProblem(acme.AutoRenewalExpired, "the renewals of this order ended at %s", timestamp(order.AutoRenewal.End))
	case order.Status != acme.OrderValid:
		return nil, noSuch("certificate")
	}
	cert, err := w.Store.Certificate(r.Context(), order.Certificate)
	if err != nil {
		return nil, fmt.Errorf("reading certificate %s: %w", order.Certificate, err)
	}
	resp, err := w.serveCertificate(r, cert, func(n int) string { return r.dir.certificateURL(cert.Serial, n) })
	if err != nil {
		return nil, err
	}
	resp.notBefore, resp.notAfter = cert.NotBefore, cert.NotAfter
	return resp, nil
}

// starOrder finds the order, if who asks may have its certificate.
func (w *WFE) starOrder(r *request) (acme.Order, error) {
	if r.Method == http.MethodPost {
		if err := r.onlyAsGet(); err != nil {
			return acme.Order{}, err
		}
		order, err := w.ownOrder(r)
		if err == nil && order.AutoRenewal == nil {
			err = noSuch("certificate")
		}
		return order, err
	}
	id, err := acme.ParseID(r.param("id"))
	if err != nil {
		return acme.Order{}, noSuch("certificate")
	}
	order, err := w.Store.Order(r.Context(), id)
	switch {
	case errors.Is(err, sa.ErrNotFound):
		return acme.Order{}, noSuch("certificate")
	case err != nil:
		return acme.Order{}, fmt.Errorf("reading order %s: %w", id, err)
	case order.AutoRenewal == nil || !order.AutoRenewal.AllowGet:
		return acme.Order{}, acme.NewProblem(acme.Malformed, "this certificate is for its account alone: use POST-as-GET").WithStatus(http.StatusMethodNotAllowed)
	}
	return order, nil
}
