package acme

import (
	"net/netip"
	"slices"
	"strings"
)

// IdentifierType is a type of identifier (RFC 8555 §9.7.7 and the registry
// that it opens).
type IdentifierType string

// The identifier types that Cairn issues for.
const (
	IdentifierDNS                 IdentifierType = "dns"
	IdentifierIP                  IdentifierType = "ip"                   // RFC 8738
	IdentifierPermanentIdentifier IdentifierType = "permanent-identifier" // draft-ietf-acme-device-attest §3
	IdentifierHardwareModule      IdentifierType = "hardware-module"      // draft-ietf-acme-device-attest §4
)

// Identifier is what a certificate is asked for. It is canonical: two
// identifiers name the same thing exactly when they are ==. The zero value is
// no identifier.
type Identifier struct {
	kind  IdentifierType
	value string
}

const (
	maxDNSName = 253 // octets, RFC 1035 §2.3.4 without the root label
	maxLabel   = 63
)

// ParseIdentifier makes an Identifier of what a client sent. A DNS name may be
// in any case and becomes lower case; an IP address must be in its canonical
// form already (RFC 8738 §3). The error is a *Problem.
func ParseIdentifier(kind IdentifierType, value string) (Identifier, error) {
	switch kind {
	case IdentifierDNS:
		return parseDNS(value)
	case IdentifierIP:
		return parseIP(value)
	case IdentifierPermanentIdentifier, IdentifierHardwareModule:
		return parseDevice(kind, value)
	case "":
		return Identifier{}, NewProblem(Malformed, "an identifier needs a \"type\", such as \"dns\"")
	}
	return Identifier{}, NewProblem(UnsupportedIdentifier, "identifiers of type %q are not supported here; use \"dns\" or \"ip\"", bounded(string(kind)))
}

// IdentifierFromIP is the identifier of an address. IPv4-mapped addresses
// become IPv4; the address has no zone.
func IdentifierFromIP(addr netip.Addr) Identifier {
	return Identifier{IdentifierIP, addr.Unmap().WithZone("").String()}
}

// Type is the identifier's type.
func (id Identifier) Type() IdentifierType { return id.kind }

// Value is the canonical value, with "*." before a wildcard name.
func (id Identifier) Value() string { return id.value }

// String is "type:value", the form that logs and the store keep.
func (id Identifier) String() string { return string(id.kind) + ":" + id.value }

// IsZero tells whether the Identifier was never set.
func (id Identifier) IsZero() bool { return id == Identifier{} }

// IsWildcard tells whether the identifier is a wildcard DNS name.
func (id Identifier) IsWildcard() bool {
	return id.kind == IdentifierDNS && strings.HasPrefix(id.value, "*.")
}

// Base is the name that an authorization for the identifier is about: a
// wildcard without its "*." (RFC 8555 §7.1.4), anything else unchanged.
func (id Identifier) Base() Identifier {
	if id.IsWildcard() {
		return Identifier{id.kind, id.value[2:]}
	}
	return id
}

// Wildcard is the wildcard name right below a DNS name that is none.
func (id Identifier) Wildcard() Identifier {
	if id.kind != IdentifierDNS || id.IsWildcard() {
		return id
	}
	return Identifier{id.kind, "*." + id.value}
}

// Addr is the address of an IP identifier; for other types it is not valid.
func (id Identifier) Addr() netip.Addr {
	if id.kind != IdentifierIP {
		return netip.Addr{}
	}
	addr, _ := netip.ParseAddr(id.value)
	return addr
}

// UniqueIdentifiers sorts the identifiers and drops repetitions.
func UniqueIdentifiers(ids []Identifier) []Identifier {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, func(a, b Identifier) int {
		if c := strings.Compare(string(a.kind), string(b.kind)); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	return slices.Compact(ids)
}

func parseDNS(value string) (Identifier, error) {
	name := lower(value)
	bad := func(format string, args ...any) (Identifier, error) {
		return Identifier{}, NewProblem(Malformed, "DNS name %q: "+format, append([]any{bounded(value)}, args...)...)
	}
	base := strings.TrimPrefix(name, "*.")
	switch {
	case base == "":
		return bad("the name is empty")
	case len(name) > maxDNSName:
		return bad("it has more than %d characters", maxDNSName)
	case strings.HasSuffix(base, "."):
		return bad("write it without the trailing dot")
	}
	if _, err := netip.ParseAddr(base); err == nil {
		return bad("this is an IP address; ask for it with type \"ip\"")
	}
	labels := strings.Split(base, ".")
	for _, label := range labels {
		if reason := badLabel(label); reason != "" {
			return bad("%s", reason)
		}
	}
	// An all-numeric last label would be read as an IPv4 address by some
	// resolvers (WHATWG URL), and no top-level domain is one.
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		return bad("its last label must not be a number")
	} else if last == onionTLD {
		if p := badOnion(labels); p != nil {
			return Identifier{}, p
		}
	}
	return Identifier{IdentifierDNS, name}, nil
}

// badLabel says what is wrong with one label of a lower-case name: letters,
// digits and hyphens only (RFC 5890 §2.3.1), A-labels that IDNA2008 allows.
func badLabel(label string) string {
	switch {
	case label == "":
		return "it has an empty label"
	case len(label) > maxLabel:
		return "a label has more than 63 characters"
	case label[0] == '-' || label[len(label)-1] == '-':
		return "a label must not begin or end with a hyphen"
	}
	for _, c := range []byte(label) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-':
		case c == '_':
			return "underscores are not allowed in certificates (Baseline Requirements §7.1.4)"
		case c == '*':
			return "a wildcard is the whole left-most label, as in *.example.com"
		case c >= 0x80:
			return "write internationalised names in their ASCII form (xn--...)"
		default:
			return "labels have letters, digits and hyphens only"
		}
	}
	if len(label) >= 4 && label[2:4] == "--" {
		if label[:2] != "xn" {
			return "labels with hyphens in the third and fourth place are reserved (RFC 5890 §2.3.1)"
		}
		return badALabel(label)
	}
	return ""
}

func parseIP(value string) (Identifier, error) {
	addr, err := netip.ParseAddr(value)
	switch {
	case err != nil:
		return Identifier{}, NewProblem(Malformed, "IP address %q: not an IPv4 or IPv6 address", bounded(value))
	case addr.Zone() != "":
		return Identifier{}, NewProblem(Malformed, "IP address %q: an address in a certificate has no zone", bounded(value))
	case addr.Is4In6():
		return Identifier{}, NewProblem(Malformed, "IP address %q: write an IPv4 address as a dotted quad", bounded(value))
	case addr.String() != value:
		return Identifier{}, NewProblem(Malformed, "IP address %q: write it in its canonical form (RFC 5952), %q", bounded(value), addr)
	}
	return Identifier{IdentifierIP, value}, nil
}

// lower maps ASCII letters only: strings.ToLower would turn letters such as
// the Kelvin sign into ASCII.
func lower(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r >= 'A' && r <= 'Z' }) < 0 {
		return s
	}
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + ('a' - 'A')
		}
	}
	return string(b)
}

// bounded cuts what a client sent to a length fit for an answer.
func bounded(s string) string {
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}
