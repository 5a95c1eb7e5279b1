package audit

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// certificate audits one certificate. The error is the store's or Found's: what
// is wrong with the certificate is a finding.
func (a *auditor) certificate(ctx context.Context, cert acme.Certificate) error {
	if !a.Since.IsZero() && cert.RecordedAt.Before(a.Since) || !a.Until.IsZero() && !cert.RecordedAt.Before(a.Until) {
		return nil
	}
	if cert.Signed() == nil {
		a.result.Unsigned++
		return nil
	}
	a.result.Checked++
	order, err := a.order(ctx, cert)
	if err != nil {
		return err
	}
	issuer := a.issuers[cert.Issuer]
	if issuer == nil {
		return a.found(cert.Serial, false, ca.CheckSignature, "the store does not know its issuer %s", cert.Issuer)
	}
	var ids []acme.Identifier
	if order != nil {
		ids = order.Identifiers
	}
	parsed, deviations := a.Inspector.Inspect(cert, issuer, ids)
	for _, d := range deviations {
		if err := a.found(cert.Serial, false, d.Check, "%s", d.Detail); err != nil {
			return err
		}
	}
	if parsed != nil {
		if err := a.key(ctx, cert, parsed); err != nil {
			return err
		}
	}
	if order != nil {
		return a.authorizations(ctx, cert, *order)
	}
	return nil
}

// isOwn tells whether a certificate is the CA's own, which no order led to.
func isOwn(cert acme.Certificate) bool {
	return cert.Profile == ca.ServiceProfile || cert.Profile == ca.OCSPSignerProfile
}

// order reads the order that a certificate was issued for; nil: there is none.
func (a *auditor) order(ctx context.Context, cert acme.Certificate) (*acme.Order, error) {
	fail := func(format string, args ...any) error {
		return a.found(cert.Serial, false, CheckOrder, format, args...)
	}
	switch {
	case isOwn(cert) && (!cert.Order.IsZero() || !cert.Account.IsZero()):
		return nil, fail("a certificate of the CA's own belongs to an order or an account")
	case isOwn(cert):
		return nil, nil
	case cert.Order.IsZero() || cert.Account.IsZero():
		return nil, fail("it belongs to no order or no account, and is not the CA's own")
	}
	order, err := a.Store.Order(ctx, cert.Order)
	if errors.Is(err, sa.ErrNotFound) {
		return nil, fail("its order %s is not there", cert.Order)
	}
	if err != nil {
		return nil, fmt.Errorf("reading order %s: %w", cert.Order, err)
	}
	var wrong []error
	if order.Account != cert.Account {
		wrong = append(wrong, fail("its order %s is account %s's, not account %s's", order.ID, order.Account, cert.Account))
	}
	if order.Certificate != cert.Serial && order.AutoRenewal == nil {
		wrong = append(wrong, fail("its order %s led to another certificate, %s", order.ID, order.Certificate))
	}
	if order.Profile != cert.Profile {
		wrong = append(wrong, fail("its order %s is for profile %q, not %q", order.ID, order.Profile, cert.Profile))
	}
	if len(order.Identifiers) == 0 {
		wrong = append(wrong, fail("its order %s has no identifiers", order.ID))
	}
	return &order, errors.Join(wrong...)
}

// key audits what is known of a certificate's key beyond its form.
func (a *auditor) key(ctx context.Context, cert acme.Certificate, parsed *x509.Certificate) error {
	hashes, err := key.SPKIHashes(parsed.PublicKey, parsed.RawSubjectPublicKeyInfo)
	if err != nil {
		return a.found(cert.Serial, false, ca.CheckKey, "%v", err)
	}
	expired := !cert.NotAfter.After(a.Now())
	for _, hash := range hashes {
		if expired || cert.Revocation != nil {
			break
		}
		blocked, err := a.Store.KeyBlocked(ctx, hash)
		if err != nil {
			return err
		}
		if blocked {
			if err := a.found(cert.Serial, false, CheckBlockedKey, "its key is blocked, and it is neither revoked nor expired"); err != nil {
				return err
			}
			break
		}
	}
	if cert.Account.IsZero() {
		return nil
	}
	if err := a.account(ctx, cert, parsed); err != nil || expired {
		return err
	}
	return a.shared(cert, hashes[len(hashes)-1])
}

func (a *auditor) account(ctx context.Context, cert acme.Certificate, parsed *x509.Certificate) error {
	account, err := a.Store.Account(ctx, cert.Account)
	if errors.Is(err, sa.ErrNotFound) {
		return a.found(cert.Serial, false, CheckAccount, "its account %s is not there", cert.Account)
	}
	if err != nil {
		return fmt.Errorf("reading account %s: %w", cert.Account, err)
	}
	own, err := acme.AccountKeyOf(parsed.PublicKey)
	if err == nil && own.Thumbprint() == account.Key.Thumbprint() {
		return a.found(cert.Serial, false, CheckAccount, "its key is the key of its account %s (RFC 8555 §11.1)", cert.Account)
	}
	return nil
}

// shared remembers whose the key is. Nothing forbids that two accounts hold one
// key, which each proved with its CSR; it is worth a look.
func (a *auditor) shared(cert acme.Certificate, hash [32]byte) error {
	k := [16]byte(hash[:])
	holder, known := a.keys[k]
	switch {
	case known && holder != cert.Account:
		return a.found(cert.Serial, true, CheckSharedKey, "its key is also in a certificate of account %s", holder)
	case !known && len(a.keys) < a.MaxKeys:
		a.keys[k] = cert.Account
	}
	return nil
}
