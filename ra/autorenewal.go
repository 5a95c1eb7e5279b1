package ra

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// AutoRenewalPolicy bounds the certificates that renew themselves (RFC 8739
// §3.2).
type AutoRenewalPolicy struct {
	// MinLifetime is the shortest life of one certificate.
	MinLifetime time.Duration
	// MaxDuration is the longest time from the first certificate to the end.
	MaxDuration time.Duration
	// AllowGet lets clients ask that anyone can fetch the certificate.
	AllowGet bool
}

// checkAutoRenewal holds the auto-renewal object of an order to RFC 8739
// §3.1.1 and the directory's policy.
func (d Directory) checkAutoRenewal(profile Profile, req NewOrder, now time.Time) error {
	a := req.AutoRenewal
	bad := func(format string, args ...any) error {
		return acme.NewProblem(acme.Malformed, "auto-renewal: "+format, args...)
	}
	start := a.Start
	if start.IsZero() {
		start = now
	}
	switch {
	case d.AutoRenewal == nil:
		return bad("this directory does not renew certificates by itself; order without it")
	case !req.NotBefore.IsZero() || !req.NotAfter.IsZero():
		return bad("\"notBefore\" and \"notAfter\" can't go with it (RFC 8739 §3.1.1)")
	case slices.ContainsFunc(req.Identifiers, acme.Identifier.IsOnion):
		return bad("the CAA records of an onion service are needed for each certificate (RFC 9799 §6.4), so its certificates can't renew by themselves; order without it")
	case !a.Start.IsZero() && a.Start.Before(now.Add(-time.Hour)):
		return bad("\"start-date\" is past")
	case a.Start.After(now.Add(24 * time.Hour)):
		return bad("\"start-date\" is more than a day ahead")
	case a.End.IsZero() || !a.End.After(start):
		return bad("\"end-date\" is needed, and must be later than the start")
	case a.End.Sub(start) > d.AutoRenewal.MaxDuration:
		return bad("it lasts %s at most; ask for an earlier \"end-date\"", days(d.AutoRenewal.MaxDuration))
	case a.Lifetime < d.AutoRenewal.MinLifetime:
		return bad("\"lifetime\" is at least %d seconds", int(d.AutoRenewal.MinLifetime/time.Second))
	case a.Adjust < 0 || a.Adjust > a.Lifetime:
		return bad("\"lifetime-adjust\" is between 0 and \"lifetime\"")
	case a.Lifetime+a.Adjust > profile.Validity:
		return bad("the profile %q issues for at most %s; ask for a shorter \"lifetime\"", profile.Name, days(profile.Validity))
	case a.AllowGet && !d.AutoRenewal.AllowGet:
		return bad("this directory hands certificates out to their account only; leave \"allow-certificate-get\" out")
	}
	return nil
}

// firstRenewal makes the issuance of an auto-renewal order the first of its
// certificates.
func firstRenewal(issuance *ca.Request, a *acme.AutoRenewal, now time.Time) {
	start := now
	if a.Start.After(now) {
		start = a.Start
	}
	issuance.AutoRenewal = &ca.AutoRenewal{Next: nextRenewal(a, start)}
	issuance.NotBefore, issuance.NotAfter = renewalPeriod(a, start)
}

// renewalPeriod is the validity of the certificate that begins to serve at
// start.
func renewalPeriod(a *acme.AutoRenewal, start time.Time) (notBefore, notAfter time.Time) {
	notAfter = start.Add(a.Lifetime)
	if notAfter.After(a.End) {
		notAfter = a.End // RFC 8739 §3.1.1: never beyond the end
	}
	return start.Add(-a.Adjust), notAfter
}

// nextRenewal is when the certificate after the one that begins at start is
// due: RFC 8739 §3.3 wants it when half of the lifetime is over. Zero: the
// one that begins at start lasts to the end.
func nextRenewal(a *acme.AutoRenewal, start time.Time) time.Time {
	if !start.Add(a.Lifetime).Before(a.End) {
		return time.Time{}
	}
	return start.Add(a.Lifetime / 2)
}

// CancelOrder implements Authority (RFC 8739 §3.1.2).
func (r *RA) CancelOrder(ctx context.Context, account, id acme.ID) (acme.Order, error) {
	order, err := r.Store.Order(ctx, id)
	if errors.Is(err, sa.ErrNotFound) || err == nil && order.Account != account {
		return acme.Order{}, notYours("order")
	}
	if err != nil {
		return acme.Order{}, fmt.Errorf("reading order %s: %w", id, err)
	}
	invalid := acme.NewProblem(acme.AutoRenewalCancellationInvalid, "only a valid auto-renewal order can be canceled; this one is %s", order.Status)
	if order.AutoRenewal == nil {
		return acme.Order{}, acme.NewProblem(acme.AutoRenewalCancellationInvalid, "this order does not renew itself and can't be canceled")
	}
	if order.Status != acme.OrderValid {
		return acme.Order{}, invalid
	}
	canceled, err := r.Store.CancelOrder(ctx, id, r.Now())
	if errors.Is(err, sa.ErrConflict) {
		return acme.Order{}, invalid
	}
	if err != nil {
		return acme.Order{}, fmt.Errorf("canceling order %s: %w", id, err)
	}
	r.Audit.LogAttrs(ctx, slog.LevelInfo, "auto-renewal canceled", slog.String("order", id.String()), slog.String("account", account.String()))
	return canceled, nil
}

// renewalLease is how long one renewal may take before another process tries.
const renewalLease = time.Minute

// renew issues the certificates that are due. One that fails keeps its lease
// until it lapses, and is tried again then.
func (r *RA) renew(ctx context.Context) error {
	due, err := r.Store.ClaimRenewals(ctx, sa.Claim{Owner: r.owner, LeaseUntil: r.Now().Add(renewalLease), Limit: claimLimit})
	if err != nil {
		return fmt.Errorf("claiming renewals: %w", err)
	}
	var failures []error
	for _, order := range due {
		if err := r.renewOrder(ctx, order); err != nil {
			failures = append(failures, fmt.Errorf("renewing the certificate of order %s: %w", order.ID, err))
		}
	}
	return errors.Join(failures...)
}

func (r *RA) renewOrder(ctx context.Context, order acme.Order) error {
	account, err := r.Store.Account(ctx, order.Account)
	if err != nil {
		return fmt.Errorf("reading account %s: %w", order.Account, err)
	}
	dir, err := r.directory(account.Directory)
	if err != nil {
		return err
	}
	if err := r.proveAgain(ctx, account, order); err != nil {
		return err
	}
	if err := r.recheckCAA(ctx, dir, account, order, nil); err != nil {
		return err
	}
	// The plan goes on from when the certificate was due, not from now: a
	// late start must not make the certificates drift apart.
	a := order.AutoRenewal
	start := a.Next
	if now := r.Now(); start.Add(a.Lifetime / 2).Before(now) {
		start = now // so late that the plan has no certificate for now
	}
	notBefore, notAfter := renewalPeriod(a, start)
	_, err = r.CA.Issue(ctx, ca.Request{
		Account: order.Account, Order: order.ID, Profile: order.Profile, Identifiers: order.Identifiers, CSR: a.CSR,
		AccountKeyThumbprint: account.Key.Thumbprint(), NotBefore: notBefore, NotAfter: notAfter, Wait: r.TryTimeout,
		AutoRenewal: &ca.AutoRenewal{Renewal: true, Owner: r.owner, Next: nextRenewal(a, start)},
	})
	return err
}
