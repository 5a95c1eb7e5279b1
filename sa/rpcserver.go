package sa

import (
	"context"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/rpc"
	"github.com/cairn-ca/cairn/internal/rpc/sapb"
)

func (s server) Account(ctx context.Context, m *sapb.AccountRequest) (*sapb.AccountResponse, error) {
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.AccountRequest) acme.ID {
		return d.ID("id", m.Id)
	})
	if err != nil {
		return nil, err
	}
	result, err := s.impl.Account(ctx, req)
	return encodeAccount(result), EncodeError(err)
}

func (s server) AccountByKey(ctx context.Context, m *sapb.AccountByKeyRequest) (*sapb.AccountResponse, error) {
	account, err := s.impl.AccountByKey(ctx, m.Directory, m.Thumbprint)
	return encodeAccount(account), EncodeError(err)
}

func (s server) AccountKeys(ctx context.Context, m *sapb.AccountKeysRequest) (*sapb.AccountKeysResponse, error) {
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.AccountKeysRequest) acme.ID {
		return d.ID("account", m.Account)
	})
	if err != nil {
		return nil, err
	}
	result, err := s.impl.AccountKeys(ctx, req)
	return &sapb.AccountKeysResponse{Keys: rpc.EncodeList(result, encodeUsedKey)}, EncodeError(err)
}

func (s server) Order(ctx context.Context, m *sapb.OrderRequest) (*sapb.OrderResponse, error) {
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.OrderRequest) acme.ID {
		return d.ID("id", m.Id)
	})
	if err != nil {
		return nil, err
	}
	result, err := s.impl.Order(ctx, req)
	return &sapb.OrderResponse{Order: rpc.EncodeOrder(result)}, EncodeError(err)
}

func (s server) Orders(ctx context.Context, m *sapb.OrdersRequest) (*sapb.OrdersResponse, error) {
	req, err := rpc.Request(m, decodeOrderPage)
	if err != nil {
		return nil, err
	}
	result, err := s.impl.Orders(ctx, req)
	return &sapb.OrdersResponse{Ids: rpc.EncodeList(result, rpc.EncodeID)}, EncodeError(err)
}

func (s server) Authorization(ctx context.Context, m *sapb.AuthorizationRequest) (*sapb.AuthorizationResponse, error) {
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.AuthorizationRequest) acme.ID {
		return d.ID("id", m.Id)
	})
	if err != nil {
		return nil, err
	}
	result, err := s.impl.Authorization(ctx, req)
	return encodeAuthorization(result), EncodeError(err)
}

func (s server) Certificate(ctx context.Context, m *sapb.CertificateRequest) (*sapb.CertificateResponse, error) {
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.CertificateRequest) acme.Serial {
		return d.Serial("serial", m.Serial)
	})
	if err != nil {
		return nil, err
	}
	result, err := s.impl.Certificate(ctx, req)
	return &sapb.CertificateResponse{Certificate: rpc.EncodeCertificate(result)}, EncodeError(err)
}

func (s server) Issuer(ctx context.Context, m *sapb.IssuerRequest) (*sapb.IssuerResponse, error) {
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.IssuerRequest) acme.IssuerID {
		return d.IssuerID("id", m.Id)
	})
	if err != nil {
		return nil, err
	}
	result, err := s.impl.Issuer(ctx, req)
	return &sapb.IssuerResponse{Issuer: rpc.EncodeIssuer(result)}, EncodeError(err)
}

func (s server) Issuers(ctx context.Context, _ *sapb.IssuersRequest) (*sapb.IssuersResponse, error) {
	result, err := s.impl.Issuers(ctx)
	return &sapb.IssuersResponse{Issuers: rpc.EncodeList(result, rpc.EncodeIssuer)}, EncodeError(err)
}

func (s server) CRL(ctx context.Context, m *sapb.CRLRequest) (*sapb.CRLResponse, error) {
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.CRLRequest) shard {
		return decodeShard(d, m)
	})
	if err != nil {
		return nil, err
	}
	result, err := s.impl.CRL(ctx, req.issuer, req.number)
	return &sapb.CRLResponse{Crl: encodeCRL(result)}, EncodeError(err)
}

func (s server) RenewalOrder(ctx context.Context, m *sapb.RenewalOrderRequest) (*sapb.RenewalOrderResponse, error) {
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.RenewalOrderRequest) acme.Certificate {
		return d.Certificate("certificate", m.Certificate)
	})
	if err != nil {
		return nil, err
	}
	result, err := s.impl.RenewalOrder(ctx, req)
	return &sapb.RenewalOrderResponse{Order: encodeRenewalOrder(result)}, EncodeError(err)
}

func (s server) Ping(ctx context.Context, _ *sapb.PingRequest) (*sapb.PingResponse, error) {
	return &sapb.PingResponse{}, EncodeError(s.impl.Ping(ctx))
}

func (s server) CreateAccount(ctx context.Context, m *sapb.CreateAccountRequest) (*sapb.CreateAccountResponse, error) {
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.CreateAccountRequest) acme.Account {
		return d.Account("account", m.Account)
	})
	if err != nil {
		return nil, err
	}
	stored, created, err := s.impl.CreateAccount(ctx, req)
	return &sapb.CreateAccountResponse{Stored: rpc.EncodeAccount(stored), Created: created}, EncodeError(err)
}

func (s server) UpdateAccount(ctx context.Context, m *sapb.UpdateAccountRequest) (*sapb.AccountResponse, error) {
	req, err := rpc.Request(m, decodeAccountChange)
	if err != nil {
		return nil, err
	}
	result, err := s.impl.UpdateAccount(ctx, req)
	return encodeAccount(result), EncodeError(err)
}

func (s server) ChangeAccountKey(ctx context.Context, m *sapb.ChangeAccountKeyRequest) (*sapb.AccountResponse, error) {
	req, err := rpc.Request(m, decodeKeyChange)
	if err != nil {
		return nil, err
	}
	result, err := s.impl.ChangeAccountKey(ctx, req)
	return encodeAccount(result), EncodeError(err)
}

func (s server) CreateOrder(ctx context.Context, m *sapb.CreateOrderRequest) (*sapb.CreateOrderResponse, error) {
	req, err := rpc.Request(m, decodeNewOrder)
	if err != nil {
		return nil, err
	}
	return &sapb.CreateOrderResponse{}, EncodeError(s.impl.CreateOrder(ctx, req))
}

func (s server) ReusableAuthorizations(ctx context.Context, m *sapb.ReusableAuthorizationsRequest) (*sapb.AuthorizationsResponse, error) {
	req, err := rpc.Request(m, decodeReuseQuery)
	if err != nil {
		return nil, err
	}
	result, err := s.impl.ReusableAuthorizations(ctx, req)
	return encodeAuthorizations(result), EncodeError(err)
}

func (s server) CreateAuthorization(ctx context.Context, m *sapb.CreateAuthorizationRequest) (*sapb.CreateAuthorizationResponse, error) {
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.CreateAuthorizationRequest) acme.Authorization {
		return d.Authorization("authorization", m.Authorization)
	})
	if err != nil {
		return nil, err
	}
	return &sapb.CreateAuthorizationResponse{}, EncodeError(s.impl.CreateAuthorization(ctx, req))
}

func (s server) DeactivateAuthorization(ctx context.Context, m *sapb.DeactivateAuthorizationRequest) (*sapb.AuthorizationResponse, error) {
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.DeactivateAuthorizationRequest) acme.ID {
		return d.ID("id", m.Id)
	})
	if err != nil {
		return nil, err
	}
	result, err := s.impl.DeactivateAuthorization(ctx, req)
	return encodeAuthorization(result), EncodeError(err)
}

func (s server) BeginValidation(ctx context.Context, m *sapb.BeginValidationRequest) (*sapb.AuthorizationResponse, error) {
	req, err := rpc.Request(m, decodeBeginValidation)
	if err != nil {
		return nil, err
	}
	result, err := s.impl.BeginValidation(ctx, req)
	return encodeAuthorization(result), EncodeError(err)
}

func (s server) ClaimValidations(ctx context.Context, m *sapb.ClaimRequest) (*sapb.AuthorizationsResponse, error) {
	req, err := rpc.Request(m, decodeClaim)
	if err != nil {
		return nil, err
	}
	result, err := s.impl.ClaimValidations(ctx, req)
	return encodeAuthorizations(result), EncodeError(err)
}

func (s server) RetryValidation(ctx context.Context, m *sapb.RetryValidationRequest) (*sapb.RetryValidationResponse, error) {
	req, err := rpc.Request(m, decodeRetryValidation)
	if err != nil {
		return nil, err
	}
	return &sapb.RetryValidationResponse{}, EncodeError(s.impl.RetryValidation(ctx, req))
}

func (s server) CompleteValidation(ctx context.Context, m *sapb.CompleteValidationRequest) (*sapb.AuthorizationResponse, error) {
	req, err := rpc.Request(m, decodeValidationResult)
	if err != nil {
		return nil, err
	}
	result, err := s.impl.CompleteValidation(ctx, req)
	return encodeAuthorization(result), EncodeError(err)
}

func (s server) RecordCAA(ctx context.Context, m *sapb.RecordCAARequest) (*sapb.RecordCAAResponse, error) {
	req, err := rpc.Request(m, decodeCAA)
	if err != nil {
		return nil, err
	}
	return &sapb.RecordCAAResponse{}, EncodeError(s.impl.RecordCAA(ctx, req))
}

func (s server) RecordIssuance(ctx context.Context, m *sapb.RecordIssuanceRequest) (*sapb.RecordIssuanceResponse, error) {
	req, err := rpc.Request(m, decodeIssuance)
	if err != nil {
		return nil, err
	}
	return &sapb.RecordIssuanceResponse{}, EncodeError(s.impl.RecordIssuance(ctx, req))
}

func (s server) ClaimIssuances(ctx context.Context, m *sapb.ClaimRequest) (*sapb.CertificatesResponse, error) {
	req, err := rpc.Request(m, decodeClaim)
	if err != nil {
		return nil, err
	}
	result, err := s.impl.ClaimIssuances(ctx, req)
	return &sapb.CertificatesResponse{Certificates: rpc.EncodeList(result, rpc.EncodeCertificate)}, EncodeError(err)
}

func (s server) CompleteIssuance(ctx context.Context, m *sapb.CompleteIssuanceRequest) (*sapb.CompleteIssuanceResponse, error) {
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.CompleteIssuanceRequest) acme.Serial {
		return d.Serial("serial", m.Serial)
	})
	if err != nil {
		return nil, err
	}
	return &sapb.CompleteIssuanceResponse{}, EncodeError(s.impl.CompleteIssuance(ctx, req, m.Der))
}

func (s server) RecordPrecertificate(ctx context.Context, m *sapb.RecordPrecertificateRequest) (*sapb.RecordPrecertificateResponse, error) {
	serial, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.RecordPrecertificateRequest) acme.Serial {
		return d.Serial("serial", m.Serial)
	})
	if err != nil {
		return nil, err
	}
	return &sapb.RecordPrecertificateResponse{}, EncodeError(s.impl.RecordPrecertificate(ctx, serial, m.Der))
}

func (s server) RecordSCTs(ctx context.Context, m *sapb.RecordSCTsRequest) (*sapb.RecordSCTsResponse, error) {
	serial, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.RecordSCTsRequest) acme.Serial {
		return d.Serial("serial", m.Serial)
	})
	if err != nil {
		return nil, err
	}
	return &sapb.RecordSCTsResponse{}, EncodeError(s.impl.RecordSCTs(ctx, serial, m.Tbs))
}

func (s server) ClaimSubmissions(ctx context.Context, m *sapb.ClaimRequest) (*sapb.CertificatesResponse, error) {
	req, err := rpc.Request(m, decodeClaim)
	if err != nil {
		return nil, err
	}
	result, err := s.impl.ClaimSubmissions(ctx, req)
	return &sapb.CertificatesResponse{Certificates: rpc.EncodeList(result, rpc.EncodeCertificate)}, EncodeError(err)
}

func (s server) CompleteSubmission(ctx context.Context, m *sapb.CompleteSubmissionRequest) (*sapb.CompleteSubmissionResponse, error) {
	serial, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.CompleteSubmissionRequest) acme.Serial {
		return d.Serial("serial", m.Serial)
	})
	if err != nil {
		return nil, err
	}
	return &sapb.CompleteSubmissionResponse{}, EncodeError(s.impl.CompleteSubmission(ctx, serial))
}

func (s server) FailIssuance(ctx context.Context, m *sapb.FailIssuanceRequest) (*sapb.FailIssuanceResponse, error) {
	type request struct {
		serial  acme.Serial
		problem *acme.Problem
	}
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.FailIssuanceRequest) request {
		return request{d.Serial("serial", m.Serial), d.OptionalProblem("problem", m.Problem)}
	})
	if err != nil {
		return nil, err
	}
	return &sapb.FailIssuanceResponse{}, EncodeError(s.impl.FailIssuance(ctx, req.serial, req.problem))
}

func (s server) Revoke(ctx context.Context, m *sapb.RevokeRequest) (*sapb.RevokeResponse, error) {
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.RevokeRequest) acme.Revocation {
		return d.Revocation("revocation", m.Revocation)
	})
	if err != nil {
		return nil, err
	}
	return &sapb.RevokeResponse{}, EncodeError(s.impl.Revoke(ctx, req))
}

func (s server) Revocations(ctx context.Context, m *sapb.RevocationsRequest) (*sapb.RevocationsResponse, error) {
	req, err := rpc.Request(m, decodeRevocationPage)
	if err != nil {
		return nil, err
	}
	result, err := s.impl.Revocations(ctx, req)
	return &sapb.RevocationsResponse{Revocations: rpc.EncodeList(result, rpc.EncodeRevocation)}, EncodeError(err)
}

func (s server) LatestRevocation(ctx context.Context, m *sapb.LatestRevocationRequest) (*sapb.LatestRevocationResponse, error) {
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.LatestRevocationRequest) shard {
		return decodeShard(d, m)
	})
	if err != nil {
		return nil, err
	}
	result, err := s.impl.LatestRevocation(ctx, req.issuer, req.number)
	return &sapb.LatestRevocationResponse{At: rpc.EncodeTime(result)}, EncodeError(err)
}

func (s server) PublishCRL(ctx context.Context, m *sapb.PublishCRLRequest) (*sapb.PublishCRLResponse, error) {
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.PublishCRLRequest) CRL {
		return rpc.DecodeMessage(d, "crl", m.Crl, decodeCRL)
	})
	if err != nil {
		return nil, err
	}
	return &sapb.PublishCRLResponse{}, EncodeError(s.impl.PublishCRL(ctx, req))
}

func (s server) PutIssuer(ctx context.Context, m *sapb.PutIssuerRequest) (*sapb.PutIssuerResponse, error) {
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.PutIssuerRequest) acme.Issuer {
		return d.Issuer("issuer", m.Issuer)
	})
	if err != nil {
		return nil, err
	}
	return &sapb.PutIssuerResponse{}, EncodeError(s.impl.PutIssuer(ctx, req))
}

func (s server) BlockKey(ctx context.Context, m *sapb.BlockKeyRequest) (*sapb.BlockKeyResponse, error) {
	req, err := rpc.Request(m, decodeBlockedKey)
	if err != nil {
		return nil, err
	}
	return &sapb.BlockKeyResponse{}, EncodeError(s.impl.BlockKey(ctx, req))
}

func (s server) KeyBlocked(ctx context.Context, m *sapb.KeyBlockedRequest) (*sapb.KeyBlockedResponse, error) {
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.KeyBlockedRequest) [32]byte {
		return d.Bytes32("spki_sha256", m.SpkiSha256)
	})
	if err != nil {
		return nil, err
	}
	result, err := s.impl.KeyBlocked(ctx, req)
	return &sapb.KeyBlockedResponse{Blocked: &result}, EncodeError(err)
}

func (s server) Lease(ctx context.Context, m *sapb.LeaseRequest) (*sapb.LeaseResponse, error) {
	req, err := rpc.Request(m, decodeLease)
	if err != nil {
		return nil, err
	}
	result, err := s.impl.Lease(ctx, req)
	return &sapb.LeaseResponse{Held: result}, EncodeError(err)
}

func (s server) CreateExternalKey(ctx context.Context, m *sapb.CreateExternalKeyRequest) (*sapb.CreateExternalKeyResponse, error) {
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.CreateExternalKeyRequest) ExternalKey {
		return rpc.DecodeMessage(d, "key", m.Key, decodeExternalKey)
	})
	if err != nil {
		return nil, err
	}
	return &sapb.CreateExternalKeyResponse{}, EncodeError(s.impl.CreateExternalKey(ctx, req))
}

func (s server) ExternalKey(ctx context.Context, m *sapb.ExternalKeyRequest) (*sapb.ExternalKeyResponse, error) {
	result, err := s.impl.ExternalKey(ctx, m.Directory, m.Id)
	return &sapb.ExternalKeyResponse{Key: encodeExternalKey(result)}, EncodeError(err)
}

func (s server) ExternalKeys(ctx context.Context, m *sapb.ExternalKeysRequest) (*sapb.ExternalKeysResponse, error) {
	result, err := s.impl.ExternalKeys(ctx, m.Directory)
	return &sapb.ExternalKeysResponse{Keys: rpc.EncodeList(result, encodeExternalKey)}, EncodeError(err)
}

func (s server) RevokeExternalKey(ctx context.Context, m *sapb.RevokeExternalKeyRequest) (*sapb.RevokeExternalKeyResponse, error) {
	at, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.RevokeExternalKeyRequest) time.Time {
		return d.Time("at", m.At)
	})
	if err != nil {
		return nil, err
	}
	return &sapb.RevokeExternalKeyResponse{}, EncodeError(s.impl.RevokeExternalKey(ctx, m.Directory, m.Id, at))
}

func (s server) CreateRenewalOrder(ctx context.Context, m *sapb.CreateRenewalOrderRequest) (*sapb.CreateRenewalOrderResponse, error) {
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.CreateRenewalOrderRequest) RenewalOrder {
		return rpc.DecodeMessage(d, "order", m.Order, decodeRenewalOrder)
	})
	if err != nil {
		return nil, err
	}
	return &sapb.CreateRenewalOrderResponse{}, EncodeError(s.impl.CreateRenewalOrder(ctx, req))
}

func (s server) RenewalOrders(ctx context.Context, _ *sapb.RenewalOrdersRequest) (*sapb.RenewalOrdersResponse, error) {
	result, err := s.impl.RenewalOrders(ctx)
	return &sapb.RenewalOrdersResponse{Orders: rpc.EncodeList(result, encodeRenewalOrder)}, EncodeError(err)
}

func (s server) CancelOrder(ctx context.Context, m *sapb.CancelOrderRequest) (*sapb.OrderResponse, error) {
	type request struct {
		order acme.ID
		at    time.Time
	}
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.CancelOrderRequest) request {
		return request{d.ID("id", m.Id), d.Time("at", m.At)}
	})
	if err != nil {
		return nil, err
	}
	result, err := s.impl.CancelOrder(ctx, req.order, req.at)
	return &sapb.OrderResponse{Order: rpc.EncodeOrder(result)}, EncodeError(err)
}

func (s server) ClaimRenewals(ctx context.Context, m *sapb.ClaimRequest) (*sapb.OrdersClaimedResponse, error) {
	req, err := rpc.Request(m, decodeClaim)
	if err != nil {
		return nil, err
	}
	result, err := s.impl.ClaimRenewals(ctx, req)
	return &sapb.OrdersClaimedResponse{Orders: rpc.EncodeList(result, rpc.EncodeOrder)}, EncodeError(err)
}

func (s server) RecordRenewal(ctx context.Context, m *sapb.RecordIssuanceRequest) (*sapb.RecordIssuanceResponse, error) {
	req, err := rpc.Request(m, decodeIssuance)
	if err != nil {
		return nil, err
	}
	return &sapb.RecordIssuanceResponse{}, EncodeError(s.impl.RecordRenewal(ctx, req))
}
