package va

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/rpc"
	"github.com/cairn-ca/cairn/internal/rpc/acmepb"
	"github.com/cairn-ca/cairn/internal/rpc/vapb"
)

// NewClient makes an Authority of one that is reached over gRPC.
func NewClient(conn grpc.ClientConnInterface) Authority {
	return client{vapb.NewValidationAuthorityClient(conn)}
}

// RegisterServer offers an Authority over gRPC.
func RegisterServer(s grpc.ServiceRegistrar, impl Authority) {
	vapb.RegisterValidationAuthorityServer(s, server{impl: impl})
}

type client struct {
	pb vapb.ValidationAuthorityClient
}

type server struct {
	vapb.UnimplementedValidationAuthorityServer
	impl Authority
}

func encodeError(err error) error { return rpc.EncodeError(err, &acmepb.Error{}, codes.OK) }

func decodeError(err error) error { return rpc.DecodeError(err, nil) }

func (c client) Validate(ctx context.Context, req Request) (Result, error) {
	m, err := c.pb.Validate(ctx, encodeRequest(req))
	return rpc.Answer(m, decodeError(err), decodeResult)
}

func (s server) Validate(ctx context.Context, m *vapb.ValidateRequest) (*vapb.ValidateResponse, error) {
	req, err := rpc.Request(m, decodeRequest)
	if err != nil {
		return nil, err
	}
	result, err := s.impl.Validate(ctx, req)
	return encodeResult(result), encodeError(err)
}

func (c client) CheckCAA(ctx context.Context, req CAARequest) (CAAResult, error) {
	m, err := c.pb.CheckCAA(ctx, encodeCAARequest(req))
	return rpc.Answer(m, decodeError(err), decodeCAAResult)
}

func (s server) CheckCAA(ctx context.Context, m *vapb.CheckCAARequest) (*vapb.CheckCAAResponse, error) {
	req, err := rpc.Request(m, decodeCAARequest)
	if err != nil {
		return nil, err
	}
	result, err := s.impl.CheckCAA(ctx, req)
	return encodeCAAResult(result), encodeError(err)
}

func encodeRequest(r Request) *vapb.ValidateRequest {
	return &vapb.ValidateRequest{
		Directory:     r.Directory,
		Identifier:    rpc.EncodeIdentifier(r.Identifier),
		Wildcard:      r.Wildcard,
		Type:          string(r.Type),
		Token:         r.Token,
		KeyThumbprint: r.KeyThumbprint,
		AccountUrl:    r.AccountURL,
		Response:      r.Response,

		AccountThumbprints: r.AccountThumbprints,
		Subdomains:         r.Subdomains,
	}
}

func decodeRequest(d *rpc.Decoder, m *vapb.ValidateRequest) Request {
	return Request{
		Directory:     m.Directory,
		Identifier:    d.Identifier("identifier", m.Identifier),
		Wildcard:      m.Wildcard,
		Type:          acme.ChallengeType(m.Type),
		Token:         m.Token,
		KeyThumbprint: m.KeyThumbprint,
		AccountURL:    m.AccountUrl,
		Response:      m.Response,

		AccountThumbprints: m.AccountThumbprints,
		Subdomains:         m.Subdomains,
	}
}

func encodeResult(r Result) *vapb.ValidateResponse {
	return &vapb.ValidateResponse{
		Problem:  rpc.EncodeProblem(r.Problem),
		MayHeal:  r.MayHeal,
		Evidence: rpc.EncodeEvidence(r.Evidence),
		Proven:   r.Problem == nil,
	}
}

func decodeResult(d *rpc.Decoder, m *vapb.ValidateResponse) Result {
	if m.Proven != (m.Problem == nil) {
		d.Fail("proven", "%t does not go with the problem", m.Proven)
	}
	return Result{
		Problem:  d.OptionalProblem("problem", m.Problem),
		MayHeal:  m.MayHeal,
		Evidence: d.Evidence("evidence", m.Evidence),
	}
}

func encodeCAARequest(r CAARequest) *vapb.CheckCAARequest {
	return &vapb.CheckCAARequest{
		Directory:  r.Directory,
		Identifier: rpc.EncodeIdentifier(r.Identifier),
		Wildcard:   r.Wildcard,
		Method:     string(r.Method),
		AccountUrl: r.AccountURL,
		OnionCaa:   rpc.EncodeOptionalOnionCAA(r.OnionCAA),
	}
}

func decodeCAARequest(d *rpc.Decoder, m *vapb.CheckCAARequest) CAARequest {
	return CAARequest{
		Directory:  m.Directory,
		Identifier: d.Identifier("identifier", m.Identifier),
		Wildcard:   m.Wildcard,
		Method:     acme.ChallengeType(m.Method),
		AccountURL: m.AccountUrl,
		OnionCAA:   d.OptionalOnionCAA("onion_caa", m.OnionCaa),
	}
}

func encodeCAAResult(r CAAResult) *vapb.CheckCAAResponse {
	return &vapb.CheckCAAResponse{
		Problem:   rpc.EncodeProblem(r.Problem),
		MayHeal:   r.MayHeal,
		Evidence:  rpc.EncodeCAAEvidence(r.Evidence),
		Permitted: r.Problem == nil,
	}
}

func decodeCAAResult(d *rpc.Decoder, m *vapb.CheckCAAResponse) CAAResult {
	if m.Permitted != (m.Problem == nil) {
		d.Fail("permitted", "%t does not go with the problem", m.Permitted)
	}
	return CAAResult{
		Problem:  d.OptionalProblem("problem", m.Problem),
		MayHeal:  m.MayHeal,
		Evidence: d.CAAEvidence("evidence", m.Evidence),
	}
}
