package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// nonceServer refuses the first refusals nonces that it is shown.
type nonceServer struct {
	refusals, given, posts atomic.Int64
}

func (s *nonceServer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Replay-Nonce", fmt.Sprint("n", s.given.Add(1)))
	if req.Method != http.MethodPost {
		return
	}
	s.posts.Add(1)
	body, _ := io.ReadAll(req.Body)
	jws, err := jose.ParseSignedJSON(string(body), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || req.Header.Get("Content-Type") != "application/jose+json" {
		http.Error(w, "no JWS", http.StatusInternalServerError)
		return
	}
	if s.refusals.Add(-1) >= 0 {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"type":"urn:ietf:params:acme:error:badNonce","detail":"%s is used"}`, jws.Signatures[0].Protected.Nonce)
		return
	}
	w.Header().Set("Location", "https://localhost/acct/1")
	w.WriteHeader(http.StatusCreated)
}

func newTestClient(t *testing.T, server *httptest.Server, count *counters) *client {
	t.Helper()
	signer, err := newSigner()
	if err != nil {
		t.Fatal(err)
	}
	return &client{
		http:      server.Client(),
		directory: directory{NewNonce: server.URL + "/n", NewAccount: server.URL + "/a", NewOrder: server.URL + "/o"},
		signer:    signer,
		requests:  &count.requests,
		badNonces: &count.badNonces,
	}
}

func TestClientNonces(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		refusals int64
		requests int64
		fails    bool
	}{
		{"accepted at once", 0, 2, false},
		{"refused twice, sent again with the nonce of the refusal", 2, 4, false},
		{"refused for ever", 1000, 2 + maxBadNonces, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			handler := new(nonceServer)
			handler.refusals.Store(c.refusals)
			server := httptest.NewTLSServer(handler)
			defer server.Close()
			var count counters
			client := newTestClient(t, server, &count)
			err := client.register(t.Context())
			if problem := new(problemError); errors.As(err, &problem) != c.fails {
				t.Fatalf("error %v", err)
			}
			if got := count.requests.Load(); got != c.requests {
				t.Errorf("%d requests, want %d", got, c.requests)
			}
			if got := count.badNonces.Load(); got != min(c.refusals, maxBadNonces) {
				t.Errorf("%d bad nonces counted", got)
			}
			if !c.fails && client.signer.kid != "https://localhost/acct/1" {
				t.Errorf("kid %q", client.signer.kid)
			}
		})
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, maxAnswer+1))
	}))
	defer server.Close()
	if err := newTestClient(t, server, new(counters)).discover(t.Context(), server.URL); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("error %v", err)
	}
}

func TestCheckLeaf(t *testing.T) {
	t.Parallel()
	key, other := newKey(t), newKey(t)
	der, err := x509.CreateCertificate(rand.Reader,
		&x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"b.example", "a.example"}},
		&x509.Certificate{}, &key.PublicKey, other)
	if err != nil {
		t.Fatal(err)
	}
	one := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	chain := append(append([]byte{}, one...), one...)
	names := []string{"a.example", "b.example"}
	for _, c := range []struct {
		name  string
		chain []byte
		names []string
		key   *ecdsa.PublicKey
		good  bool
	}{
		{"as asked for", chain, names, &key.PublicKey, true},
		{"other names", chain, names[:1], &key.PublicKey, false},
		{"other key", chain, names, &other.PublicKey, false},
		{"no issuer", one, names, &key.PublicKey, false},
		{"no certificate", []byte("hello"), names, &key.PublicKey, false},
		{"no DER", []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + string(one)), names, &key.PublicKey, false},
	} {
		if err := checkLeaf(c.chain, c.names, c.key); (err == nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
