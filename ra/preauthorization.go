package ra

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

// NewAuthorization implements Authority (RFC 8555 §7.4.1, RFC 9444 §4.1).
func (r *RA) NewAuthorization(ctx context.Context, req NewAuthorization) (acme.Authorization, bool, error) {
	dir, err := r.directory(req.Account.Directory)
	if err != nil {
		return acme.Authorization{}, false, err
	}
	if err := termsAgreed(dir, req.Account); err != nil {
		return acme.Authorization{}, false, err
	}
	if err := dir.checkPreAuthorization(req); err != nil {
		return acme.Authorization{}, false, err
	}
	now := r.Now()
	found, err := r.Store.ReusableAuthorizations(ctx, sa.ReuseQuery{
		Account: req.Account.ID, Identifiers: []acme.Identifier{req.Identifier},
		ValidUntil: now.Add(time.Hour), Pending: true, PendingUntil: now.Add(time.Hour), Except: validatedAnew,
	})
	if err != nil {
		return acme.Authorization{}, false, fmt.Errorf("looking for an authorization to reuse: %w", err)
	}
	for _, a := range found {
		if a.Names() == req.Identifier && a.Subdomains == req.Subdomains {
			return a, false, nil
		}
	}
	if err := r.limited(r.limits.newOrder(req.Account.ID)); err != nil {
		return acme.Authorization{}, false, err
	}
	authz, err := r.newAuthorization(dir, req.Account.ID, wanted{req.Identifier, req.Subdomains}, now)
	if err != nil {
		return acme.Authorization{}, false, err
	}
	err = r.Store.CreateAuthorization(ctx, authz)
	if errors.Is(err, sa.ErrConflict) {
		return acme.Authorization{}, false, acme.NewProblem(acme.Unauthorized, "the account is not valid any more").WithStatus(401)
	}
	if err != nil {
		return acme.Authorization{}, false, fmt.Errorf("storing an authorization: %w", err)
	}
	r.Audit.LogAttrs(ctx, slog.LevelInfo, "authorization created", append(authorizationAttrs(authz), slog.String("client", req.Client.String()))...)
	return authz, true, nil
}

func (d Directory) checkPreAuthorization(req NewAuthorization) error {
	id := req.Identifier
	switch {
	case !d.PreAuthorization:
		return acme.NewProblem(acme.Unauthorized, "this directory authorizes identifiers with orders only")
	case id.IsWildcard():
		// RFC 8555 §7.4.1.
		return acme.NewProblem(acme.Malformed, "wildcard names can't be authorized before an order; authorize them with the order")
	case id.IsDevice():
		// What a device attests is one key, for one certificate.
		return acme.NewProblem(acme.Malformed, "devices can't be authorized before an order; authorize them with the order")
	case req.Subdomains && (!d.Subdomains || id.Type() != acme.IdentifierDNS || !slices.ContainsFunc(d.offered(id), provesSubdomains)):
		return acme.NewProblem(acme.RejectedIdentifier, "this directory does not authorize the names below another; leave \"subdomainAuthAllowed\" out")
	}
	_, err := checkIdentifiers(d, d.widestProfile(id.Type()), []acme.Identifier{id})
	return err
}

// widestProfile is one of the directory's profiles that certifies identifiers
// of a type, or the default one: which profile an order will name is not
// known yet.
func (d Directory) widestProfile(t acme.IdentifierType) Profile {
	for _, p := range d.Profiles {
		if slices.Contains(p.Identifiers, t) {
			return p
		}
	}
	return d.Profiles[0]
}
