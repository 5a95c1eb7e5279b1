package conformance

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// RFC 8555 §6.2 and RFC 7518 §3.1: the signature algorithms of accounts.
func TestSignatureAlgorithms(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	rsaKey := rawacme.NewRSAKey(t, 2048)
	for _, test := range []struct {
		alg string
		key any
	}{
		{"ES256", rawacme.NewKey(t)},
		{"ES384", rawacme.NewECKey(t, elliptic.P384())},
		{"ES512", rawacme.NewECKey(t, elliptic.P521())},
		{"EdDSA", rawacme.NewEd25519Key(t)},
		{"RS256", rsaKey},
		{"PS256", rsaKey},
		{"PS384", rsaKey},
		{"PS512", rsaKey},
	} {
		t.Run(test.alg, func(t *testing.T) {
			c := s.Client(t, test.key)
			resp := c.Post(t, c.Directory.NewAccount, map[string]any{"termsOfServiceAgreed": true}, rawacme.Set("alg", test.alg))
			if resp.Status != http.StatusCreated && resp.Status != http.StatusOK { // the RSA key has its account after the first
				t.Fatalf("newAccount with %s: status %d: %s", test.alg, resp.Status, resp.Body)
			}
			c.KID = resp.Location()
			resp = c.Get(t, c.KID, rawacme.Set("alg", test.alg))
			wantOK(t, c, resp, http.StatusOK)
		})
	}
}

// RFC 8555 §6.2: an algorithm that is not supported is refused with the list
// of those that are.
func TestBadSignatureAlgorithm(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	for _, alg := range []string{"none", "HS256", "HS512", "ES256K", "RS1", "es256", "dir", "RSA-OAEP", "A128GCM"} {
		t.Run(alg, func(t *testing.T) {
			resp := c.Get(t, c.KID, rawacme.Set("alg", alg))
			p := wantProblem(t, c, resp, http.StatusBadRequest, "badSignatureAlgorithm")
			for _, must := range []string{"ES256", "ES384", "EdDSA", "RS256"} {
				if !slices.Contains(p.Algorithms, must) {
					t.Errorf("algorithms is %q, want %s in it", p.Algorithms, must)
				}
			}
			for _, never := range []string{"none", "HS256"} {
				if slices.Contains(p.Algorithms, never) {
					t.Errorf("algorithms is %q, with %s in it", p.Algorithms, never)
				}
			}
		})
	}
}

// RFC 8555 §6.2: requests whose JWS is wrong. Each is refused, and the account
// it would have changed stays as it is.
func TestBadJWS(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Client(t, rawacme.NewKey(t))
	c.Register(t, "mailto:before@example.com")
	update := map[string]any{"contact": []string{"mailto:after@example.com"}}

	header := rawacme.Before
	body := rawacme.After
	members := func(edit func(map[string]any)) rawacme.Edit {
		return body(func(m *rawacme.Message) { edit(m.Members) })
	}
	raw := func(edit func(normal []byte) []byte) rawacme.Edit {
		return body(func(m *rawacme.Message) {
			normal, err := json.Marshal(m.Members)
			if err != nil {
				t.Fatal(err)
			}
			m.Body = edit(normal)
		})
	}
	unauthorized := []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden}
	malformed := []int{http.StatusBadRequest}

	for _, test := range []struct {
		name     string
		edit     rawacme.Edit
		kind     string
		statuses []int
	}{
		// §6.2: Flattened JSON Serialization (RFC 7515 §7.2.2), and only it.
		{"empty body", raw(func([]byte) []byte { return []byte{} }), "malformed", malformed},
		{"not JSON", raw(func([]byte) []byte { return []byte("hello") }), "malformed", malformed},
		{"array", raw(func(b []byte) []byte { return slices.Concat([]byte("["), b, []byte("]")) }), "malformed", malformed},
		{"null", raw(func([]byte) []byte { return []byte("null") }), "malformed", malformed},
		{"trailing data", raw(func(b []byte) []byte { return append(b, "{}"...) }), "malformed", malformed},
		{"trailing letter", raw(func(b []byte) []byte { return append(b, 'x') }), "malformed", malformed},
		{"cut short", raw(func(b []byte) []byte { return b[:len(b)-1] }), "malformed", malformed},
		{"not UTF-8", raw(func(b []byte) []byte { return bytes.Replace(b, []byte(`"payload":"`), []byte("\"payload\":\"\xff"), 1) }), "malformed", malformed},
		{"duplicate payload", raw(func(b []byte) []byte { return append(b[:len(b)-1], `,"payload":""}`...) }), "malformed", malformed},
		{"duplicate protected", raw(func(b []byte) []byte { return append(b[:len(b)-1], `,"protected":"e30"}`...) }), "malformed", malformed},
		{"duplicate signature", raw(func(b []byte) []byte { return append(b[:len(b)-1], `,"signature":""}`...) }), "malformed", malformed},
		{"compact serialization", body(func(m *rawacme.Message) {
			m.Body = []byte(m.Members["protected"].(string) + "." + m.Members["payload"].(string) + "." + m.Members["signature"].(string))
		}), "malformed", malformed},
		{"general serialization", members(func(m map[string]any) {
			m["signatures"] = []any{map[string]any{"protected": m["protected"], "signature": m["signature"]}}
			delete(m, "protected")
			delete(m, "signature")
		}), "malformed", malformed},
		{"a second signature", members(func(m map[string]any) {
			m["signatures"] = []any{map[string]any{"protected": m["protected"], "signature": m["signature"]}}
		}), "malformed", malformed},
		{"unprotected header", members(func(m map[string]any) { m["header"] = map[string]any{"kid": "x"} }), "malformed", malformed},
		{"empty unprotected header", members(func(m map[string]any) { m["header"] = map[string]any{} }), "malformed", malformed},
		{"no protected", members(func(m map[string]any) { delete(m, "protected") }), "malformed", malformed},
		{"no payload", members(func(m map[string]any) { delete(m, "payload") }), "malformed", malformed},
		{"no signature", members(func(m map[string]any) { delete(m, "signature") }), "malformed", malformed},
		{"protected is a number", members(func(m map[string]any) { m["protected"] = 1 }), "malformed", malformed},
		{"payload is an object", members(func(m map[string]any) { m["payload"] = map[string]any{} }), "malformed", malformed},
		{"payload is null", members(func(m map[string]any) { m["payload"] = nil }), "malformed", malformed},
		{"signature is null", members(func(m map[string]any) { m["signature"] = nil }), "malformed", malformed},
		// §6.1: base64url without padding; anything else is refused.
		{"padded payload", members(func(m map[string]any) { m["payload"] = m["payload"].(string) + "==" }), "malformed", malformed},
		{"padded signature", members(func(m map[string]any) { m["signature"] = m["signature"].(string) + "==" }), "malformed", malformed},
		{"padded protected", members(func(m map[string]any) { m["protected"] = m["protected"].(string) + "==" }), "malformed", malformed},
		{"standard base64", members(func(m map[string]any) { m["signature"] = "+/+/" + m["signature"].(string)[4:] }), "malformed", malformed},
		{"line break in base64", members(func(m map[string]any) { m["payload"] = m["payload"].(string) + "\n" }), "malformed", malformed},
		// The signature.
		{"empty signature", members(func(m map[string]any) { m["signature"] = "" }), "malformed", malformed},
		{"wrong signature", members(func(m map[string]any) { m["signature"] = rawacme.B64(make([]byte, 64)) }), "malformed", malformed},
		{"signature cut short", members(func(m map[string]any) { m["signature"] = m["signature"].(string)[:40] }), "malformed", malformed},
		{"another payload", members(func(m map[string]any) { m["payload"] = rawacme.B64([]byte(`{"status":"deactivated"}`)) }), "malformed", malformed},
		{"another key's", header(func(m *rawacme.Message) { m.Key = rawacme.NewKey(t) }), "malformed", malformed},
		{"DER instead of r and s", body(func(m *rawacme.Message) { // RFC 7518 §3.4
			signature, err := base64.RawURLEncoding.DecodeString(m.Members["signature"].(string))
			if err != nil {
				t.Fatal(err)
			}
			der, err := asn1.Marshal([]*big.Int{new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])})
			if err != nil {
				t.Fatal(err)
			}
			m.Members["signature"] = rawacme.B64(der)
		}), "malformed", malformed},
		// The protected header.
		{"header not JSON", header(func(m *rawacme.Message) { m.RawHeader = []byte("{") }), "malformed", malformed},
		{"header an array", header(func(m *rawacme.Message) { m.RawHeader = []byte("[]") }), "malformed", malformed},
		{"header empty", header(func(m *rawacme.Message) { m.RawHeader = []byte("") }), "malformed", malformed},
		{"header with trailing data", header(func(m *rawacme.Message) { m.RawHeader = append(encode(t, m.Header), "{}"...) }), "malformed", malformed},
		{"header with alg twice", header(func(m *rawacme.Message) {
			m.RawHeader = append([]byte(`{"alg":"none",`), encode(t, m.Header)[1:]...)
		}), "malformed", malformed},
		{"header with url twice", header(func(m *rawacme.Message) {
			m.RawHeader = append([]byte(`{"url":"https://elsewhere.example/",`), encode(t, m.Header)[1:]...)
		}), "malformed", malformed},
		{"no alg", rawacme.Set("alg", nil), "badSignatureAlgorithm", malformed},
		{"alg a number", rawacme.Set("alg", 7), "malformed", malformed},
		{"no url", rawacme.Set("url", nil), "malformed", malformed},
		{"url a number", rawacme.Set("url", 7), "malformed", malformed},
		{"jwk and kid", rawacme.Set("jwk", rawacme.JWK(c.Key)), "malformed", malformed},
		{"neither jwk nor kid", rawacme.Set("kid", nil), "malformed", malformed},
		{"jwk instead of kid", rawacme.WithKey(c.Key), "malformed", malformed},
		{"kid a number", rawacme.Set("kid", 7), "malformed", malformed},
		{"crit", header(func(m *rawacme.Message) { m.Header["crit"], m.Header["exp"] = []string{"exp"}, 1 }), "malformed", malformed},
		{"crit empty", rawacme.Set("crit", []string{}), "malformed", malformed},
		{"b64 false", header(func(m *rawacme.Message) { m.Header["crit"], m.Header["b64"] = []string{"b64"}, false }), "malformed", malformed}, // RFC 7797
		// §6.2: kid is the account's URL.
		{"kid unknown", rawacme.Set("kid", c.KID[:len(c.KID)-22]+"AZrd-3oAcACAAAAAAAAAAA"), "accountDoesNotExist", malformed},
		{"kid not a URL of an account", rawacme.Set("kid", c.Directory.NewOrder), "accountDoesNotExist", malformed},
		{"kid elsewhere", rawacme.Set("kid", "https://elsewhere.example/acme/acct/1"), "accountDoesNotExist", malformed},
		// §6.4: url is the request's.
		{"url of another resource", rawacme.Set("url", c.Directory.NewOrder), "unauthorized", unauthorized},
		{"url of another host", rawacme.Set("url", strings.Replace(c.KID, "localhost", "127.0.0.1", 1)), "unauthorized", unauthorized},
		{"url with a query", rawacme.Set("url", c.KID+"?a=b"), "unauthorized", unauthorized},
		{"url in upper case", rawacme.Set("url", strings.Replace(c.KID, "localhost", "LOCALHOST", 1)), "unauthorized", unauthorized},
		{"url empty", rawacme.Set("url", ""), "unauthorized", unauthorized},
	} {
		t.Run(test.name, func(t *testing.T) {
			resp := c.Post(t, c.KID, update, test.edit)
			checkPOST(t, c, resp)
			problem(t, resp, test.kind, test.statuses...)
		})
	}

	var account rawacme.Account
	c.Get(t, c.KID).JSON(t, &account)
	if account.Status != "valid" || !slices.Equal(account.Contact, []string{"mailto:before@example.com"}) {
		t.Errorf("after refused requests the account is %+v", account)
	}
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Members that RFC 7515 defines and ACME does not use are no reason to refuse
// a request, and neither are members that nobody defined (RFC 7515 §4).
func TestUnknownHeaderMembers(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	resp := c.Get(t, c.KID, rawacme.Set("typ", "JOSE+JSON"), rawacme.Set("cty", "json"), rawacme.Set("client", "conformance"))
	wantOK(t, c, resp, http.StatusOK)
}

// RFC 8555 §6.2: keys that an account can't have.
func TestBadAccountKeys(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	good := rawacme.NewKey(t)
	with := func(change func(jwk map[string]any)) rawacme.Edit {
		return rawacme.Before(func(m *rawacme.Message) {
			jwk := rawacme.JWK(good)
			change(jwk)
			m.Header["jwk"] = jwk
		})
	}
	rsa1024 := rawacme.NewRSAKey(t, 1024)
	rsa2048 := rawacme.SharedRSAKey(t, 2048)
	for _, test := range []struct {
		name string
		edit rawacme.Edit
		kind string
	}{
		{"RSA of 1024 bits", rawacme.WithKey(rsa1024), "badPublicKey"},
		{"RSA with exponent 1", rawacme.Before(func(m *rawacme.Message) {
			jwk := rawacme.JWK(rsa2048)
			jwk["e"] = "AQ"
			m.Header["jwk"], m.Header["alg"], m.Key = jwk, "RS256", rsa2048
		}), "badPublicKey"},
		{"RSA with exponent 3", rawacme.Before(func(m *rawacme.Message) {
			jwk := rawacme.JWK(rsa2048)
			jwk["e"] = "Aw"
			m.Header["jwk"], m.Header["alg"], m.Key = jwk, "RS256", rsa2048
		}), "badPublicKey"},
		{"point off the curve", with(func(jwk map[string]any) { jwk["y"] = rawacme.B64(bytes.Repeat([]byte{1}, 32)) }), "badPublicKey"},
		{"point at infinity", with(func(jwk map[string]any) {
			jwk["x"], jwk["y"] = rawacme.B64(make([]byte, 32)), rawacme.B64(make([]byte, 32))
		}), "badPublicKey"},
		{"unknown curve", with(func(jwk map[string]any) { jwk["crv"] = "secp256k1" }), "badPublicKey"},
		{"private key", with(func(jwk map[string]any) {
			d, err := good.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			jwk["d"] = rawacme.B64(d)
		}), "badPublicKey"},
		{"symmetric key", rawacme.Set("jwk", map[string]any{"kty": "oct", "k": rawacme.B64(make([]byte, 32))}), "badPublicKey"},
		{"unknown kty", rawacme.Set("jwk", map[string]any{"kty": "AKP", "pub": "AA"}), "badPublicKey"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := s.Client(t, good)
			resp := c.Post(t, c.Directory.NewAccount, map[string]any{"termsOfServiceAgreed": true}, test.edit)
			wantProblem(t, c, resp, http.StatusBadRequest, test.kind)
		})
	}
	t.Run("jwk is no object", func(t *testing.T) {
		c := s.Client(t, good)
		for _, jwk := range []any{"x", 1, []any{}, map[string]any{}} {
			resp := c.Post(t, c.Directory.NewAccount, map[string]any{}, rawacme.Set("jwk", jwk))
			checkPOST(t, c, resp)
			if resp.Status != http.StatusBadRequest {
				t.Errorf("jwk %v: status %d: %s", jwk, resp.Status, resp.Body)
			}
			var p rawacme.Problem
			resp.JSON(t, &p)
			if p.Type != urn+"malformed" && p.Type != urn+"badPublicKey" {
				t.Errorf("jwk %v: problem %s", jwk, p.Type)
			}
		}
	})
	// None of them made an account.
	c := s.Client(t, good)
	resp := c.Post(t, c.Directory.NewAccount, map[string]any{"onlyReturnExisting": true})
	wantProblem(t, c, resp, http.StatusBadRequest, "accountDoesNotExist")
}

// A MAC made with the bytes of a public key must never pass for a signature
// (RFC 8725 §2.1), nor one kind of signature for another.
func TestAlgorithmConfusion(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	rsaClient := accountWith(t, s, rawacme.NewRSAKey(t, 2048))
	ecClient := accountWith(t, s, rawacme.NewKey(t))
	for _, test := range []struct {
		name string
		c    *rawacme.Client
		edit rawacme.Edit
	}{
		{"HS256 with the RSA key as secret", rsaClient, rawacme.Before(func(m *rawacme.Message) {
			m.Header["alg"], m.Key = "HS256", encode(t, rawacme.JWK(rsaClient.Key))
		})},
		{"RS256 for an EC key", ecClient, rawacme.Set("alg", "RS256")},
		{"ES256 for an RSA key", rsaClient, rawacme.Set("alg", "ES256")},
		{"ES384 for a P-256 key", ecClient, rawacme.Set("alg", "ES384")},
		{"EdDSA for a P-256 key", ecClient, rawacme.Set("alg", "EdDSA")},
	} {
		t.Run(test.name, func(t *testing.T) {
			resp := test.c.Get(t, test.c.KID, test.edit)
			checkPOST(t, test.c, resp)
			var p rawacme.Problem
			resp.JSON(t, &p)
			if resp.Status != http.StatusBadRequest || p.Type != urn+"badSignatureAlgorithm" && p.Type != urn+"malformed" {
				t.Errorf("status %d: %s", resp.Status, resp.Body)
			}
		})
	}
}

// Signatures with r or s of zero or beyond the order verify nothing.
func TestDegenerateSignatures(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	order := c.Key.(*ecdsa.PrivateKey).Params().N
	for name, signature := range map[string][]byte{
		"zeros": make([]byte, 64),
		"order": append(order.FillBytes(make([]byte, 32)), order.FillBytes(make([]byte, 32))...),
		"ones":  bytes.Repeat([]byte{0xff}, 64),
		"long":  make([]byte, 4096),
	} {
		t.Run(name, func(t *testing.T) {
			resp := c.Get(t, c.KID, rawacme.After(func(m *rawacme.Message) { m.Members["signature"] = rawacme.B64(signature) }))
			wantProblem(t, c, resp, http.StatusBadRequest, "malformed")
		})
	}
}
