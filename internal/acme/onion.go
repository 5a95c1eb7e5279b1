package acme

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha3"
	"encoding/base32"
	"strings"

	"filippo.io/edwards25519"
)

// The form of an onion address (Tor's rend-spec-v3, "Encoding onion
// addresses"): the service's Ed25519 key, a checksum and a version, in base32.
const (
	onionTLD       = "onion"
	onionLabel     = 56
	onionLabelV2   = 16
	onionVersion   = 3
	onionChecksum  = ".onion checksum"
	onionKeyEnd    = ed25519.PublicKeySize
	onionVersionAt = onionKeyEnd + 2
)

var onionBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// IsOnion tells whether the identifier is the name of an onion service, or one
// below it (RFC 9799 §2). Such names are not in the DNS, and must never be
// looked up there (RFC 7686 §2).
func (id Identifier) IsOnion() bool {
	return id.kind == IdentifierDNS && strings.HasSuffix(id.value, "."+onionTLD)
}

// OnionService is the name of the onion service itself: of the identifier's
// labels, the last two. It is zero for an identifier that is no onion name.
func (id Identifier) OnionService() Identifier {
	if !id.IsOnion() {
		return Identifier{}
	}
	labels := strings.Split(id.value, ".")
	return Identifier{IdentifierDNS, strings.Join(labels[len(labels)-2:], ".")}
}

// OnionKey is the key that the name of an onion service is made of; nil for an
// identifier that is no onion name.
func (id Identifier) OnionKey() ed25519.PublicKey {
	service := id.OnionService()
	if service.IsZero() {
		return nil
	}
	raw, err := onionBase32.DecodeString(strings.TrimSuffix(service.value, "."+onionTLD))
	if err != nil {
		return nil
	}
	return raw[:onionKeyEnd]
}

// OnionIdentifier is the name of the onion service that has the key.
func OnionIdentifier(key ed25519.PublicKey) Identifier {
	raw := append(bytes.Clone(key), onionSum(key)...)
	return Identifier{IdentifierDNS, onionBase32.EncodeToString(append(raw, onionVersion)) + "." + onionTLD}
}

func onionSum(key []byte) []byte {
	input := append([]byte(onionChecksum), key...)
	sum := sha3.Sum256(append(input, onionVersion))
	return sum[:2]
}

// badOnion says what is wrong with a name below .onion, given as its labels in
// lower case; nil: nothing.
func badOnion(labels []string) *Problem {
	bad := func(format string, args ...any) *Problem {
		name := bounded(strings.Join(labels, "."))
		return NewProblem(Malformed, "onion name %q: "+format, append([]any{name}, args...)...)
	}
	if len(labels) < 2 || labels[len(labels)-2] == "*" {
		return bad("the label before .onion is the address of an onion service, of %d characters", onionLabel)
	}
	label := labels[len(labels)-2]
	raw, err := onionBase32.DecodeString(label)
	switch {
	case err == nil && len(label) == onionLabelV2:
		// RFC 9799 §2.
		p := bad("addresses of version 2 are not issued for; Tor has given them up as insecure: ask with the service's address of version 3, of %d characters", onionLabel)
		p.Type = RejectedIdentifier
		return p
	case len(label) != onionLabel:
		return bad("the address before .onion has %d characters, not %d", len(label), onionLabel)
	case err != nil:
		return bad("the address before .onion has letters and the digits 2 to 7 only (base32)")
	case raw[onionVersionAt] != onionVersion:
		return bad("the address is of version %d; only version %d is issued for", raw[onionVersionAt], onionVersion)
	case !bytes.Equal(raw[onionKeyEnd:onionVersionAt], onionSum(raw[:onionKeyEnd])):
		return bad("the checksum in the address is wrong; copy it again")
	case !primeOrder(raw[:onionKeyEnd]):
		return bad("the address holds no sound Ed25519 key")
	}
	return nil
}

// primeOrder tells whether a key is a point of the prime-order subgroup, in
// its one encoding. With a key that has a torsion component, one service would
// have several addresses; for one of small order, anybody can make
// signatures.
func primeOrder(key []byte) bool {
	p, err := new(edwards25519.Point).SetBytes(key)
	if err != nil || !bytes.Equal(p.Bytes(), key) {
		return false
	}
	identity := edwards25519.NewIdentityPoint()
	if p.Equal(identity) == 1 {
		return false
	}
	// ℓ·P = (ℓ-1)·P + P, where ℓ-1 is the scalar -1.
	minusOne := edwards25519.NewScalar().Negate(scalarOne())
	product := new(edwards25519.Point).ScalarMult(minusOne, p)
	return product.Add(product, p).Equal(identity) == 1
}

func scalarOne() *edwards25519.Scalar {
	one, err := edwards25519.NewScalar().SetCanonicalBytes(append([]byte{1}, make([]byte, 31)...))
	if err != nil {
		panic(err) // 1 is canonical
	}
	return one
}
