package sa

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/cairn-ca/cairn/internal/acme"
)

// CRLPartSize is the size, in bytes, of the parts that a CRL is stored in; the
// last one is smaller. A part fits in a message, a CRL of millions of entries
// does not.
const CRLPartSize = 1 << 20

// CRLPart is a part of a CRL after the first, which is in CRL itself.
type CRLPart struct {
	Issuer acme.IssuerID
	Shard  int
	Number int64
	Part   int // from 1
	DER    []byte
}

// CRLPage asks for a page of an issuer's CRLs.
type CRLPage struct {
	Issuer acme.IssuerID
	From   int // the first shard
	Limit  int
}

const (
	selectCRL = `SELECT number, this_update, next_update, der, size FROM crls WHERE issuer = $1 AND crl_shard = $2`

	selectCRLPart = `SELECT der FROM crl_parts WHERE issuer = $1 AND crl_shard = $2 AND number = $3 AND part = $4`

	selectCRLs = `SELECT crl_shard, number, this_update, next_update, CASE size WHEN 0 THEN length(der) ELSE size END FROM crls
WHERE issuer = $1 AND crl_shard >= $2 ORDER BY crl_shard LIMIT $3`

	putCRLPart = `INSERT INTO crl_parts (issuer, crl_shard, number, part, der) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (issuer, crl_shard, number, part) DO UPDATE SET der = excluded.der`

	sizeOfCRLParts = `SELECT CAST(coalesce(sum(length(der)), 0) AS BIGINT) FROM crl_parts WHERE issuer = $1 AND crl_shard = $2 AND number = $3 AND part >= 1`

	// The parts of the CRL that is replaced stay until the next one, for those
	// that are reading them.
	dropCRLParts = `DELETE FROM crl_parts WHERE issuer = $1 AND crl_shard = $2
AND number < (SELECT number FROM crls WHERE issuer = $1 AND crl_shard = $2)`

	publishCRL = `INSERT INTO crls (issuer, crl_shard, number, this_update, next_update, der, size) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (issuer, crl_shard) DO UPDATE SET number = excluded.number, this_update = excluded.this_update, next_update = excluded.next_update, der = excluded.der, size = excluded.size
WHERE crls.number < excluded.number`
)

// CRL implements Reader.
func (d *DB) CRL(ctx context.Context, issuer acme.IssuerID, shard int) (CRL, error) {
	crl := CRL{Issuer: issuer, Shard: shard}
	err := d.read(ctx, opCRL, func(ctx context.Context, s *session) error {
		return s.one(ctx, selectCRL, []any{issuer[:], int64(shard)},
			(*scanInt64)(&crl.Number), (*scanTime)(&crl.ThisUpdate), (*scanTime)(&crl.NextUpdate), (*scanBytes)(&crl.DER), (*scanInt64)(&crl.Size))
	})
	if errors.Is(err, sql.ErrNoRows) {
		return CRL{}, ErrNotFound
	}
	if err != nil {
		return CRL{}, fmt.Errorf("reading CRL %d of issuer %s: %w", shard, issuer, err)
	}
	crl.Size = max(crl.Size, int64(len(crl.DER)))
	return crl, nil
}

// CRLPart implements Reader.
func (d *DB) CRLPart(ctx context.Context, part CRLPart) ([]byte, error) {
	var der []byte
	err := d.read(ctx, opCRLPart, func(ctx context.Context, s *session) error {
		return s.one(ctx, selectCRLPart, []any{part.Issuer[:], int64(part.Shard), part.Number, int64(part.Part)}, (*scanBytes)(&der))
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading part %d of CRL %d of issuer %s: %w", part.Part, part.Shard, part.Issuer, err)
	}
	return der, nil
}

// CRLs implements Reader.
func (d *DB) CRLs(ctx context.Context, page CRLPage) ([]CRL, error) {
	var list []CRL
	err := d.read(ctx, opCRLs, func(ctx context.Context, s *session) error {
		list = nil
		return s.all(ctx, selectCRLs, []any{page.Issuer[:], int64(page.From), int64(page.Limit)}, func(rows *sql.Rows) error {
			crl := CRL{Issuer: page.Issuer}
			if err := rows.Scan((*scanInt)(&crl.Shard), (*scanInt64)(&crl.Number), (*scanTime)(&crl.ThisUpdate), (*scanTime)(&crl.NextUpdate), (*scanInt64)(&crl.Size)); err != nil {
				return err
			}
			list = append(list, crl)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("listing the CRLs of issuer %s: %w", page.Issuer, err)
	}
	return list, nil
}

// PutCRLPart implements CertificateStore.
func (d *DB) PutCRLPart(ctx context.Context, part CRLPart) error {
	if part.Part < 1 || len(part.DER) > CRLPartSize {
		return fmt.Errorf("part %d of a CRL, of %d bytes: parts count from 1 and have %d bytes at most", part.Part, len(part.DER), CRLPartSize)
	}
	return d.write(ctx, opPutCRLPart, func(ctx context.Context, s *session) error {
		if _, err := s.exec(ctx, putCRLPart, part.Issuer[:], int64(part.Shard), part.Number, int64(part.Part), part.DER); err != nil {
			return fmt.Errorf("storing part %d of CRL %d of issuer %s: %w", part.Part, part.Shard, part.Issuer, err)
		}
		return nil
	})
}

// PublishCRL implements CertificateStore.
func (d *DB) PublishCRL(ctx context.Context, crl CRL) error {
	crl.Size = max(crl.Size, int64(len(crl.DER)))
	return d.write(ctx, opPublishCRL, func(ctx context.Context, s *session) error {
		var rest int64
		if err := s.one(ctx, sizeOfCRLParts, []any{crl.Issuer[:], int64(crl.Shard), crl.Number}, (*scanInt64)(&rest)); err != nil {
			return fmt.Errorf("looking for the parts of CRL %d of issuer %s: %w", crl.Shard, crl.Issuer, err)
		}
		if want := crl.Size - int64(len(crl.DER)); rest != want {
			return fmt.Errorf("publishing CRL %d of issuer %s: its parts have %d bytes, not %d", crl.Shard, crl.Issuer, rest, want)
		}
		if _, err := s.exec(ctx, dropCRLParts, crl.Issuer[:], int64(crl.Shard)); err != nil {
			return fmt.Errorf("deleting the parts of an older CRL %d of issuer %s: %w", crl.Shard, crl.Issuer, err)
		}
		n, err := s.exec(ctx, publishCRL, crl.Issuer[:], int64(crl.Shard), crl.Number, crl.ThisUpdate.UnixMicro(), crl.NextUpdate.UnixMicro(), crl.DER, crl.Size)
		if err != nil {
			return fmt.Errorf("publishing CRL %d of issuer %s: %w", crl.Shard, crl.Issuer, err)
		}
		if n == 0 {
			return ErrConflict
		}
		return nil
	})
}
