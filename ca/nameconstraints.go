package ca

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/cairn-ca/cairn/internal/acme"
)

// NameConstraints bound the names of certificates, as the extension of that
// name does for those below a CA (RFC 5280 §4.2.1.10): a DNS name stands for
// itself and all below it, a prefix such as 10.0.0.0/8 for its addresses. Names
// of a type that Permitted says nothing about are permitted.
type NameConstraints struct {
	Permitted, Excluded []string
}

// nameConstraints are NameConstraints, parsed.
type nameConstraints struct {
	permittedDNS, excludedDNS []string
	permittedIP, excludedIP   []netip.Prefix
}

func (n NameConstraints) parse() (parsed nameConstraints, err error) {
	if parsed.permittedDNS, parsed.permittedIP, err = parseConstraints(n.Permitted); err != nil {
		return parsed, err
	}
	parsed.excludedDNS, parsed.excludedIP, err = parseConstraints(n.Excluded)
	return parsed, err
}

func parseConstraints(list []string) (names []string, prefixes []netip.Prefix, err error) {
	for _, s := range list {
		if prefix, err := netip.ParsePrefix(s); err == nil {
			if prefix != prefix.Masked() || prefix.Addr().Is4In6() {
				return nil, nil, fmt.Errorf("name constraint %q: write the prefix as %s", s, prefix.Masked())
			}
			prefixes = append(prefixes, prefix)
			continue
		}
		id, err := acme.ParseIdentifier(acme.IdentifierDNS, s)
		if err != nil || id.IsWildcard() || id.Value() != s {
			return nil, nil, fmt.Errorf("name constraint %q: expects a DNS name in lower case, which stands for all below it too, or a prefix such as 10.0.0.0/8", s)
		}
		names = append(names, s)
	}
	return names, prefixes, nil
}

// constraintsOf are a CA certificate's own.
func constraintsOf(cert *x509.Certificate) nameConstraints {
	n := nameConstraints{permittedDNS: lowerAll(cert.PermittedDNSDomains), excludedDNS: lowerAll(cert.ExcludedDNSDomains)}
	for _, r := range cert.PermittedIPRanges {
		n.permittedIP = append(n.permittedIP, prefixOf(r.IP, r.Mask))
	}
	for _, r := range cert.ExcludedIPRanges {
		n.excludedIP = append(n.excludedIP, prefixOf(r.IP, r.Mask))
	}
	return n
}

func lowerAll(names []string) []string {
	lower := make([]string, len(names))
	for i, name := range names {
		lower[i] = strings.ToLower(name)
	}
	return lower
}

func prefixOf(ip, mask []byte) netip.Prefix {
	addr, _ := netip.AddrFromSlice(ip)
	ones := 0
	for _, b := range mask {
		for ; b&0x80 != 0; b <<= 1 {
			ones++
		}
	}
	return netip.PrefixFrom(addr, ones)
}

// admits tells which identifiers are outside; by says whose constraints they
// are.
func (n nameConstraints) admits(ids []acme.Identifier, by string) *acme.Problem {
	var problems []*acme.Problem
	for _, id := range ids {
		if !n.permits(id) {
			problems = append(problems, acme.NewProblem(acme.RejectedIdentifier, "%s is outside of the names that %s may certify", id.Value(), by).For(id))
		}
	}
	return acme.Combine(problems)
}

func (n nameConstraints) permits(id acme.Identifier) bool {
	switch id.Type() {
	case acme.IdentifierDNS:
		name := id.Base().Value()
		within := func(constraint string) bool { return within(name, constraint) }
		if id.IsWildcard() && slices.ContainsFunc(n.excludedDNS, func(c string) bool { return strings.HasSuffix(strings.TrimPrefix(c, "."), "."+name) }) {
			return false // it reaches into what is excluded
		}
		return !slices.ContainsFunc(n.excludedDNS, within) && (len(n.permittedDNS) == 0 || slices.ContainsFunc(n.permittedDNS, within))
	case acme.IdentifierIP:
		contains := func(p netip.Prefix) bool { return p.Contains(id.Addr()) }
		return !slices.ContainsFunc(n.excludedIP, contains) && (len(n.permittedIP) == 0 || slices.ContainsFunc(n.permittedIP, contains))
	}
	return true
}

// within tells whether a name is a constraint's, or below it. One that begins
// with a dot, as some CAs have, stands for what is below alone.
func within(name, constraint string) bool {
	if strings.HasPrefix(constraint, ".") {
		return strings.HasSuffix(name, constraint)
	}
	return constraint == "" || name == constraint || strings.HasSuffix(name, "."+constraint)
}
