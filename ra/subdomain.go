package ra

import (
	"slices"

	"github.com/cairn-ca/cairn/internal/acme"
)

// wanted is what an authorization is to be made for.
type wanted struct {
	identifier acme.Identifier
	subdomains bool
}

// wanted is the identifier itself or, where the client named one, the
// ancestor that covers it (RFC 9444 §4.2).
func (p orderPlan) wanted(id acme.Identifier) wanted {
	if ancestor, ok := p.ancestors[id]; ok {
		return wanted{ancestor, true}
	}
	return wanted{id, false}
}

// checkAncestors holds the ancestors that clients name to the identifiers
// they are for. A directory without subdomain authorization ignores them, as
// RFC 9444 §4.2 lets it.
func checkAncestors(dir Directory, ids []acme.Identifier, asked map[acme.Identifier]acme.Identifier) (map[acme.Identifier]acme.Identifier, error) {
	if !dir.Subdomains {
		return nil, nil
	}
	var problems []*acme.Problem
	for _, id := range ids {
		ancestor, ok := asked[id]
		if !ok {
			continue
		}
		switch {
		case id.Type() != acme.IdentifierDNS || ancestor.IsWildcard() || !below(id.Base().Value(), ancestor.Value()):
			problems = append(problems, acme.NewProblem(acme.Malformed, "\"ancestorDomain\" must be a name above the identifier").For(id))
		case !slices.ContainsFunc(dir.offered(ancestor), provesSubdomains):
			problems = append(problems, acme.NewProblem(acme.RejectedIdentifier, "this directory offers no challenge that proves control of the names below another").For(id))
		default:
			suffix, listed := publicSuffix(ancestor.Value())
			if listed && suffix == ancestor.Value() {
				problems = append(problems, acme.NewProblem(acme.RejectedIdentifier, "\"ancestorDomain\" is a public suffix, with names of many holders below it").For(id))
			}
		}
	}
	if p := acme.Combine(problems); p != nil {
		return nil, p
	}
	return asked, nil
}

// provesSubdomains tells whether a challenge can prove control of the names
// below another: those in the DNS (Baseline Requirements §3.2.2.4), and the
// signature with the key that all names of an onion service end with (appendix
// B.2).
func provesSubdomains(t acme.ChallengeType) bool {
	return t == acme.OnionCSR01 || t == acme.DNS01 || t == acme.DNSAccount01 || t == acme.DNSPersist01
}

// covering finds the authorization for an identifier: its own, or the nearest
// one above that covers subdomains.
func covering(held []acme.Authorization, id acme.Identifier) (acme.Authorization, bool) {
	var best acme.Authorization
	found := false
	for _, a := range held {
		if a.Names() == id && !a.Subdomains {
			return a, true
		}
		if !a.Subdomains || id.Type() != acme.IdentifierDNS || !below(id.Base().Value(), a.Identifier.Value()) {
			continue
		}
		if !found || len(a.Identifier.Value()) > len(best.Identifier.Value()) {
			best, found = a, true
		}
	}
	return best, found
}
