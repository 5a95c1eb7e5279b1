//go:build !cgo

package key

import (
	"context"
	"fmt"
)

// pkcs11Module is not there without cgo.
type pkcs11Module struct{}

func (o *Opener) openPKCS11(_ context.Context, uri PKCS11URI) (Key, error) {
	return nil, fmt.Errorf("opening the key %s on the token %s: %w", uri.keyName(), uri.tokenName(), ErrNoPKCS11)
}

// GeneratePKCS11 makes a key pair on a token; not in this build.
func (o *Opener) GeneratePKCS11(_ context.Context, uri PKCS11URI, _ Type, _ int) (Key, error) {
	return nil, fmt.Errorf("making the key %s on the token %s: %w", uri.keyName(), uri.tokenName(), ErrNoPKCS11)
}

// Close closes every key; none is open.
func (o *Opener) Close() error { return nil }
