package ra

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// RevokeCertificate implements Authority (RFC 8555 §7.6).
func (r *RA) RevokeCertificate(ctx context.Context, req RevokeCertificate) error {
	reason := acme.ReasonUnspecified
	if req.Reason != nil {
		reason = *req.Reason
	}
	if !slices.Contains(acme.SubscriberReasons, reason) {
		return badReason(reason)
	}
	parsed, cert, err := r.issued(ctx, req.DER)
	if err != nil {
		return err
	}
	if err := r.checkRevocable(ctx, cert); err != nil {
		return err
	}
	by, err := r.mayRevoke(ctx, req, parsed, cert)
	if err != nil {
		return err
	}
	revocation := acme.Revocation{
		Serial: cert.Serial, Issuer: cert.Issuer, CRLShard: cert.CRLShard,
		At: r.Now(), Reason: reason, NotAfter: cert.NotAfter, By: by,
	}
	if req.ByKey && reason == acme.ReasonKeyCompromise {
		// The request proves that its sender has the key. Blocked first: a
		// crash in between leaves a key blocked that is known to be lost.
		if err := r.blockKey(ctx, parsed, by); err != nil {
			return err
		}
	}
	err = r.Store.Revoke(ctx, revocation)
	if errors.Is(err, sa.ErrConflict) {
		return acme.NewProblem(acme.AlreadyRevoked, "the certificate is revoked already")
	}
	if err != nil {
		return fmt.Errorf("revoking %s: %w", cert.Serial, err)
	}
	r.metrics.revocations.WithLabelValues(reason.String()).Inc()
	r.Audit.LogAttrs(ctx, slog.LevelInfo, "certificate revoked",
		slog.String("serial", cert.Serial.String()), slog.String("reason", reason.String()), slog.String("by", by))
	return nil
}

func badReason(reason acme.RevocationReason) error {
	allowed := make([]string, len(acme.SubscriberReasons))
	for i, a := range acme.SubscriberReasons {
		allowed[i] = fmt.Sprintf("%d (%s)", int(a), a)
	}
	what := "is not defined by RFC 5280 §5.3.1"
	if reason.Registered() {
		what = fmt.Sprintf("(%s) is not for subscribers to give", reason)
	}
	return acme.NewProblem(acme.BadRevocationReason, "reason %d %s; the reasons accepted here are %s", int(reason), what, strings.Join(allowed, ", "))
}

// issued finds the certificate, or precertificate, that a request holds byte
// for byte.
func (r *RA) issued(ctx context.Context, der []byte) (*x509.Certificate, acme.Certificate, error) {
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, acme.Certificate{}, acme.NewProblem(acme.Malformed, "\"certificate\" is not the base64url of a certificate in DER")
	}
	unknown := acme.NewProblem(acme.Malformed, "this CA has not issued that certificate").WithStatus(404)
	serial, err := acme.SerialFromBig(parsed.SerialNumber)
	if err != nil {
		return nil, acme.Certificate{}, unknown
	}
	cert, err := r.Store.Certificate(ctx, serial)
	if errors.Is(err, sa.ErrNotFound) || err == nil && !bytes.Equal(cert.DER, der) && !bytes.Equal(cert.Precertificate, der) {
		return nil, acme.Certificate{}, unknown
	}
	if err != nil {
		return nil, acme.Certificate{}, fmt.Errorf("reading certificate %s: %w", serial, err)
	}
	return parsed, cert, nil
}

// checkRevocable refuses to revoke a certificate that renews itself: it is
// ended by canceling its order (RFC 8739 §3.1.3).
func (r *RA) checkRevocable(ctx context.Context, cert acme.Certificate) error {
	if !r.renewing() || cert.Order.IsZero() {
		return nil
	}
	order, err := r.Store.Order(ctx, cert.Order)
	if err != nil {
		return fmt.Errorf("reading order %s: %w", cert.Order, err)
	}
	if order.AutoRenewal != nil {
		return acme.NewProblem(acme.AutoRenewalRevocation, "certificates that renew themselves are not revoked; cancel their order")
	}
	return nil
}

// mayRevoke decides whether the sender may revoke the certificate, and says
// who it is.
func (r *RA) mayRevoke(ctx context.Context, req RevokeCertificate, parsed *x509.Certificate, cert acme.Certificate) (string, error) {
	if req.ByKey {
		return "certificate key", nil
	}
	by := "account " + req.Account.ID.String()
	if cert.Account == req.Account.ID && !cert.Account.IsZero() {
		return by, nil
	}
	names, err := identifiers(parsed)
	if err != nil {
		return "", err
	}
	held, err := r.Store.ReusableAuthorizations(ctx, sa.ReuseQuery{Account: req.Account.ID, Identifiers: names, ValidUntil: r.Now()})
	if err != nil {
		return "", fmt.Errorf("looking for authorizations: %w", err)
	}
	if len(names) == 0 || len(held) < len(names) {
		return "", acme.NewProblem(acme.Unauthorized, "this account did not order the certificate and holds valid authorizations for %d of its %d names; sign with the ordering account or the certificate's key, or authorize the rest first", len(held), len(names))
	}
	return by, nil
}

// identifiers are the names in a certificate of ours.
func identifiers(cert *x509.Certificate) ([]acme.Identifier, error) {
	var ids []acme.Identifier
	for _, name := range cert.DNSNames {
		id, err := acme.ParseIdentifier(acme.IdentifierDNS, name)
		if err != nil {
			return nil, fmt.Errorf("reading the names of certificate %x: %w", cert.SerialNumber, err)
		}
		ids = append(ids, id)
	}
	for _, ip := range cert.IPAddresses {
		addr, ok := netip.AddrFromSlice(ip)
		if !ok {
			return nil, fmt.Errorf("certificate %x has an address of %d octets", cert.SerialNumber, len(ip))
		}
		ids = append(ids, acme.IdentifierFromIP(addr))
	}
	return acme.UniqueIdentifiers(append(ids, acme.DevicesIn(cert)...)), nil
}

func (r *RA) blockKey(ctx context.Context, cert *x509.Certificate, by string) error {
	hashes, err := key.SPKIHashes(cert.PublicKey, cert.RawSubjectPublicKeyInfo)
	if err != nil {
		return err
	}
	for _, hash := range hashes {
		err := r.Store.BlockKey(ctx, sa.BlockedKey{
			SPKISHA256: hash, At: r.Now(), By: by,
			Comment: fmt.Sprintf("revoked certificate %x for keyCompromise", cert.SerialNumber),
		})
		if err != nil {
			return fmt.Errorf("blocking a compromised key: %w", err)
		}
	}
	return nil
}
