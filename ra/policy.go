package ra

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/weppos/publicsuffix-go/publicsuffix"

	"github.com/cairn-ca/cairn/internal/acme"
)

// NamePolicy says which identifiers a directory issues for. The zero value
// allows every well-formed one, private names too, but wildcards right below
// a public suffix. A denial is stronger than a permission.
type NamePolicy struct {
	// Allow and Deny are DNS suffixes: "example.com" covers itself and every
	// name below it. With an Allow list, or AllowNames, nothing else is
	// issued for.
	Allow, Deny []string
	// AllowNames are names that are allowed exactly as they stand.
	AllowNames []string
	// NoWildcards refuses wildcard names.
	NoWildcards bool
	// PublicNamesOnly refuses names whose last labels are no public suffix:
	// single labels and private top-level domains (Baseline Requirements
	// §7.1.2.7.12).
	PublicNamesOnly bool
	// WildcardsBelowPublicSuffixes lifts the rule of Baseline Requirements
	// §3.2.2.6.
	WildcardsBelowPublicSuffixes bool
	// Addresses are the ranges that IP identifiers must be in; empty: any.
	Addresses []netip.Prefix
	// DenyAddresses are ranges that IP identifiers must not be in.
	DenyAddresses []netip.Prefix
}

// check decides on one identifier of an order; nil: allowed.
func (p NamePolicy) check(id acme.Identifier, profile Profile) *acme.Problem {
	if !slices.Contains(profile.Identifiers, id.Type()) {
		return acme.NewProblem(acme.UnsupportedIdentifier, "the profile %q does not certify identifiers of type %q", profile.Name, id.Type()).For(id)
	}
	var refusal string
	switch id.Type() {
	case acme.IdentifierDNS:
		refusal = p.refuseName(id)
	case acme.IdentifierIP:
		refusal = p.refuseAddress(id.Addr())
	}
	if refusal == "" {
		return nil
	}
	return acme.NewProblem(acme.RejectedIdentifier, "%s", refusal).For(id)
}

func (p NamePolicy) refuseName(id acme.Identifier) string {
	name := id.Base().Value()
	suffix, listed := publicSuffix(name)
	switch {
	case slices.ContainsFunc(p.Deny, func(s string) bool { return below(name, s) }):
		return "this directory does not issue for names below that suffix"
	case id.IsWildcard() && p.NoWildcards:
		return "this directory does not issue for wildcard names"
	case id.IsWildcard() && listed && suffix == name && !p.WildcardsBelowPublicSuffixes:
		return "a wildcard right below a public suffix covers names of many holders (Baseline Requirements §3.2.2.6)"
	case p.PublicNamesOnly && (!listed || suffix == name):
		return "this directory issues for names below a public suffix only, and this is none"
	case p.PublicNamesOnly && (suffix == "in-addr.arpa" || below(name, "in-addr.arpa") || below(name, "ip6.arpa")):
		return "reverse names can't be certified (Baseline Requirements §7.1.2.7.12)"
	case len(p.Allow) == 0 && len(p.AllowNames) == 0:
		return ""
	case slices.Contains(p.AllowNames, id.Value()):
		return ""
	case slices.ContainsFunc(p.Allow, func(s string) bool { return below(name, s) }):
		return ""
	}
	return "this directory issues for names of its allow list only"
}

func (p NamePolicy) refuseAddress(addr netip.Addr) string {
	contains := func(prefix netip.Prefix) bool { return prefix.Contains(addr) }
	switch {
	case slices.ContainsFunc(p.DenyAddresses, contains):
		return "this directory does not issue for addresses of that range"
	case len(p.Addresses) > 0 && !slices.ContainsFunc(p.Addresses, contains):
		return "this directory does not issue for addresses outside of its ranges"
	}
	return ""
}

// below tells whether a name is a suffix or stands below it.
func below(name, suffix string) bool {
	return name == suffix || strings.HasSuffix(name, "."+suffix)
}

// publicSuffix is the longest suffix of a name that stands in the ICANN part
// of the Public Suffix List; false when the list has none for it: the name is
// private.
func publicSuffix(name string) (string, bool) {
	rule := publicsuffix.DefaultList.Find(name, &publicsuffix.FindOptions{IgnorePrivate: true, DefaultRule: nil})
	if rule == nil {
		return "", false
	}
	// The rule counts its labels: "co.uk" has two, so has the wildcard "*.ck";
	// the exception "!www.ck" has the suffix "ck".
	labels := strings.Split(name, ".")
	length := rule.Length
	if rule.Type == publicsuffix.ExceptionType {
		length--
	}
	if length > len(labels) {
		length = len(labels)
	}
	return strings.Join(labels[len(labels)-length:], "."), true
}
