package key

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"

	"github.com/titanous/rocacheck"
)

const (
	minRSABits = 2048
	maxRSABits = 8192
	// fermatRounds is how far close primes are searched for (Baseline
	// Requirements §6.1.1.3).
	fermatRounds = 100
)

// Check tells whether a public key is fit to be certified: its size, its form,
// and the known ways in which keys come out weak (Baseline Requirements
// §6.1.1.3, §6.1.5 and §6.1.6). The error says what is wrong, for the person
// who asked for the certificate. Keys that are known to be compromised are the
// store's business.
func Check(public crypto.PublicKey) (Type, error) {
	t, err := TypeOf(public)
	if err != nil {
		return "", err
	}
	switch k := public.(type) {
	case *rsa.PublicKey:
		return t, checkRSA(k)
	case *ecdsa.PublicKey:
		return t, checkECDSA(k)
	}
	return t, nil
}

func checkRSA(k *rsa.PublicKey) error {
	bits := k.N.BitLen()
	switch {
	case bits < minRSABits || bits > maxRSABits:
		return fmt.Errorf("RSA keys have %d to %d bits; this one has %d", minRSABits, maxRSABits, bits)
	case bits%8 != 0:
		return fmt.Errorf("the size of an RSA key is a multiple of 8 bits; this one has %d", bits)
	case k.E <= 1<<16 || k.E%2 == 0:
		return errors.New("the public exponent of an RSA key must be odd and greater than 65536; use 65537")
	}
	// A factor in common with the product of all small primes, 2 among them.
	if new(big.Int).GCD(nil, nil, k.N, smallPrimes).Cmp(one) != 0 {
		return errors.New("the RSA modulus has a small prime factor; make another key")
	}
	if rocacheck.IsWeak(k) {
		return errors.New("the RSA key was made by hardware with the ROCA flaw (CVE-2017-15361) and can be broken; make another key elsewhere")
	}
	if closePrimes(k.N) {
		return errors.New("the primes of the RSA key are so close that it can be broken (CVE-2022-26320); make another key with other software")
	}
	return nil
}

var one = big.NewInt(1)

// smallPrimes is the product of the primes below 752.
var smallPrimes = func() *big.Int {
	product := big.NewInt(1)
	for n := int64(2); n < 752; n++ {
		if b := big.NewInt(n); b.ProbablyPrime(0) { // exact for such numbers
			product.Mul(product, b)
		}
	}
	return product
}()

// closePrimes runs Fermat's factorization for a bounded number of rounds.
func closePrimes(n *big.Int) bool {
	a := new(big.Int).Sqrt(n)
	square := new(big.Int).Mul(a, a)
	if square.Cmp(n) == 0 {
		return true
	}
	a.Add(a, one)
	square.Mul(a, a)
	// b2 is a²-n; from one a to the next it grows by 2a+1.
	b2 := new(big.Int).Sub(square, n)
	step := new(big.Int).Lsh(a, 1)
	step.Add(step, one)
	two := big.NewInt(2)
	root, residue := new(big.Int), new(big.Int)
	for range fermatRounds {
		// Taking a root costs hundreds of times what it costs to see that a
		// number can't have one.
		if squares.admit(residue.Mod(b2, squares.modulus).Uint64()) {
			root.Sqrt(b2)
			if square.Mul(root, root).Cmp(b2) == 0 {
				return true
			}
		}
		b2.Add(b2, step)
		step.Add(step, two)
	}
	return false
}

// residues are the quadratic residues modulo numbers whose product is modulus.
type residues struct {
	modulus *big.Int
	tables  [][]bool // each of the length of its modulus
}

// squares lets 1 of 128 numbers pass that are no squares.
var squares = func() residues {
	r := residues{modulus: big.NewInt(1)}
	for _, m := range []uint64{64, 63, 65, 11} {
		table := make([]bool, m)
		for n := range m {
			table[n*n%m] = true
		}
		r.tables = append(r.tables, table)
		r.modulus.Mul(r.modulus, new(big.Int).SetUint64(m))
	}
	return r
}()

// admit tells whether a number with the given residue may be a square.
func (r residues) admit(residue uint64) bool {
	for _, table := range r.tables {
		if !table[residue%uint64(len(table))] {
			return false
		}
	}
	return true
}

func checkECDSA(k *ecdsa.PublicKey) error {
	// ECDH refuses points that are not on the curve, and the point at infinity
	// (Baseline Requirements §6.1.6, SP 800-56A full public key validation: the
	// cofactor of these curves is 1).
	if _, err := k.ECDH(); err != nil {
		return errors.New("the point of the EC key is not on its curve")
	}
	if small, err := smallScalar(k); err != nil {
		return err
	} else if small {
		return errors.New("the private key of this EC key is a small number that anyone can find; make another key with other software")
	}
	return nil
}
