// Package rawacme speaks ACME (RFC 8555) one message at a time, so that a test
// can make any part of a message wrong and see what the server says.
//
// It shares no code with the server: its JWS, JWK and CSR are built from the
// standard library alone. It never retries and never hides an answer.
package rawacme

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // SHA-384 and SHA-512 for crypto.Hash
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
)

// B64 is base64url without padding (RFC 8555 §5).
func B64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// Message is one request. The client fills in what RFC 8555 asks for; an Edit
// changes it before or after it is signed.
type Message struct {
	Method      string
	URL         string // where the request is sent
	ContentType string // empty: no such header
	HTTPHeader  http.Header

	// Header is the JWS protected header; a value can be of any JSON type.
	Header map[string]any
	// RawHeader replaces the protected header's JSON text when it is not nil.
	RawHeader []byte
	// Payload is what is signed; empty with POST-as-GET.
	Payload []byte
	// Key signs: an *ecdsa.PrivateKey, ed25519.PrivateKey, *rsa.PrivateKey
	// or, for MACs, a []byte.
	Key any

	// Members is the flattened JWS (RFC 7515 §7.2.2); it is filled in when
	// an After edit runs.
	Members map[string]any
	// Body replaces the whole body when it is not nil.
	Body []byte
}

// Edit changes a message on its way.
type Edit struct{ before, after func(*Message) }

// Before makes an Edit that runs before the message is signed.
func Before(edit func(*Message)) Edit { return Edit{before: edit} }

// After makes an Edit that runs once the message is signed and Members is
// filled in.
func After(edit func(*Message)) Edit { return Edit{after: edit} }

// Set sets a member of the protected header; nil drops it.
func Set(member string, value any) Edit {
	return Before(func(m *Message) {
		if value == nil {
			delete(m.Header, member)
			return
		}
		m.Header[member] = value
	})
}

// WithKey signs with another key, shown as jwk, instead of the account's.
func WithKey(key any) Edit {
	return Before(func(m *Message) {
		m.Key = key
		delete(m.Header, "kid")
		m.Header["alg"], m.Header["jwk"] = Alg(key), JWK(key)
	})
}

// Accept asks for a media type.
func Accept(mediaType string) Edit {
	return Before(func(m *Message) { m.HTTPHeader.Set("Accept", mediaType) })
}

// build signs the message and returns its body.
func (m *Message) build(after []func(*Message)) ([]byte, error) {
	header := m.RawHeader
	if header == nil {
		var err error
		if header, err = json.Marshal(m.Header); err != nil {
			return nil, fmt.Errorf("encoding the protected header: %w", err)
		}
	}
	protected, payload := B64(header), B64(m.Payload)
	alg, _ := m.Header["alg"].(string)
	signature, err := Sign(m.Key, alg, []byte(protected+"."+payload))
	if err != nil {
		return nil, err
	}
	m.Members = map[string]any{"protected": protected, "payload": payload, "signature": B64(signature)}
	for _, edit := range after {
		edit(m)
	}
	if m.Body != nil {
		return m.Body, nil
	}
	return json.Marshal(m.Members)
}

var hashes = map[string]crypto.Hash{
	"ES256": crypto.SHA256, "ES384": crypto.SHA384, "ES512": crypto.SHA512,
	"RS256": crypto.SHA256, "RS384": crypto.SHA384, "RS512": crypto.SHA512,
	"PS256": crypto.SHA256, "PS384": crypto.SHA384, "PS512": crypto.SHA512,
	"HS256": crypto.SHA256, "HS384": crypto.SHA384, "HS512": crypto.SHA512,
}

// Sign makes a JWS signature (RFC 7518 §3). Where the algorithm does not fit
// the key it signs in the way of the key: that a test claims another one is
// its purpose.
func Sign(key any, alg string, input []byte) ([]byte, error) {
	hash, ok := hashes[alg]
	if !ok {
		hash = crypto.SHA256
	}
	h := hash.New()
	h.Write(input)
	digest := h.Sum(nil)
	switch k := key.(type) {
	case []byte:
		mac := hmac.New(hash.New, k)
		mac.Write(input)
		return mac.Sum(nil), nil
	case ed25519.PrivateKey:
		return ed25519.Sign(k, input), nil
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, k, digest)
		if err != nil {
			return nil, fmt.Errorf("signing a JWS: %w", err)
		}
		size := (k.Curve.Params().BitSize + 7) / 8
		out := make([]byte, 2*size)
		r.FillBytes(out[:size])
		s.FillBytes(out[size:])
		return out, nil
	case *rsa.PrivateKey:
		if len(alg) > 0 && alg[0] == 'P' {
			return rsa.SignPSS(rand.Reader, k, hash, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
		return rsa.SignPKCS1v15(rand.Reader, k, hash, digest)
	}
	return nil, fmt.Errorf("a %T can't sign a JWS", key)
}

// Alg is the algorithm that goes with a key by itself.
func Alg(key any) string {
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		switch k.Curve.Params().BitSize {
		case 384:
			return "ES384"
		case 521:
			return "ES512"
		}
		return "ES256"
	case ed25519.PrivateKey:
		return "EdDSA"
	case *rsa.PrivateKey:
		return "RS256"
	case []byte:
		return "HS256"
	}
	return "none"
}

// JWK is the public key as a JWK (RFC 7517), with its required members only.
func JWK(key any) map[string]any {
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		return JWK(&k.PublicKey)
	case ed25519.PrivateKey:
		return JWK(k.Public())
	case *rsa.PrivateKey:
		return JWK(&k.PublicKey)
	case *ecdsa.PublicKey:
		bits := k.Curve.Params().BitSize
		point, err := k.Bytes() // 04 || x || y
		if err != nil {
			panic(err)
		}
		size := (bits + 7) / 8
		return map[string]any{"kty": "EC", "crv": fmt.Sprintf("P-%d", bits), "x": B64(point[1 : 1+size]), "y": B64(point[1+size:])}
	case ed25519.PublicKey:
		return map[string]any{"kty": "OKP", "crv": "Ed25519", "x": B64(k)}
	case *rsa.PublicKey:
		e := []byte{byte(k.E >> 24), byte(k.E >> 16), byte(k.E >> 8), byte(k.E)}
		return map[string]any{"kty": "RSA", "n": B64(k.N.Bytes()), "e": B64(bytes.TrimLeft(e, "\x00"))}
	}
	panic(fmt.Sprintf("a %T has no JWK", key))
}

// Thumbprint is the base64url SHA-256 thumbprint of the key (RFC 7638).
func Thumbprint(key any) string {
	// encoding/json sorts the members of a map, which is what RFC 7638 asks.
	canonical, err := json.Marshal(JWK(key))
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(canonical)
	return B64(sum[:])
}
