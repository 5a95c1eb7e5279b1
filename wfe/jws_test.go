package wfe

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/cairn-ca/cairn/internal/acme"
)

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// flatJWS is a JWS with the given header and payload and a signature that
// is none.
func flatJWS(header, payload string) string {
	return fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, b64(header), b64(payload), b64("signature"))
}

const goodHeader = `{"alg":"ES256","nonce":"abc","url":"https://ca.example/acme/new-order","kid":"https://ca.example/acme/acct/1"}`

// RFC 8555 §6.2: which JWS are refused for their form, and with which type.
func TestParseJWS(t *testing.T) {
	t.Parallel()
	header := func(members string) string {
		return flatJWS(`{"alg":"ES256","nonce":"abc","url":"https://ca.example/x","kid":"k"`+members+`}`, "{}")
	}
	tests := []struct {
		name, body string
		want       acme.ProblemType // empty: accepted
	}{
		{"good", flatJWS(goodHeader, "{}"), ""},
		{"empty payload", flatJWS(goodHeader, ""), ""},
		{"unknown members", strings.Replace(flatJWS(goodHeader, "{}"), "{", `{"extra":1,`, 1), ""},
		{"not JSON", "hello", acme.Malformed},
		{"empty", "", acme.Malformed},
		{"null", "null", acme.Malformed},
		{"array", "[]", acme.Malformed},
		{"compact serialization", b64(goodHeader) + "." + b64("{}") + "." + b64("s"), acme.Malformed},
		{"trailing data", flatJWS(goodHeader, "{}") + "{}", acme.Malformed},
		{"member twice", strings.Replace(flatJWS(goodHeader, "{}"), "{", `{"payload":"",`, 1), acme.Malformed},
		{"unprotected header", strings.Replace(flatJWS(goodHeader, "{}"), "{", `{"header":{},`, 1), acme.Malformed},
		{"unprotected header null", strings.Replace(flatJWS(goodHeader, "{}"), "{", `{"header":null,`, 1), acme.Malformed},
		{"signatures", strings.Replace(flatJWS(goodHeader, "{}"), "{", `{"signatures":[],`, 1), acme.Malformed},
		{"detached payload", fmt.Sprintf(`{"protected":%q,"signature":%q}`, b64(goodHeader), b64("s")), acme.Malformed},
		{"payload not a string", fmt.Sprintf(`{"protected":%q,"payload":{},"signature":%q}`, b64(goodHeader), b64("s")), acme.Malformed},
		{"padded payload", fmt.Sprintf(`{"protected":%q,"payload":"e30=","signature":%q}`, b64(goodHeader), b64("s")), acme.Malformed},
		{"line break in payload", fmt.Sprintf(`{"protected":%q,"payload":"e3\n0","signature":%q}`, b64(goodHeader), b64("s")), acme.Malformed},
		{"standard base64", fmt.Sprintf(`{"protected":%q,"payload":"e+/0","signature":%q}`, b64(goodHeader), b64("s")), acme.Malformed},
		{"header not JSON", flatJWS("x", "{}"), acme.Malformed},
		{"header member twice", flatJWS(`{"alg":"ES256","alg":"none","url":"u","kid":"k"}`, "{}"), acme.Malformed},
		{"nested too deep", flatJWS(`{"x":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+`}`, "{}"), acme.Malformed},
		{"many members", "{" + strings.Repeat(`"a":0,`, 100) + flatJWS(goodHeader, "{}")[1:], acme.Malformed},
		{"large header", header(`,"x":"` + strings.Repeat("x", 9000) + `"`), acme.Malformed},
		{"crit", header(`,"crit":["b64"]`), acme.Malformed},
		{"crit empty", header(`,"crit":[]`), acme.Malformed},
		{"b64 false", header(`,"b64":false`), acme.Malformed},
		{"zip", header(`,"zip":"DEF"`), acme.Malformed},
		{"both jwk and kid", header(`,"jwk":{}`), acme.Malformed},
		{"neither jwk nor kid", flatJWS(`{"alg":"ES256","url":"u"}`, "{}"), acme.Malformed},
		{"no url", flatJWS(`{"alg":"ES256","kid":"k"}`, "{}"), acme.Malformed},
		{"no alg", flatJWS(`{"url":"u","kid":"k"}`, "{}"), acme.BadSignatureAlgorithm},
		{"alg none", flatJWS(`{"alg":"none","url":"u","kid":"k"}`, "{}"), acme.BadSignatureAlgorithm},
		{"alg in another case", flatJWS(`{"alg":"es256","url":"u","kid":"k"}`, "{}"), acme.BadSignatureAlgorithm},
		{"a MAC", flatJWS(`{"alg":"HS256","url":"u","kid":"k"}`, "{}"), acme.BadSignatureAlgorithm},
		{"SHA-1", flatJWS(`{"alg":"RS1","url":"u","kid":"k"}`, "{}"), acme.BadSignatureAlgorithm},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := parseJWS([]byte(test.body))
			var p *acme.Problem
			if errors.As(err, &p) != (test.want != "") || p != nil && p.Type != test.want {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			if p != nil && p.Type == acme.BadSignatureAlgorithm && !slices.Contains(p.Algorithms, "ES256") {
				t.Errorf("the problem lists %q, not what is accepted (RFC 8555 §6.2)", p.Algorithms)
			}
		})
	}
}

// sign makes a JWS in the given algorithm, with jwk embedded.
func sign(t testing.TB, alg jose.SignatureAlgorithm, key crypto.Signer) jws {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{EmbedJWK: true}).WithHeader("url", "u"))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign([]byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	j, err := parseJWS([]byte(signed.FullSerialize()))
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func keyOf(t testing.TB, signer crypto.Signer) acme.AccountKey {
	t.Helper()
	key, err := acme.AccountKeyOf(signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

type keys struct {
	p256, p384, p521 *ecdsa.PrivateKey
	rsa              *rsa.PrivateKey
	ed               ed25519.PrivateKey
}

func newKeys(t testing.TB) keys {
	t.Helper()
	var k keys
	var errs [5]error
	k.p256, errs[0] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k.p384, errs[1] = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	k.p521, errs[2] = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	k.rsa, errs[3] = rsa.GenerateKey(rand.Reader, 2048)
	_, k.ed, errs[4] = ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	return k
}

func TestVerifySignatureAlgorithms(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	for alg, key := range map[jose.SignatureAlgorithm]crypto.Signer{
		jose.ES256: k.p256, jose.ES384: k.p384, jose.ES512: k.p521, jose.EdDSA: k.ed,
		jose.RS256: k.rsa, jose.PS256: k.rsa, jose.PS384: k.rsa, jose.PS512: k.rsa,
	} {
		j := sign(t, alg, key)
		if err := verifySignature(j, keyOf(t, key)); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		first := byte('A')
		if i := strings.LastIndexByte(j.compact, '.') + 1; j.compact[i] == first {
			first = 'B'
		}
		i := strings.LastIndexByte(j.compact, '.') + 1
		j.compact = j.compact[:i] + string(first) + j.compact[i+1:]
		if err := verifySignature(j, keyOf(t, key)); err == nil {
			t.Errorf("%s: a changed signature verified", alg)
		}
	}
}

// An algorithm that does not belong to the key is refused before any
// signature is looked at.
func TestAlgorithmConfusion(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	tests := []struct {
		name string
		alg  string
		key  crypto.Signer
	}{
		{"ES512 with P-256", "ES512", k.p256},
		{"ES256 with P-384", "ES256", k.p384},
		{"ES256 with RSA", "ES256", k.rsa},
		{"RS256 with P-256", "RS256", k.p256},
		{"EdDSA with P-256", "EdDSA", k.p256},
		{"ES256 with Ed25519", "ES256", k.ed},
	}
	for _, test := range tests {
		j := jws{compact: b64(`{"alg":"`+test.alg+`"}`) + ".." + b64("s"), header: protectedHeader{Alg: test.alg}}
		var p *acme.Problem
		if err := verifySignature(j, keyOf(t, test.key)); !errors.As(err, &p) || p.Type != acme.BadSignatureAlgorithm || len(p.Algorithms) == 0 {
			t.Errorf("%s: %v, want badSignatureAlgorithm with a list", test.name, err)
		}
	}
}

// The public key, which everybody has, must never serve as a MAC key.
func TestPublicKeyAsMACKey(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	key := keyOf(t, k.rsa)
	head, payload := b64(`{"alg":"HS256","url":"u","jwk":`+key.JSON()+`}`), b64("{}")
	mac := hmac.New(sha256.New, []byte(key.JSON()))
	mac.Write([]byte(head + "." + payload))
	body := fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, head, payload, b64(string(mac.Sum(nil))))
	var p *acme.Problem
	if _, err := parseJWS([]byte(body)); !errors.As(err, &p) || p.Type != acme.BadSignatureAlgorithm {
		t.Errorf("got %v, want badSignatureAlgorithm", err)
	}
}

// Keys that must not sign for an account.
func TestWeakAccountKeys(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	int64url := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }
	rsaJWK := func(n *big.Int, e string) string {
		return fmt.Sprintf(`{"kty":"RSA","n":%q,"e":%q}`, int64url(n), e)
	}
	modulus := func(bits uint) *big.Int { // odd, of the given length
		return new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), bits-1), big.NewInt(12345))
	}
	x := base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	private, err := json.Marshal(jose.JSONWebKey{Key: k.p256})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"RSA of 1024 bits":     rsaJWK(modulus(1024), "AQAB"),
		"RSA of 2047 bits":     rsaJWK(modulus(2047), "AQAB"),
		"RSA of 8200 bits":     rsaJWK(modulus(8200), "AQAB"),
		"exponent 1":           rsaJWK(k.rsa.N, "AQ"),
		"exponent 3":           rsaJWK(k.rsa.N, "Aw"),
		"even exponent":        rsaJWK(k.rsa.N, "AQAC"),
		"huge exponent":        rsaJWK(k.rsa.N, strings.Repeat("_", 44)),
		"point off the curve":  fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, x, b64(strings.Repeat("\x01", 32))),
		"point at infinity":    fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, x, x),
		"coordinates too long": fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, x+"AA", x),
		"unknown curve":        fmt.Sprintf(`{"kty":"EC","crv":"secp256k1","x":%q,"y":%q}`, x, x),
		"short Ed25519":        `{"kty":"OKP","crv":"Ed25519","x":"AAAA"}`,
		"X25519":               fmt.Sprintf(`{"kty":"OKP","crv":"X25519","x":%q}`, x),
		"symmetric":            `{"kty":"oct","k":"AAAA"}`,
		"private":              string(private),
		"unknown type":         `{"kty":"XYZ"}`,
		"no type":              `{}`,
		"null":                 `null`,
		"number":               `1`,
	}
	for name, jwk := range tests {
		key, err := acme.ParseAccountKey([]byte(jwk))
		var p *acme.Problem
		if !errors.As(err, &p) || p.Type != acme.BadPublicKey {
			t.Errorf("%s: %v (%v), want badPublicKey", name, err, key.Thumbprint())
		}
	}
}

func FuzzParseJWS(f *testing.F) {
	f.Add([]byte(flatJWS(goodHeader, "{}")))
	f.Add([]byte(flatJWS(goodHeader, "")))
	f.Add([]byte(`{"protected":"","payload":"","signature":""}`))
	f.Add([]byte(`{"signatures":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		j, err := parseJWS(body)
		var p *acme.Problem
		switch {
		case err != nil && !errors.As(err, &p):
			t.Errorf("an error that is no problem: %v", err)
		case err == nil && (j.header.JWK == nil) == (j.header.KID == nil):
			t.Errorf("accepted with both or neither of jwk and kid")
		case err == nil && j.header.JWK != nil:
			if key, err := acme.ParseAccountKey(j.header.JWK); err == nil {
				_ = verifySignature(j, key)
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key},
		(&jose.SignerOptions{}).WithHeader("url", "https://localhost:14000/acme/new-order").WithHeader("kid", "https://localhost:14000/acme/acct/AAAAAAAAAAAAAAAAAAAAAA"))
	if err != nil {
		b.Fatal(err)
	}
	signed, err := signer.Sign([]byte(`{"identifiers":[{"type":"dns","value":"example.com"}]}`))
	if err != nil {
		b.Fatal(err)
	}
	body, account := []byte(signed.FullSerialize()), keyOf(b, key)
	b.ReportAllocs()
	for b.Loop() {
		j, err := parseJWS(body)
		if err != nil {
			b.Fatal(err)
		}
		if err := verifySignature(j, account); err != nil {
			b.Fatal(err)
		}
	}
}
