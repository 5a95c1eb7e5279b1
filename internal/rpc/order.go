package rpc

import (
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/rpc/acmepb"
)

// EncodeOrder is the message of an order.
func EncodeOrder(o acme.Order) *acmepb.Order {
	m := &acmepb.Order{
		Id:             EncodeID(o.ID),
		Account:        EncodeID(o.Account),
		Status:         string(o.Status),
		Error:          EncodeProblem(o.Error),
		Profile:        o.Profile,
		Identifiers:    EncodeIdentifiers(o.Identifiers),
		NotBefore:      EncodeTime(o.NotBefore),
		NotAfter:       EncodeTime(o.NotAfter),
		Replaces:       o.Replaces,
		Authorizations: EncodeList(o.Authorizations, EncodeID),
		Expires:        EncodeTime(o.Expires),
		CreatedAt:      EncodeTime(o.CreatedAt),
		Certificate:    o.Certificate.Bytes(),
	}
	if o.AutoRenewal != nil {
		m.AutoRenewal = encodeAutoRenewal(*o.AutoRenewal)
	}
	return m
}

// Order reads an order that must be there.
func (d *Decoder) Order(field string, m *acmepb.Order) acme.Order {
	return DecodeMessage(d, field, m, decodeOrder)
}

func decodeOrder(d *Decoder, m *acmepb.Order) acme.Order {
	return acme.Order{
		ID:             d.ID("id", m.Id),
		Account:        d.ID("account", m.Account),
		Status:         acme.OrderStatus(m.Status),
		Error:          d.OptionalProblem("error", m.Error),
		Profile:        m.Profile,
		Identifiers:    d.Identifiers("identifiers", m.Identifiers),
		NotBefore:      d.Time("not_before", m.NotBefore),
		NotAfter:       d.Time("not_after", m.NotAfter),
		Replaces:       m.Replaces,
		Authorizations: DecodeList(d, "authorizations", m.Authorizations, (*Decoder).ID),
		Expires:        d.Time("expires", m.Expires),
		CreatedAt:      d.Time("created_at", m.CreatedAt),
		Certificate:    d.OptionalSerial("certificate", m.Certificate),
		AutoRenewal:    DecodeOptional(d, "auto_renewal", m.AutoRenewal, decodeAutoRenewal),
	}
}

func encodeAutoRenewal(r acme.AutoRenewal) *acmepb.AutoRenewal {
	return &acmepb.AutoRenewal{
		Start:      EncodeTime(r.Start),
		End:        EncodeTime(r.End),
		Lifetime:   EncodeDuration(r.Lifetime),
		Adjust:     EncodeDuration(r.Adjust),
		AllowGet:   r.AllowGet,
		Csr:        r.CSR,
		Next:       EncodeTime(r.Next),
		CanceledAt: EncodeTime(r.CanceledAt),
	}
}

func decodeAutoRenewal(d *Decoder, m *acmepb.AutoRenewal) acme.AutoRenewal {
	return acme.AutoRenewal{
		Start:      d.Time("start", m.Start),
		End:        d.Time("end", m.End),
		Lifetime:   d.Duration("lifetime", m.Lifetime),
		Adjust:     d.Duration("adjust", m.Adjust),
		AllowGet:   m.AllowGet,
		CSR:        m.Csr,
		Next:       d.Time("next", m.Next),
		CanceledAt: d.Time("canceled_at", m.CanceledAt),
	}
}
