package sa

import (
	"context"
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
