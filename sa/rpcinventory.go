package sa

import (
	"context"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/rpc"
	"github.com/cairn-ca/cairn/internal/rpc/sapb"
)

// The messages and both ends of InventoryStore.

func decodeCertificatePage(d *rpc.Decoder, m *sapb.InventoryRequest) CertificatePage {
	return CertificatePage{
		After:        d.OptionalSerial("after", m.After),
		ExpiresAfter: d.Time("expires_after", m.ExpiresAfter),
		Account:      d.OptionalID("account", m.Account),
		Limit:        d.Int("limit", m.Limit),
	}
}

func decodeKeySweep(d *rpc.Decoder, m *sapb.RecordKeySweepRequest) KeySweep {
	return KeySweep{
		SPKISHA256: d.Bytes32("spki_sha256", m.SpkiSha256),
		At:         d.Time("at", m.At),
		Found:      d.Int("found", m.Found),
		Revoked:    d.Int("revoked", m.Revoked),
	}
}

func (c client) Certificates(ctx context.Context, page CertificatePage) ([]acme.Certificate, error) {
	m, err := c.pb.Certificates(ctx, &sapb.InventoryRequest{
		After: page.After.Bytes(), ExpiresAfter: rpc.EncodeTime(page.ExpiresAfter),
		Account: rpc.EncodeOptionalID(page.Account), Limit: int64(page.Limit),
	})
	return rpc.Answer(m, DecodeError(err), func(d *rpc.Decoder, m *sapb.CertificatesResponse) []acme.Certificate {
		return rpc.DecodeList(d, "certificates", m.Certificates, (*rpc.Decoder).Certificate)
	})
}

func (c client) KeysToSweep(ctx context.Context, before time.Time, limit int) ([]BlockedKey, error) {
	m, err := c.pb.KeysToSweep(ctx, &sapb.KeysToSweepRequest{Before: rpc.EncodeTime(before), Limit: int64(limit)})
	return rpc.Answer(m, DecodeError(err), func(d *rpc.Decoder, m *sapb.KeysToSweepResponse) []BlockedKey {
		return rpc.DecodeList(d, "keys", m.Keys, func(d *rpc.Decoder, field string, m *sapb.BlockKeyRequest) BlockedKey {
			return rpc.DecodeMessage(d, field, m, decodeBlockedKey)
		})
	})
}

func (c client) RecordKeySweep(ctx context.Context, sweep KeySweep) error {
	_, err := c.pb.RecordKeySweep(ctx, &sapb.RecordKeySweepRequest{
		SpkiSha256: rpc.EncodeBytes32(sweep.SPKISHA256), At: rpc.EncodeTime(sweep.At), Found: int64(sweep.Found), Revoked: int64(sweep.Revoked),
	})
	return DecodeError(err)
}

func (s server) Certificates(ctx context.Context, m *sapb.InventoryRequest) (*sapb.CertificatesResponse, error) {
	req, err := rpc.Request(m, decodeCertificatePage)
	if err != nil {
		return nil, err
	}
	result, err := s.impl.Certificates(ctx, req)
	return &sapb.CertificatesResponse{Certificates: rpc.EncodeList(result, rpc.EncodeCertificate)}, EncodeError(err)
}

func (s server) KeysToSweep(ctx context.Context, m *sapb.KeysToSweepRequest) (*sapb.KeysToSweepResponse, error) {
	type request struct {
		before time.Time
		limit  int
	}
	req, err := rpc.Request(m, func(d *rpc.Decoder, m *sapb.KeysToSweepRequest) request {
		return request{d.Time("before", m.Before), d.Int("limit", m.Limit)}
	})
	if err != nil {
		return nil, err
	}
	result, err := s.impl.KeysToSweep(ctx, req.before, req.limit)
	return &sapb.KeysToSweepResponse{Keys: rpc.EncodeList(result, encodeBlockedKey)}, EncodeError(err)
}

func (s server) RecordKeySweep(ctx context.Context, m *sapb.RecordKeySweepRequest) (*sapb.RecordKeySweepResponse, error) {
	req, err := rpc.Request(m, decodeKeySweep)
	if err != nil {
		return nil, err
	}
	return &sapb.RecordKeySweepResponse{}, EncodeError(s.impl.RecordKeySweep(ctx, req))
}
