package acme

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// AccountKey is the public key of an account, as a JWK. The zero value is no
// key.
type AccountKey struct {
	jwk        jose.JSONWebKey
	canonical  string
	thumbprint string
}

// ParseAccountKey reads a public JWK and checks that it is one that may sign
// for an account: RSA of 2048 to 8192 bits with an exponent over 2^16, P-256,
// P-384, P-521 or Ed25519. The error is a *Problem of type badPublicKey, or
// malformed for what is no JWK at all.
func ParseAccountKey(raw []byte) (AccountKey, error) {
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(raw, &jwk); err != nil {
		// go-jose refuses points off the curve and unknown key types here too.
		return AccountKey{}, NewProblem(BadPublicKey, "the JWK can't be used: %s", bounded(err.Error()))
	}
	if !jwk.IsPublic() {
		return AccountKey{}, NewProblem(BadPublicKey, "the JWK holds a private or symmetric key; send only the public members, and consider the key lost")
	}
	if err := checkAccountKey(jwk.Key); err != nil {
		return AccountKey{}, err
	}
	return AccountKeyOf(jwk.Key)
}

// AccountKeyOf makes an AccountKey of a public key that was not sent as a JWK,
// such as a certificate's, without asking whether it may sign for an account.
func AccountKeyOf(key crypto.PublicKey) (AccountKey, error) {
	jwk := jose.JSONWebKey{Key: key} // without kid, alg, use and certificates
	canonical, err := jwk.MarshalJSON()
	if err != nil {
		return AccountKey{}, NewProblem(BadPublicKey, "the JWK can't be used: %s", bounded(err.Error()))
	}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return AccountKey{}, fmt.Errorf("taking the thumbprint of a JWK: %w", err)
	}
	return AccountKey{jwk, string(canonical), base64.RawURLEncoding.EncodeToString(sum)}, nil
}

func checkAccountKey(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		bits := k.N.BitLen()
		if bits < 2048 || bits > 8192 {
			return NewProblem(BadPublicKey, "RSA account keys have 2048 to 8192 bits; this one has %d", bits)
		}
		if k.E <= 1<<16 || k.E%2 == 0 {
			return NewProblem(BadPublicKey, "the public exponent of an RSA account key must be odd and greater than 65536")
		}
		return nil
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return nil
	}
	return NewProblem(BadPublicKey, "account keys are RSA, P-256, P-384, P-521 or Ed25519")
}

// Public is the key itself: *rsa.PublicKey, *ecdsa.PublicKey or
// ed25519.PublicKey.
func (k AccountKey) Public() crypto.PublicKey { return k.jwk.Key }

// JSON is the key's canonical JWK, the form that the store keeps.
func (k AccountKey) JSON() string { return k.canonical }

// Thumbprint is the base64url of the key's SHA-256 thumbprint (RFC 7638).
func (k AccountKey) Thumbprint() string { return k.thumbprint }

// IsZero tells whether the AccountKey was never set.
func (k AccountKey) IsZero() bool { return k.canonical == "" }
