package acme

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxDevice is the longest device identifier, in octets: the draft sets no
// bound, and no manufacturer's serial number comes near.
const maxDevice = 256

// dottedDecimal is assigner-value and hw-type-value of
// draft-ietf-acme-device-attest §3.1 and §4.1.
var dottedDecimal = regexp.MustCompile(`^([01]\.[1-3]?[0-9]|2\.(0|[1-9][0-9]*))(\.(0|[1-9][0-9]*))*$`)

// IsDevice tells whether the identifier names a device or a part of one: such
// identifiers are proven by attestation and by nothing else.
func (id Identifier) IsDevice() bool {
	return id.kind == IdentifierPermanentIdentifier || id.kind == IdentifierHardwareModule
}

// Device takes the identifier of a device apart: the device's own identity,
// such as its serial number, and the object identifier that stands behind it,
// in dotted decimal: of the assigner of a permanent-identifier (empty: not
// named) or of the type of a hardware-module. For other types both are empty.
func (id Identifier) Device() (identity, oid string) {
	if !id.IsDevice() {
		return "", ""
	}
	identity, oid, _ = strings.Cut(id.value, "/")
	return identity, oid
}

// parseDevice reads identity["/"oid] (draft-ietf-acme-device-attest §3.1), of
// which a hardware-module has both parts (§4.1). Nothing is normalized: the
// certificate has the very octets that the order has.
func parseDevice(kind IdentifierType, value string) (Identifier, error) {
	identity, oid, hasOID := strings.Cut(value, "/")
	bad := func(format string, args ...any) (Identifier, error) {
		return Identifier{}, NewProblem(Malformed, "%s %q: "+format, append([]any{kind, bounded(value)}, args...)...)
	}
	switch {
	case !utf8.ValidString(value):
		return bad("it must be UTF-8")
	case identity == "":
		return bad("it has nothing in front of the slash; write the device's identity there")
	case !hasOID && kind == IdentifierHardwareModule:
		return bad("the type of the module is missing; write it behind a slash, as in ABCD/1.2.3.4")
	case hasOID && !dottedDecimal.MatchString(oid):
		return bad("what stands behind the first slash must be an object identifier, such as 1.2.3.4")
	case len(value) > maxDevice:
		return bad("it has more than %d octets", maxDevice)
	}
	// Legal, but not for us to certify: a control or formatting character shows
	// a reader of the certificate something other than what it says.
	if strings.IndexFunc(identity, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
		return Identifier{}, NewProblem(RejectedIdentifier, "%s %q: this CA certifies printable characters only", kind, bounded(value))
	}
	return Identifier{kind, value}, nil
}
