package ca

import (
	"context"

	"google.golang.org/grpc"

	"github.com/cairn-ca/cairn/internal/rpc"
	"github.com/cairn-ca/cairn/internal/rpc/capb"
	"github.com/cairn-ca/cairn/sa"
)

// NewClient makes an Authority of one that is reached over gRPC.
func NewClient(conn grpc.ClientConnInterface) Authority {
	return client{capb.NewSigningAuthorityClient(conn)}
}

// RegisterServer offers an Authority over gRPC.
func RegisterServer(s grpc.ServiceRegistrar, impl Authority) {
	capb.RegisterSigningAuthorityServer(s, server{impl: impl})
}

type client struct {
	pb capb.SigningAuthorityClient
}

type server struct {
	capb.UnimplementedSigningAuthorityServer
	impl Authority
}

func (c client) Issue(ctx context.Context, req Request) (Issued, error) {
	m, err := c.pb.Issue(ctx, encodeRequest(req))
	return rpc.Answer(m, sa.DecodeError(err), decodeIssued)
}

func (s server) Issue(ctx context.Context, m *capb.IssueRequest) (*capb.IssueResponse, error) {
	req, err := rpc.Request(m, decodeRequest)
	if err != nil {
		return nil, err
	}
	issued, err := s.impl.Issue(ctx, req)
	return encodeIssued(issued), sa.EncodeError(err)
}

func (c client) ServiceCertificate(ctx context.Context, csr []byte) ([][]byte, error) {
	m, err := c.pb.ServiceCertificate(ctx, &capb.ServiceCertificateRequest{Csr: csr})
	return rpc.Answer(m, sa.DecodeError(err), decodeServiceCertificate)
}

func (s server) ServiceCertificate(ctx context.Context, m *capb.ServiceCertificateRequest) (*capb.ServiceCertificateResponse, error) {
	chain, err := s.impl.ServiceCertificate(ctx, m.Csr)
	return &capb.ServiceCertificateResponse{Chain: rpc.EncodeChain(chain)}, sa.EncodeError(err)
}

func encodeRequest(r Request) *capb.IssueRequest {
	m := &capb.IssueRequest{
		Account:              rpc.EncodeID(r.Account),
		Order:                rpc.EncodeID(r.Order),
		AccountKeyThumbprint: r.AccountKeyThumbprint,
		Profile:              r.Profile,
		Identifiers:          rpc.EncodeIdentifiers(r.Identifiers),
		NotBefore:            rpc.EncodeTime(r.NotBefore),
		NotAfter:             rpc.EncodeTime(r.NotAfter),
		Csr:                  r.CSR,
		Wait:                 rpc.EncodeDuration(r.Wait),
	}
	if a := r.AutoRenewal; a != nil {
		m.AutoRenewal = &capb.AutoRenewal{Renewal: a.Renewal, Owner: a.Owner, Next: rpc.EncodeTime(a.Next)}
	}
	return m
}

func decodeRequest(d *rpc.Decoder, m *capb.IssueRequest) Request {
	return Request{
		Account:              d.ID("account", m.Account),
		Order:                d.ID("order", m.Order),
		AccountKeyThumbprint: m.AccountKeyThumbprint,
		Profile:              m.Profile,
		Identifiers:          d.Identifiers("identifiers", m.Identifiers),
		NotBefore:            d.Time("not_before", m.NotBefore),
		NotAfter:             d.Time("not_after", m.NotAfter),
		CSR:                  m.Csr,
		Wait:                 d.Duration("wait", m.Wait),
		AutoRenewal:          rpc.DecodeOptional(d, "auto_renewal", m.AutoRenewal, decodeAutoRenewal),
	}
}

func decodeAutoRenewal(d *rpc.Decoder, m *capb.AutoRenewal) AutoRenewal {
	return AutoRenewal{Renewal: m.Renewal, Owner: m.Owner, Next: d.Time("next", m.Next)}
}

func encodeIssued(i Issued) *capb.IssueResponse {
	return &capb.IssueResponse{Serial: i.Serial.Bytes(), Signed: i.Signed}
}

func decodeIssued(d *rpc.Decoder, m *capb.IssueResponse) Issued {
	return Issued{Serial: d.Serial("serial", m.Serial), Signed: m.Signed}
}

func decodeServiceCertificate(d *rpc.Decoder, m *capb.ServiceCertificateResponse) [][]byte {
	return d.Chain("chain", m.Chain)
}
