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
	}
}
