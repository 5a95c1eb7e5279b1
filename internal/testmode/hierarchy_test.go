package testmode

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/ca/key"
)

func TestHierarchy(t *testing.T) {
	t.Parallel()
	h, err := NewHierarchy(HierarchyConfig{KeyType: key.P256, AlternateRoots: 2, ChainLength: 3, Now: time.Now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	chains := h.Certificates()
	if len(h.Chains) != 3 || len(chains) != 3 {
		t.Fatalf("there are %d chains", len(h.Chains))
	}
	roots := map[string]bool{}
	for i, c := range h.Chains {
		if len(c.Intermediates) != 3 || len(chains[i]) != 3 {
			t.Errorf("chain %d has %d intermediates", i, len(c.Intermediates))
		}
		issuer := c.Intermediates[0]
		if !key.Equal(issuer.PublicKey, h.Signer.Public()) || issuer.Subject.CommonName != h.Chains[0].Intermediates[0].Subject.CommonName {
			t.Errorf("chain %d begins with another issuer", i)
		}
		if !key.Equal(c.Root.PublicKey, c.RootKey.Public()) || !strings.Contains(c.Root.Subject.CommonName, "TEST ONLY") {
			t.Errorf("root %d: %v", i, c.Root.Subject)
		}
		roots[string(c.Root.RawSubjectPublicKeyInfo)] = true
		pool, between := x509.NewCertPool(), x509.NewCertPool()
		pool.AddCert(c.Root)
		for _, cert := range c.Intermediates[1:] {
			between.AddCert(cert)
		}
		if found, err := issuer.Verify(x509.VerifyOptions{Roots: pool, Intermediates: between}); err != nil || len(found[0]) != 4 {
			t.Errorf("chain %d: %v", i, err)
		}
	}
	if len(roots) != 3 {
		t.Errorf("there are %d roots", len(roots))
	}
	h, err = NewHierarchy(HierarchyConfig{KeyType: key.RSA, ChainLength: 1, Now: time.Now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := h.Signer.(*rsa.PrivateKey); !ok || len(h.Chains) != 1 || len(h.Chains[0].Intermediates) != 1 {
		t.Errorf("got %+v", h)
	}
	for _, signer := range []any{h.Signer, h.Chains[0].RootKey} {
		if encoded, err := encodeKey(signer.(*rsa.PrivateKey)); err != nil || !strings.HasPrefix(string(encoded), "-----BEGIN RSA PRIVATE KEY-----") {
			t.Errorf("%v %s", err, encoded)
		}
	}
}
