//go:build cgo

package key

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/ThalesGroup/crypto11"
)

// pkcs11Key is a private key on a token.
type pkcs11Key struct {
	token  *pkcs11Token
	uri    PKCS11URI
	public crypto.PublicKey
	// signer is of token.hsm; guarded by the module's mu.
	signer crypto11.Signer
	// lastGood is when the token last did what it was asked, in nanoseconds of
	// Unix time.
	lastGood atomic.Int64
}

// probeAfter is how long a token that did what it was asked is taken to be
// there.
const probeAfter = time.Second

func (o *Opener) openPKCS11(ctx context.Context, uri PKCS11URI) (Key, error) {
	k := &pkcs11Key{uri: uri}
	if err := o.withToken(ctx, uri, func(t *pkcs11Token, hsm *crypto11.Context) error { return k.attach(t, hsm) }); err != nil {
		return nil, fmt.Errorf("opening the key %s on the token %s: %w", uri.keyName(), uri.tokenName(), err)
	}
	return k, nil
}

// attach finds the key on a token that is open, tests it, and makes it one of
// the token's. It needs the module's admin.
func (k *pkcs11Key) attach(t *pkcs11Token, hsm *crypto11.Context) error {
	signer, err := findSigner(hsm, k.uri, nil)
	if err != nil {
		return err
	}
	if exposed(hsm, signer) {
		t.m.o.cfg.Logger.LogAttrs(context.Background(), slog.LevelWarn, "the private key can be read out of its token; make a key that is sensitive and not extractable",
			slog.String("token", k.uri.tokenName()), slog.String("key", k.uri.keyName()))
	}
	k.token, k.signer, k.public = t, signer, signer.Public()
	k.good()
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	t.keys = append(t.keys, k)
	return nil
}

// findSigner finds a key on a token and has it make a signature. want, where
// it is not nil, is the public key that it must have.
func findSigner(hsm *crypto11.Context, uri PKCS11URI, want crypto.PublicKey) (crypto11.Signer, error) {
	found, err := hsm.FindKeyPairs(uri.ID, []byte(uri.Object))
	switch {
	case err != nil:
		return nil, fmt.Errorf("looking for the key: %w", explain(err))
	case len(found) == 0:
		return nil, errors.New("the token has no such key; it needs a private key and its public key there, both with the same CKA_ID (pkcs11-tool --list-objects shows what there is)")
	case len(found) > 1:
		return nil, fmt.Errorf("the token has %d keys of this name; tell them apart with id=", len(found))
	}
	signer := found[0]
	if _, err := TypeOf(signer.Public()); err != nil {
		return nil, err
	}
	if want != nil && !Equal(want, signer.Public()) {
		return nil, errors.New("the token came back with another key of this name")
	}
	return signer, selfTest(signer)
}

// selfTest shows that a key signs, and that its two halves belong together.
func selfTest(signer crypto.Signer) error {
	message := []byte("Cairn tests a key. This is no certificate, CRL or OCSP response.")
	signature, err := Sign(nil, signer, message)
	if err != nil {
		return fmt.Errorf("making a test signature: %w", explain(err))
	}
	if err := Verify(signer.Public(), message, signature); err != nil {
		return fmt.Errorf("the private key's test signature does not verify with the public key on the token: %w", err)
	}
	return nil
}

// exposed tells whether a private key can leave its token. A token that does
// not say is taken at its best.
func exposed(hsm *crypto11.Context, signer crypto11.Signer) bool {
	is := func(a crypto11.AttributeType, value byte) bool {
		attribute, err := hsm.GetAttribute(signer, a)
		return err == nil && attribute != nil && bytes.Equal(attribute.Value, []byte{value})
	}
	return is(crypto11.CkaExtractable, 1) || is(crypto11.CkaSensitive, 0)
}

// Public implements crypto.Signer.
func (k *pkcs11Key) Public() crypto.PublicKey { return k.public }

// Slow implements Key.
func (k *pkcs11Key) Slow() bool { return true }

// Sign implements crypto.Signer: ECDSA in DER, RSA as PKCS #1 v1.5 or, with
// *rsa.PSSOptions, PSS. The token has its own random source. When the token is
// gone the error wraps ErrUnavailable.
//
// A call into a library can't be cut short. When it takes longer than the
// opener's Timeout, Sign returns an error, and the session stays in use until
// the library returns; what it signed then is thrown away.
func (k *pkcs11Key) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := checkDigest(digest, opts); err != nil {
		return nil, err
	}
	start := k.now()
	signature, err := call(k, func(_ *crypto11.Context, s crypto11.Signer) ([]byte, error) { return s.Sign(nil, digest, opts) })
	result := "ok"
	if err != nil {
		result = "failed"
		err = fmt.Errorf("signing with the key %s on the token %s: %w", k.uri.keyName(), k.uri.tokenName(), err)
	}
	k.token.m.o.metrics.signatures.WithLabelValues(k.uri.tokenName(), result).Observe(k.now().Sub(start).Seconds())
	return signature, err
}

// checkDigest refuses what libraries take for a fault of the token, and what
// crypto11 would sign without its DigestInfo.
func checkDigest(digest []byte, opts crypto.SignerOpts) error {
	hash := opts.HashFunc()
	switch hash {
	case crypto.SHA256, crypto.SHA384, crypto.SHA512:
	default:
		return fmt.Errorf("keys on tokens sign digests of SHA-256, SHA-384 and SHA-512, not of %v", hash)
	}
	if len(digest) != hash.Size() {
		return fmt.Errorf("a digest of %d bytes is not one of %v", len(digest), hash)
	}
	if pss, ok := opts.(*rsa.PSSOptions); ok && pss.SaltLength != rsa.PSSSaltLengthEqualsHash && pss.SaltLength != hash.Size() {
		return errors.New("keys on tokens make PSS signatures whose salt is as long as the hash")
	}
	return nil
}

// call has the token do something for the key, with a session and a bounded
// wait.
func call[T any](k *pkcs11Key, f func(*crypto11.Context, crypto11.Signer) (T, error)) (T, error) {
	var none T
	t := k.token
	timer := time.NewTimer(t.m.o.cfg.Timeout)
	defer timer.Stop()
	if err := t.begin(timer.C); err != nil {
		return none, err
	}
	type answer struct {
		value T
		err   error
	}
	answered := make(chan answer, 1)
	hsm, signer := t.hsm, k.signer // they stay until end
	go func() {
		value, err := f(hsm, signer)
		if err == nil {
			k.good()
		}
		t.end(err)
		answered <- answer{value, err}
	}()
	select {
	case a := <-answered:
		if a.err != nil && lost(a.err) {
			return none, fmt.Errorf("%w: %w", ErrUnavailable, explain(a.err))
		}
		return a.value, explain(a.err)
	case <-timer.C:
		return none, fmt.Errorf("%w: the token has not answered within %v", ErrUnavailable, t.m.o.cfg.Timeout)
	}
}

func (k *pkcs11Key) now() time.Time { return k.token.m.o.cfg.Now() }

func (k *pkcs11Key) good() { k.lastGood.Store(k.now().UnixNano()) }

// Available implements Key.
func (k *pkcs11Key) Available() error {
	m := k.token.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := k.token.err; err != nil {
		return unavailable(err)
	}
	return nil
}

// Check implements Key: it reads an attribute of the private key, which needs
// the token.
func (k *pkcs11Key) Check(ctx context.Context) error {
	err := k.Available()
	if err == nil && k.now().Sub(time.Unix(0, k.lastGood.Load())) >= probeAfter {
		done := make(chan error, 1)
		go func() {
			_, err := call(k, func(hsm *crypto11.Context, s crypto11.Signer) (struct{}, error) {
				_, err := hsm.GetAttribute(s, crypto11.CkaKeyType)
				return struct{}{}, err
			})
			done <- err
		}()
		select {
		case err = <-done:
		case <-ctx.Done():
			err = fmt.Errorf("%w: the token does not answer: %w", ErrUnavailable, ctx.Err())
		}
	}
	if err != nil {
		return fmt.Errorf("the key %s on the token %s: %w", k.uri.keyName(), k.uri.tokenName(), err)
	}
	return nil
}

// Close implements io.Closer. The token is closed with the last of its keys.
func (k *pkcs11Key) Close() error { return k.token.m.drop(k) }
