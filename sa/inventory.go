package sa

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

// InventoryStore walks through all that was issued, for work that no index
// helps with.
type InventoryStore interface {
	// Certificates lists certificates in the order of their serials, which is
	// that of their making to a minute, unsigned ones too.
	Certificates(ctx context.Context, page CertificatePage) ([]acme.Certificate, error)
	// KeysToSweep lists the blocked keys whose certificates nobody has looked
	// for yet, the longest blocked first: those blocked before the given time,
	// at most limit.
	KeysToSweep(ctx context.Context, before time.Time, limit int) ([]BlockedKey, error)
	// RecordKeySweep records what became of a blocked key's certificates.
	// ErrConflict when the key is not blocked or swept already.
	RecordKeySweep(ctx context.Context, sweep KeySweep) error
}

// CertificatePage asks for a page of the certificates.
type CertificatePage struct {
	After        acme.Serial // zero: from the first
	ExpiresAfter time.Time   // only those whose notAfter is later
	Account      acme.ID     // zero: of any
	Limit        int
}

// KeySweep tells how many certificates a blocked key had and how many of them
// were revoked for it; fewer when there were too many to revoke unasked.
type KeySweep struct {
	SPKISHA256     [32]byte
	At             time.Time
	Found, Revoked int
}

const (
	selectCertificatesPage = selectCertificates + `
WHERE certificates.serial > $1 AND certificates.not_after > $2
ORDER BY certificates.serial LIMIT $3`

	selectAccountCertificatesPage = selectCertificates + `
WHERE certificates.serial > $1 AND certificates.not_after > $2 AND account_id = $4
ORDER BY certificates.serial LIMIT $3`

	selectKeysToSweep = `SELECT ` + blockedKeyColumns + ` FROM blocked_keys
WHERE swept_at IS NULL AND blocked_at < $1 ORDER BY blocked_at LIMIT $2`

	recordKeySweep = `UPDATE blocked_keys SET swept_at = $2, found = $3, revoked = $4 WHERE spki_sha256 = $1 AND swept_at IS NULL`
)

// Certificates implements InventoryStore.
func (d *DB) Certificates(ctx context.Context, page CertificatePage) ([]acme.Certificate, error) {
	query, args := selectCertificatesPage, []any{page.After.Bytes(), page.ExpiresAfter.UnixMicro(), int64(page.Limit)}
	if !page.Account.IsZero() {
		query, args = selectAccountCertificatesPage, append(args, page.Account[:])
	}
	var list []acme.Certificate
	err := d.read(ctx, opCertificates, func(ctx context.Context, s *session) error {
		list = nil
		return s.all(ctx, query, args, func(rows *sql.Rows) error {
			var row certificateRow
			if err := rows.Scan(row.dest()...); err != nil {
				return err
			}
			list = append(list, row.certificate())
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("listing certificates: %w", err)
	}
	return list, nil
}

// KeysToSweep implements InventoryStore.
func (d *DB) KeysToSweep(ctx context.Context, before time.Time, limit int) ([]BlockedKey, error) {
	keys, err := d.blockedKeys(ctx, opKeysToSweep, selectKeysToSweep, before.UnixMicro(), int64(limit))
	list := make([]BlockedKey, len(keys))
	for i, k := range keys {
		list[i] = k.BlockedKey
	}
	return list, err
}

// RecordKeySweep implements InventoryStore.
func (d *DB) RecordKeySweep(ctx context.Context, sweep KeySweep) error {
	return d.write(ctx, opRecordKeySweep, func(ctx context.Context, s *session) error {
		n, err := s.exec(ctx, recordKeySweep, sweep.SPKISHA256[:], sweep.At.UnixMicro(), int64(sweep.Found), int64(sweep.Revoked))
		if err != nil {
			return fmt.Errorf("recording the sweep of a blocked key: %w", err)
		}
		if n == 0 {
			return ErrConflict
		}
		return nil
	})
}
