package sa

import (
	"context"
	"fmt"
)

const (
	blockKey = `INSERT INTO blocked_keys (spki_sha256, blocked_at, blocked_by, comment) VALUES ($1, $2, $3, $4)
ON CONFLICT (spki_sha256) DO NOTHING`
	keyBlocked = `SELECT 1 FROM blocked_keys WHERE spki_sha256 = $1`
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
