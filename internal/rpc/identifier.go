package rpc

import (
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/rpc/acmepb"
)

// EncodeIdentifier is the message of an identifier.
func EncodeIdentifier(id acme.Identifier) *acmepb.Identifier {
	return &acmepb.Identifier{Type: string(id.Type()), Value: id.Value()}
}

// EncodeIdentifiers is the messages of identifiers.
func EncodeIdentifiers(ids []acme.Identifier) []*acmepb.Identifier {
	return EncodeList(ids, EncodeIdentifier)
}

// Identifier reads an identifier that must be there, in its canonical form.
func (d *Decoder) Identifier(field string, m *acmepb.Identifier) acme.Identifier {
	return DecodeMessage(d, field, m, decodeIdentifier)
}

// Identifiers reads identifiers.
func (d *Decoder) Identifiers(field string, list []*acmepb.Identifier) []acme.Identifier {
	return DecodeList(d, field, list, (*Decoder).Identifier)
}

func decodeIdentifier(d *Decoder, m *acmepb.Identifier) acme.Identifier {
	id, err := acme.ParseIdentifier(acme.IdentifierType(m.Type), m.Value)
	switch {
	case err != nil:
		d.Fail("value", "%v", err)
	case id.Value() != m.Value:
		d.Fail("value", "%q is not canonical", m.Value)
	}
	return id
}
