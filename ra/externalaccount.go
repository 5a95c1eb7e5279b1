package ra

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/go-jose/go-jose/v4"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// verifyBinding checks the external account binding of a newAccount request
// (RFC 8555 §7.3.4). A binding that is sent is verified whether or not the
// directory requires one: what can't be verified must not be kept.
func (r *RA) verifyBinding(ctx context.Context, dir Directory, binding *ExternalAccountBinding) error {
	if binding == nil {
		if dir.ExternalAccountRequired {
			return acme.NewProblem(acme.ExternalAccountRequired, "this directory takes accounts with an external account binding only; ask its operator for a key")
		}
		return nil
	}
	// One answer to every failure: who asks learns nothing about keys.
	refused := acme.NewProblem(acme.Unauthorized, "the external account binding can't be verified: the key identifier is not known here, was used or revoked, or the MAC is another key's")
	key, err := r.Store.ExternalKey(ctx, dir.Name, binding.KeyID)
	if errors.Is(err, sa.ErrNotFound) {
		return refused
	}
	if err != nil {
		return fmt.Errorf("reading external account key %q: %w", binding.KeyID, err)
	}
	jws, err := jose.ParseSignedCompact(binding.JWS, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(binding.Algorithm)})
	if err != nil {
		return acme.NewProblem(acme.Malformed, "the external account binding can't be parsed")
	}
	_, err = jws.Verify(key.MAC) // in constant time
	switch {
	case err != nil:
	case !key.RevokedAt.IsZero():
		err = errors.New("the key is revoked")
	case !key.Reusable && !key.Account.IsZero():
		err = errors.New("the key was used")
	default:
		return nil
	}
	r.Audit.LogAttrs(ctx, slog.LevelWarn, "external account binding refused",
		slog.String("directory", dir.Name), slog.String("key", binding.KeyID), slog.String("why", err.Error()))
	return refused
}
