package ca

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
)

// serviceValidity is how long certificates of Cairn's own listeners are
// valid; they renew themselves.
const serviceValidity = 30 * 24 * time.Hour

// ServiceCertificate implements Authority.
func (c *CA) ServiceCertificate(ctx context.Context, csr []byte) ([][]byte, error) {
	if len(c.ServiceNames) == 0 {
		return nil, errors.New("no names are configured for service certificates")
	}
	if len(csr) > maxCSR {
		return nil, fmt.Errorf("the request is larger than %d octets", maxCSR)
	}
	parsed, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, fmt.Errorf("parsing the request for a service certificate: %w", err)
	}
	keyType, err := key.Check(parsed.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("the key of a service certificate: %w", err)
	}
	if err := parsed.CheckSignature(); err != nil {
		return nil, fmt.Errorf("checking the request for a service certificate: %w", err)
	}
	lost, err := c.lost(ctx, parsed.PublicKey, parsed.RawSubjectPublicKeyInfo)
	if err != nil {
		return nil, fmt.Errorf("the key of a service certificate: %w", err)
	}
	if lost != "" {
		return nil, fmt.Errorf("the key of a service certificate %s; make a new key", lost)
	}
	p := c.profiles[ServiceProfile]
	t := p.templateFor(keyType)
	notBefore, notAfter, err := p.Period(c.Now(), time.Time{}, time.Time{})
	if err != nil {
		return nil, err
	}
	cert, err := c.build(ctx, p, t, leaf{
		notBefore: notBefore, notAfter: notAfter, identifiers: acme.UniqueIdentifiers(c.ServiceNames),
		public: parsed.PublicKey, spki: parsed.RawSubjectPublicKeyInfo,
	})
	if err != nil {
		return nil, err
	}
	der, err := c.issueOwn(ctx, cert)
	if err != nil {
		return nil, err
	}
	return append([][]byte{der}, t.issuer.chains[0]...), nil
}

// issueOwn records, signs and stores a certificate of the CA's own.
func (c *CA) issueOwn(ctx context.Context, cert acme.Certificate) ([]byte, error) {
	work, err := c.recordIssuance(ctx, cert, Request{})
	if err != nil {
		return nil, err
	}
	if err := c.sign(ctx, work.issuer, cert); err != nil {
		return nil, err
	}
	stored, err := c.Store.Certificate(ctx, cert.Serial)
	if err != nil {
		return nil, fmt.Errorf("reading certificate %s back: %w", cert.Serial, err)
	}
	return stored.DER, nil
}
