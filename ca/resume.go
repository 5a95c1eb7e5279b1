package ca

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// resume signs what another process, or this one before a failure, recorded
// and did not sign, and gives up what must not be signed any more.
func (c *CA) resume(ctx context.Context) error {
	if !c.available() {
		return nil // to claim what can't be signed would keep it from others
	}
	waited := c.signWaiting(ctx)
	lease := c.lease()
	if c.CT != nil {
		lease += c.CT.Timeout
	}
	until := c.Now().Add(lease)
	claimed, err := c.Store.ClaimIssuances(ctx, sa.Claim{Owner: c.owner, LeaseUntil: until, Limit: claimLimit})
	if err != nil {
		return errors.Join(waited, err)
	}
	var logged []acme.Certificate
	if logged, claimed = partition(claimed, unlogged); len(logged) > 0 {
		c.resumeLogged(ctx, logged, until)
	}
	ctx, cancel := context.WithTimeout(ctx, lease)
	defer cancel()
	failures := []error{waited}
	for _, cert := range claimed {
		if !c.Now().Before(until) {
			break // the rest is anybody's again
		}
		failures = append(failures, c.resumeOne(ctx, cert, until))
	}
	return errors.Join(failures...)
}

// partition divides a list in two: what a function is true of, and the rest.
func partition(list []acme.Certificate, is func(acme.Certificate) bool) (yes, no []acme.Certificate) {
	for _, cert := range list {
		if is(cert) {
			yes = append(yes, cert)
		} else {
			no = append(no, cert)
		}
	}
	return yes, no
}

func (c *CA) resumeOne(ctx context.Context, cert acme.Certificate, until time.Time) error {
	why, err := c.tooLate(ctx, cert)
	if err != nil {
		return err
	}
	if why != "" {
		return c.giveUp(ctx, cert, why)
	}
	iss, err := c.issuer(cert.Issuer)
	if err != nil {
		// Another process may have it, and takes the work up when the lease
		// has lapsed; if none does, it is given up when it is too late.
		c.Logger.LogAttrs(ctx, slog.LevelWarn, "a recorded certificate is left to a process that has its issuer's key",
			slog.String("serial", cert.Serial.String()), slog.Any("error", err))
		return nil
	}
	return c.signLeased(ctx, leased{iss, cert, until})
}

// available tells whether the key of any issuer can be used.
func (c *CA) available() bool {
	return slices.ContainsFunc(c.issuers, func(iss *issuer) bool { return iss.available() == nil })
}

// tooLate tells why a recorded certificate must not be signed any more; empty:
// it may be.
func (c *CA) tooLate(ctx context.Context, cert acme.Certificate) (string, error) {
	now := c.Now()
	switch {
	case !now.Before(cert.NotAfter):
		return "its validity is over", nil
	case now.Sub(cert.NotBefore) > maxBackdate:
		// Baseline Requirements §7.1.2.7.
		return "its notBefore is more than 48 hours ago", nil
	case unlogged(cert) && now.Sub(cert.RecordedAt) > c.CTRetryFor:
		return "Certificate Transparency logs did not answer", nil
	}
	if blocked, err := c.blockedSince(ctx, cert); err != nil || blocked {
		return "its key was blocked in the meantime", err
	}
	if _, err := c.issuer(cert.Issuer); err == nil {
		return "", nil
	}
	// Every process tells the store about the issuers that it has a key of.
	_, err := c.Store.Issuer(ctx, cert.Issuer)
	if errors.Is(err, sa.ErrNotFound) {
		return "its issuer is not known any more", nil
	}
	if err != nil {
		return "", fmt.Errorf("looking for the issuer of certificate %s: %w", cert.Serial, err)
	}
	return "", nil
}

// blockedSince tells whether the key of a recorded certificate is blocked by
// now.
func (c *CA) blockedSince(ctx context.Context, cert acme.Certificate) (bool, error) {
	tbs, err := recordedTBS(cert)
	if err != nil {
		return false, fmt.Errorf("reading the recorded certificate %s: %w", cert.Serial, err)
	}
	spki, err := spkiOf(tbs)
	if err != nil {
		return false, fmt.Errorf("reading the recorded certificate %s: %w", cert.Serial, err)
	}
	public, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return false, fmt.Errorf("reading the key of the recorded certificate %s: %w", cert.Serial, err)
	}
	lost, err := c.lost(ctx, public, spki)
	if err != nil {
		return false, fmt.Errorf("the key of certificate %s: %w", cert.Serial, err)
	}
	return lost != "", nil
}

// spkiOf is the subject public key info of a to-be-signed certificate
// (RFC 5280 §4.1).
func spkiOf(tbs []byte) ([]byte, error) {
	in := cryptobyte.String(tbs)
	var fields, spki cryptobyte.String
	if !in.ReadASN1(&fields, cryptobyte_asn1.SEQUENCE) ||
		!fields.SkipOptionalASN1(cryptobyte_asn1.Tag(0).Constructed().ContextSpecific()) || // version
		!fields.SkipASN1(cryptobyte_asn1.INTEGER) || // serialNumber
		!fields.SkipASN1(cryptobyte_asn1.SEQUENCE) || // signature
		!fields.SkipASN1(cryptobyte_asn1.SEQUENCE) || // issuer
		!fields.SkipASN1(cryptobyte_asn1.SEQUENCE) || // validity
		!fields.SkipASN1(cryptobyte_asn1.SEQUENCE) || // subject
		!fields.ReadASN1Element(&spki, cryptobyte_asn1.SEQUENCE) {
		return nil, errors.New("it is no to-be-signed certificate")
	}
	return spki, nil
}

// giveUp ends an issuance without a certificate.
func (c *CA) giveUp(ctx context.Context, cert acme.Certificate, why string) error {
	problem := acme.NewProblem(acme.ServerInternal, "the certificate could not be signed in time (%s); create a new order", why)
	err := c.Store.FailIssuance(ctx, cert.Serial, problem)
	if errors.Is(err, sa.ErrConflict) {
		return nil // another process signed it or gave it up
	}
	if err != nil {
		return fmt.Errorf("giving up certificate %s: %w", cert.Serial, err)
	}
	c.metrics.issuances.WithLabelValues(c.label(cert.Profile), "failed").Inc()
	c.Audit.LogAttrs(ctx, slog.LevelWarn, "issuance given up",
		slog.String("serial", cert.Serial.String()), slog.String("issuer", cert.Issuer.String()),
		slog.String("profile", cert.Profile), slog.String("account", idOrNone(cert.Account)), slog.String("order", idOrNone(cert.Order)),
		slog.String("why", why), slog.Time("recorded", cert.RecordedAt.UTC().Truncate(time.Second)))
	return nil
}
