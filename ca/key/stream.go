package key

import (
	"crypto"
	"fmt"
	"io"
)

// digestOf is the digest of all that message reads; for Ed25519, which signs
// messages themselves, it is the message, whole in memory.
func (a Algorithm) digestOf(message io.Reader) ([]byte, error) {
	if a.Hash == 0 {
		return io.ReadAll(message)
	}
	h := a.Hash.New()
	if _, err := io.Copy(h, message); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}

// SignReader is Sign for a message that is too long to be held in memory. It
// verifies the signature, as SignEnvelope does.
func SignReader(random io.Reader, signer crypto.Signer, message io.Reader) ([]byte, error) {
	a, err := AlgorithmOf(signer.Public())
	if err != nil {
		return nil, err
	}
	digest, err := a.digestOf(message)
	if err != nil {
		return nil, fmt.Errorf("reading what is to be signed: %w", err)
	}
	signature, err := signer.Sign(random, digest, a.Hash)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	if err := verifyDigest(signer.Public(), a, digest, signature); err != nil {
		return nil, fmt.Errorf("checking a signature just made: %w", err)
	}
	return signature, nil
}

// VerifyReader is Verify for a message that is too long to be held in memory.
func VerifyReader(public crypto.PublicKey, message io.Reader, signature []byte) error {
	a, err := AlgorithmOf(public)
	if err != nil {
		return err
	}
	digest, err := a.digestOf(message)
	if err != nil {
		return fmt.Errorf("reading what was signed: %w", err)
	}
	return verifyDigest(public, a, digest, signature)
}
