package attest

import (
	"crypto"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/asn1"

	"github.com/cairn-ca/cairn/internal/acme"
)

// Extensions of the certificates that Apple's attestation servers issue. Their
// values are not wrapped in DER.
var (
	oidAppleSerialNumber = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 8, 9, 1}
	oidAppleUDID         = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 8, 9, 2}
	oidAppleNonce        = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 8, 11, 1} // "freshness code"
)

// verifyApple verifies a statement of Apple's Managed Device Attestation. It is
// a certificate alone: Apple's server signs it when the device asks, and can't
// know the account key, so that the challenge is the token without the key
// authorization (draft-ietf-acme-device-attest §5).
func verifyApple(v *verification) (crypto.PublicKey, error) {
	chain, err := v.chain()
	if err != nil {
		return nil, err
	}
	leaf := chain[0]
	nonce, ok := extension(leaf, oidAppleNonce)
	if !ok {
		return nil, refuse("the attestation certificate has no freshness code (%s)", oidAppleNonce)
	}
	want := sha256.Sum256([]byte(v.Token))
	if subtle.ConstantTimeCompare(nonce, want[:]) != 1 {
		return nil, refuse("the attestation's freshness code is not the SHA-256 of this challenge's token: it was made for another challenge")
	}
	var names []acme.Identifier
	for _, id := range []asn1.ObjectIdentifier{oidAppleSerialNumber, oidAppleUDID} {
		if value, ok := extension(leaf, id); ok {
			names = named(names, string(value))
		}
	}
	if err := v.identify(names); err != nil {
		return nil, err
	}
	return leaf.PublicKey, nil
}
