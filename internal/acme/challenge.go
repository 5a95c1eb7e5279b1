package acme

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
)

// ChallengeType is a way to prove control of an identifier.
type ChallengeType string

// The challenge types, with the text that defines each.
const (
	HTTP01         ChallengeType = "http-01"          // RFC 8555 §8.3
	DNS01          ChallengeType = "dns-01"           // RFC 8555 §8.4
	TLSALPN01      ChallengeType = "tls-alpn-01"      // RFC 8737
	DNSAccount01   ChallengeType = "dns-account-01"   // draft-ietf-acme-dns-account-label
	DNSPersist01   ChallengeType = "dns-persist-01"   // draft-ietf-acme-dns-persist
	OnionCSR01     ChallengeType = "onion-csr-01"     // RFC 9799
	DeviceAttest01 ChallengeType = "device-attest-01" // draft-ietf-acme-device-attest
)

// HasToken tells whether challenges of the type have a token, of which the
// answer is made.
func (t ChallengeType) HasToken() bool { return t != DNSPersist01 && t != OnionCSR01 }

// TokenSeed is the secret of an authorization, from which the token of each of
// its challenges is derived: one value to store, one token a challenge.
type TokenSeed [32]byte

// NewTokenSeed reads a seed from random.
func NewTokenSeed(random io.Reader) (TokenSeed, error) {
	var seed TokenSeed
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return TokenSeed{}, fmt.Errorf("reading random bits for a token: %w", err)
	}
	return seed, nil
}

// Token is the token of the challenge of the given type: 256 bits in
// base64url (RFC 8555 §8.1 asks at least 128).
func (s TokenSeed) Token(t ChallengeType) string {
	return base64.RawURLEncoding.EncodeToString(s.octets(t))
}

// Nonce is the same octets as the token's in base64 with padding, the form in
// which onion-csr-01 has them (RFC 9799 §3.2).
func (s TokenSeed) Nonce(t ChallengeType) string {
	return base64.StdEncoding.EncodeToString(s.octets(t))
}

func (s TokenSeed) octets(t ChallengeType) []byte {
	mac := hmac.New(sha256.New, s[:])
	mac.Write([]byte(t))
	return mac.Sum(nil)
}

// KeyAuthorization is the string that a challenge is answered with
// (RFC 8555 §8.1); thumbprint is the account key's (RFC 7638).
func KeyAuthorization(token, thumbprint string) string { return token + "." + thumbprint }
