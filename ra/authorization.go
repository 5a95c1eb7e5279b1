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

// newAuthorization makes a pending authorization.
func (r *RA) newAuthorization(dir Directory, account acme.ID, want wanted, now time.Time) (acme.Authorization, error) {
	id := want.identifier
	authz := acme.Authorization{
		Account: account, Identifier: id.Base(), Wildcard: id.IsWildcard(), Subdomains: want.subdomains,
		Status: acme.AuthorizationPending, Expires: now.Add(dir.PendingLifetime), CreatedAt: now,
		Offered: dir.offered(id),
	}
	if want.subdomains {
		authz.Offered = slices.DeleteFunc(authz.Offered, func(t acme.ChallengeType) bool { return !provesSubdomains(t) })
	}
	var err error
	if authz.ID, err = acme.NewID(now, r.Random); err != nil {
		return acme.Authorization{}, err
	}
	if authz.Seed, err = acme.NewTokenSeed(r.Random); err != nil {
		return acme.Authorization{}, err
	}
	return authz, nil
}

// offered are the directory's challenge types that can prove control of an
// identifier: a wildcard needs a proof in the DNS (RFC 8555 §7.1.4; Baseline
// Requirements §3.2.2.4), an address can't have one (RFC 8738 §7). Those
// without a token come last: there are clients that read no further.
func (d Directory) offered(id acme.Identifier) []acme.ChallengeType {
	if id.IsOnion() {
		return d.offeredToOnion()
	}
	var types []acme.ChallengeType
	for _, t := range d.Challenges {
		var can bool
		switch t {
		case acme.DNS01, acme.DNSAccount01, acme.DNSPersist01:
			can = id.Type() == acme.IdentifierDNS
		case acme.HTTP01, acme.TLSALPN01:
			can = id.Type() == acme.IdentifierIP || id.Type() == acme.IdentifierDNS && !id.IsWildcard()
		case acme.DeviceAttest01:
			can = id.IsDevice()
		}
		if can {
			types = append(types, t)
		}
	}
	slices.SortStableFunc(types, func(a, b acme.ChallengeType) int {
		switch {
		case a.HasToken() == b.HasToken():
			return 0
		case a.HasToken():
			return -1
		}
		return 1
	})
	return types
}

// DeactivateAuthorization implements Authority (RFC 8555 §7.5.2).
func (r *RA) DeactivateAuthorization(ctx context.Context, account, authorization acme.ID) (acme.Authorization, error) {
	if _, err := r.ownAuthorization(ctx, account, authorization); err != nil {
		return acme.Authorization{}, err
	}
	authz, err := r.Store.DeactivateAuthorization(ctx, authorization)
	if errors.Is(err, sa.ErrConflict) {
		return acme.Authorization{}, acme.NewProblem(acme.Malformed, "only pending and valid authorizations can be deactivated")
	}
	if err != nil {
		return acme.Authorization{}, fmt.Errorf("deactivating authorization %s: %w", authorization, err)
	}
	r.Audit.LogAttrs(ctx, slog.LevelInfo, "authorization deactivated", authorizationAttrs(authz)...)
	return authz, nil
}

func (r *RA) ownAuthorization(ctx context.Context, account, authorization acme.ID) (acme.Authorization, error) {
	authz, err := r.Store.Authorization(ctx, authorization)
	if errors.Is(err, sa.ErrNotFound) || err == nil && authz.Account != account {
		return acme.Authorization{}, notYours("authorization")
	}
	if err != nil {
		return acme.Authorization{}, fmt.Errorf("reading authorization %s: %w", authorization, err)
	}
	return authz, nil
}

func authorizationAttrs(authz acme.Authorization) []slog.Attr {
	return []slog.Attr{
		slog.String("authorization", authz.ID.String()),
		slog.String("account", authz.Account.String()),
		slog.String("identifier", authz.Names().String()),
		slog.String("status", string(authz.Status)),
	}
}
