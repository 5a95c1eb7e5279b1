package rpc

import (
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/rpc/acmepb"
)

// EncodeOrder is the message of an order.
func EncodeOrder(o acme.Order) *acmepb.Order {
	return &acmepb.Order{
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
		AutoRenewal:    EncodeAutoRenewal(o.AutoRenewal),
	}
}

// EncodeAutoRenewal is the message of an order's auto-renewal; nil for nil.
func EncodeAutoRenewal(a *acme.AutoRenewal) *acmepb.AutoRenewal {
	if a == nil {
		return nil
	}
	return &acmepb.AutoRenewal{
		Start:      EncodeTime(a.Start),
		End:        EncodeTime(a.End),
		Lifetime:   EncodeDuration(a.Lifetime),
		Adjust:     EncodeDuration(a.Adjust),
		AllowGet:   a.AllowGet,
		Csr:        a.CSR,
		Next:       EncodeTime(a.Next),
		CanceledAt: EncodeTime(a.CanceledAt),
	}
}

// OptionalAutoRenewal reads an auto-renewal that may be missing.
func (d *Decoder) OptionalAutoRenewal(field string, m *acmepb.AutoRenewal) *acme.AutoRenewal {
	return DecodeOptional(d, field, m, decodeAutoRenewal)
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
		AutoRenewal:    d.OptionalAutoRenewal("auto_renewal", m.AutoRenewal),
	}
}
