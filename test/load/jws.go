package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
)

// signer signs the requests of one account with ES256 as flattened JWS
// (RFC 7515 §7.2.2, RFC 8555 §6.2). It builds the few JSON members by hand:
// the generator shares the machine with the server that it measures.
type signer struct {
	key *ecdsa.PrivateKey
	// jwk is the public key as RFC 7638 §3.2 writes it, and so is both the
	// header member and the thumbprint's input.
	jwk        string
	thumbprint string
	// kid is the account URL, empty until the account exists.
	kid string
}

func newSigner() (*signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making an account key: %w", err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encoding the account key: %w", err)
	}
	// An uncompressed point is 4, X, Y (SEC 1 §2.3.3).
	x, y := point[1:33], point[33:65]
	jwk := `{"crv":"P-256","kty":"EC","x":"` + encode(x) + `","y":"` + encode(y) + `"}`
	sum := sha256.Sum256([]byte(jwk))
	return &signer{key: key, jwk: jwk, thumbprint: encode(sum[:])}, nil
}

// keyAuthorization is the text that proves control of token (RFC 8555 §8.1).
func (s *signer) keyAuthorization(token string) string { return token + "." + s.thumbprint }

// sign returns the JWS of payload for url. A nil payload is POST-as-GET.
func (s *signer) sign(url, nonce string, payload []byte) ([]byte, error) {
	header := make([]byte, 0, 512)
	header = append(header, `{"alg":"ES256",`...)
	if s.kid != "" {
		header = append(header, `"kid":`...)
		header = strconv.AppendQuote(header, s.kid)
	} else {
		header = append(header, `"jwk":`...)
		header = append(header, s.jwk...)
	}
	header = append(header, `,"nonce":`...)
	header = strconv.AppendQuote(header, nonce)
	header = append(header, `,"url":`...)
	header = strconv.AppendQuote(header, url)
	header = append(header, '}')

	const protected, middle, signature, end = `{"protected":"`, `","payload":"`, `","signature":"`, `"}`
	b64 := base64.RawURLEncoding
	headerLen, payloadLen := b64.EncodedLen(len(header)), b64.EncodedLen(len(payload))

	input := make([]byte, 0, headerLen+1+payloadLen)
	input = b64.AppendEncode(input, header)
	input = append(input, '.')
	input = b64.AppendEncode(input, payload)
	digest := sha256.Sum256(input)
	r, v, err := ecdsa.Sign(rand.Reader, s.key, digest[:])
	if err != nil {
		return nil, fmt.Errorf("signing a request: %w", err)
	}
	// R and S at full width, one behind the other (RFC 7518 §3.4).
	var rs [64]byte
	r.FillBytes(rs[:32])
	v.FillBytes(rs[32:])

	body := make([]byte, 0, len(input)+len(protected)+len(middle)+len(signature)+len(end)+b64.EncodedLen(len(rs)))
	body = append(body, protected...)
	body = append(body, input[:headerLen]...)
	body = append(body, middle...)
	body = append(body, input[headerLen+1:]...)
	body = append(body, signature...)
	body = b64.AppendEncode(body, rs[:])
	body = append(body, end...)
	return body, nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
