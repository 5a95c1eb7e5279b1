package ca

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/sa"
)

// checkKey holds a certificate's key to the profile and to what is known of
// it. key.Check has seen its form before.
//
// That another certificate has the same key is no reason to refuse: the CSR's
// signature proves who holds it, clients renew with the key that they have, and
// an index from keys to certificates would make each issuance dearer than the
// one before. cairn audit tells which keys several accounts share.
func (c *CA) checkKey(ctx context.Context, p *compiled, csr request, accountThumbprint string) error {
	if !slices.Contains(p.Keys, csr.keyType) {
		return badCSR("the profile %q does not certify %s keys", p.Name, csr.keyType)
	}
	lost, err := c.lost(ctx, csr.public, csr.spki)
	if err != nil {
		return err
	}
	if lost != "" {
		return badCSR("the CSR's key %s; make a new key", lost)
	}
	return c.checkAccountKeys(ctx, csr.thumbprint, accountThumbprint)
}

// lost tells why somebody else may have a private key; empty: nothing is known
// against it.
func (c *CA) lost(ctx context.Context, public crypto.PublicKey, spki []byte) (string, error) {
	if c.WeakKeys.Has(public, spki) {
		return "is one of a list of weak keys, such as those of Debian's OpenSSL of 2006 to 2008 (CVE-2008-0166)", nil
	}
	hashes, err := key.SPKIHashes(public, spki)
	if err != nil {
		return "", err
	}
	for _, hash := range hashes {
		blocked, err := c.Store.KeyBlocked(ctx, hash)
		if err != nil {
			return "", fmt.Errorf("asking whether a key is blocked: %w", err)
		}
		if blocked {
			return "is known to be compromised", nil
		}
	}
	return "", nil
}

// checkAccountKeys refuses the key of the account that asks (RFC 8555 §11.1)
// and of every other account.
func (c *CA) checkAccountKeys(ctx context.Context, thumbprint, own string) error {
	if thumbprint == own {
		return badCSR("the certificate's key must not be the account's key (RFC 8555 §11.1); make another")
	}
	for _, directory := range c.Directories {
		_, err := c.Store.AccountByKey(ctx, directory, thumbprint)
		switch {
		case err == nil:
			return badCSR("the certificate's key is the key of an account, which must not be certified (RFC 8555 §11.1); make another")
		case !errors.Is(err, sa.ErrNotFound):
			return fmt.Errorf("asking whether a key is an account's: %w", err)
		}
	}
	return nil
}
