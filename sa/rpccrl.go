package sa

import (
	"context"

	"github.com/cairn-ca/cairn/internal/rpc"
	"github.com/cairn-ca/cairn/internal/rpc/sapb"
)

// The messages and both ends of what concerns several CRLs, or parts of one.

func encodeCRLPart(p CRLPart) *sapb.RevocationListPart {
	return &sapb.RevocationListPart{Issuer: rpc.EncodeIssuerID(p.Issuer), Shard: int64(p.Shard), Number: p.Number, Part: int64(p.Part), Der: p.DER}
}

func decodeCRLPart(d *rpc.Decoder, m *sapb.RevocationListPart) CRLPart {
	return CRLPart{
		Issuer: d.IssuerID("issuer", m.Issuer), Shard: d.Int("shard", m.Shard), Number: m.Number, Part: d.Int("part", m.Part), DER: m.Der,
	}
}

func decodeCRLPage(d *rpc.Decoder, m *sapb.CRLsRequest) CRLPage {
	return CRLPage{Issuer: d.IssuerID("issuer", m.Issuer), From: d.Int("from", m.From), Limit: d.Int("limit", m.Limit)}
}

func (c client) CRLPart(ctx context.Context, part CRLPart) ([]byte, error) {
	m, err := c.pb.CRLPart(ctx, encodeCRLPart(part))
	return rpc.Answer(m, DecodeError(err), func(_ *rpc.Decoder, m *sapb.RevocationListPart) []byte { return m.Der })
}

func (c client) CRLs(ctx context.Context, page CRLPage) ([]CRL, error) {
	m, err := c.pb.CRLs(ctx, &sapb.CRLsRequest{Issuer: rpc.EncodeIssuerID(page.Issuer), From: int64(page.From), Limit: int64(page.Limit)})
	return rpc.Answer(m, DecodeError(err), func(d *rpc.Decoder, m *sapb.CRLsResponse) []CRL {
		return rpc.DecodeList(d, "crls", m.Crls, func(d *rpc.Decoder, field string, m *sapb.CertificateRevocationList) CRL {
			return rpc.DecodeMessage(d, field, m, decodeCRL)
		})
	})
}

func (c client) PutCRLPart(ctx context.Context, part CRLPart) error {
	_, err := c.pb.PutCRLPart(ctx, encodeCRLPart(part))
	return DecodeError(err)
}

func (s server) CRLPart(ctx context.Context, m *sapb.RevocationListPart) (*sapb.RevocationListPart, error) {
	req, err := rpc.Request(m, decodeCRLPart)
	if err != nil {
		return nil, err
	}
	req.DER, err = s.impl.CRLPart(ctx, req)
	return encodeCRLPart(req), EncodeError(err)
}

func (s server) CRLs(ctx context.Context, m *sapb.CRLsRequest) (*sapb.CRLsResponse, error) {
	req, err := rpc.Request(m, decodeCRLPage)
	if err != nil {
		return nil, err
	}
	result, err := s.impl.CRLs(ctx, req)
	return &sapb.CRLsResponse{Crls: rpc.EncodeList(result, encodeCRL)}, EncodeError(err)
}

func (s server) PutCRLPart(ctx context.Context, m *sapb.RevocationListPart) (*sapb.PutCRLPartResponse, error) {
	req, err := rpc.Request(m, decodeCRLPart)
	if err != nil {
		return nil, err
	}
	return &sapb.PutCRLPartResponse{}, EncodeError(s.impl.PutCRLPart(ctx, req))
}
