package key

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
)

// usualExponent is the public exponent of nearly every RSA key.
const usualExponent = 65537

// SPKIHashes are the SHA-256 hashes under which a blocked key is kept and
// looked for: that of its SubjectPublicKeyInfo and, for an RSA key with another
// exponent than 65537, that of the key with the same modulus and 65537. Who can
// factor a modulus has every key with it. spki is the DER of public.
func SPKIHashes(public crypto.PublicKey, spki []byte) ([][sha256.Size]byte, error) {
	hashes := [][sha256.Size]byte{sha256.Sum256(spki)}
	k, ok := public.(*rsa.PublicKey)
	if !ok || k.E == usualExponent {
		return hashes, nil
	}
	usual, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: k.N, E: usualExponent})
	if err != nil {
		return nil, fmt.Errorf("encoding a public key: %w", err)
	}
	return append(hashes, sha256.Sum256(usual)), nil
}
