package ra

import (
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/rpc"
	"github.com/cairn-ca/cairn/internal/rpc/rapb"
)

func encodeAccount(a acme.Account) *rapb.AccountResponse {
	return &rapb.AccountResponse{Account: rpc.EncodeAccount(a)}
}

func decodeAccount(d *rpc.Decoder, m *rapb.AccountResponse) acme.Account {
	return d.Account("account", m.Account)
}

func encodeOrder(o acme.Order) *rapb.OrderResponse {
	return &rapb.OrderResponse{Order: rpc.EncodeOrder(o)}
}

func decodeOrder(d *rpc.Decoder, m *rapb.OrderResponse) acme.Order {
	return d.Order("order", m.Order)
}

func encodeAuthorization(a acme.Authorization) *rapb.AuthorizationResponse {
	return &rapb.AuthorizationResponse{Authorization: rpc.EncodeAuthorization(a)}
}

func decodeAuthorization(d *rpc.Decoder, m *rapb.AuthorizationResponse) acme.Authorization {
	return d.Authorization("authorization", m.Authorization)
}

func encodeNewAccount(r NewAccount) *rapb.NewAccountRequest {
	m := &rapb.NewAccountRequest{
		Directory:            r.Directory,
		Key:                  r.Key.JSON(),
		Contacts:             r.Contacts,
		TermsOfServiceAgreed: r.TermsOfServiceAgreed,
		OnlyReturnExisting:   r.OnlyReturnExisting,
		Client:               rpc.EncodeAddr(r.Client),
	}
	if b := r.Binding; b != nil {
		m.Binding = &rapb.ExternalAccountBinding{KeyId: b.KeyID, Algorithm: b.Algorithm, Jws: b.JWS, Document: b.Document}
	}
	return m
}

func decodeNewAccount(d *rpc.Decoder, m *rapb.NewAccountRequest) NewAccount {
	return NewAccount{
		Directory:            m.Directory,
		Key:                  d.AccountKey("key", m.Key),
		Contacts:             m.Contacts,
		TermsOfServiceAgreed: m.TermsOfServiceAgreed,
		OnlyReturnExisting:   m.OnlyReturnExisting,
		Binding:              rpc.DecodeOptional(d, "binding", m.Binding, decodeBinding),
		Client:               d.OptionalAddr("client", m.Client),
	}
}

func decodeBinding(_ *rpc.Decoder, m *rapb.ExternalAccountBinding) ExternalAccountBinding {
	return ExternalAccountBinding{KeyID: m.KeyId, Algorithm: m.Algorithm, JWS: m.Jws, Document: m.Document}
}

func encodeUpdateAccount(r UpdateAccount) *rapb.UpdateAccountRequest {
	return &rapb.UpdateAccountRequest{
		Account:              rpc.EncodeAccount(r.Account),
		Contacts:             rpc.EncodeStrings(r.Contacts),
		TermsOfServiceAgreed: r.TermsOfServiceAgreed,
	}
}

func decodeUpdateAccount(d *rpc.Decoder, m *rapb.UpdateAccountRequest) UpdateAccount {
	return UpdateAccount{
		Account:              d.Account("account", m.Account),
		Contacts:             rpc.DecodeStrings(m.Contacts),
		TermsOfServiceAgreed: m.TermsOfServiceAgreed,
	}
}

func encodeChangeKey(r ChangeKey) *rapb.ChangeKeyRequest {
	return &rapb.ChangeKeyRequest{
		Account: rpc.EncodeID(r.Account),
		OldKey:  r.OldKey.JSON(),
		NewKey:  r.NewKey.JSON(),
	}
}

func decodeChangeKey(d *rpc.Decoder, m *rapb.ChangeKeyRequest) ChangeKey {
	return ChangeKey{
		Account: d.ID("account", m.Account),
		OldKey:  d.AccountKey("old_key", m.OldKey),
		NewKey:  d.AccountKey("new_key", m.NewKey),
	}
}

func encodeNewOrder(r NewOrder) *rapb.NewOrderRequest {
	m := &rapb.NewOrderRequest{
		Account:     rpc.EncodeAccount(r.Account),
		Identifiers: rpc.EncodeIdentifiers(r.Identifiers),
		Profile:     r.Profile,
		NotBefore:   rpc.EncodeTime(r.NotBefore),
		NotAfter:    rpc.EncodeTime(r.NotAfter),
		Replaces:    rpc.EncodeCertID(r.Replaces),
		AutoRenewal: rpc.EncodeAutoRenewal(r.AutoRenewal),
		Client:      rpc.EncodeAddr(r.Client),
	}
	for id, ancestor := range r.Ancestors {
		m.Ancestors = append(m.Ancestors, &rapb.Ancestor{
			Identifier: rpc.EncodeIdentifier(id),
			Ancestor:   rpc.EncodeIdentifier(ancestor),
		})
	}
	return m
}

func decodeNewOrder(d *rpc.Decoder, m *rapb.NewOrderRequest) NewOrder {
	return NewOrder{
		Account:     d.Account("account", m.Account),
		Identifiers: d.Identifiers("identifiers", m.Identifiers),
		Profile:     m.Profile,
		NotBefore:   d.Time("not_before", m.NotBefore),
		NotAfter:    d.Time("not_after", m.NotAfter),
		Replaces:    d.OptionalCertID("replaces", m.Replaces),
		Ancestors:   decodeAncestors(d, "ancestors", m.Ancestors),
		AutoRenewal: d.OptionalAutoRenewal("auto_renewal", m.AutoRenewal),
		Client:      d.OptionalAddr("client", m.Client),
	}
}

func decodeAncestors(d *rpc.Decoder, field string, list []*rapb.Ancestor) map[acme.Identifier]acme.Identifier {
	if len(list) == 0 {
		return nil
	}
	ancestors := make(map[acme.Identifier]acme.Identifier, len(list))
	rpc.DecodeList(d, field, list, func(d *rpc.Decoder, field string, m *rapb.Ancestor) struct{} {
		return rpc.DecodeMessage(d, field, m, func(d *rpc.Decoder, m *rapb.Ancestor) struct{} {
			id := d.Identifier("identifier", m.Identifier)
			if _, twice := ancestors[id]; twice {
				d.Fail("identifier", "it stands there twice")
			}
			ancestors[id] = d.Identifier("ancestor", m.Ancestor)
			return struct{}{}
		})
	})
	return ancestors
}

func encodeNewAuthorization(r NewAuthorization) *rapb.NewAuthorizationRequest {
	return &rapb.NewAuthorizationRequest{
		Account:    rpc.EncodeAccount(r.Account),
		Identifier: rpc.EncodeIdentifier(r.Identifier),
		Subdomains: r.Subdomains,
		Client:     rpc.EncodeAddr(r.Client),
	}
}

func decodeNewAuthorization(d *rpc.Decoder, m *rapb.NewAuthorizationRequest) NewAuthorization {
	return NewAuthorization{
		Account:    d.Account("account", m.Account),
		Identifier: d.Identifier("identifier", m.Identifier),
		Subdomains: m.Subdomains,
		Client:     d.OptionalAddr("client", m.Client),
	}
}

func encodeFinalizeOrder(r FinalizeOrder) *rapb.FinalizeOrderRequest {
	return &rapb.FinalizeOrderRequest{
		Account:  rpc.EncodeAccount(r.Account),
		Order:    rpc.EncodeID(r.Order),
		Csr:      r.CSR,
		OnionCaa: rpc.EncodeList(r.OnionCAA, rpc.EncodeOnionCAA),
	}
}

func decodeFinalizeOrder(d *rpc.Decoder, m *rapb.FinalizeOrderRequest) FinalizeOrder {
	return FinalizeOrder{
		Account:  d.Account("account", m.Account),
		Order:    d.ID("order", m.Order),
		CSR:      m.Csr,
		OnionCAA: rpc.DecodeList(d, "onion_caa", m.OnionCaa, (*rpc.Decoder).OnionCAA),
	}
}

func encodeRespondToChallenge(r RespondToChallenge) *rapb.RespondToChallengeRequest {
	return &rapb.RespondToChallengeRequest{
		Account:       rpc.EncodeAccount(r.Account),
		Authorization: rpc.EncodeID(r.Authorization),
		Type:          string(r.Type),
		Response:      r.Response,
	}
}

func decodeRespondToChallenge(d *rpc.Decoder, m *rapb.RespondToChallengeRequest) RespondToChallenge {
	return RespondToChallenge{
		Account:       d.Account("account", m.Account),
		Authorization: d.ID("authorization", m.Authorization),
		Type:          acme.ChallengeType(m.Type),
		Response:      m.Response,
	}
}

func encodeRevokeCertificate(r RevokeCertificate) *rapb.RevokeCertificateRequest {
	m := &rapb.RevokeCertificateRequest{
		Directory: r.Directory,
		ByKey:     r.ByKey,
		Der:       r.DER,
	}
	if r.Account != nil {
		m.Account = rpc.EncodeAccount(*r.Account)
	}
	if r.Reason != nil {
		reason := int64(*r.Reason)
		m.Reason = &reason
	}
	return m
}

func decodeRevokeCertificate(d *rpc.Decoder, m *rapb.RevokeCertificateRequest) RevokeCertificate {
	r := RevokeCertificate{
		Directory: m.Directory,
		Account:   d.OptionalAccount("account", m.Account),
		ByKey:     m.ByKey,
		DER:       m.Der,
	}
	if m.Reason != nil {
		reason := acme.RevocationReason(d.Int("reason", *m.Reason))
		r.Reason = &reason
	}
	return r
}
