package acme

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// The otherName forms in which certificates and CSRs have the identifiers of
// devices (draft-ietf-acme-device-attest §3.2, §4.2).
var (
	oidPermanentIdentifier = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 3} // RFC 4043 §2
	oidSubjectAltName      = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidHardwareModuleName  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 4} // RFC 4108 §5
)

// OtherNameTag is the tag of a GeneralName of the form otherName (RFC 5280
// §4.2.1.6).
const OtherNameTag = cryptobyte_asn1.Tag(0x80 | 0x20)

// AddOtherName appends the GeneralName of a device's identifier; other types
// have none, and make the builder fail.
func (id Identifier) AddOtherName(b *cryptobyte.Builder) {
	identity, dotted := id.Device()
	explicit := cryptobyte_asn1.Tag(0).Constructed().ContextSpecific()
	add := func(form asn1.ObjectIdentifier, fields func(*cryptobyte.Builder)) {
		b.AddASN1(OtherNameTag, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(form)
			b.AddASN1(explicit, func(b *cryptobyte.Builder) { b.AddASN1(cryptobyte_asn1.SEQUENCE, fields) })
		})
	}
	switch id.kind {
	case IdentifierPermanentIdentifier:
		add(oidPermanentIdentifier, func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(identity)) })
			if dotted != "" {
				addOID(b, dotted)
			}
		})
	case IdentifierHardwareModule:
		add(oidHardwareModuleName, func(b *cryptobyte.Builder) {
			addOID(b, dotted)
			b.AddASN1OctetString([]byte(identity))
		})
	default:
		b.SetError(fmt.Errorf("identifiers of type %q are no otherName", id.kind))
	}
}

// addOID adds an object identifier whose components may be of any size.
func addOID(b *cryptobyte.Builder, dotted string) {
	oid, err := x509.ParseOID(dotted)
	if err != nil {
		b.SetError(fmt.Errorf("encoding the object identifier %q: %w", dotted, err))
		return
	}
	content, err := oid.MarshalBinary()
	if err != nil {
		b.SetError(fmt.Errorf("encoding the object identifier %q: %w", dotted, err))
		return
	}
	b.AddASN1(cryptobyte_asn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes(content) })
}

func readOID(s *cryptobyte.String) (string, bool) {
	var content cryptobyte.String
	var oid x509.OID
	if !s.ReadASN1(&content, cryptobyte_asn1.OBJECT_IDENTIFIER) || oid.UnmarshalBinary(content) != nil {
		return "", false
	}
	return oid.String(), true
}

// ParseOtherName reads the content of a GeneralName of the form otherName that
// is the identifier of a device. The error tells of other forms, and of
// identifiers that no order can have.
func ParseOtherName(content []byte) (Identifier, error) {
	s := cryptobyte.String(content)
	var form asn1.ObjectIdentifier
	var value, fields cryptobyte.String
	if !s.ReadASN1ObjectIdentifier(&form) ||
		!s.ReadASN1(&value, cryptobyte_asn1.Tag(0).Constructed().ContextSpecific()) || !s.Empty() {
		return Identifier{}, errors.New("an otherName can't be read")
	}
	switch {
	case form.Equal(oidPermanentIdentifier):
		var identity cryptobyte.String
		if !value.ReadASN1(&fields, cryptobyte_asn1.SEQUENCE) || !value.Empty() || !fields.ReadASN1(&identity, cryptobyte_asn1.UTF8String) {
			return Identifier{}, errors.New("a PermanentIdentifier can't be read, or is without identifierValue (RFC 4043 §2)")
		}
		text := string(identity)
		if !fields.Empty() {
			assigner, ok := readOID(&fields)
			if !ok || !fields.Empty() {
				return Identifier{}, errors.New("a PermanentIdentifier can't be read (RFC 4043 §2)")
			}
			text += "/" + assigner
		}
		return wholeDevice(IdentifierPermanentIdentifier, text, string(identity))
	case form.Equal(oidHardwareModuleName):
		var serial cryptobyte.String
		hwType, ok := "", value.ReadASN1(&fields, cryptobyte_asn1.SEQUENCE) && value.Empty()
		if ok {
			hwType, ok = readOID(&fields)
		}
		if !ok || !fields.ReadASN1(&serial, cryptobyte_asn1.OCTET_STRING) || !fields.Empty() {
			return Identifier{}, errors.New("a HardwareModuleName can't be read (RFC 4108 §5)")
		}
		return wholeDevice(IdentifierHardwareModule, string(serial)+"/"+hwType, string(serial))
	}
	return Identifier{}, fmt.Errorf("an otherName of the form %s is no identifier of a device", form)
}

// wholeDevice parses an identifier put together of its parts, of which the
// first must not reach into the second: the draft allows no slash in it.
func wholeDevice(kind IdentifierType, value, identity string) (Identifier, error) {
	id, err := ParseIdentifier(kind, value)
	if err != nil {
		return Identifier{}, err
	}
	if first, _ := id.Device(); first != identity {
		return Identifier{}, NewProblem(Malformed, "%s %q: the identity of a device must have no slash in it", kind, bounded(identity))
	}
	return id, nil
}

// DevicesIn are the identifiers of devices in a certificate.
func DevicesIn(cert *x509.Certificate) []Identifier {
	for _, e := range cert.Extensions {
		if e.Id.Equal(oidSubjectAltName) {
			return DeviceNames(e.Value)
		}
	}
	return nil
}

// DeviceNames are the identifiers of devices in a subject alternative name
// extension, given its value. Names of other forms are passed over, and so
// are those that no order can have.
func DeviceNames(san []byte) []Identifier {
	s := cryptobyte.String(san)
	var list cryptobyte.String
	if !s.ReadASN1(&list, cryptobyte_asn1.SEQUENCE) || !s.Empty() {
		return nil
	}
	var ids []Identifier
	for !list.Empty() {
		var name cryptobyte.String
		var tag cryptobyte_asn1.Tag
		if !list.ReadAnyASN1(&name, &tag) {
			return nil
		}
		if tag != OtherNameTag {
			continue
		}
		if id, err := ParseOtherName(name); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}
