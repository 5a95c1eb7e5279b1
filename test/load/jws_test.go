package main

import (
	"crypto"
	"crypto/ecdsa"
	"encoding/json"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// What signer writes by hand has to be what a library reads.
func TestSignerAgainstLibrary(t *testing.T) {
	t.Parallel()
	const url, nonce = "https://localhost:14000/acme/new-order", "bm9uY2U"
	for _, c := range []struct {
		name    string
		kid     string
		payload []byte
	}{
		{"new account, jwk", "", []byte(`{"termsOfServiceAgreed":true}`)},
		{"known account, kid", "https://localhost:14000/acme/acct/1", []byte(`{"identifiers":[]}`)},
		{"POST-as-GET", "https://localhost:14000/acme/acct/1", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, err := newSigner()
			if err != nil {
				t.Fatal(err)
			}
			s.kid = c.kid
			body, err := s.sign(url, nonce, c.payload)
			if err != nil {
				t.Fatal(err)
			}
			jws, err := jose.ParseSignedJSON(string(body), []jose.SignatureAlgorithm{jose.ES256})
			if err != nil {
				t.Fatalf("%v in %s", err, body)
			}
			payload, err := jws.Verify(&s.key.PublicKey)
			if err != nil {
				t.Fatal(err)
			}
			if string(payload) != string(c.payload) {
				t.Errorf("payload %q, want %q", payload, c.payload)
			}
			header := jws.Signatures[0].Protected
			if header.Nonce != nonce || header.ExtraHeaders["url"] != url || header.KeyID != c.kid {
				t.Errorf("header %+v", header)
			}
			if (header.JSONWebKey == nil) != (c.kid != "") {
				t.Fatalf("jwk present: %t, kid %q", header.JSONWebKey != nil, c.kid)
			}
			if header.JSONWebKey != nil && !s.key.PublicKey.Equal(header.JSONWebKey.Key.(*ecdsa.PublicKey)) {
				t.Error("jwk is another key")
			}
			var flat map[string]string
			if err := json.Unmarshal(body, &flat); err != nil || len(flat) != 3 {
				t.Errorf("not flattened: %s (%v)", body, err)
			}
		})
	}
}

func TestThumbprintAgainstLibrary(t *testing.T) {
	t.Parallel()
	s, err := newSigner()
	if err != nil {
		t.Fatal(err)
	}
	want, err := (&jose.JSONWebKey{Key: &s.key.PublicKey}).Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.keyAuthorization("token"); got != "token."+encode(want) {
		t.Errorf("key authorization %q, want the thumbprint %q", got, encode(want))
	}
}

func BenchmarkSign(b *testing.B) {
	s, err := newSigner()
	if err != nil {
		b.Fatal(err)
	}
	s.kid = "https://localhost:14000/acme/acct/1"
	payload := []byte(`{"identifiers":[{"type":"dns","value":"a.example.com"}]}`)
	for b.Loop() {
		if _, err := s.sign("https://localhost:14000/acme/new-order", "bm9uY2U", payload); err != nil {
			b.Fatal(err)
		}
	}
}
