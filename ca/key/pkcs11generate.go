//go:build cgo

package key

import (
	"context"
	"crypto/elliptic"
	"errors"
	"fmt"
	"io"

	"github.com/ThalesGroup/crypto11"
)

// GeneratePKCS11 makes a key pair on a token and opens it. The private key can
// only sign: it never leaves the token, and neither decrypts nor derives. uri
// names the key that is to be; without an id it gets one at random. A key of
// the same name is an error that wraps ErrExists. bits is the size of an RSA
// key; 0: the usual one.
func (o *Opener) GeneratePKCS11(ctx context.Context, uri PKCS11URI, t Type, bits int) (Key, error) {
	k := &pkcs11Key{uri: uri}
	err := o.withToken(ctx, uri, func(token *pkcs11Token, hsm *crypto11.Context) error {
		if err := o.generate(hsm, uri, t, bits); err != nil {
			return err
		}
		return k.attach(token, hsm)
	})
	if err != nil {
		return nil, fmt.Errorf("making the key %s on the token %s: %w", uri.keyName(), uri.tokenName(), err)
	}
	return k, nil
}

func (o *Opener) generate(hsm *crypto11.Context, uri PKCS11URI, t Type, bits int) error {
	if bits == 0 {
		bits = rsaBits
	}
	// One half of a pair is in the way too.
	found, err := hsm.FindPrivateKeys(uri.ID, []byte(uri.Object))
	if err != nil {
		return fmt.Errorf("looking for a key of this name: %w", explain(err))
	}
	if len(found) > 0 {
		return errKeyExists{}
	}
	id := uri.ID
	if len(id) == 0 {
		id = make([]byte, 16)
		if _, err := io.ReadFull(o.cfg.Random, id); err != nil {
			return fmt.Errorf("naming a key: %w", err)
		}
	}
	public, private, err := keyAttributes(id, uri.Object)
	if err != nil {
		return err
	}
	var signer crypto11.Signer
	switch t {
	case RSA:
		signer, err = hsm.GenerateRSAKeyPairWithAttributes(public, private, bits)
	case P256:
		signer, err = hsm.GenerateECDSAKeyPairWithAttributes(public, private, elliptic.P256())
	case P384:
		signer, err = hsm.GenerateECDSAKeyPairWithAttributes(public, private, elliptic.P384())
	case P521:
		signer, err = hsm.GenerateECDSAKeyPairWithAttributes(public, private, elliptic.P521())
	default:
		return fmt.Errorf("no %s keys are made on tokens; use rsa, p256, p384 or p521", t)
	}
	if err != nil {
		return explain(err)
	}
	if exposed(hsm, signer) {
		return errors.Join(errors.New("the token made a key that can be read out of it, and the key was deleted again"), signer.Delete())
	}
	return nil
}

// keyAttributes are the attributes of the two halves. Those that crypto11 would
// set otherwise are among them.
func keyAttributes(id []byte, label string) (public, private crypto11.AttributeSet, err error) {
	if public, err = crypto11.NewAttributeSetWithID(id); err != nil {
		return nil, nil, fmt.Errorf("naming a key: %w", err)
	}
	if label != "" {
		if err := public.Set(crypto11.CkaLabel, []byte(label)); err != nil {
			return nil, nil, fmt.Errorf("naming a key: %w", err)
		}
	}
	private = public.Copy()
	for _, a := range []struct {
		set   crypto11.AttributeSet
		name  crypto11.AttributeType
		value bool
	}{
		{public, crypto11.CkaToken, true},
		{public, crypto11.CkaVerify, true},
		{public, crypto11.CkaEncrypt, false},
		{public, crypto11.CkaWrap, false},
		{private, crypto11.CkaToken, true},
		{private, crypto11.CkaPrivate, true},
		{private, crypto11.CkaSensitive, true},
		{private, crypto11.CkaExtractable, false},
		{private, crypto11.CkaSign, true},
		{private, crypto11.CkaDecrypt, false},
		{private, crypto11.CkaUnwrap, false},
		{private, crypto11.CkaDerive, false},
	} {
		if err := a.set.Set(a.name, a.value); err != nil {
			return nil, nil, fmt.Errorf("setting the attributes of a key: %w", err)
		}
	}
	return public, private, nil
}

// errKeyExists is a key that is not overwritten.
type errKeyExists struct{}

func (errKeyExists) Error() string { return "the token has a key of this name already" }
func (errKeyExists) Unwrap() error { return ErrExists }
