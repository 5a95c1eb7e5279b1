package va_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/asn1"
	"encoding/base64"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cryptobyteasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/va"
)

var (
	caSigningNonce        = asn1.ObjectIdentifier{2, 23, 140, 41}
	applicantSigningNonce = asn1.ObjectIdentifier{2, 23, 140, 42}
	challengePassword     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7}
)

// onionKey is the key of an onion service, made of a word.
func onionKey(word string) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(word + strings.Repeat("-", ed25519.SeedSize-len(word))))
}

func onionName(key ed25519.PrivateKey) acme.Identifier {
	return acme.OnionIdentifier(key.Public().(ed25519.PublicKey))
}

// attribute is an attribute of a CSR; each value is added by a function.
type attribute struct {
	oid    asn1.ObjectIdentifier
	values []func(*cryptobyte.Builder)
}

func octets(value []byte) func(*cryptobyte.Builder) {
	return func(b *cryptobyte.Builder) { b.AddASN1OctetString(value) }
}

func utf8(value string) func(*cryptobyte.Builder) {
	return func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyteasn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(value)) })
	}
}

// onionRequest is a CSR and what a test can make wrong with it.
type onionRequest struct {
	version    int64
	public     ed25519.PublicKey
	algorithm  asn1.ObjectIdentifier
	attributes []attribute
	signer     ed25519.PrivateKey
}

func newOnionRequest(key ed25519.PrivateKey, nonce []byte) onionRequest {
	return onionRequest{
		public: key.Public().(ed25519.PublicKey), signer: key, algorithm: asn1.ObjectIdentifier{1, 3, 101, 112},
		attributes: []attribute{
			{caSigningNonce, []func(*cryptobyte.Builder){octets(nonce)}},
			{applicantSigningNonce, []func(*cryptobyte.Builder){octets([]byte("8 octets"))}},
		},
	}
}

func (r onionRequest) der(t testing.TB) []byte {
	t.Helper()
	algorithm := func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyteasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(r.algorithm) })
	}
	var b cryptobyte.Builder
	b.AddASN1(cryptobyteasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(r.version)
		b.AddASN1(cryptobyteasn1.SEQUENCE, func(*cryptobyte.Builder) {})
		b.AddASN1(cryptobyteasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			algorithm(b)
			b.AddASN1BitString(r.public)
		})
		b.AddASN1(cryptobyteasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			for _, a := range r.attributes {
				b.AddASN1(cryptobyteasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(a.oid)
					b.AddASN1(cryptobyteasn1.SET, func(b *cryptobyte.Builder) {
						for _, add := range a.values {
							add(b)
						}
					})
				})
			}
		})
	})
	info, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	var whole cryptobyte.Builder
	whole.AddASN1(cryptobyteasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(info)
		algorithm(b)
		b.AddASN1BitString(ed25519.Sign(r.signer, info))
	})
	der, err := whole.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// pycaRequest was made by pyca/cryptography 48, with a subject, an
// extensionRequest, and the nonce of RFC 9799's example of a challenge.
const (
	pycaService = "7y5nddgcq4wbxzazaql3qgukagsgatiwukuu7nqu6jhwm2v7i2amy2id.onion"
	pycaNonce   = "bI6/MRqV4gw="
	pycaRequest = "MIIBGTCBzAIBADASMRAwDgYDVQQDDAdleGFtcGxlMCowBQYDK2VwAyEA_jrRjMKHLBvkGQQXuBqKAaRgTRaiqU-2FPJPZmq_RoCggYYwEgYEZ4EMKTEKBAhsjr8xGpXiDDAUBgRngQwqMQwECgABAgMEBQYHCAkwWgYJKoZIhvcNAQkOMU0wSzBJBgNVHREEQjBAgj43eTVuZGRnY3E0d2J4emF6YXFsM3FndWthZ3NnYXRpd3VrdXU3bnF1Nmpod20ydjdpMmFteTJpZC5vbmlvbjAFBgMrZXADQQAKKKBd6_EFNA4vz-LZmpmPyyD1QkmmP_JLbKM8xBrB0wmZZ_vfFCiDgZSLZHISYsgUHuEuSjQoUecRUDnv3YME"
)

// silentNetwork has no resolver that anybody could ask.
func silentNetwork(c *va.Config) { c.Resolvers = []string{"127.0.0.1:1"} }

// RFC 9799 §3.2, point by point.
func TestOnionCSR(t *testing.T) {
	t.Parallel()
	l := newLab(t, silentNetwork)
	key, other := onionKey("service"), onionKey("another")
	service := onionName(key)
	nonce, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	one := func(value func(*cryptobyte.Builder)) []func(*cryptobyte.Builder) {
		return []func(*cryptobyte.Builder){value}
	}
	for _, test := range []struct {
		name   string
		change func(*onionRequest)
		want   acme.ProblemType
		words  string
	}{
		{"good", nil, valid, ""},
		{"another order of attributes", func(r *onionRequest) { r.attributes[0], r.attributes[1] = r.attributes[1], r.attributes[0] }, valid, ""},
		{"other attributes", func(r *onionRequest) {
			r.attributes = append(r.attributes, attribute{challengePassword, one(utf8("x"))})
		}, valid, ""},
		{"another service's key", func(r *onionRequest) { r.public, r.signer = other.Public().(ed25519.PublicKey), other }, acme.Unauthorized, "is not that of " + service.Value()},
		{"signed by another key", func(r *onionRequest) { r.signer = other }, acme.Unauthorized, "signature does not verify"},
		{"no caSigningNonce", func(r *onionRequest) { r.attributes = r.attributes[1:] }, acme.IncorrectResponse, "2.23.140.41"},
		{"another nonce", func(r *onionRequest) { r.attributes[0].values = one(octets([]byte("another nonce"))) }, acme.IncorrectResponse, "is not the challenge's nonce"},
		{"the start of the nonce", func(r *onionRequest) { r.attributes[0].values = one(octets(nonce[:16])) }, acme.IncorrectResponse, "is not the challenge's nonce"},
		{"the nonce in base64", func(r *onionRequest) {
			r.attributes[0].values = one(octets([]byte(base64.StdEncoding.EncodeToString(nonce))))
		}, acme.IncorrectResponse, "is not the challenge's nonce"},
		{"an empty nonce", func(r *onionRequest) { r.attributes[0].values = one(octets(nil)) }, acme.IncorrectResponse, "is not the challenge's nonce"},
		{"no applicantSigningNonce", func(r *onionRequest) { r.attributes = r.attributes[:1] }, acme.IncorrectResponse, "2.23.140.42"},
		{"56 bits from the applicant", func(r *onionRequest) { r.attributes[1].values = one(octets([]byte("7 octet"))) }, acme.IncorrectResponse, "at least 8"},
		{"a nonce twice", func(r *onionRequest) { r.attributes = append(r.attributes, r.attributes[0]) }, acme.BadCSR, "caSigningNonce twice"},
		{"two values", func(r *onionRequest) { r.attributes[1].values = append(r.attributes[1].values, octets(nonce)) }, acme.BadCSR, "one OCTET STRING"},
		{"no value", func(r *onionRequest) { r.attributes[0].values = nil }, acme.BadCSR, "one OCTET STRING"},
		{"a value of another type", func(r *onionRequest) { r.attributes[0].values = one(utf8("nonce")) }, acme.BadCSR, "one OCTET STRING"},
		{"version 2", func(r *onionRequest) { r.version = 1 }, acme.BadCSR, "version 1"},
		{"Ed448 by name", func(r *onionRequest) { r.algorithm = asn1.ObjectIdentifier{1, 3, 101, 113} }, acme.BadCSR, "not of Ed25519"},
		{"a short key", func(r *onionRequest) { r.public = r.public[:31] }, acme.BadCSR, "not of Ed25519"},
	} {
		for _, name := range []acme.Identifier{service, dnsName(t, "www."+service.Value())} {
			r := newOnionRequest(key, nonce)
			if test.change != nil {
				test.change(&r)
			}
			req := request(name, acme.OnionCSR01)
			req.Response, req.Wildcard = r.der(t), name != service
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				result := l.validate(t, req)
				expect(t, result, test.want, false, test.words)
				if e := result.Evidence; e.CAA != nil || e.Method != acme.OnionCSR01 || e.DomainName != name.Value() {
					t.Errorf("evidence %+v", e)
				}
			})
		}
	}
	good := newOnionRequest(key, nonce).der(t)
	for name, response := range map[string][]byte{
		"none": nil, "no DER": []byte("x"), "cut short": good[:len(good)-1], "trailing octets": append(bytes.Clone(good), 0),
	} {
		req := request(service, acme.OnionCSR01)
		req.Response = response
		t.Run(name, func(t *testing.T) {
			expect(t, l.validate(t, req), acme.BadCSR, false, "not a PKCS#10 request")
		})
	}
}

// A CSR of another implementation.
func TestOnionCSRVector(t *testing.T) {
	t.Parallel()
	l := newLab(t, silentNetwork)
	der, err := base64.RawURLEncoding.DecodeString(pycaRequest)
	if err != nil {
		t.Fatal(err)
	}
	nonce, err := base64.StdEncoding.DecodeString(pycaNonce)
	if err != nil {
		t.Fatal(err)
	}
	req := request(dnsName(t, pycaService), acme.OnionCSR01)
	req.Token, req.Response = base64.RawURLEncoding.EncodeToString(nonce), der
	expect(t, l.validate(t, req), valid, false)
}

// Onion names are proven by onion-csr-01 alone, and nothing else is proven by
// it. That the other types answer at once, and not with the failure of a
// look-up, shows that nothing is looked up.
func TestOnionOtherChallenges(t *testing.T) {
	t.Parallel()
	l := newLab(t, silentNetwork)
	key := onionKey("service")
	for _, kind := range []acme.ChallengeType{acme.HTTP01, acme.DNS01, acme.TLSALPN01} {
		expect(t, l.validate(t, request(onionName(key), kind)), acme.Malformed, false, "onion-csr-01")
	}
	req := request(dnsName(t, "a.test"), acme.OnionCSR01)
	req.Response = newOnionRequest(key, []byte("nonce")).der(t)
	expect(t, l.validate(t, req), acme.Malformed, false, "onion services only")
}
