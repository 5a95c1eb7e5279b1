package key

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of the algorithms below
	_ "crypto/sha512"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Algorithm is how a key signs: always the same way for the same key.
type Algorithm struct {
	// Identifier is the DER of the AlgorithmIdentifier, byte for byte as
	// Baseline Requirements §7.1.3.2 writes it.
	Identifier []byte
	// Hash is the digest that is signed; 0: the message itself.
	Hash crypto.Hash
}

var (
	oidSHA256WithRSA   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
	oidECDSAWithSHA256 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	oidECDSAWithSHA384 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}
	oidECDSAWithSHA512 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}
	oidEd25519         = asn1.ObjectIdentifier{1, 3, 101, 112}
)

// AlgorithmOf is how the private key of public signs.
func AlgorithmOf(public crypto.PublicKey) (Algorithm, error) {
	t, err := TypeOf(public)
	if err != nil {
		return Algorithm{}, err
	}
	switch t {
	case RSA:
		return algorithm(oidSHA256WithRSA, true, crypto.SHA256)
	case P256:
		return algorithm(oidECDSAWithSHA256, false, crypto.SHA256)
	case P384:
		return algorithm(oidECDSAWithSHA384, false, crypto.SHA384)
	case P521:
		return algorithm(oidECDSAWithSHA512, false, crypto.SHA512)
	default:
		return algorithm(oidEd25519, false, 0)
	}
}

func algorithm(oid asn1.ObjectIdentifier, null bool, hash crypto.Hash) (Algorithm, error) {
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		if null {
			b.AddASN1NULL()
		}
	})
	der, err := b.Bytes()
	if err != nil {
		return Algorithm{}, fmt.Errorf("encoding a signature algorithm: %w", err)
	}
	return Algorithm{der, hash}, nil
}

func (a Algorithm) digest(message []byte) []byte {
	if a.Hash == 0 {
		return message
	}
	h := a.Hash.New()
	h.Write(message)
	return h.Sum(nil)
}

// Sign signs message the way that AlgorithmOf gives for the signer's key.
func Sign(random io.Reader, signer crypto.Signer, message []byte) ([]byte, error) {
	a, err := AlgorithmOf(signer.Public())
	if err != nil {
		return nil, err
	}
	signature, err := signer.Sign(random, a.digest(message), a.Hash)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return signature, nil
}

// Verify checks a signature that Sign made.
func Verify(public crypto.PublicKey, message, signature []byte) error {
	a, err := AlgorithmOf(public)
	if err != nil {
		return err
	}
	return verifyDigest(public, a, a.digest(message), signature)
}

func verifyDigest(public crypto.PublicKey, a Algorithm, digest, signature []byte) error {
	ok := false
	switch k := public.(type) {
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(k, a.Hash, digest, signature) == nil
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(k, digest, signature)
	case ed25519.PublicKey:
		ok = ed25519.Verify(k, digest, signature)
	}
	if !ok {
		return errors.New("the signature is not the key's")
	}
	return nil
}

// Envelope is the ASN.1 structure that certificates, CRLs and OCSP responses
// share: what was signed, the algorithm, and the signature.
func Envelope(signed []byte, a Algorithm, signature []byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, len(signed)+len(a.Identifier)+len(signature)+16))
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(signed)
		b.AddBytes(a.Identifier)
		b.AddASN1BitString(signature)
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encoding a signed structure: %w", err)
	}
	return der, nil
}

// SignEnvelope signs a structure and verifies the signature, so that a fault in
// the key's hardware or memory ends here (Baseline Requirements §6.2.7 asks for
// trust in the module, this asks for proof).
func SignEnvelope(random io.Reader, signer crypto.Signer, toSign []byte) ([]byte, error) {
	a, err := AlgorithmOf(signer.Public())
	if err != nil {
		return nil, err
	}
	signature, err := Sign(random, signer, toSign)
	if err != nil {
		return nil, err
	}
	if err := Verify(signer.Public(), toSign, signature); err != nil {
		return nil, fmt.Errorf("checking a signature just made: %w", err)
	}
	return Envelope(toSign, a, signature)
}
