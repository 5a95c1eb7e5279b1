package key

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"sync/atomic"
)

// smallScalarBits: a private key d with d or n-d of at most 2^16 is found by
// anyone who looks. Such keys were in public CAs in 2026.
const smallScalarBits = 16

// smallScalars holds the abscissas of G, 2G, ... mG. The point of a key is
// moved by 2m+1 multiples of G at a time, so that a few look-ups cover all
// scalars of smallScalarBits; P and -P share an abscissa.
type smallScalars struct {
	curve elliptic.Curve
	m     int
	// entries are 48 bits of an abscissa and 16 bits of its scalar, sorted.
	entries []uint64
	// stride is -(2m+1)G.
	strideX, strideY *big.Int
}

// The tables never change. P-256 is the curve of nearly all keys: its table
// holds every small scalar, so that a key costs one look-up and no arithmetic,
// and takes some tenths of a second to make. Until Warm made it, a table that is
// made in a moment serves, at some milliseconds a key.
var (
	quickP256 = sync.OnceValue(func() *smallScalars { return newSmallScalars(elliptic.P256(), 1<<8) })
	fullP256  = sync.OnceValue(func() *smallScalars { return newSmallScalars(elliptic.P256(), 1<<smallScalarBits) })
	readyP256 atomic.Pointer[smallScalars]
	smallP384 = sync.OnceValue(func() *smallScalars { return newSmallScalars(elliptic.P384(), 1<<12) })
	smallP521 = sync.OnceValue(func() *smallScalars { return newSmallScalars(elliptic.P521(), 1<<12) })
)

// Warm makes the table that checking the most usual keys is quick with; once
// in a process, however often it is called. It may run beside Check.
func Warm() { readyP256.Store(fullP256()) }

func smallP256() *smallScalars {
	if t := readyP256.Load(); t != nil {
		return t
	}
	return quickP256()
}

// crypto/elliptic's arithmetic is deprecated for secrets; these points are
// public, and no other package of the standard library adds points.

func newSmallScalars(curve elliptic.Curve, m int) *smallScalars {
	params := curve.Params()
	t := &smallScalars{curve: curve, m: m, entries: make([]uint64, 0, m)}
	x, y := params.Gx, params.Gy
	for d := 1; d <= m; d++ {
		t.entries = append(t.entries, entry(abscissa(params.BitSize, x), d))
		if d < m {
			//lint:ignore SA1019 see above
			x, y = curve.Add(x, y, params.Gx, params.Gy)
		}
	}
	slices.Sort(t.entries)
	//lint:ignore SA1019 see above
	sx, sy := curve.ScalarBaseMult(big.NewInt(int64(2*m + 1)).Bytes())
	t.strideX, t.strideY = sx, new(big.Int).Sub(params.P, sy)
	return t
}

func abscissa(bits int, x *big.Int) uint64 {
	buf := make([]byte, (bits+7)/8)
	x.FillBytes(buf)
	return binary.BigEndian.Uint64(buf[len(buf)-8:])
}

func entry(x uint64, d int) uint64 { return x<<16 | uint64(d-1) }

// has tells whether x is the abscissa of dG for a d of 1 to m. The table's 48
// bits may lie once in 2^33 keys; then the exact point decides.
func (t *smallScalars) has(x *big.Int) bool {
	prefix := entry(abscissa(t.curve.Params().BitSize, x), 1)
	i, _ := slices.BinarySearch(t.entries, prefix)
	for ; i < len(t.entries) && t.entries[i]>>16 == prefix>>16; i++ {
		d := int64(t.entries[i]&0xffff) + 1
		//lint:ignore SA1019 see above
		if dx, _ := t.curve.ScalarBaseMult(big.NewInt(d).Bytes()); dx.Cmp(x) == 0 {
			return true
		}
	}
	return false
}

// smallScalar tells whether the private key, or its negative, is at most
// 2^smallScalarBits. The last stride of a table with fewer entries finds some
// that are a little greater.
func smallScalar(k *ecdsa.PublicKey) (bool, error) {
	switch k.Curve {
	case elliptic.P256():
		return smallP256().small(k), nil
	case elliptic.P384():
		return smallP384().small(k), nil
	case elliptic.P521():
		return smallP521().small(k), nil
	}
	return false, fmt.Errorf("no table of small keys for the curve %s", k.Curve.Params().Name)
}

func (t *smallScalars) small(k *ecdsa.PublicKey) bool {
	x, y := publicPoint(k)
	// A point and its negative have one abscissa: the look-up before the first
	// stride is for both.
	if t.has(x) {
		return true
	}
	return t.walk(x, y) || t.walk(x, new(big.Int).Sub(t.curve.Params().P, y))
}

// walk moves a point by strides: after i of them the table covers the scalars
// within m of i(2m+1).
func (t *smallScalars) walk(x, y *big.Int) bool {
	for covered := t.m; covered < 1<<smallScalarBits; covered += 2*t.m + 1 {
		//lint:ignore SA1019 see above
		x, y = t.curve.Add(x, y, t.strideX, t.strideY)
		if x.Sign() == 0 && y.Sign() == 0 || t.has(x) {
			return true
		}
	}
	return false
}

func publicPoint(k *ecdsa.PublicKey) (x, y *big.Int) {
	//lint:ignore SA1019 the points are needed as numbers
	return k.X, k.Y
}
