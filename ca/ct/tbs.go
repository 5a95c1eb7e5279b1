package ct

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Extensions of RFC 6962.
var (
	// OIDPoison makes a certificate a precertificate (§3.1). It is critical.
	OIDPoison = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 3}
	// OIDSCTList is the list of SCTs in a certificate (§3.3).
	OIDSCTList = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}
)

var errNoTBS = errors.New("it is no to-be-signed certificate of version 3 with extensions")

const (
	tagVersion    = cryptobyte_asn1.Tag(0) | 0xa0
	tagExtensions = cryptobyte_asn1.Tag(3) | 0xa0
)

// parts are a TBSCertificate (RFC 5280 §4.1) taken apart.
type parts struct {
	before     []byte // the elements before the extensions
	extensions [][]byte
	oids       []asn1.ObjectIdentifier
}

// maxExtensions bounds what is looked at: certificates have about ten.
const maxExtensions = 100

func split(tbs []byte) (parts, error) {
	var p parts
	outer := cryptobyte.String(tbs)
	var fields cryptobyte.String
	if !outer.ReadASN1(&fields, cryptobyte_asn1.SEQUENCE) || !outer.Empty() {
		return p, errNoTBS
	}
	first := true
	for !fields.Empty() {
		var element cryptobyte.String
		var tag cryptobyte_asn1.Tag
		if !fields.ReadAnyASN1Element(&element, &tag) || first != (tag == tagVersion) {
			return p, errNoTBS
		}
		first = false
		if tag != tagExtensions {
			p.before = append(p.before, element...)
			continue
		}
		var wrapped, list cryptobyte.String
		if !fields.Empty() || !element.ReadASN1(&wrapped, tagExtensions) || !wrapped.ReadASN1(&list, cryptobyte_asn1.SEQUENCE) || !wrapped.Empty() {
			return p, errNoTBS
		}
		for !list.Empty() {
			var extension, inside cryptobyte.String
			var oid asn1.ObjectIdentifier
			if len(p.extensions) == maxExtensions || !list.ReadASN1Element(&extension, cryptobyte_asn1.SEQUENCE) {
				return p, errNoTBS
			}
			element := bytes.Clone(extension)
			if !extension.ReadASN1(&inside, cryptobyte_asn1.SEQUENCE) || !inside.ReadASN1ObjectIdentifier(&oid) {
				return p, errNoTBS
			}
			p.extensions = append(p.extensions, element)
			p.oids = append(p.oids, oid)
		}
	}
	if len(p.extensions) == 0 {
		return p, errNoTBS
	}
	return p, nil
}

func (p parts) count(oid asn1.ObjectIdentifier) int {
	n := 0
	for _, o := range p.oids {
		if o.Equal(oid) {
			n++
		}
	}
	return n
}

// with writes the TBSCertificate with the extension replaced; nil: taken out.
func (p parts) with(oid asn1.ObjectIdentifier, extension []byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(p.before)
		b.AddASN1(tagExtensions, func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for i, e := range p.extensions {
					if p.oids[i].Equal(oid) {
						e = extension
					}
					b.AddBytes(e)
				}
			})
		})
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encoding a certificate: %w", err)
	}
	return der, nil
}

// IsPrecertificate tells whether a to-be-signed certificate has the poison
// extension.
func IsPrecertificate(tbs []byte) (bool, error) {
	p, err := split(tbs)
	if err != nil {
		return false, err
	}
	return p.count(OIDPoison) > 0, nil
}

// PoisonExtension is the poison extension, DER.
func PoisonExtension() []byte {
	return []byte("\x30\x13\x06\x0a\x2b\x06\x01\x04\x01\xd6\x79\x02\x04\x03\x01\x01\xff\x04\x02\x05\x00")
}

// entryTBS is what logs sign of a to-be-signed certificate (RFC 6962 §3.2): it
// without the one extension that differs.
func entryTBS(tbs []byte, oid asn1.ObjectIdentifier) ([]byte, error) {
	p, err := split(tbs)
	if err != nil {
		return nil, err
	}
	if n := p.count(oid); n != 1 {
		return nil, fmt.Errorf("the certificate has the extension %s %d times", oid, n)
	}
	if oid.Equal(OIDPoison) && p.count(OIDSCTList) > 0 || oid.Equal(OIDSCTList) && p.count(OIDPoison) > 0 {
		return nil, errors.New("the certificate has both the poison extension and SCTs")
	}
	return p.with(oid, nil)
}

// Final makes of a precertificate's TBS that of the final certificate, with
// the SCTs where the poison stood.
func Final(precertificate []byte, scts []SCT) ([]byte, error) {
	p, err := split(precertificate)
	if err != nil {
		return nil, err
	}
	if p.count(OIDPoison) != 1 || p.count(OIDSCTList) != 0 {
		return nil, errors.New("it is not the TBS of a precertificate")
	}
	extension, err := listExtension(scts)
	if err != nil {
		return nil, err
	}
	final, err := p.with(OIDPoison, extension)
	if err != nil {
		return nil, err
	}
	return final, Correspond(precertificate, final)
}

// Correspond checks that a final certificate's TBS is a precertificate's, byte
// for byte, but for the poison in the one and the SCTs in the other (Baseline
// Requirements §7.1.2.9).
func Correspond(precertificate, final []byte) error {
	a, err := entryTBS(precertificate, OIDPoison)
	if err != nil {
		return fmt.Errorf("reading a precertificate: %w", err)
	}
	b, err := entryTBS(final, OIDSCTList)
	if err != nil {
		return fmt.Errorf("reading a final certificate: %w", err)
	}
	if !bytes.Equal(a, b) {
		return errors.New("the final certificate is not that of its precertificate")
	}
	return nil
}

// TBSOf is the to-be-signed part of a certificate, as it stands in it.
func TBSOf(der []byte) ([]byte, error) {
	outer := cryptobyte.String(der)
	var certificate, tbs cryptobyte.String
	if !outer.ReadASN1(&certificate, cryptobyte_asn1.SEQUENCE) || !outer.Empty() || !certificate.ReadASN1Element(&tbs, cryptobyte_asn1.SEQUENCE) {
		return nil, errors.New("it is no certificate")
	}
	return tbs, nil
}
