package wfe

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/ra"
	"github.com/cairn-ca/cairn/sa"
)

// renewalRetryAfter is when a client should ask again. It is sent with every
// answer: without it clients take the answer for a failure (RFC 9773 §4.3).
const renewalRetryAfter = 6 * time.Hour

// renewalInfo says when a certificate should be renewed (RFC 9773 §4.2). It
// is a plain GET: nothing in the answer is the account's alone.
func (w *WFE) renewalInfo(r *request) (*response, error) {
	id, err := acme.ParseCertID(r.param("certid"))
	if err != nil {
		return nil, err
	}
	cert, err := w.certificateByID(r, id)
	if err != nil {
		return nil, err
	}
	var ordered *sa.RenewalOrder
	found, err := w.Store.RenewalOrder(r.Context(), cert)
	switch {
	case err == nil:
		ordered = &found
	case !errors.Is(err, sa.ErrNotFound):
		return nil, fmt.Errorf("looking for renewal orders: %w", err)
	}
	window := ra.SuggestRenewal(cert, ordered, w.Now())
	return &response{
		retryAfter: renewalRetryAfter,
		body: renewalInfoDocument{
			SuggestedWindow: windowDocument{timestamp(window.Start), timestamp(window.End)},
			ExplanationURL:  found.ExplanationURL,
		},
	}, nil
}

// renewalInfoDocument is a RenewalInfo object (RFC 9773 §4.2).
type renewalInfoDocument struct {
	SuggestedWindow windowDocument `json:"suggestedWindow"`
	ExplanationURL  string         `json:"explanationURL,omitempty"`
}

type windowDocument struct {
	Start string `json:"start"`
	End   string `json:"end"`
}

// certificateByID finds the certificate that a CertID names, both of its
// parts.
func (w *WFE) certificateByID(r *request, id acme.CertID) (acme.Certificate, error) {
	cert, err := w.Store.Certificate(r.Context(), id.Serial())
	if errors.Is(err, sa.ErrNotFound) || err == nil && cert.DER == nil {
		return acme.Certificate{}, noSuch("certificate")
	}
	if err != nil {
		return acme.Certificate{}, fmt.Errorf("reading certificate %s: %w", id.Serial(), err)
	}
	parsed, err := x509.ParseCertificate(cert.DER)
	if err != nil {
		return acme.Certificate{}, fmt.Errorf("parsing certificate %s: %w", id.Serial(), err)
	}
	if !bytes.Equal(parsed.AuthorityKeyId, id.AuthorityKeyID()) {
		return acme.Certificate{}, noSuch("certificate")
	}
	return cert, nil
}
