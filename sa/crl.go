package sa

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/cairn-ca/cairn/internal/acme"
)

const (
	selectCRL = `SELECT number, this_update, next_update, der FROM crls WHERE issuer = $1 AND crl_shard = $2`

	publishCRL = `INSERT INTO crls (issuer, crl_shard, number, this_update, next_update, der) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (issuer, crl_shard) DO UPDATE SET number = excluded.number, this_update = excluded.this_update, next_update = excluded.next_update, der = excluded.der
WHERE crls.number < excluded.number`
)

// CRL implements Reader.
func (d *DB) CRL(ctx context.Context, issuer acme.IssuerID, shard int) (CRL, error) {
	crl := CRL{Issuer: issuer, Shard: shard}
	err := d.read(ctx, opCRL, func(ctx context.Context, s *session) error {
		return s.one(ctx, selectCRL, []any{issuer[:], int64(shard)},
			(*scanInt64)(&crl.Number), (*scanTime)(&crl.ThisUpdate), (*scanTime)(&crl.NextUpdate), (*scanBytes)(&crl.DER))
	})
	if errors.Is(err, sql.ErrNoRows) {
		return CRL{}, ErrNotFound
	}
	if err != nil {
		return CRL{}, fmt.Errorf("reading CRL %d of issuer %s: %w", shard, issuer, err)
	}
	return crl, nil
}

// PublishCRL implements CertificateStore.
func (d *DB) PublishCRL(ctx context.Context, crl CRL) error {
	return d.write(ctx, opPublishCRL, func(ctx context.Context, s *session) error {
		n, err := s.exec(ctx, publishCRL, crl.Issuer[:], int64(crl.Shard), crl.Number, crl.ThisUpdate.UnixMicro(), crl.NextUpdate.UnixMicro(), crl.DER)
		if err != nil {
			return fmt.Errorf("publishing CRL %d of issuer %s: %w", crl.Shard, crl.Issuer, err)
		}
		if n == 0 {
			return ErrConflict
		}
		return nil
	})
}
