package key

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1" // what the lists of Debian are made with; nothing relies on it
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

const (
	// maxWeakKeys bounds the table: all lists of Debian and the CA/Browser
	// Forum together have a fifth of it.
	maxWeakKeys = 32 << 20
	maxWeakLine = 256
)

// shortHash is how openssl-blacklist names an RSA key: the last 80 bits of a
// SHA-1. longHash is the first half of a SHA-256.
type (
	shortHash [sha1.Size - 10]byte
	longHash  [sha256.Size / 2]byte
)

// WeakKeys is a table of public keys whose private keys are known, such as
// those that Debian's OpenSSL made from 2006 to 2008 (CVE-2008-0166). A nil
// *WeakKeys has no keys. It may be used concurrently.
type WeakKeys struct {
	short []shortHash // sorted
	long  []longHash  // sorted
}

// ReadWeakKeys reads lists of weak keys, one hash in hexadecimal a line. How
// long a hash is tells what it is of:
//
//   - 20 digits, the format of Debian's openssl-blacklist: the end of the SHA-1
//     of what `openssl rsa -noout -modulus` prints; 40 digits: all of it.
//   - 64 digits, the format of dwk_blocklists, which the CA/Browser Forum's
//     Debian-weak-keys are published in as hashes: the SHA-256 of an RSA modulus
//     or of the x coordinate of an EC point, big-endian without leading zeros.
//     The SHA-256 of a SubjectPublicKeyInfo is looked up as well.
//
// Blank lines and those that begin with # do not count. The error names the
// file and the line; a file without a hash is one too, for it would protect
// nobody.
func ReadWeakKeys(files []string) (*WeakKeys, error) {
	w := &WeakKeys{}
	for _, name := range files {
		if err := w.readFile(name); err != nil {
			return nil, fmt.Errorf("reading the list of weak keys %s: %w", name, err)
		}
	}
	slices.SortFunc(w.short, func(a, b shortHash) int { return bytes.Compare(a[:], b[:]) })
	slices.SortFunc(w.long, func(a, b longHash) int { return bytes.Compare(a[:], b[:]) })
	w.short, w.long = slices.Clip(slices.Compact(w.short)), slices.Clip(slices.Compact(w.long))
	return w, nil
}

// Len is the number of different hashes.
func (w *WeakKeys) Len() int {
	if w == nil {
		return 0
	}
	return len(w.short) + len(w.long)
}

func (w *WeakKeys) readFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	before := w.Len()
	if err := w.read(f); err != nil {
		return err
	}
	if w.Len() == before {
		return errors.New("it has no hash")
	}
	return nil
}

func (w *WeakKeys) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, maxWeakLine), maxWeakLine)
	n := 0
	for lines.Scan() {
		n++
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if err := w.add(line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if w.Len() > maxWeakKeys {
			return fmt.Errorf("line %d: the lists have more than %d hashes", n, maxWeakKeys)
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("line %d: it is longer than any hash", n+1)
	} else if err != nil {
		return err
	}
	return nil
}

func (w *WeakKeys) add(line string) error {
	hash, err := hex.DecodeString(line)
	if err != nil {
		return fmt.Errorf("expects a hash in hexadecimal; found %q", line)
	}
	switch len(hash) {
	case len(shortHash{}):
		w.short = append(w.short, shortHash(hash))
	case sha1.Size:
		w.short = append(w.short, shortHash(hash[sha1.Size-len(shortHash{}):]))
	case sha256.Size:
		w.long = append(w.long, longHash(hash[:len(longHash{})]))
	default:
		return fmt.Errorf("expects a hash of 20, 40 or 64 hexadecimal digits; found %d", len(line))
	}
	return nil
}

// Has tells whether the table has a public key; spki is the DER of its
// SubjectPublicKeyInfo.
func (w *WeakKeys) Has(public crypto.PublicKey, spki []byte) bool {
	if w.Len() == 0 {
		return false
	}
	if w.hasLong(spki) {
		return true
	}
	switch k := public.(type) {
	case *rsa.PublicKey:
		return w.hasShort(fmt.Appendf(nil, "Modulus=%X\n", k.N)) || w.hasLong(k.N.Bytes())
	case *ecdsa.PublicKey:
		point, err := k.Bytes() // uncompressed: 4, x, y
		return err != nil || w.hasLong(bytes.TrimLeft(point[1:1+len(point)/2], "\x00"))
	}
	return false
}

func (w *WeakKeys) hasShort(text []byte) bool {
	sum := sha1.Sum(text)
	_, found := slices.BinarySearchFunc(w.short, sum[sha1.Size-len(shortHash{}):], func(h shortHash, want []byte) int { return bytes.Compare(h[:], want) })
	return found
}

func (w *WeakKeys) hasLong(octets []byte) bool {
	sum := sha256.Sum256(octets)
	_, found := slices.BinarySearchFunc(w.long, sum[:len(longHash{})], func(h longHash, want []byte) int { return bytes.Compare(h[:], want) })
	return found
}
