package ca

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

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
	until := c.Now().Add(lease)
	claimed, err := c.Store.ClaimIssuances(ctx, sa.Claim{Owner: c.owner, LeaseUntil: until, Limit: claimLimit})
	if err != nil {
		return errors.Join(waited, err)
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
