//lint:file-ignore SA1019 the tests make keys of chosen scalars

package key

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"math/big"
	"sync"
	"testing"

	"github.com/zmap/zcrypto/x509"
	_ "github.com/zmap/zlint/v3" // it registers the lints
	"github.com/zmap/zlint/v3/lint"
)

// theirs is what zlint says of a key. Its lint looks at nothing but the key.
func theirs(t *testing.T, k *ecdsa.PublicKey) bool {
	t.Helper()
	l := lint.GlobalRegistry().CertificateLints().ByName("e_ecdsa_small_private_key")
	if l == nil {
		t.Fatal("zlint has no such lint any more")
	}
	result := l.Execute(&x509.Certificate{PublicKeyAlgorithm: x509.ECDSA, PublicKey: k}, lint.NewEmptyConfig())
	if result.Status != lint.Pass && result.Status != lint.Error {
		t.Fatalf("zlint says %s: %s", result.Status, result.Details)
	}
	return result.Status == lint.Error
}

func publicOf(curve elliptic.Curve, d *big.Int) *ecdsa.PublicKey {
	k := &ecdsa.PublicKey{Curve: curve}
	k.X, k.Y = curve.ScalarBaseMult(d.Bytes())
	return k
}

// The search finds what zlint's lint finds, in place of which it runs.
func TestSmallScalarsAreZlints(t *testing.T) {
	t.Parallel()
	tables := map[string]*smallScalars{
		"P-256, quick": quickP256(), "P-256": fullP256(), "P-384": smallP384(), "P-521": smallP521(),
	}
	for name, table := range tables {
		compare := func(what string, k *ecdsa.PublicKey) {
			if ours, want := table.small(k), theirs(t, k); ours != want {
				t.Errorf("%s: %s: %v, zlint %v", name, what, ours, want)
			}
		}
		m := int64(table.m)
		for _, d := range []int64{1, 2, 3, 255, 256, 257, m - 1, m, m + 1, 2*m + 1, 3*m + 1, 3*m + 2, 4*m + 2, 4097, 30000, 1 << 15, 1<<15 + 1, 1<<16 - 1, 1 << 16} {
			if d > 1<<16 {
				continue
			}
			scalar := big.NewInt(d)
			compare(scalar.String(), publicOf(table.curve, scalar))
			compare("-"+scalar.String(), publicOf(table.curve, new(big.Int).Sub(table.curve.Params().N, scalar)))
		}
		for range 10 {
			d, err := rand.Int(rand.Reader, big.NewInt(1<<16))
			if err != nil {
				t.Fatal(err)
			}
			d.Add(d, one)
			compare(d.String(), publicOf(table.curve, d))
			k, err := ecdsa.GenerateKey(table.curve, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			compare("a random key", &k.PublicKey)
		}
	}
	// The table that nearly all keys meet ends where zlint's search ends.
	for _, d := range []int64{1<<16 + 1, 1 << 17, 1 << 20} {
		if k := publicOf(elliptic.P256(), big.NewInt(d)); fullP256().small(k) || theirs(t, k) {
			t.Errorf("%d is small", d)
		}
	}
}

// Keys are checked, with the same answers, while the table is made.
func TestWarm(t *testing.T) {
	t.Parallel()
	weak := publicOf(elliptic.P256(), big.NewInt(54321))
	var work sync.WaitGroup
	for range 2 {
		work.Go(Warm)
	}
	for range 2 {
		work.Go(func() {
			for range 5 {
				if _, err := Check(weak); err == nil {
					t.Error("the key is not found")
				}
			}
		})
	}
	work.Wait()
	if smallP256() != fullP256() {
		t.Error("the table is not used once it is there")
	}
	if _, err := Check(weak); err == nil {
		t.Error("the key is not found in the table")
	}
}

func BenchmarkCheck(b *testing.B) {
	Warm()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Check(&k.PublicKey); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTable(b *testing.B) {
	for b.Loop() {
		newSmallScalars(elliptic.P256(), 1<<smallScalarBits)
	}
}
