package rpc

import (
	"crypto/ed25519"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/rpc/acmepb"
)

// EncodeOnionCAA is the message of an onion service's CAA record set.
func EncodeOnionCAA(c acme.OnionCAA) *acmepb.OnionCAA {
	return &acmepb.OnionCAA{
		Service:   EncodeIdentifier(c.Service),
		Caa:       c.CAA,
		Expiry:    EncodeTime(c.Expiry),
		Signature: c.Signature[:],
	}
}

// EncodeOptionalOnionCAA is nil for nil.
func EncodeOptionalOnionCAA(c *acme.OnionCAA) *acmepb.OnionCAA {
	if c == nil {
		return nil
	}
	return EncodeOnionCAA(*c)
}

// OnionCAA reads an onion service's CAA record set that must be there.
func (d *Decoder) OnionCAA(field string, m *acmepb.OnionCAA) acme.OnionCAA {
	return DecodeMessage(d, field, m, decodeOnionCAA)
}

// OptionalOnionCAA reads a record set that may be missing.
func (d *Decoder) OptionalOnionCAA(field string, m *acmepb.OnionCAA) *acme.OnionCAA {
	return DecodeOptional(d, field, m, decodeOnionCAA)
}

func decodeOnionCAA(d *Decoder, m *acmepb.OnionCAA) acme.OnionCAA {
	c := acme.OnionCAA{
		Service: d.Identifier("service", m.Service),
		CAA:     m.Caa,
		Expiry:  d.Time("expiry", m.Expiry),
	}
	if len(m.Signature) != ed25519.SignatureSize {
		d.Fail("signature", "it has %d bytes, not %d", ed25519.SignatureSize, len(m.Signature))
		return c
	}
	c.Signature = [ed25519.SignatureSize]byte(m.Signature)
	return c
}
