package wfe

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/cairn-ca/cairn/internal/acme"
)

// BenchmarkHostile sets what strangers can send beside a good request: none
// may cost ten times as much. The bodies are within maxBody; larger ones are
// not read.
func BenchmarkHostile(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	good := sign(b, jose.ES256, key)
	flat := func(j jws) string {
		parts := strings.Split(j.compact, ".")
		return fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2])
	}
	rsaJWK := func(bits uint, e string) string {
		n := new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), bits-1), big.NewInt(12345))
		return flatJWS(fmt.Sprintf(`{"alg":"RS256","url":"u","jwk":{"kty":"RSA","n":%q,"e":%q}}`, base64.RawURLEncoding.EncodeToString(n.Bytes()), e), "{}")
	}
	large, err := rsa.GenerateKey(rand.Reader, 4096)
	if err != nil {
		b.Fatal(err)
	}
	room := maxBody - 1024
	for name, body := range map[string]string{
		"good":                   flat(good),
		"a good one of RSA 4096": flat(sign(b, jose.PS512, large)),
		"wrong signature":        strings.Replace(flat(good), `"signature":"`, `"signature":"AA`, 1),
		"RSA 8192, e of 31 bits": rsaJWK(8192, "f____w"),
		"RSA of 40000 bits":      rsaJWK(40_000, "AQAB"),
		"huge exponent":          rsaJWK(2048, strings.Repeat("_", 4000)),
		"long payload":           flatJWS(goodHeader, strings.Repeat("x", room/4*3)),
		"long header":            flatJWS(`{"alg":"ES256","url":"u","kid":"`+strings.Repeat("k", room/4*3)+`"}`, ""),
		"many members":           flatJWS(`{"alg":"ES256","url":"u","kid":"k"`+manyMembers(room/4*3)+`}`, ""),
		"many members outside":   "{" + manyMembers(room)[1:] + "}",
		"nested":                 strings.Repeat(`{"a":`, room/5),
		"nested strings":         `{"a":"` + strings.Repeat(`\\`, room/2) + `"}`,
		"escapes":                `{"payload":"` + strings.Repeat(`\u0041`, room/6) + `"}`,
		"numbers":                `{"a":` + strings.Repeat("9", room) + `}`,
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				j, err := parseJWS([]byte(body))
				if err != nil || j.header.JWK == nil {
					continue
				}
				if key, err := acme.ParseAccountKey(j.header.JWK); err == nil {
					_ = verifySignature(j, key)
				}
			}
		})
	}
}

func manyMembers(size int) string {
	var s strings.Builder
	for i := 0; s.Len() < size; i++ {
		fmt.Fprintf(&s, `,"m%d":0`, i)
	}
	return s.String()
}
