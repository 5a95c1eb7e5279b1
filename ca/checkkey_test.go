package ca

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// withAnotherExponent gives a private key of the same modulus.
func withAnotherExponent(t *testing.T, k *rsa.PrivateKey) *rsa.PrivateKey {
	t.Helper()
	phi := big.NewInt(1)
	for _, p := range k.Primes {
		phi.Mul(phi, new(big.Int).Sub(p, big.NewInt(1)))
	}
	e := k.E
	var d *big.Int
	for d == nil { // nearly every exponent has an inverse
		e += 2
		d = new(big.Int).ModInverse(big.NewInt(int64(e)), phi)
	}
	other := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: k.N, E: e}, D: d, Primes: k.Primes}
	other.Precompute()
	if err := other.Validate(); err != nil {
		t.Fatal(err)
	}
	return other
}

// A key that others have, or whose modulus they can factor, is not certified:
// for clients and for the CA's own listeners.
func TestLostKeysRefused(t *testing.T) {
	t.Parallel()
	weak, blocked := newKey(t), newKey(t)
	usual, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	hash := func(k crypto.Signer) [32]byte {
		spki, err := x509.MarshalPKIXPublicKey(k.Public())
		if err != nil {
			t.Fatal(err)
		}
		return sha256.Sum256(spki)
	}
	list := filepath.Join(t.TempDir(), "weak")
	if err := os.WriteFile(list, fmt.Appendf(nil, "%x\n", hash(weak)), 0o600); err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, func(c *Config) {
		c.Directories = []string{"default"}
		if c.WeakKeys, err = key.ReadWeakKeys([]string{list}); err != nil {
			t.Fatal(err)
		}
	})
	for _, k := range []crypto.Signer{blocked, usual} {
		if err := f.store.BlockKey(t.Context(), sa.BlockedKey{SPKISHA256: hash(k), At: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	accountOnly := newKey(t)
	public, err := acme.AccountKeyOf(accountOnly.Public())
	if err != nil {
		t.Fatal(err)
	}
	id, err := acme.NewID(time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.store.CreateAccount(t.Context(), acme.Account{ID: id, Directory: "default", Status: acme.AccountValid, Key: public, CreatedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	ids := names(t, "a.example")
	for name, c := range map[string]struct {
		signer crypto.Signer
		want   string
		own    bool // the CA's own listeners are refused it too
	}{
		"weak":              {weak, "weak keys", true},
		"blocked":           {blocked, "compromised", true},
		"blocked RSA":       {usual, "compromised", true},
		"another exponent":  {withAnotherExponent(t, usual), "compromised", true},
		"another account's": {accountOnly, "key of an account", false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.Issue(t.Context(), f.request(f.ready(t, ids), csrFor(t, c.signer, "", ids)))
			if problemType(err) != acme.BadCSR || !strings.Contains(err.Error(), c.want) {
				t.Errorf("a client: %v", err)
			}
			if _, err := f.ServiceCertificate(t.Context(), csrFor(t, c.signer, "", nil)); c.own && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("a listener: %v", err)
			}
		})
	}
	if _, err := f.Issue(t.Context(), f.request(f.ready(t, ids), csrFor(t, newKey(t), "", ids))); err != nil {
		t.Errorf("a good key: %v", err)
	}
}
