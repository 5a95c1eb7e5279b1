package sa

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cairn-ca/cairn/internal/acme"
)

const (
	// reusableAuthorizations ends with the list of identifiers.
	reusableAuthorizations = `SELECT ` + authorizationColumns + ` FROM authorizations
WHERE ` + isReusable + ` AND identifier IN `

	isReusable = `account_id = $1
  AND (status = 'valid' AND expires >= $2 AND validated_at >= $3 OR status = 'pending' AND attempt_type IS NULL AND expires >= $4)`

	// reusableSubdomains adds the authorizations that reach to subdomains; it
	// ends with the list of ancestors. Most accounts have none, and then the
	// list is not looked at.
	reusableSubdomains = ` UNION ALL SELECT ` + authorizationColumns + `
FROM (SELECT 1 FROM authorizations WHERE account_id = $1 AND subdomains = 1 LIMIT 1) AS any_at_all CROSS JOIN authorizations
WHERE ` + isReusable + ` AND subdomains = 1 AND identifier IN `
)

// ReusableAuthorizations implements OrderStore.
func (d *DB) ReusableAuthorizations(ctx context.Context, query ReuseQuery) ([]acme.Authorization, error) {
	if len(query.Identifiers) == 0 {
		return nil, nil
	}
	now := d.now()
	validUntil, pendingUntil := query.ValidUntil.UnixMicro(), query.PendingUntil.UnixMicro()
	// One that ends now has ended, whatever was asked for.
	validUntil, pendingUntil = max(validUntil, now.UnixMicro()+1), max(pendingUntil, now.UnixMicro()+1)
	if !query.Pending {
		pendingUntil = never
	}
	above := ancestors(query.Identifiers)
	args := make([]any, 0, 4+len(query.Identifiers)+len(above))
	args = append(args, query.Account[:], validUntil, query.ValidatedBy.UnixMicro(), pendingUntil)
	for _, id := range query.Identifiers {
		args = append(args, id.String())
	}
	statement := reusableAuthorizations + placeholders(5, len(query.Identifiers))
	if len(above) > 0 {
		statement += reusableSubdomains + placeholders(len(args)+1, len(above))
		for _, name := range above {
			args = append(args, name)
		}
	}
	var found []acme.Authorization
	err := d.read(ctx, opReusableAuthorizations, func(ctx context.Context, s *session) (err error) {
		found, err = d.authorizations(ctx, s, statement, args)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for authorizations of account %s: %w", query.Account, err)
	}
	found = slices.DeleteFunc(found, func(a acme.Authorization) bool {
		return a.Attempt != nil && slices.Contains(query.Except, a.Attempt.Type)
	})
	return bestOfEach(query.Identifiers, found), nil
}

// never is a time, in microseconds, after all others.
const never = int64(1<<63 - 1)

const dnsPrefix = string(acme.IdentifierDNS) + ":"

// ancestors lists, as the store keeps them, the names whose authorizations may
// reach to the identifiers. Their number is rounded up, by repetition, so that
// there are few different statements.
func ancestors(ids []acme.Identifier) []string {
	var names []string
	add := func(name string) bool {
		names = append(names, dnsPrefix+name)
		return true
	}
	if len(ids) > 1 { // they have ancestors in common
		seen := make(map[string]struct{}, 2*len(ids))
		add = func(name string) bool {
			if _, ok := seen[name]; ok {
				return false // and its ancestors were seen with it
			}
			seen[name] = struct{}{}
			names = append(names, dnsPrefix+name)
			return true
		}
	}
	for _, id := range ids {
		for name, ok := parent(id.Value(), id.Type()); ok && add(name); {
			name, ok = parent(name, id.Type())
		}
	}
	if len(names) == 0 {
		return nil
	}
	for size := 1; ; size *= 2 {
		if size >= len(names) {
			for len(names) < size {
				names = append(names, names[0])
			}
			return names
		}
	}
}

// parent is a DNS name without its first label: of a wildcard, its base.
func parent(name string, kind acme.IdentifierType) (string, bool) {
	if kind != acme.IdentifierDNS {
		return "", false
	}
	_, rest, ok := strings.Cut(name, ".")
	return rest, ok
}

// bestOfEach chooses one authorization for each identifier: an exact one, or
// else one that reaches to it from above, valid rather than pending, from the
// nearest name.
func bestOfEach(ids []acme.Identifier, found []acme.Authorization) []acme.Authorization {
	if len(found) == 0 {
		return nil
	}
	exact := make(map[string]*acme.Authorization, len(found))
	reaching := make(map[string]*acme.Authorization)
	keep := func(m map[string]*acme.Authorization, name string, a *acme.Authorization) {
		if b := m[name]; b == nil || better(a, b) {
			m[name] = a
		}
	}
	for i := range found {
		a := &found[i]
		keep(exact, a.Names().String(), a)
		if a.Subdomains && !a.Wildcard && a.Identifier.Type() == acme.IdentifierDNS {
			keep(reaching, a.Identifier.Value(), a)
		}
	}
	chosen := make(map[acme.ID]struct{}, len(ids))
	best := make([]acme.Authorization, 0, min(len(ids), len(found)))
	for _, id := range ids {
		a := exact[id.String()]
		if a == nil && len(reaching) > 0 {
			a = nearest(reaching, id)
		}
		if a == nil {
			continue
		}
		if _, ok := chosen[a.ID]; !ok {
			chosen[a.ID] = struct{}{}
			best = append(best, *a)
		}
	}
	return best
}

// better tells whether a is the better of two for one name: a valid one rather
// than a pending one, then the one that lasts longest.
func better(a, b *acme.Authorization) bool {
	if a.Status != b.Status {
		return a.Status == acme.AuthorizationValid
	}
	return a.Expires.After(b.Expires)
}

func nearest(reaching map[string]*acme.Authorization, id acme.Identifier) (pending *acme.Authorization) {
	for name, ok := parent(id.Value(), id.Type()); ok; name, ok = parent(name, id.Type()) {
		switch a := reaching[name]; {
		case a == nil:
		case a.Status == acme.AuthorizationValid:
			return a
		case pending == nil:
			pending = a
		}
	}
	return pending
}
