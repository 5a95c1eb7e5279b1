package ra

import (
	"slices"
	"strings"

	"github.com/weppos/publicsuffix-go/publicsuffix"

	"github.com/cairn-ca/cairn/internal/acme"
)

// NamePolicy says which identifiers a directory issues for. The zero value
// allows every well-formed one but wildcards right below a public suffix.
type NamePolicy struct {
	// NoWildcards refuses wildcard names.
	NoWildcards bool
}

// check decides on one identifier of an order; nil: allowed.
func (p NamePolicy) check(id acme.Identifier, profile Profile) *acme.Problem {
	if !slices.Contains(profile.Identifiers, id.Type()) {
		return acme.NewProblem(acme.UnsupportedIdentifier, "the profile %q does not certify identifiers of type %q", profile.Name, id.Type()).For(id)
	}
	if id.Type() != acme.IdentifierDNS {
		return nil
	}
	if id.IsWildcard() {
		if p.NoWildcards {
			return acme.NewProblem(acme.RejectedIdentifier, "this directory does not issue for wildcard names").For(id)
		}
		if isPublicSuffix(id.Base().Value()) {
			return acme.NewProblem(acme.RejectedIdentifier, "a wildcard right below a public suffix covers names of many holders (Baseline Requirements §3.2.2.6)").For(id)
		}
	}
	return nil
}

// isPublicSuffix tells whether a name stands in the ICANN part of the Public
// Suffix List. A single label that the list does not have is a private name.
func isPublicSuffix(name string) bool {
	rule := publicsuffix.DefaultList.Find(name, &publicsuffix.FindOptions{IgnorePrivate: true, DefaultRule: nil})
	if rule == nil {
		return false
	}
	// A rule "com" or "co.uk" has the suffix itself; "*.ck" has one label more.
	labels := strings.Count(name, ".") + 1
	suffix := rule.Length
	if rule.Type == publicsuffix.ExceptionType {
		return false
	}
	return labels <= suffix
}
