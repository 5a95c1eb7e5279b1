package sa

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/cairn-ca/cairn/internal/acme"
)

const (
	// A key that comes back to its account keeps the time at which it was
	// there first.
	insertAccountKey = `INSERT INTO account_keys (account_id, thumbprint, since) VALUES ($1, $2, $3)
ON CONFLICT (account_id, thumbprint) DO NOTHING`

	selectAccountKeys = `SELECT k.thumbprint, k.since FROM account_keys k JOIN accounts a ON a.id = k.account_id
WHERE k.account_id = $1 AND a.status = 'valid'
ORDER BY CASE WHEN k.thumbprint = a.thumbprint THEN 0 ELSE 1 END, k.since DESC, k.thumbprint`
)

// recordAccountKey notes that the account has the key from now on.
func (d *DB) recordAccountKey(ctx context.Context, s *session, account acme.Account) error {
	if _, err := s.exec(ctx, insertAccountKey, account.ID[:], account.Key.Thumbprint(), d.micros()); err != nil {
		return fmt.Errorf("recording the key of account %s: %w", account.ID, err)
	}
	return nil
}

// AccountKeys implements Reader.
func (d *DB) AccountKeys(ctx context.Context, account acme.ID) (keys []acme.UsedKey, err error) {
	err = d.read(ctx, opAccountKeys, func(ctx context.Context, s *session) error {
		keys = nil
		err := s.all(ctx, selectAccountKeys, []any{account[:]}, func(rows *sql.Rows) error {
			var k acme.UsedKey
			if err := rows.Scan((*scanText)(&k.Thumbprint), (*scanTime)(&k.Since)); err != nil {
				return err
			}
			keys = append(keys, k)
			return nil
		})
		if err != nil {
			return fmt.Errorf("reading the keys of account %s: %w", account, err)
		}
		if len(keys) > 0 {
			return nil
		}
		there, err := s.has(ctx, accountExists, account[:])
		if err == nil && !there {
			err = ErrNotFound
		}
		return err
	})
	return keys, err
}
