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

// NewOrder implements Authority (RFC 8555 §7.4).
func (r *RA) NewOrder(ctx context.Context, req NewOrder) (acme.Order, error) {
	dir, err := r.directory(req.Account.Directory)
	if err != nil {
		return acme.Order{}, err
	}
	if err := termsAgreed(dir, req.Account); err != nil {
		return acme.Order{}, err
	}
	profile, err := dir.profile(req.Profile)
	if err != nil {
		return acme.Order{}, err
	}
	identifiers, err := checkIdentifiers(dir, profile, req.Identifiers)
	if err != nil {
		return acme.Order{}, err
	}
	ancestors, err := checkAncestors(dir, identifiers, req.Ancestors)
	if err != nil {
		return acme.Order{}, err
	}
	if req.AutoRenewal != nil {
		err = dir.checkAutoRenewal(profile, req, r.Now())
	} else {
		err = checkValidity(profile, req, r.Now())
	}
	if err != nil {
		return acme.Order{}, err
	}
	order := acme.Order{
		Account: req.Account.ID, Profile: profile.Name, Identifiers: identifiers,
		NotBefore: req.NotBefore, NotAfter: req.NotAfter, AutoRenewal: req.AutoRenewal,
	}
	if !req.Replaces.IsZero() {
		// RFC 9773 §5: a replacement is exempt from rate limits.
		if err := r.checkReplaces(ctx, req, identifiers); err != nil {
			return acme.Order{}, err
		}
		order.Replaces = req.Replaces.String()
	} else if err := r.limited(r.limits.newOrder(req.Account.ID)); err != nil {
		return acme.Order{}, err
	}

	plan := orderPlan{dir: dir, order: order, ancestors: ancestors, reuse: dir.ReuseAuthorizations || dir.PreAuthorization}
	created, err := r.createOrder(ctx, plan)
	if errors.Is(err, sa.ErrConflict) {
		// A reused authorization ended, or the account did, since it was
		// read: without reuse, only the latter is left.
		plan.reuse = false
		created, err = r.createOrder(ctx, plan)
	}
	var replaced sa.ReplacedError
	if errors.As(err, &replaced) {
		return acme.Order{}, acme.NewProblem(acme.AlreadyReplaced, "another order replaces that certificate already; leave \"replaces\" out to order one more")
	}
	if errors.Is(err, sa.ErrConflict) {
		return acme.Order{}, acme.NewProblem(acme.Unauthorized, "the account is not valid any more").WithStatus(401)
	}
	if err != nil {
		return acme.Order{}, err
	}
	r.metrics.orders.WithLabelValues(profile.Name).Inc()
	r.Audit.LogAttrs(ctx, slog.LevelInfo, "order created",
		slog.String("order", created.ID.String()),
		slog.String("account", created.Account.String()),
		slog.String("profile", created.Profile),
		slog.Any("identifiers", created.Identifiers),
		slog.String("client", req.Client.String()))
	return created, nil
}

// termsAgreed refuses service to an account that has not agreed to the
// current terms (RFC 8555 §7.3.3).
func termsAgreed(dir Directory, account acme.Account) error {
	if dir.TermsOfService != "" && account.TermsOfService != dir.TermsOfService {
		return termsRequired(dir)
	}
	return nil
}

// checkIdentifiers holds the identifiers of an order to the directory's
// policy; it returns them sorted and without repetitions.
func checkIdentifiers(dir Directory, profile Profile, ids []acme.Identifier) ([]acme.Identifier, error) {
	ids = acme.UniqueIdentifiers(ids)
	switch {
	case len(ids) == 0:
		return nil, acme.NewProblem(acme.Malformed, "an order needs at least one identifier")
	case len(ids) > profile.MaxNames:
		return nil, acme.NewProblem(acme.Malformed, "an order with the profile %q has at most %d identifiers; this one has %d", profile.Name, profile.MaxNames, len(ids))
	}
	var problems []*acme.Problem
	for _, id := range ids {
		if p := dir.Policy.check(id, profile); p != nil {
			problems = append(problems, p)
		} else if id.IsOnion() && !dir.onionServices() {
			problems = append(problems, acme.NewProblem(acme.RejectedIdentifier, "this directory does not issue for onion services: it does not offer onion-csr-01").For(id))
		} else if len(dir.offered(id)) == 0 {
			problems = append(problems, acme.NewProblem(acme.RejectedIdentifier, "this directory offers no challenge that can prove control of it").For(id))
		}
	}
	if p := acme.Combine(problems); p != nil {
		return nil, p
	}
	return ids, nil
}

// checkValidity refuses an order whose validity period can't be met: the
// certificate must be what was asked for (RFC 8555 §7.4).
func checkValidity(profile Profile, req NewOrder, now time.Time) error {
	notBefore, notAfter := req.NotBefore, req.NotAfter
	if notBefore.IsZero() {
		notBefore = now
	}
	switch {
	case !req.NotBefore.IsZero() && req.NotBefore.Before(now.Add(-time.Hour)):
		return acme.NewProblem(acme.Malformed, "notBefore is more than an hour in the past")
	// Baseline Requirements §7.1.2.7: notBefore within 48 hours of signing.
	case !req.NotBefore.IsZero() && req.NotBefore.After(now.Add(24*time.Hour)):
		return acme.NewProblem(acme.Malformed, "notBefore is more than a day ahead")
	case !notAfter.IsZero() && !notAfter.After(notBefore):
		return acme.NewProblem(acme.Malformed, "notAfter must be later than notBefore and than now")
	case !notAfter.IsZero() && notAfter.Sub(notBefore) > profile.Validity:
		return acme.NewProblem(acme.Malformed, "the profile %q issues for at most %s; ask for an earlier notAfter", profile.Name, days(profile.Validity))
	}
	return nil
}

func days(d time.Duration) string {
	if d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return d.String()
}

// orderPlan is an order that was accepted and is to be stored.
type orderPlan struct {
	dir   Directory
	order acme.Order
	// ancestors are the names above some identifiers that are authorized in
	// their place.
	ancestors map[acme.Identifier]acme.Identifier
	reuse     bool
}

// createOrder gives the order its authorizations, those that can be reused
// and new ones for the rest, and stores it.
func (r *RA) createOrder(ctx context.Context, plan orderPlan) (acme.Order, error) {
	now, order := r.Now(), plan.order
	var err error
	if order.ID, err = acme.NewID(now, r.Random); err != nil {
		return acme.Order{}, err
	}
	order.CreatedAt = now
	order.Expires = now.Add(plan.dir.PendingLifetime)

	var usable []acme.Authorization
	if plan.reuse {
		usable, err = r.Store.ReusableAuthorizations(ctx, sa.ReuseQuery{
			Account: order.Account, Identifiers: reusable(order.Identifiers),
			// One that is about to end would leave no time to finalize.
			ValidUntil: now.Add(time.Hour), Pending: true, PendingUntil: now.Add(time.Hour), Except: validatedAnew,
		})
		if err != nil {
			return acme.Order{}, fmt.Errorf("looking for authorizations to reuse: %w", err)
		}
	}
	var created []acme.Authorization
	order.Status = acme.OrderReady
	for _, id := range order.Identifiers {
		authz, ok := covering(usable, id)
		if !ok {
			if authz, err = r.newAuthorization(plan.dir, order.Account, plan.wanted(id), now); err != nil {
				return acme.Order{}, err
			}
			created = append(created, authz)
			usable = append(usable, authz) // it may cover further identifiers
		}
		if slices.Contains(order.Authorizations, authz.ID) {
			continue
		}
		order.Authorizations = append(order.Authorizations, authz.ID)
		if authz.Status != acme.AuthorizationValid {
			order.Status = acme.OrderPending
		}
		if authz.Expires.Before(order.Expires) {
			order.Expires = authz.Expires
		}
	}
	if err := r.Store.CreateOrder(ctx, sa.NewOrder{Order: order, Authorizations: created}); err != nil {
		return acme.Order{}, fmt.Errorf("storing an order: %w", err)
	}
	return order, nil
}

// FinalizeOrder implements Authority (RFC 8555 §7.4).
func (r *RA) FinalizeOrder(ctx context.Context, req FinalizeOrder) (acme.Order, error) {
	order, err := r.Store.Order(ctx, req.Order)
	if errors.Is(err, sa.ErrNotFound) || err == nil && order.Account != req.Account.ID {
		return acme.Order{}, notYours("order")
	}
	if err != nil {
		return acme.Order{}, fmt.Errorf("reading order %s: %w", req.Order, err)
	}
	if order.Status != acme.OrderReady {
		return acme.Order{}, notReady(order)
	}
	dir, err := r.directory(req.Account.Directory)
	if err != nil {
		return acme.Order{}, err
	}
	if err := termsAgreed(dir, req.Account); err != nil {
		return acme.Order{}, err
	}
	if _, err := dir.profile(order.Profile); err != nil {
		return acme.Order{}, err // draft-ietf-acme-profiles: no longer offered
	}
	if err := r.checkAttestedKey(ctx, order, req.CSR); err != nil {
		return acme.Order{}, err
	}
	if err := r.recheckCAA(ctx, dir, req.Account, order, req.OnionCAA); err != nil {
		return acme.Order{}, err
	}
	issuance := ca.Request{
		Account: order.Account, Order: order.ID, Profile: order.Profile,
		Identifiers: order.Identifiers, CSR: req.CSR,
		AccountKeyThumbprint: req.Account.Key.Thumbprint(),
		NotBefore:            order.NotBefore, NotAfter: order.NotAfter,
		Wait: r.AnswerWait,
	}
	if order.AutoRenewal != nil {
		firstRenewal(&issuance, order.AutoRenewal, r.Now())
	}
	issued, err := r.CA.Issue(ctx, issuance)
	if err != nil {
		return acme.Order{}, fmt.Errorf("issuing for order %s: %w", order.ID, err)
	}
	order.Certificate = issued.Serial
	order.Status = acme.OrderProcessing
	if issued.Signed {
		order.Status = acme.OrderValid
	}
	return order, nil
}

// notReady tells the states apart in which an order can't be finalized.
func notReady(order acme.Order) error {
	switch order.Status {
	case acme.OrderPending:
		return acme.NewProblem(acme.OrderNotReady, "the order is pending: fulfil one challenge of each of its authorizations first")
	case acme.OrderProcessing:
		return acme.NewProblem(acme.OrderNotReady, "the order was finalized and its certificate is being issued: poll the order")
	case acme.OrderValid:
		return acme.NewProblem(acme.OrderNotReady, "the order was finalized and its certificate issued: fetch it from the order's certificate URL")
	case acme.OrderInvalid:
		return acme.NewProblem(acme.OrderNotReady, "the order is invalid, because it expired or one of its authorizations failed: create a new order")
	}
	return acme.NewProblem(acme.OrderNotReady, "the order is %s, not ready", order.Status)
}

// notYours is the answer to a request for a resource that does not exist or
// is another account's: the two are not told apart.
func notYours(what string) error {
	return acme.NewProblem(acme.Unauthorized, "this account has no such %s", what)
}
