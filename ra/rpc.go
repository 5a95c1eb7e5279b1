package ra

import (
	"context"

	"google.golang.org/grpc"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/rpc"
	"github.com/cairn-ca/cairn/internal/rpc/rapb"
	"github.com/cairn-ca/cairn/sa"
)

// NewClient makes an Authority of one that is reached over gRPC.
func NewClient(conn grpc.ClientConnInterface) Authority {
	return client{rapb.NewRegistrationAuthorityClient(conn)}
}

// RegisterServer offers an Authority over gRPC.
func RegisterServer(s grpc.ServiceRegistrar, impl Authority) {
	rapb.RegisterRegistrationAuthorityServer(s, server{impl: impl})
}

type client struct {
	pb rapb.RegistrationAuthorityClient
}

type server struct {
	rapb.UnimplementedRegistrationAuthorityServer
	impl Authority
}

func (c client) NewAccount(ctx context.Context, req NewAccount) (acme.Account, bool, error) {
	m, err := c.pb.NewAccount(ctx, encodeNewAccount(req))
	account, err := rpc.Answer(m, sa.DecodeError(err), func(d *rpc.Decoder, m *rapb.NewAccountResponse) acme.Account {
		return d.Account("account", m.Account)
	})
	return account, err == nil && m.Created, err
}

func (s server) NewAccount(ctx context.Context, m *rapb.NewAccountRequest) (*rapb.NewAccountResponse, error) {
	req, err := rpc.Request(m, decodeNewAccount)
	if err != nil {
		return nil, err
	}
	account, created, err := s.impl.NewAccount(ctx, req)
	return &rapb.NewAccountResponse{Account: rpc.EncodeAccount(account), Created: created}, sa.EncodeError(err)
}

func (c client) UpdateAccount(ctx context.Context, req UpdateAccount) (acme.Account, error) {
	m, err := c.pb.UpdateAccount(ctx, encodeUpdateAccount(req))
	return rpc.Answer(m, sa.DecodeError(err), decodeAccount)
}

func (s server) UpdateAccount(ctx context.Context, m *rapb.UpdateAccountRequest) (*rapb.AccountResponse, error) {
	req, err := rpc.Request(m, decodeUpdateAccount)
	if err != nil {
		return nil, err
	}
	account, err := s.impl.UpdateAccount(ctx, req)
	return encodeAccount(account), sa.EncodeError(err)
}

func (c client) DeactivateAccount(ctx context.Context, account acme.ID) (acme.Account, error) {
	m, err := c.pb.DeactivateAccount(ctx, &rapb.DeactivateAccountRequest{Account: rpc.EncodeID(account)})
	return rpc.Answer(m, sa.DecodeError(err), decodeAccount)
}

func (s server) DeactivateAccount(ctx context.Context, m *rapb.DeactivateAccountRequest) (*rapb.AccountResponse, error) {
	id, err := rpc.Request(m, func(d *rpc.Decoder, m *rapb.DeactivateAccountRequest) acme.ID {
		return d.ID("account", m.Account)
	})
	if err != nil {
		return nil, err
	}
	account, err := s.impl.DeactivateAccount(ctx, id)
	return encodeAccount(account), sa.EncodeError(err)
}

func (c client) ChangeKey(ctx context.Context, req ChangeKey) (acme.Account, error) {
	m, err := c.pb.ChangeKey(ctx, encodeChangeKey(req))
	return rpc.Answer(m, sa.DecodeError(err), decodeAccount)
}

func (s server) ChangeKey(ctx context.Context, m *rapb.ChangeKeyRequest) (*rapb.AccountResponse, error) {
	req, err := rpc.Request(m, decodeChangeKey)
	if err != nil {
		return nil, err
	}
	account, err := s.impl.ChangeKey(ctx, req)
	return encodeAccount(account), sa.EncodeError(err)
}

func (c client) NewOrder(ctx context.Context, req NewOrder) (acme.Order, error) {
	m, err := c.pb.NewOrder(ctx, encodeNewOrder(req))
	return rpc.Answer(m, sa.DecodeError(err), decodeOrder)
}

func (s server) NewOrder(ctx context.Context, m *rapb.NewOrderRequest) (*rapb.OrderResponse, error) {
	req, err := rpc.Request(m, decodeNewOrder)
	if err != nil {
		return nil, err
	}
	order, err := s.impl.NewOrder(ctx, req)
	return encodeOrder(order), sa.EncodeError(err)
}

func (c client) CancelOrder(ctx context.Context, account, order acme.ID) (acme.Order, error) {
	m, err := c.pb.CancelOrder(ctx, &rapb.CancelOrderRequest{Account: rpc.EncodeID(account), Order: rpc.EncodeID(order)})
	return rpc.Answer(m, sa.DecodeError(err), decodeOrder)
}

func (s server) CancelOrder(ctx context.Context, m *rapb.CancelOrderRequest) (*rapb.OrderResponse, error) {
	type request struct{ account, order acme.ID }
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *rapb.CancelOrderRequest) request {
		return request{d.ID("account", m.Account), d.ID("order", m.Order)}
	})
	if err != nil {
		return nil, err
	}
	order, err := s.impl.CancelOrder(ctx, req.account, req.order)
	return encodeOrder(order), sa.EncodeError(err)
}

func (c client) FinalizeOrder(ctx context.Context, req FinalizeOrder) (acme.Order, error) {
	m, err := c.pb.FinalizeOrder(ctx, encodeFinalizeOrder(req))
	return rpc.Answer(m, sa.DecodeError(err), decodeOrder)
}

func (s server) FinalizeOrder(ctx context.Context, m *rapb.FinalizeOrderRequest) (*rapb.OrderResponse, error) {
	req, err := rpc.Request(m, decodeFinalizeOrder)
	if err != nil {
		return nil, err
	}
	order, err := s.impl.FinalizeOrder(ctx, req)
	return encodeOrder(order), sa.EncodeError(err)
}

func (c client) NewAuthorization(ctx context.Context, req NewAuthorization) (acme.Authorization, bool, error) {
	m, err := c.pb.NewAuthorization(ctx, encodeNewAuthorization(req))
	authorization, err := rpc.Answer(m, sa.DecodeError(err), func(d *rpc.Decoder, m *rapb.NewAuthorizationResponse) acme.Authorization {
		return d.Authorization("authorization", m.Authorization)
	})
	return authorization, err == nil && m.Created, err
}

func (s server) NewAuthorization(ctx context.Context, m *rapb.NewAuthorizationRequest) (*rapb.NewAuthorizationResponse, error) {
	req, err := rpc.Request(m, decodeNewAuthorization)
	if err != nil {
		return nil, err
	}
	authorization, created, err := s.impl.NewAuthorization(ctx, req)
	return &rapb.NewAuthorizationResponse{Authorization: rpc.EncodeAuthorization(authorization), Created: created}, sa.EncodeError(err)
}

func (c client) RespondToChallenge(ctx context.Context, req RespondToChallenge) (acme.Authorization, error) {
	m, err := c.pb.RespondToChallenge(ctx, encodeRespondToChallenge(req))
	return rpc.Answer(m, sa.DecodeError(err), decodeAuthorization)
}

func (s server) RespondToChallenge(ctx context.Context, m *rapb.RespondToChallengeRequest) (*rapb.AuthorizationResponse, error) {
	req, err := rpc.Request(m, decodeRespondToChallenge)
	if err != nil {
		return nil, err
	}
	authorization, err := s.impl.RespondToChallenge(ctx, req)
	return encodeAuthorization(authorization), sa.EncodeError(err)
}

func (c client) DeactivateAuthorization(ctx context.Context, account, authorization acme.ID) (acme.Authorization, error) {
	m, err := c.pb.DeactivateAuthorization(ctx, &rapb.DeactivateAuthorizationRequest{
		Account:       rpc.EncodeID(account),
		Authorization: rpc.EncodeID(authorization),
	})
	return rpc.Answer(m, sa.DecodeError(err), decodeAuthorization)
}

func (s server) DeactivateAuthorization(ctx context.Context, m *rapb.DeactivateAuthorizationRequest) (*rapb.AuthorizationResponse, error) {
	type request struct{ account, authorization acme.ID }
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *rapb.DeactivateAuthorizationRequest) request {
		return request{d.ID("account", m.Account), d.ID("authorization", m.Authorization)}
	})
	if err != nil {
		return nil, err
	}
	authorization, err := s.impl.DeactivateAuthorization(ctx, req.account, req.authorization)
	return encodeAuthorization(authorization), sa.EncodeError(err)
}

func (c client) RevokeCertificate(ctx context.Context, req RevokeCertificate) error {
	_, err := c.pb.RevokeCertificate(ctx, encodeRevokeCertificate(req))
	return sa.DecodeError(err)
}

func (s server) RevokeCertificate(ctx context.Context, m *rapb.RevokeCertificateRequest) (*rapb.RevokeCertificateResponse, error) {
	req, err := rpc.Request(m, decodeRevokeCertificate)
	if err != nil {
		return nil, err
	}
	return &rapb.RevokeCertificateResponse{}, sa.EncodeError(s.impl.RevokeCertificate(ctx, req))
}
