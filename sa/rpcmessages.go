package sa

import (
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/rpc"
	"github.com/cairn-ca/cairn/internal/rpc/sapb"
)

func encodeOrderPage(p OrderPage) *sapb.OrdersRequest {
	return &sapb.OrdersRequest{
		Account: rpc.EncodeID(p.Account),
		After:   rpc.EncodeOptionalID(p.After),
		Limit:   int64(p.Limit),
	}
}

func decodeOrderPage(d *rpc.Decoder, m *sapb.OrdersRequest) OrderPage {
	return OrderPage{
		Account: d.ID("account", m.Account),
		After:   d.OptionalID("after", m.After),
		Limit:   d.Int("limit", m.Limit),
	}
}

func encodeUsedKey(k acme.UsedKey) *sapb.UsedKey {
	return &sapb.UsedKey{Thumbprint: k.Thumbprint, Since: rpc.EncodeTime(k.Since)}
}

func decodeUsedKey(d *rpc.Decoder, field string, m *sapb.UsedKey) acme.UsedKey {
	return rpc.DecodeMessage(d, field, m, func(d *rpc.Decoder, m *sapb.UsedKey) acme.UsedKey {
		return acme.UsedKey{Thumbprint: m.Thumbprint, Since: d.Time("since", m.Since)}
	})
}

func encodeAccountChange(c AccountChange) *sapb.UpdateAccountRequest {
	m := &sapb.UpdateAccountRequest{
		Account:        rpc.EncodeID(c.Account),
		Contacts:       rpc.EncodeStrings(c.Contacts),
		TermsOfService: c.TermsOfService,
	}
	if c.Status != nil {
		status := string(*c.Status)
		m.Status = &status
	}
	return m
}

func decodeAccountChange(d *rpc.Decoder, m *sapb.UpdateAccountRequest) AccountChange {
	c := AccountChange{
		Account:        d.ID("account", m.Account),
		Contacts:       rpc.DecodeStrings(m.Contacts),
		TermsOfService: m.TermsOfService,
	}
	if m.Status != nil {
		status := acme.AccountStatus(*m.Status)
		c.Status = &status
	}
	return c
}

func encodeKeyChange(c KeyChange) *sapb.ChangeAccountKeyRequest {
	return &sapb.ChangeAccountKeyRequest{
		Account:       rpc.EncodeID(c.Account),
		OldThumbprint: c.OldThumbprint,
		NewKey:        c.NewKey.JSON(),
	}
}

func decodeKeyChange(d *rpc.Decoder, m *sapb.ChangeAccountKeyRequest) KeyChange {
	return KeyChange{
		Account:       d.ID("account", m.Account),
		OldThumbprint: m.OldThumbprint,
		NewKey:        d.AccountKey("new_key", m.NewKey),
	}
}

func encodeNewOrder(o NewOrder) *sapb.CreateOrderRequest {
	return &sapb.CreateOrderRequest{
		Order:          rpc.EncodeOrder(o.Order),
		Authorizations: rpc.EncodeList(o.Authorizations, rpc.EncodeAuthorization),
	}
}

func decodeNewOrder(d *rpc.Decoder, m *sapb.CreateOrderRequest) NewOrder {
	return NewOrder{
		Order:          d.Order("order", m.Order),
		Authorizations: rpc.DecodeList(d, "authorizations", m.Authorizations, (*rpc.Decoder).Authorization),
	}
}

func encodeReuseQuery(q ReuseQuery) *sapb.ReusableAuthorizationsRequest {
	return &sapb.ReusableAuthorizationsRequest{
		Account:      rpc.EncodeID(q.Account),
		Identifiers:  rpc.EncodeIdentifiers(q.Identifiers),
		ValidUntil:   rpc.EncodeTime(q.ValidUntil),
		ValidatedBy:  rpc.EncodeTime(q.ValidatedBy),
		Pending:      q.Pending,
		PendingUntil: rpc.EncodeTime(q.PendingUntil),
		Except:       rpc.EncodeWords(q.Except),
	}
}

func decodeReuseQuery(d *rpc.Decoder, m *sapb.ReusableAuthorizationsRequest) ReuseQuery {
	return ReuseQuery{
		Account:      d.ID("account", m.Account),
		Identifiers:  d.Identifiers("identifiers", m.Identifiers),
		ValidUntil:   d.Time("valid_until", m.ValidUntil),
		ValidatedBy:  d.Time("validated_by", m.ValidatedBy),
		Pending:      m.Pending,
		PendingUntil: d.Time("pending_until", m.PendingUntil),
		Except:       rpc.DecodeWords[acme.ChallengeType](m.Except),
	}
}

func encodeBeginValidation(b BeginValidation) *sapb.BeginValidationRequest {
	return &sapb.BeginValidationRequest{
		Authorization: rpc.EncodeID(b.Authorization),
		Type:          string(b.Type),
		Response:      b.Response,
		KeyThumbprint: b.KeyThumbprint,
		Owner:         b.Owner,
		LeaseUntil:    rpc.EncodeTime(b.LeaseUntil),
	}
}

func decodeBeginValidation(d *rpc.Decoder, m *sapb.BeginValidationRequest) BeginValidation {
	return BeginValidation{
		Authorization: d.ID("authorization", m.Authorization),
		Type:          acme.ChallengeType(m.Type),
		Response:      m.Response,
		KeyThumbprint: m.KeyThumbprint,
		Owner:         m.Owner,
		LeaseUntil:    d.Time("lease_until", m.LeaseUntil),
	}
}

func encodeClaim(c Claim) *sapb.ClaimRequest {
	return &sapb.ClaimRequest{
		Owner:      c.Owner,
		LeaseUntil: rpc.EncodeTime(c.LeaseUntil),
		Limit:      int64(c.Limit),
		PerAccount: int64(c.PerAccount),
		Except:     rpc.EncodeList(c.Except, rpc.EncodeID),
	}
}

func decodeClaim(d *rpc.Decoder, m *sapb.ClaimRequest) Claim {
	return Claim{
		Owner:      m.Owner,
		LeaseUntil: d.Time("lease_until", m.LeaseUntil),
		Limit:      d.Int("limit", m.Limit),
		PerAccount: d.Int("per_account", m.PerAccount),
		Except:     rpc.DecodeList(d, "except", m.Except, (*rpc.Decoder).ID),
	}
}

func encodeRetryValidation(r RetryValidation) *sapb.RetryValidationRequest {
	return &sapb.RetryValidationRequest{
		Authorization: rpc.EncodeID(r.Authorization),
		Error:         rpc.EncodeProblem(r.Error),
		NextTry:       rpc.EncodeTime(r.NextTry),
		Owner:         r.Owner,
	}
}

func decodeRetryValidation(d *rpc.Decoder, m *sapb.RetryValidationRequest) RetryValidation {
	return RetryValidation{
		Authorization: d.ID("authorization", m.Authorization),
		Error:         d.OptionalProblem("error", m.Error),
		NextTry:       d.Time("next_try", m.NextTry),
		Owner:         m.Owner,
	}
}

func encodeValidationResult(r ValidationResult) *sapb.CompleteValidationRequest {
	return &sapb.CompleteValidationRequest{
		Authorization: rpc.EncodeID(r.Authorization),
		Problem:       rpc.EncodeProblem(r.Problem),
		Validated:     rpc.EncodeTime(r.Validated),
		Expires:       rpc.EncodeTime(r.Expires),
		Evidence:      rpc.EncodeEvidence(r.Evidence),
		Owner:         r.Owner,
		Valid:         r.Problem == nil,
	}
}

func decodeValidationResult(d *rpc.Decoder, m *sapb.CompleteValidationRequest) ValidationResult {
	if m.Valid != (m.Problem == nil) {
		d.Fail("valid", "%t does not go with the problem", m.Valid)
	}
	return ValidationResult{
		Authorization: d.ID("authorization", m.Authorization),
		Problem:       d.OptionalProblem("problem", m.Problem),
		Validated:     d.Time("validated", m.Validated),
		Expires:       d.Time("expires", m.Expires),
		Evidence:      d.Evidence("evidence", m.Evidence),
		Owner:         m.Owner,
	}
}

func encodeCAA(evidence map[acme.ID]acme.CAAEvidence) *sapb.RecordCAARequest {
	m := &sapb.RecordCAARequest{}
	for id, e := range evidence {
		m.Evidence = append(m.Evidence, &sapb.RecordCAARequest_Entry{
			Authorization: rpc.EncodeID(id),
			Evidence:      rpc.EncodeCAAEvidence(e),
		})
	}
	return m
}

func decodeCAA(d *rpc.Decoder, m *sapb.RecordCAARequest) map[acme.ID]acme.CAAEvidence {
	evidence := make(map[acme.ID]acme.CAAEvidence, len(m.Evidence))
	rpc.DecodeList(d, "evidence", m.Evidence, func(d *rpc.Decoder, field string, entry *sapb.RecordCAARequest_Entry) struct{} {
		return rpc.DecodeMessage(d, field, entry, func(d *rpc.Decoder, entry *sapb.RecordCAARequest_Entry) struct{} {
			id := d.ID("authorization", entry.Authorization)
			if _, twice := evidence[id]; twice {
				d.Fail("authorization", "it stands there twice")
			}
			evidence[id] = d.CAAEvidence("evidence", entry.Evidence)
			return struct{}{}
		})
	})
	return evidence
}

func encodeIssuance(i Issuance) *sapb.RecordIssuanceRequest {
	return &sapb.RecordIssuanceRequest{
		Certificate: rpc.EncodeCertificate(i.Certificate),
		Owner:       i.Owner,
		LeaseUntil:  rpc.EncodeTime(i.LeaseUntil),

		AutoRenewalCsr: i.AutoRenewalCSR,
		NextRenewal:    rpc.EncodeTime(i.NextRenewal),
		RenewalOwner:   i.RenewalOwner,
	}
}

func decodeIssuance(d *rpc.Decoder, m *sapb.RecordIssuanceRequest) Issuance {
	return Issuance{
		Certificate: d.Certificate("certificate", m.Certificate),
		Owner:       m.Owner,
		LeaseUntil:  d.Time("lease_until", m.LeaseUntil),

		AutoRenewalCSR: m.AutoRenewalCsr,
		NextRenewal:    d.Time("next_renewal", m.NextRenewal),
		RenewalOwner:   m.RenewalOwner,
	}
}

func encodeRevocationPage(p RevocationPage) *sapb.RevocationsRequest {
	return &sapb.RevocationsRequest{
		Issuer:       rpc.EncodeIssuerID(p.Issuer),
		Shard:        int64(p.Shard),
		ExpiresAfter: rpc.EncodeTime(p.ExpiresAfter),
		After:        p.After.Bytes(),
		Limit:        int64(p.Limit),
	}
}

func decodeRevocationPage(d *rpc.Decoder, m *sapb.RevocationsRequest) RevocationPage {
	return RevocationPage{
		Issuer:       d.IssuerID("issuer", m.Issuer),
		Shard:        d.Int("shard", m.Shard),
		ExpiresAfter: d.Time("expires_after", m.ExpiresAfter),
		After:        d.OptionalSerial("after", m.After),
		Limit:        d.Int("limit", m.Limit),
	}
}

func encodeCRL(c CRL) *sapb.CertificateRevocationList {
	return &sapb.CertificateRevocationList{
		Issuer:     rpc.EncodeIssuerID(c.Issuer),
		Shard:      int64(c.Shard),
		Number:     c.Number,
		ThisUpdate: rpc.EncodeTime(c.ThisUpdate),
		NextUpdate: rpc.EncodeTime(c.NextUpdate),
		Der:        c.DER,
	}
}

func decodeCRL(d *rpc.Decoder, m *sapb.CertificateRevocationList) CRL {
	return CRL{
		Issuer:     d.IssuerID("issuer", m.Issuer),
		Shard:      d.Int("shard", m.Shard),
		Number:     m.Number,
		ThisUpdate: d.Time("this_update", m.ThisUpdate),
		NextUpdate: d.Time("next_update", m.NextUpdate),
		DER:        m.Der,
	}
}

func encodeBlockedKey(k BlockedKey) *sapb.BlockKeyRequest {
	return &sapb.BlockKeyRequest{
		SpkiSha256: rpc.EncodeBytes32(k.SPKISHA256),
		At:         rpc.EncodeTime(k.At),
		By:         rpc.EncodeText(k.By),
		Comment:    rpc.EncodeText(k.Comment),
	}
}

func decodeBlockedKey(d *rpc.Decoder, m *sapb.BlockKeyRequest) BlockedKey {
	return BlockedKey{
		SPKISHA256: d.Bytes32("spki_sha256", m.SpkiSha256),
		At:         d.Time("at", m.At),
		By:         m.By,
		Comment:    m.Comment,
	}
}

func encodeLease(l Lease) *sapb.LeaseRequest {
	return &sapb.LeaseRequest{Name: l.Name, Owner: l.Owner, Until: rpc.EncodeTime(l.Until)}
}

func decodeLease(d *rpc.Decoder, m *sapb.LeaseRequest) Lease {
	return Lease{Name: m.Name, Owner: m.Owner, Until: d.Time("until", m.Until)}
}

func encodeExternalKey(k ExternalKey) *sapb.ExternalKey {
	return &sapb.ExternalKey{
		Id:        k.ID,
		Directory: k.Directory,
		Comment:   rpc.EncodeText(k.Comment),
		Mac:       k.MAC,
		Reusable:  k.Reusable,
		CreatedAt: rpc.EncodeTime(k.CreatedAt),
		RevokedAt: rpc.EncodeTime(k.RevokedAt),
		Account:   rpc.EncodeOptionalID(k.Account),
	}
}

func decodeExternalKey(d *rpc.Decoder, m *sapb.ExternalKey) ExternalKey {
	return ExternalKey{
		ID:        m.Id,
		Directory: m.Directory,
		Comment:   m.Comment,
		MAC:       m.Mac,
		Reusable:  m.Reusable,
		CreatedAt: d.Time("created_at", m.CreatedAt),
		RevokedAt: d.Time("revoked_at", m.RevokedAt),
		Account:   d.OptionalID("account", m.Account),
	}
}

func encodeRenewalOrder(o RenewalOrder) *sapb.RenewalOrder {
	return &sapb.RenewalOrder{
		Id:             rpc.EncodeID(o.ID),
		Serial:         o.Serial.Bytes(),
		IssuedFrom:     rpc.EncodeTime(o.IssuedFrom),
		IssuedBefore:   rpc.EncodeTime(o.IssuedBefore),
		Start:          rpc.EncodeTime(o.Start),
		End:            rpc.EncodeTime(o.End),
		ExplanationUrl: o.ExplanationURL,
		CreatedAt:      rpc.EncodeTime(o.CreatedAt),
		By:             rpc.EncodeText(o.By),
	}
}

func decodeRenewalOrder(d *rpc.Decoder, m *sapb.RenewalOrder) RenewalOrder {
	return RenewalOrder{
		ID:             d.ID("id", m.Id),
		Serial:         d.OptionalSerial("serial", m.Serial),
		IssuedFrom:     d.Time("issued_from", m.IssuedFrom),
		IssuedBefore:   d.Time("issued_before", m.IssuedBefore),
		Start:          d.Time("start", m.Start),
		End:            d.Time("end", m.End),
		ExplanationURL: m.ExplanationUrl,
		CreatedAt:      d.Time("created_at", m.CreatedAt),
		By:             m.By,
	}
}

// The answers that several methods have.

func decodeOrder(d *rpc.Decoder, m *sapb.OrderResponse) acme.Order {
	return d.Order("order", m.Order)
}

func encodeAccount(a acme.Account) *sapb.AccountResponse {
	return &sapb.AccountResponse{Account: rpc.EncodeAccount(a)}
}

func decodeAccount(d *rpc.Decoder, m *sapb.AccountResponse) acme.Account {
	return d.Account("account", m.Account)
}

func encodeAuthorization(a acme.Authorization) *sapb.AuthorizationResponse {
	return &sapb.AuthorizationResponse{Authorization: rpc.EncodeAuthorization(a)}
}

func decodeAuthorization(d *rpc.Decoder, m *sapb.AuthorizationResponse) acme.Authorization {
	return d.Authorization("authorization", m.Authorization)
}

func encodeAuthorizations(list []acme.Authorization) *sapb.AuthorizationsResponse {
	return &sapb.AuthorizationsResponse{Authorizations: rpc.EncodeList(list, rpc.EncodeAuthorization)}
}

func decodeAuthorizations(d *rpc.Decoder, m *sapb.AuthorizationsResponse) []acme.Authorization {
	return rpc.DecodeList(d, "authorizations", m.Authorizations, (*rpc.Decoder).Authorization)
}

// shard names one of an issuer's CRLs.
type shard struct {
	issuer acme.IssuerID
	number int
}

func decodeShard(d *rpc.Decoder, m interface {
	GetIssuer() []byte
	GetShard() int64
}) shard {
	return shard{d.IssuerID("issuer", m.GetIssuer()), d.Int("shard", m.GetShard())}
}
