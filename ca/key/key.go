// Package key holds what the signing authority knows about keys: which ones
// may be certified, how issuer keys are kept in files, and which signature
// algorithm goes with which key.
//
// Everything that signs is a crypto.Signer, so that a key in a file and a key
// in a hardware module are the same to the rest of the code.
package key

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
	"io"
)

// Type is a kind of public key, and for elliptic curves the curve.
type Type string

// The types of key that Cairn knows.
const (
	RSA     Type = "rsa"
	P256    Type = "p256"
	P384    Type = "p384"
	P521    Type = "p521"
	Ed25519 Type = "ed25519"
)

// TypeOf is the type of a public key; an error for keys that Cairn has no use
// for.
func TypeOf(public crypto.PublicKey) (Type, error) {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return RSA, nil
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return P256, nil
		case elliptic.P384():
			return P384, nil
		case elliptic.P521():
			return P521, nil
		}
		return "", fmt.Errorf("keys on the curve %s are not accepted; use P-256, P-384 or P-521", k.Curve.Params().Name)
	case ed25519.PublicKey:
		return Ed25519, nil
	}
	return "", fmt.Errorf("keys of this kind (%T) are not accepted; use RSA, P-256, P-384 or P-521", public)
}

// rsaBits is the size of the RSA keys that Generate makes.
const rsaBits = 3072

// Generate makes a key of the given type, an RSA key in the usual size.
func Generate(t Type, random io.Reader) (crypto.Signer, error) {
	return GenerateSize(t, rsaBits, random)
}

// GenerateSize makes a key of the given type. bits is the size of an RSA key.
func GenerateSize(t Type, bits int, random io.Reader) (crypto.Signer, error) {
	switch t {
	case RSA:
		return rsa.GenerateKey(random, bits)
	case P256:
		return ecdsa.GenerateKey(elliptic.P256(), random)
	case P384:
		return ecdsa.GenerateKey(elliptic.P384(), random)
	case P521:
		return ecdsa.GenerateKey(elliptic.P521(), random)
	case Ed25519:
		_, private, err := ed25519.GenerateKey(random)
		return private, err
	}
	return nil, fmt.Errorf("no key type is called %q", t)
}

// Equal tells whether two public keys are the same.
func Equal(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}
