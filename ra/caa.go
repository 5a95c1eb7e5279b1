package ra

import (
	"context"
	"fmt"
	"slices"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/va"
)

// recheckCAA checks CAA, before a certificate is issued, for each identifier
// whose last check may no longer be relied on (Baseline Requirements
// §4.2.2.1), and for those below the name that was authorized (RFC 9444):
// CAA speaks of the names in the certificate. The records of onion services
// come with each request, and are checked each time (RFC 9799 §6.4).
func (r *RA) recheckCAA(ctx context.Context, dir Directory, account acme.Account, order acme.Order, onions []acme.OnionCAA) error {
	now := r.Now()
	old := func(id acme.ID) bool { return now.Sub(id.Time()) >= va.CAALifetime }
	if !dir.Subdomains && !slices.ContainsFunc(order.Authorizations, old) && !slices.ContainsFunc(order.Identifiers, acme.Identifier.IsOnion) {
		return nil // each check came after its authorization was made
	}
	var held []acme.Authorization
	for _, id := range order.Authorizations {
		authz, err := r.Store.Authorization(ctx, id)
		if err != nil {
			return fmt.Errorf("reading authorization %s: %w", id, err)
		}
		held = append(held, authz)
	}
	var problems []*acme.Problem
	fresh := make(map[acme.ID]acme.CAAEvidence)
	for _, id := range order.Identifiers {
		authz, ok := covering(held, id)
		if !ok || authz.Attempt == nil || id.Type() != acme.IdentifierDNS {
			continue
		}
		exact := authz.Names() == id
		if caa := authz.Attempt.Evidence.CAA; exact && !id.IsOnion() && caa != nil && now.Sub(caa.CheckedAt) < va.CAALifetime {
			continue
		}
		result, err := r.VA.CheckCAA(ctx, va.CAARequest{
			Directory: account.Directory, Identifier: id.Base(), Wildcard: id.IsWildcard(),
			Method: authz.Attempt.Type, AccountURL: r.AccountURL(account.Directory, account.ID),
			OnionCAA: onionCAA(onions, id),
		})
		switch {
		case err != nil:
			return fmt.Errorf("checking CAA again for %s: %w", id, err)
		case result.Problem != nil:
			problems = append(problems, result.Problem.For(id))
		case exact:
			fresh[authz.ID] = result.Evidence
		}
	}
	if p := acme.Combine(problems); p != nil {
		return p
	}
	if len(fresh) == 0 {
		return nil
	}
	if err := r.Store.RecordCAA(ctx, fresh); err != nil {
		return fmt.Errorf("storing CAA checks: %w", err)
	}
	return nil
}
