package sa

import (
	"context"
	"database/sql"
	"fmt"
)

const (
	blockedKeyColumns = `spki_sha256, blocked_at, blocked_by, comment, swept_at, found, revoked`

	blockKey = `INSERT INTO blocked_keys (spki_sha256, blocked_at, blocked_by, comment) VALUES ($1, $2, $3, $4)
ON CONFLICT (spki_sha256) DO NOTHING`
	keyBlocked = `SELECT 1 FROM blocked_keys WHERE spki_sha256 = $1`

	selectBlockedKeys = `SELECT ` + blockedKeyColumns + ` FROM blocked_keys ORDER BY blocked_at DESC, spki_sha256`
)

// BlockKey implements CertificateStore. A key that is blocked stays blocked as
// it was first.
func (d *DB) BlockKey(ctx context.Context, key BlockedKey) error {
	return d.write(ctx, opBlockKey, func(ctx context.Context, s *session) error {
		if _, err := s.exec(ctx, blockKey, key.SPKISHA256[:], key.At.UnixMicro(), key.By, key.Comment); err != nil {
			return fmt.Errorf("blocking a key: %w", err)
		}
		return nil
	})
}

// KeyBlocked implements CertificateStore.
func (d *DB) KeyBlocked(ctx context.Context, spkiSHA256 [32]byte) (blocked bool, err error) {
	err = d.read(ctx, opKeyBlocked, func(ctx context.Context, s *session) (err error) {
		blocked, err = s.has(ctx, keyBlocked, spkiSHA256[:])
		return err
	})
	if err != nil {
		return false, fmt.Errorf("looking for a blocked key: %w", err)
	}
	return blocked, nil
}

// SweptKey is a blocked key and what became of its certificates; Sweep.At is
// zero when nobody has looked for them yet.
type SweptKey struct {
	BlockedKey
	Sweep KeySweep
}

// BlockedKeys lists the blocked keys, the newest first. It is an operator's to
// ask; no service offers it.
func (d *DB) BlockedKeys(ctx context.Context) ([]SweptKey, error) {
	return d.blockedKeys(ctx, opBlockedKeys, selectBlockedKeys)
}

func (d *DB) blockedKeys(ctx context.Context, op operation, query string, args ...any) ([]SweptKey, error) {
	var list []SweptKey
	err := d.read(ctx, op, func(ctx context.Context, s *session) error {
		list = nil
		return s.all(ctx, query, args, func(rows *sql.Rows) error {
			var k SweptKey
			var hash []byte
			err := rows.Scan((*scanBytes)(&hash), (*scanTime)(&k.At), (*scanText)(&k.By), (*scanText)(&k.Comment),
				(*scanTime)(&k.Sweep.At), (*scanInt)(&k.Sweep.Found), (*scanInt)(&k.Sweep.Revoked))
			if err != nil {
				return err
			}
			if len(hash) != len(k.SPKISHA256) {
				return unexpected("a SHA-256 hash", hash)
			}
			k.SPKISHA256 = [32]byte(hash)
			k.Sweep.SPKISHA256 = k.SPKISHA256
			list = append(list, k)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("listing blocked keys: %w", err)
	}
	return list, nil
}
