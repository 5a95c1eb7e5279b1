//lint:file-ignore SA1019 the tests make keys that are refused

package key

import (
	"bytes"
	"crypto"
	"crypto/dsa" // a kind of key that is refused
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// prime is a prime of the given size whose two top bits are set.
func prime(t *testing.T, bits int) *big.Int {
	t.Helper()
	p, err := rand.Prime(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// next is the least prime that is greater than p.
func next(p *big.Int) *big.Int {
	q := new(big.Int).Set(p)
	for {
		q.Add(q, big.NewInt(2))
		if q.ProbablyPrime(10) {
			return q
		}
	}
}

// rocaModulus has the fingerprint of the primes that the flawed library made
// (Nemec and others, 2017): a power of 65537 modulo the first 126 primes. It is
// no product of two primes, which the check does not look at.
func rocaModulus(t *testing.T) *big.Int {
	t.Helper()
	primorial := big.NewInt(1)
	for n, found := int64(2), 0; found < 126; n++ {
		if b := big.NewInt(n); b.ProbablyPrime(0) {
			primorial.Mul(primorial, b)
			found++
		}
	}
	base := new(big.Int).Exp(big.NewInt(65537), big.NewInt(12345), primorial)
	k := new(big.Int).Div(new(big.Int).Lsh(big.NewInt(1), 2047), primorial)
	for {
		k.Add(k, big.NewInt(1))
		n := new(big.Int).Mul(k, primorial)
		n.Add(n, base)
		if new(big.Int).GCD(nil, nil, n, smallPrimes).Cmp(one) == 0 && n.BitLen() == 2048 {
			return n
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	p, q := prime(t, 1024), prime(t, 1024)
	n := new(big.Int).Mul(p, q)
	offCurve := &ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(1), Y: big.NewInt(1)}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	small := prime(t, 2040)
	small.Mul(small, big.NewInt(251))
	for small.BitLen() != 2048 {
		small = prime(t, 2040)
		small.Mul(small, big.NewInt(251))
	}
	for name, test := range map[string]struct {
		public crypto.PublicKey
		want   string
	}{
		"RSA of 1024 bits":         {&rsa.PublicKey{N: p, E: 65537}, "2048 to 8192"},
		"RSA of 8200 bits":         {&rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 8199), E: 65537}, "2048 to 8192"},
		"RSA of 2049 bits":         {&rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 2048, 1), E: 65537}, "multiple of 8"},
		"exponent 1":               {&rsa.PublicKey{N: n, E: 1}, "exponent"},
		"exponent 3":               {&rsa.PublicKey{N: n, E: 3}, "exponent"},
		"exponent 65535":           {&rsa.PublicKey{N: n, E: 65535}, "exponent"},
		"even exponent":            {&rsa.PublicKey{N: n, E: 65538}, "exponent"},
		"even modulus":             {&rsa.PublicKey{N: new(big.Int).SetBit(n, 0, 0), E: 65537}, "small prime"},
		"a factor of 251":          {&rsa.PublicKey{N: small, E: 65537}, "small prime"},
		"close primes":             {&rsa.PublicKey{N: new(big.Int).Mul(p, next(p)), E: 65537}, "close"},
		"a square":                 {&rsa.PublicKey{N: new(big.Int).Mul(p, p), E: 65537}, "close"},
		"ROCA":                     {&rsa.PublicKey{N: rocaModulus(t), E: 65537}, "ROCA"},
		"P-224":                    {p224.Public(), "P-224"},
		"off the curve":            {offCurve, "curve"},
		"private key 7":            {publicOf(elliptic.P384(), big.NewInt(7)), "small number"},
		"point at infinity":        {&ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int), Y: new(big.Int)}, "curve"},
		"DSA":                      {&dsa.PublicKey{}, "not accepted"},
		"nothing":                  {nil, "not accepted"},
		"a private key by mistake": {ed25519.PrivateKey{}, "not accepted"},
	} {
		if _, err := Check(test.public); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want one about %q", name, err, test.want)
		}
	}
}

// Fermat's method is run to its last round, and no further.
func TestClosePrimes(t *testing.T) {
	t.Parallel()
	// With n = (a-b)(a+b), round i finds a = ceil(sqrt n) + i.
	a := new(big.Int).Lsh(big.NewInt(3), 1020)
	for _, round := range []int64{0, 1, 57, fermatRounds - 1, fermatRounds} {
		// b² about 2a·round makes sqrt(n) about a - round.
		b := new(big.Int).Sqrt(new(big.Int).Mul(new(big.Int).Lsh(a, 1), big.NewInt(round)))
		n := new(big.Int).Sub(new(big.Int).Mul(a, a), new(big.Int).Mul(b, b))
		first := new(big.Int).Sqrt(n)
		if new(big.Int).Mul(first, first).Cmp(n) != 0 {
			first.Add(first, one)
		}
		found := new(big.Int).Sub(a, first).Int64()
		if got, want := closePrimes(n), found < fermatRounds; got != want {
			t.Errorf("a is reached in round %d: %v", found, got)
		}
	}
}

func TestEveryType(t *testing.T) {
	t.Parallel()
	message := []byte("to be signed")
	for _, kind := range []Type{RSA, P256, P384, P521, Ed25519} {
		signer, err := Generate(kind, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Check(signer.Public()); err != nil || got != kind {
			t.Errorf("%s: checked as %s, %v", kind, got, err)
		}
		signature, err := Sign(rand.Reader, signer, message)
		if err != nil {
			t.Fatal(err)
		}
		if err := Verify(signer.Public(), message, signature); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		signature[len(signature)-1] ^= 1
		if Verify(signer.Public(), message, signature) == nil {
			t.Errorf("%s: a broken signature verifies", kind)
		}
		// crypto/x509 names and verifies the algorithm as this package does.
		a, err := AlgorithmOf(signer.Public())
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{SerialNumber: big.NewInt(1)}, signer.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(der, a.Identifier) {
			t.Errorf("%s: crypto/x509 has another AlgorithmIdentifier than %x", kind, a.Identifier)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := SignEnvelope(rand.Reader, signer, cert.RawTBSCertificate)
		if err != nil {
			t.Fatal(err)
		}
		again, err := x509.ParseCertificate(ours)
		if err != nil || again.CheckSignature(again.SignatureAlgorithm, again.RawTBSCertificate, again.Signature) != nil {
			t.Errorf("%s: crypto/x509 does not verify ours: %v", kind, err)
		}
		// In a file and back.
		encoded, err := Encode(signer)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "key.pem")
		if err := Create(rand.Reader, path, encoded, 0o600); err != nil {
			t.Fatal(err)
		}
		if back, err := ReadFile(path); err != nil || !Equal(back.Public(), signer.Public()) {
			t.Errorf("%s: read back %v", kind, err)
		}
	}
	if _, err := Generate("des", rand.Reader); err == nil {
		t.Errorf("a key of an unknown type is made")
	}
}

// faulty signs something else than it is asked to.
type faulty struct{ crypto.Signer }

func (f faulty) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	other := bytes.Clone(digest)
	other[0] ^= 1
	return f.Signer.Sign(random, other, opts)
}

func TestFaultySigner(t *testing.T) {
	t.Parallel()
	signer, err := Generate(P256, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := SignEnvelope(rand.Reader, faulty{signer}, []byte{0x30, 0}); err == nil {
		t.Errorf("a wrong signature is not noticed")
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "key.pem")
	if err := Create(rand.Reader, path, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Create(rand.Reader, path, []byte("two"), 0o600); !errors.Is(err, ErrExists) {
		t.Errorf("creating what exists: %v", err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "one" {
		t.Errorf("it holds %q, %v", data, err)
	}
	if err := Replace(rand.Reader, path, []byte("three"), 0o600); err != nil {
		t.Error(err)
	}
	if data, err := ReadPrivate(path); err != nil || string(data) != "three" {
		t.Errorf("it holds %q, %v", data, err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 {
		t.Errorf("temporary files are left: %v, %v", entries, err)
	}
	// Others may not read a key.
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFile(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"no PEM":       "three",
		"not PKCS#8":   "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n",
		"broken":       "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"much too big": strings.Repeat("x", maxFile+1),
	} {
		if err := Replace(rand.Reader, path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFile(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadFile(filepath.Join(folder, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// What a crash left is removed once no other process can be writing it.
func TestRemoveTemporary(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for _, name := range []string{"key.pem", "key.pem" + temporaryMark + "00"} {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := RemoveTemporary(folder, time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 2 {
		t.Errorf("after a minute: %v, %v", entries, err)
	}
	if err := RemoveTemporary(folder, time.Now().Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 || entries[0].Name() != "key.pem" {
		t.Errorf("after two hours: %v, %v", entries, err)
	}
}

func BenchmarkCheckRSA(b *testing.B) {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Check(k.Public()); err != nil {
			b.Fatal(err)
		}
	}
}
