package ca

import (
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/cairn-ca/cairn/internal/acme"
)

// ExtensionTemplate is an extension of a profile's own whose value may differ
// from certificate to certificate.
type ExtensionTemplate struct {
	OID      string
	Critical bool
	// Encoding is how Value becomes the extension's value: as a UTF8String, as
	// an IA5String, or, in hexadecimal, as DER that is complete.
	Encoding ExtensionEncoding
	// Value is a text with the placeholders ${name}, the first identifier;
	// ${names}, all of them, with commas between; and ${profile}. Hexadecimal
	// values have none.
	Value string
}

// ExtensionEncoding is how the text of an extension is encoded.
type ExtensionEncoding string

// The encodings.
const (
	EncodeUTF8 ExtensionEncoding = "utf8"
	EncodeIA5  ExtensionEncoding = "ia5"
	EncodeHex  ExtensionEncoding = "hex"
)

// maxExtension bounds the value of one extension: a certificate with larger
// ones serves nobody.
const maxExtension = 4096

var placeholders = []string{"${name}", "${names}", "${profile}"}

func (e ExtensionTemplate) validate() error {
	if _, err := parseOID(e.OID); err != nil {
		return err
	}
	if builtExtensions[e.OID] {
		return fmt.Errorf("the extension %s is built from the profile's other settings", e.OID)
	}
	rest := e.Value
	for _, p := range placeholders {
		rest = strings.ReplaceAll(rest, p, "")
	}
	switch {
	case e.Value == "" || len(e.Value) > maxExtension:
		return fmt.Errorf("the value of extension %s has 1 to %d characters", e.OID, maxExtension)
	case strings.Contains(rest, "${"):
		return fmt.Errorf("the extension %s has an unknown placeholder; there are %s", e.OID, strings.Join(placeholders, ", "))
	}
	_, err := e.encode("", nil)
	return err
}

// encode is the whole extension for one certificate.
func (e ExtensionTemplate) encode(profile string, ids []acme.Identifier) ([]byte, error) {
	oid, err := parseOID(e.OID)
	if err != nil {
		return nil, err
	}
	value, err := e.value(profile, ids)
	if err != nil {
		return nil, fmt.Errorf("extension %s: %w", e.OID, err)
	}
	b := cryptobyte.NewBuilder(nil)
	addExtension(b, oid, e.Critical, func(b *cryptobyte.Builder) { b.AddBytes(value) })
	return b.Bytes()
}

func (e ExtensionTemplate) value(profile string, ids []acme.Identifier) ([]byte, error) {
	if e.Encoding == EncodeHex {
		der, err := hex.DecodeString(e.Value)
		if err != nil {
			return nil, fmt.Errorf("its value is not hexadecimal")
		}
		var whole asn1.RawValue
		if rest, err := asn1.Unmarshal(der, &whole); err != nil || len(rest) > 0 {
			return nil, fmt.Errorf("its value is not one element in DER")
		}
		return der, nil
	}
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = id.Value()
	}
	first := ""
	if len(names) > 0 {
		first = names[0]
	}
	text := strings.NewReplacer("${name}", first, "${names}", strings.Join(names, ","), "${profile}", profile).Replace(e.Value)
	if len(text) > maxExtension {
		return nil, fmt.Errorf("its value has more than %d characters", maxExtension)
	}
	tag := cryptobyte_asn1.UTF8String
	switch e.Encoding {
	case EncodeUTF8:
	case EncodeIA5:
		tag = cryptobyte_asn1.IA5String
		for _, c := range []byte(text) {
			if c >= 0x80 {
				return nil, fmt.Errorf("its value is not ASCII, as an IA5String is")
			}
		}
	default:
		return nil, fmt.Errorf("there is no encoding %q", e.Encoding)
	}
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(text)) })
	return b.Bytes()
}
