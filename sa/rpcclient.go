package sa

import (
	"context"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/rpc"
	"github.com/cairn-ca/cairn/internal/rpc/sapb"
)

func (c client) Account(ctx context.Context, id acme.ID) (acme.Account, error) {
	m, err := c.pb.Account(ctx, &sapb.AccountRequest{Id: rpc.EncodeID(id)})
	return rpc.Answer(m, DecodeError(err), decodeAccount)
}

func (c client) AccountByKey(ctx context.Context, directory, thumbprint string) (acme.Account, error) {
	m, err := c.pb.AccountByKey(ctx, &sapb.AccountByKeyRequest{Directory: directory, Thumbprint: thumbprint})
	return rpc.Answer(m, DecodeError(err), decodeAccount)
}

func (c client) AccountKeys(ctx context.Context, account acme.ID) ([]acme.UsedKey, error) {
	m, err := c.pb.AccountKeys(ctx, &sapb.AccountKeysRequest{Account: rpc.EncodeID(account)})
	return rpc.Answer(m, DecodeError(err), func(d *rpc.Decoder, m *sapb.AccountKeysResponse) []acme.UsedKey {
		return rpc.DecodeList(d, "keys", m.Keys, decodeUsedKey)
	})
}

func (c client) Order(ctx context.Context, id acme.ID) (acme.Order, error) {
	m, err := c.pb.Order(ctx, &sapb.OrderRequest{Id: rpc.EncodeID(id)})
	return rpc.Answer(m, DecodeError(err), decodeOrder)
}

func (c client) Orders(ctx context.Context, page OrderPage) ([]acme.ID, error) {
	m, err := c.pb.Orders(ctx, encodeOrderPage(page))
	return rpc.Answer(m, DecodeError(err), func(d *rpc.Decoder, m *sapb.OrdersResponse) []acme.ID {
		return rpc.DecodeList(d, "ids", m.Ids, (*rpc.Decoder).ID)
	})
}

func (c client) Authorization(ctx context.Context, id acme.ID) (acme.Authorization, error) {
	m, err := c.pb.Authorization(ctx, &sapb.AuthorizationRequest{Id: rpc.EncodeID(id)})
	return rpc.Answer(m, DecodeError(err), decodeAuthorization)
}

func (c client) Certificate(ctx context.Context, serial acme.Serial) (acme.Certificate, error) {
	m, err := c.pb.Certificate(ctx, &sapb.CertificateRequest{Serial: serial.Bytes()})
	return rpc.Answer(m, DecodeError(err), func(d *rpc.Decoder, m *sapb.CertificateResponse) acme.Certificate {
		return d.Certificate("certificate", m.Certificate)
	})
}

func (c client) Issuer(ctx context.Context, id acme.IssuerID) (acme.Issuer, error) {
	m, err := c.pb.Issuer(ctx, &sapb.IssuerRequest{Id: rpc.EncodeIssuerID(id)})
	return rpc.Answer(m, DecodeError(err), func(d *rpc.Decoder, m *sapb.IssuerResponse) acme.Issuer {
		return d.Issuer("issuer", m.Issuer)
	})
}

func (c client) Issuers(ctx context.Context) ([]acme.Issuer, error) {
	m, err := c.pb.Issuers(ctx, &sapb.IssuersRequest{})
	return rpc.Answer(m, DecodeError(err), func(d *rpc.Decoder, m *sapb.IssuersResponse) []acme.Issuer {
		return rpc.DecodeList(d, "issuers", m.Issuers, (*rpc.Decoder).Issuer)
	})
}

func (c client) CRL(ctx context.Context, issuer acme.IssuerID, number int) (CRL, error) {
	m, err := c.pb.CRL(ctx, &sapb.CRLRequest{Issuer: rpc.EncodeIssuerID(issuer), Shard: int64(number)})
	return rpc.Answer(m, DecodeError(err), func(d *rpc.Decoder, m *sapb.CRLResponse) CRL {
		return rpc.DecodeMessage(d, "crl", m.Crl, decodeCRL)
	})
}

func (c client) RenewalOrder(ctx context.Context, cert acme.Certificate) (RenewalOrder, error) {
	m, err := c.pb.RenewalOrder(ctx, &sapb.RenewalOrderRequest{Certificate: rpc.EncodeCertificate(cert)})
	return rpc.Answer(m, DecodeError(err), func(d *rpc.Decoder, m *sapb.RenewalOrderResponse) RenewalOrder {
		return rpc.DecodeMessage(d, "order", m.Order, decodeRenewalOrder)
	})
}

func (c client) Ping(ctx context.Context) error {
	_, err := c.pb.Ping(ctx, &sapb.PingRequest{})
	return DecodeError(err)
}

func (c client) CreateAccount(ctx context.Context, account acme.Account) (acme.Account, bool, error) {
	m, err := c.pb.CreateAccount(ctx, &sapb.CreateAccountRequest{Account: rpc.EncodeAccount(account)})
	stored, err := rpc.Answer(m, DecodeError(err), func(d *rpc.Decoder, m *sapb.CreateAccountResponse) acme.Account {
		return d.Account("stored", m.Stored)
	})
	return stored, err == nil && m.Created, err
}

func (c client) UpdateAccount(ctx context.Context, change AccountChange) (acme.Account, error) {
	m, err := c.pb.UpdateAccount(ctx, encodeAccountChange(change))
	return rpc.Answer(m, DecodeError(err), decodeAccount)
}

func (c client) ChangeAccountKey(ctx context.Context, change KeyChange) (acme.Account, error) {
	m, err := c.pb.ChangeAccountKey(ctx, encodeKeyChange(change))
	return rpc.Answer(m, DecodeError(err), decodeAccount)
}

func (c client) CreateOrder(ctx context.Context, order NewOrder) error {
	_, err := c.pb.CreateOrder(ctx, encodeNewOrder(order))
	return DecodeError(err)
}

func (c client) ReusableAuthorizations(ctx context.Context, query ReuseQuery) ([]acme.Authorization, error) {
	m, err := c.pb.ReusableAuthorizations(ctx, encodeReuseQuery(query))
	return rpc.Answer(m, DecodeError(err), decodeAuthorizations)
}

func (c client) CreateAuthorization(ctx context.Context, authorization acme.Authorization) error {
	_, err := c.pb.CreateAuthorization(ctx, &sapb.CreateAuthorizationRequest{Authorization: rpc.EncodeAuthorization(authorization)})
	return DecodeError(err)
}

func (c client) DeactivateAuthorization(ctx context.Context, id acme.ID) (acme.Authorization, error) {
	m, err := c.pb.DeactivateAuthorization(ctx, &sapb.DeactivateAuthorizationRequest{Id: rpc.EncodeID(id)})
	return rpc.Answer(m, DecodeError(err), decodeAuthorization)
}

func (c client) BeginValidation(ctx context.Context, begin BeginValidation) (acme.Authorization, error) {
	m, err := c.pb.BeginValidation(ctx, encodeBeginValidation(begin))
	return rpc.Answer(m, DecodeError(err), decodeAuthorization)
}

func (c client) ClaimValidations(ctx context.Context, claim Claim) ([]acme.Authorization, error) {
	m, err := c.pb.ClaimValidations(ctx, encodeClaim(claim))
	return rpc.Answer(m, DecodeError(err), decodeAuthorizations)
}

func (c client) RetryValidation(ctx context.Context, retry RetryValidation) error {
	_, err := c.pb.RetryValidation(ctx, encodeRetryValidation(retry))
	return DecodeError(err)
}

func (c client) CompleteValidation(ctx context.Context, result ValidationResult) (acme.Authorization, error) {
	m, err := c.pb.CompleteValidation(ctx, encodeValidationResult(result))
	return rpc.Answer(m, DecodeError(err), decodeAuthorization)
}

func (c client) RecordCAA(ctx context.Context, evidence map[acme.ID]acme.CAAEvidence) error {
	_, err := c.pb.RecordCAA(ctx, encodeCAA(evidence))
	return DecodeError(err)
}

func (c client) RecordIssuance(ctx context.Context, issuance Issuance) error {
	_, err := c.pb.RecordIssuance(ctx, encodeIssuance(issuance))
	return DecodeError(err)
}

func (c client) ClaimIssuances(ctx context.Context, claim Claim) ([]acme.Certificate, error) {
	m, err := c.pb.ClaimIssuances(ctx, encodeClaim(claim))
	return rpc.Answer(m, DecodeError(err), func(d *rpc.Decoder, m *sapb.CertificatesResponse) []acme.Certificate {
		return rpc.DecodeList(d, "certificates", m.Certificates, (*rpc.Decoder).Certificate)
	})
}

func (c client) CompleteIssuance(ctx context.Context, serial acme.Serial, der []byte) error {
	_, err := c.pb.CompleteIssuance(ctx, &sapb.CompleteIssuanceRequest{Serial: serial.Bytes(), Der: der})
	return DecodeError(err)
}

func (c client) RecordPrecertificate(ctx context.Context, serial acme.Serial, der []byte) error {
	_, err := c.pb.RecordPrecertificate(ctx, &sapb.RecordPrecertificateRequest{Serial: serial.Bytes(), Der: der})
	return DecodeError(err)
}

func (c client) RecordSCTs(ctx context.Context, serial acme.Serial, tbs []byte) error {
	_, err := c.pb.RecordSCTs(ctx, &sapb.RecordSCTsRequest{Serial: serial.Bytes(), Tbs: tbs})
	return DecodeError(err)
}

func (c client) ClaimSubmissions(ctx context.Context, claim Claim) ([]acme.Certificate, error) {
	m, err := c.pb.ClaimSubmissions(ctx, encodeClaim(claim))
	return rpc.Answer(m, DecodeError(err), func(d *rpc.Decoder, m *sapb.CertificatesResponse) []acme.Certificate {
		return rpc.DecodeList(d, "certificates", m.Certificates, (*rpc.Decoder).Certificate)
	})
}

func (c client) CompleteSubmission(ctx context.Context, serial acme.Serial) error {
	_, err := c.pb.CompleteSubmission(ctx, &sapb.CompleteSubmissionRequest{Serial: serial.Bytes()})
	return DecodeError(err)
}

func (c client) FailIssuance(ctx context.Context, serial acme.Serial, problem *acme.Problem) error {
	_, err := c.pb.FailIssuance(ctx, &sapb.FailIssuanceRequest{Serial: serial.Bytes(), Problem: rpc.EncodeProblem(problem)})
	return DecodeError(err)
}

func (c client) Revoke(ctx context.Context, revocation acme.Revocation) error {
	_, err := c.pb.Revoke(ctx, &sapb.RevokeRequest{Revocation: rpc.EncodeRevocation(revocation)})
	return DecodeError(err)
}

func (c client) Revocations(ctx context.Context, page RevocationPage) ([]acme.Revocation, error) {
	m, err := c.pb.Revocations(ctx, encodeRevocationPage(page))
	return rpc.Answer(m, DecodeError(err), func(d *rpc.Decoder, m *sapb.RevocationsResponse) []acme.Revocation {
		return rpc.DecodeList(d, "revocations", m.Revocations, (*rpc.Decoder).Revocation)
	})
}

func (c client) LatestRevocation(ctx context.Context, issuer acme.IssuerID, number int) (time.Time, error) {
	m, err := c.pb.LatestRevocation(ctx, &sapb.LatestRevocationRequest{Issuer: rpc.EncodeIssuerID(issuer), Shard: int64(number)})
	return rpc.Answer(m, DecodeError(err), func(d *rpc.Decoder, m *sapb.LatestRevocationResponse) time.Time {
		return d.Time("at", m.At)
	})
}

func (c client) PublishCRL(ctx context.Context, crl CRL) error {
	_, err := c.pb.PublishCRL(ctx, &sapb.PublishCRLRequest{Crl: encodeCRL(crl)})
	return DecodeError(err)
}

func (c client) PutIssuer(ctx context.Context, issuer acme.Issuer) error {
	_, err := c.pb.PutIssuer(ctx, &sapb.PutIssuerRequest{Issuer: rpc.EncodeIssuer(issuer)})
	return DecodeError(err)
}

func (c client) BlockKey(ctx context.Context, key BlockedKey) error {
	_, err := c.pb.BlockKey(ctx, encodeBlockedKey(key))
	return DecodeError(err)
}

func (c client) KeyBlocked(ctx context.Context, spkiSHA256 [32]byte) (bool, error) {
	m, err := c.pb.KeyBlocked(ctx, &sapb.KeyBlockedRequest{SpkiSha256: rpc.EncodeBytes32(spkiSHA256)})
	return rpc.Answer(m, DecodeError(err), func(d *rpc.Decoder, m *sapb.KeyBlockedResponse) bool {
		if m.Blocked == nil {
			d.Fail("blocked", "missing")
		}
		return m.GetBlocked()
	})
}

func (c client) Lease(ctx context.Context, lease Lease) (bool, error) {
	m, err := c.pb.Lease(ctx, encodeLease(lease))
	return rpc.Answer(m, DecodeError(err), func(_ *rpc.Decoder, m *sapb.LeaseResponse) bool {
		return m.Held
	})
}

func (c client) CreateExternalKey(ctx context.Context, key ExternalKey) error {
	_, err := c.pb.CreateExternalKey(ctx, &sapb.CreateExternalKeyRequest{Key: encodeExternalKey(key)})
	return DecodeError(err)
}

func (c client) ExternalKey(ctx context.Context, directory, id string) (ExternalKey, error) {
	m, err := c.pb.ExternalKey(ctx, &sapb.ExternalKeyRequest{Directory: directory, Id: id})
	return rpc.Answer(m, DecodeError(err), func(d *rpc.Decoder, m *sapb.ExternalKeyResponse) ExternalKey {
		return rpc.DecodeMessage(d, "key", m.Key, decodeExternalKey)
	})
}

func (c client) ExternalKeys(ctx context.Context, directory string) ([]ExternalKey, error) {
	m, err := c.pb.ExternalKeys(ctx, &sapb.ExternalKeysRequest{Directory: directory})
	return rpc.Answer(m, DecodeError(err), func(d *rpc.Decoder, m *sapb.ExternalKeysResponse) []ExternalKey {
		return rpc.DecodeList(d, "keys", m.Keys, func(d *rpc.Decoder, field string, m *sapb.ExternalKey) ExternalKey {
			return rpc.DecodeMessage(d, field, m, decodeExternalKey)
		})
	})
}

func (c client) RevokeExternalKey(ctx context.Context, directory, id string, at time.Time) error {
	_, err := c.pb.RevokeExternalKey(ctx, &sapb.RevokeExternalKeyRequest{Directory: directory, Id: id, At: rpc.EncodeTime(at)})
	return DecodeError(err)
}

func (c client) CreateRenewalOrder(ctx context.Context, order RenewalOrder) error {
	_, err := c.pb.CreateRenewalOrder(ctx, &sapb.CreateRenewalOrderRequest{Order: encodeRenewalOrder(order)})
	return DecodeError(err)
}

func (c client) RenewalOrders(ctx context.Context) ([]RenewalOrder, error) {
	m, err := c.pb.RenewalOrders(ctx, &sapb.RenewalOrdersRequest{})
	return rpc.Answer(m, DecodeError(err), func(d *rpc.Decoder, m *sapb.RenewalOrdersResponse) []RenewalOrder {
		return rpc.DecodeList(d, "orders", m.Orders, func(d *rpc.Decoder, field string, m *sapb.RenewalOrder) RenewalOrder {
			return rpc.DecodeMessage(d, field, m, decodeRenewalOrder)
		})
	})
}

func (c client) CancelOrder(ctx context.Context, order acme.ID, at time.Time) (acme.Order, error) {
	m, err := c.pb.CancelOrder(ctx, &sapb.CancelOrderRequest{Id: rpc.EncodeID(order), At: rpc.EncodeTime(at)})
	return rpc.Answer(m, DecodeError(err), decodeOrder)
}

func (c client) ClaimRenewals(ctx context.Context, claim Claim) ([]acme.Order, error) {
	m, err := c.pb.ClaimRenewals(ctx, encodeClaim(claim))
	return rpc.Answer(m, DecodeError(err), func(d *rpc.Decoder, m *sapb.OrdersClaimedResponse) []acme.Order {
		return rpc.DecodeList(d, "orders", m.Orders, (*rpc.Decoder).Order)
	})
}

func (c client) RecordRenewal(ctx context.Context, issuance Issuance) error {
	_, err := c.pb.RecordRenewal(ctx, encodeIssuance(issuance))
	return DecodeError(err)
}

// Close closes the connection.
func (c client) Close() error { return c.close() }
