package rpc

import (
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/rpc/acmepb"
)

// EncodeCertificate is the message of a certificate's record.
func EncodeCertificate(c acme.Certificate) *acmepb.Certificate {
	m := &acmepb.Certificate{
		Serial:         c.Serial.Bytes(),
		Issuer:         EncodeIssuerID(c.Issuer),
		Profile:        c.Profile,
		CrlShard:       int64(c.CRLShard),
		Account:        EncodeOptionalID(c.Account),
		Order:          EncodeOptionalID(c.Order),
		Tbs:            c.TBS,
		Der:            c.DER,
		Precertificate: c.Precertificate,
		NotBefore:      EncodeTime(c.NotBefore),
		NotAfter:       EncodeTime(c.NotAfter),
		RecordedAt:     EncodeTime(c.RecordedAt),
	}
	if c.Revocation != nil {
		m.Revocation = EncodeRevocation(*c.Revocation)
	}
	return m
}

// Certificate reads a certificate's record, which must be there.
func (d *Decoder) Certificate(field string, m *acmepb.Certificate) acme.Certificate {
	return DecodeMessage(d, field, m, decodeCertificate)
}

func decodeCertificate(d *Decoder, m *acmepb.Certificate) acme.Certificate {
	return acme.Certificate{
		Serial:         d.Serial("serial", m.Serial),
		Issuer:         d.IssuerID("issuer", m.Issuer),
		Profile:        m.Profile,
		CRLShard:       d.Int("crl_shard", m.CrlShard),
		Account:        d.OptionalID("account", m.Account),
		Order:          d.OptionalID("order", m.Order),
		TBS:            m.Tbs,
		DER:            m.Der,
		Precertificate: m.Precertificate,
		NotBefore:      d.Time("not_before", m.NotBefore),
		NotAfter:       d.Time("not_after", m.NotAfter),
		RecordedAt:     d.Time("recorded_at", m.RecordedAt),
		Revocation:     DecodeOptional(d, "revocation", m.Revocation, decodeRevocation),
	}
}

// EncodeRevocation is the message of a revocation.
func EncodeRevocation(r acme.Revocation) *acmepb.Revocation {
	return &acmepb.Revocation{
		Serial:   r.Serial.Bytes(),
		Issuer:   EncodeIssuerID(r.Issuer),
		CrlShard: int64(r.CRLShard),
		At:       EncodeTime(r.At),
		Reason:   int64(r.Reason),
		By:       EncodeText(r.By),
		NotAfter: EncodeTime(r.NotAfter),
	}
}

// Revocation reads a revocation that must be there.
func (d *Decoder) Revocation(field string, m *acmepb.Revocation) acme.Revocation {
	return DecodeMessage(d, field, m, decodeRevocation)
}

func decodeRevocation(d *Decoder, m *acmepb.Revocation) acme.Revocation {
	return acme.Revocation{
		Serial:   d.Serial("serial", m.Serial),
		Issuer:   d.IssuerID("issuer", m.Issuer),
		CRLShard: d.Int("crl_shard", m.CrlShard),
		At:       d.Time("at", m.At),
		Reason:   acme.RevocationReason(d.Int("reason", m.Reason)),
		By:       m.By,
		NotAfter: d.Time("not_after", m.NotAfter),
	}
}

// EncodeChain is the message of a chain of certificates, DER.
func EncodeChain(chain [][]byte) *acmepb.Chain { return &acmepb.Chain{Certificates: chain} }

// Chain reads a chain, which must be there.
func (d *Decoder) Chain(field string, m *acmepb.Chain) [][]byte {
	return DecodeMessage(d, field, m, func(_ *Decoder, m *acmepb.Chain) [][]byte { return m.Certificates })
}

// EncodeIssuer is the message of an issuer.
func EncodeIssuer(i acme.Issuer) *acmepb.Issuer {
	return &acmepb.Issuer{
		Id:        EncodeIssuerID(i.ID),
		Chains:    EncodeList(i.Chains, EncodeChain),
		Responder: i.Responder,
	}
}

// Issuer reads an issuer that must be there.
func (d *Decoder) Issuer(field string, m *acmepb.Issuer) acme.Issuer {
	return DecodeMessage(d, field, m, func(d *Decoder, m *acmepb.Issuer) acme.Issuer {
		return acme.Issuer{
			ID:        d.IssuerID("id", m.Id),
			Chains:    DecodeList(d, "chains", m.Chains, (*Decoder).Chain),
			Responder: m.Responder,
		}
	})
}
