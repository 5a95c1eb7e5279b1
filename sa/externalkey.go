package sa

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

// ExternalKey is a MAC key that binds new accounts to somebody known outside
// of ACME (RFC 8555 §7.3.4).
type ExternalKey struct {
	ID        string // the JWS "kid"; printable ASCII, unique in the directory
	Directory string
	MAC       []byte // the key itself: a secret
	Comment   string // whose it is, in the operator's words
	Reusable  bool   // it may bind more than one account
	CreatedAt time.Time
	RevokedAt time.Time // zero: not revoked
	// Account is the account that it bound last; zero: none.
	Account acme.ID
}

// ExternalKeyStore keeps external account keys.
type ExternalKeyStore interface {
	// CreateExternalKey stores a key; ErrConflict when the directory has one
	// of that ID.
	CreateExternalKey(ctx context.Context, key ExternalKey) error
	ExternalKey(ctx context.Context, directory, id string) (ExternalKey, error)
	// ExternalKeys lists a directory's keys by their age, without their MACs.
	ExternalKeys(ctx context.Context, directory string) ([]ExternalKey, error)
	// RevokeExternalKey ends a key: it binds no further account. ErrConflict
	// when it is revoked already.
	RevokeExternalKey(ctx context.Context, directory, id string, at time.Time) error
}

const (
	// externalKeyColumns are those that anybody may see.
	externalKeyColumns = `id, directory, comment, reusable, created_at, revoked_at, account_id`

	insertExternalKey = `INSERT INTO external_keys (` + externalKeyColumns + `, mac) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (directory, id) DO NOTHING`

	selectExternalKey  = `SELECT ` + externalKeyColumns + `, mac FROM external_keys WHERE directory = $1 AND id = $2`
	selectExternalKeys = `SELECT ` + externalKeyColumns + ` FROM external_keys WHERE directory = $1 ORDER BY created_at, id`

	revokeExternalKey = `UPDATE external_keys SET revoked_at = $3 WHERE directory = $1 AND id = $2 AND revoked_at IS NULL`

	useExternalKey = `UPDATE external_keys SET account_id = $3
WHERE directory = $1 AND id = $2 AND revoked_at IS NULL AND (reusable = 1 OR account_id IS NULL)`

	externalKeyExists = `SELECT 1 FROM external_keys WHERE directory = $1 AND id = $2`
)

func externalKeyDest(k *ExternalKey) []any {
	return []any{
		(*scanText)(&k.ID), (*scanText)(&k.Directory), (*scanText)(&k.Comment), (*scanBool)(&k.Reusable), (*scanTime)(&k.CreatedAt),
		(*scanTime)(&k.RevokedAt), (*scanID)(&k.Account),
	}
}

// CreateExternalKey implements ExternalKeyStore.
func (d *DB) CreateExternalKey(ctx context.Context, key ExternalKey) error {
	switch {
	case key.ID == "":
		return errors.New("creating an external account key: it has no identifier")
	case len(key.MAC) == 0:
		return errors.New("creating an external account key: the MAC key is empty")
	}
	return d.write(ctx, opCreateExternalKey, func(ctx context.Context, s *session) error {
		n, err := s.exec(ctx, insertExternalKey, key.ID, key.Directory, key.Comment, boolValue(key.Reusable), key.CreatedAt.UnixMicro(),
			timeValue(key.RevokedAt), idValue(key.Account), key.MAC)
		if err != nil {
			return fmt.Errorf("inserting external account key %q: %w", key.ID, err)
		}
		if n == 0 {
			return ErrConflict
		}
		return nil
	})
}

// ExternalKey implements ExternalKeyStore.
func (d *DB) ExternalKey(ctx context.Context, directory, id string) (k ExternalKey, err error) {
	err = d.read(ctx, opExternalKey, func(ctx context.Context, s *session) error {
		k = ExternalKey{}
		return s.one(ctx, selectExternalKey, []any{directory, id}, append(externalKeyDest(&k), (*scanBytes)(&k.MAC))...)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return ExternalKey{}, ErrNotFound
	}
	if err != nil {
		return ExternalKey{}, fmt.Errorf("reading external account key %q: %w", id, err)
	}
	return k, nil
}

// ExternalKeys implements ExternalKeyStore.
func (d *DB) ExternalKeys(ctx context.Context, directory string) ([]ExternalKey, error) {
	var list []ExternalKey
	err := d.read(ctx, opExternalKeys, func(ctx context.Context, s *session) error {
		list = nil
		return s.all(ctx, selectExternalKeys, []any{directory}, func(rows *sql.Rows) error {
			var k ExternalKey
			if err := rows.Scan(externalKeyDest(&k)...); err != nil {
				return err
			}
			list = append(list, k)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("listing external account keys: %w", err)
	}
	return list, nil
}

// RevokeExternalKey implements ExternalKeyStore.
func (d *DB) RevokeExternalKey(ctx context.Context, directory, id string, at time.Time) error {
	return d.write(ctx, opRevokeExternalKey, func(ctx context.Context, s *session) error {
		n, err := s.exec(ctx, revokeExternalKey, directory, id, at.UnixMicro())
		if err != nil {
			return fmt.Errorf("revoking external account key %q: %w", id, err)
		}
		if n == 0 {
			return d.conflictIfThere(ctx, s, ErrNotFound, externalKeyExists, directory, id)
		}
		return nil
	})
}

// bindExternalKey uses the key that the new account names.
func bindExternalKey(ctx context.Context, s *session, account *acme.Account) error {
	n, err := s.exec(ctx, useExternalKey, account.Directory, account.ExternalKeyID, account.ID[:])
	if err != nil {
		return fmt.Errorf("using external account key %q: %w", account.ExternalKeyID, err)
	}
	if n == 0 {
		return ErrConflict
	}
	return nil
}
