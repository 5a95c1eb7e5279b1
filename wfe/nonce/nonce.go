// Package nonce makes and redeems ACME nonces (RFC 8555 §6.5).
//
// A nonce costs nothing to hand out: it is a counter, sealed with a key that
// lives as long as the process, so that it can't be guessed or forged. Only
// redeemed nonces are remembered. They are kept as one bit each in pages of
// 4,096, and when the pages are full the oldest is dropped: every nonce up to
// its end is then refused. So the window moves by redemption, which takes a
// signed request; a flood of newNonce expires nobody's nonce.
package nonce

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
)

const (
	prefixSize = 6 // bytes; 8 characters
	sealSize   = 12
	tagSize    = 16
	nonceSize  = prefixSize + sealSize + 8 + tagSize

	pageBits = 4096
	// maxPages bounds the memory to 512 bytes times as many, 8 MiB.
	maxPages = 16384
)

// Service makes nonces and redeems those it made.
type Service struct {
	prefix [prefixSize]byte
	seal   cipher.AEAD
	random io.Reader
	issued atomic.Uint64

	mu     sync.Mutex
	oldest uint64 // pages before this one are closed
	pages  map[uint64]*page
	order  []uint64 // the keys of pages, ascending
}

type page [pageBits / 64]uint64

// New makes a service whose nonces begin with a random prefix of its own.
func New(random io.Reader) (*Service, error) {
	s := &Service{random: random, pages: make(map[uint64]*page)}
	var key [32]byte
	for _, b := range [][]byte{s.prefix[:], key[:]} {
		if _, err := io.ReadFull(random, b); err != nil {
			return nil, fmt.Errorf("reading random bits for the nonce key: %w", err)
		}
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("making the nonce key: %w", err)
	}
	if s.seal, err = cipher.NewGCM(block); err != nil {
		return nil, fmt.Errorf("making the nonce key: %w", err)
	}
	return s, nil
}

// Next is a fresh nonce, in base64url.
func (s *Service) Next() (string, error) {
	var b [nonceSize]byte
	copy(b[:], s.prefix[:])
	iv := b[prefixSize : prefixSize+sealSize]
	if _, err := io.ReadFull(s.random, iv); err != nil {
		return "", fmt.Errorf("reading random bits for a nonce: %w", err)
	}
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], s.issued.Add(1))
	s.seal.Seal(b[:prefixSize+sealSize], iv, counter[:], s.prefix[:])
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}

// Redeem tells whether the nonce was made here and is redeemed for the first
// time.
func (s *Service) Redeem(nonce string) bool {
	var b [nonceSize]byte
	if len(nonce) != base64.RawURLEncoding.EncodedLen(nonceSize) {
		return false
	}
	if _, err := base64.RawURLEncoding.Strict().Decode(b[:], []byte(nonce)); err != nil {
		return false
	}
	if [prefixSize]byte(b[:prefixSize]) != s.prefix {
		return false
	}
	iv, sealed := b[prefixSize:prefixSize+sealSize], b[prefixSize+sealSize:]
	counter, err := s.seal.Open(sealed[:0:8], iv, sealed, s.prefix[:])
	if err != nil {
		return false
	}
	return s.use(binary.BigEndian.Uint64(counter))
}

// use marks a counter as used; false if it was, or if its page is closed.
func (s *Service) use(counter uint64) bool {
	number, bit := counter/pageBits, counter%pageBits
	s.mu.Lock()
	defer s.mu.Unlock()
	if number < s.oldest {
		return false
	}
	p := s.pages[number]
	if p == nil {
		p = new(page)
		s.pages[number] = p
		i, _ := slices.BinarySearch(s.order, number)
		s.order = slices.Insert(s.order, i, number)
		s.closeOldest()
	}
	word, mask := bit/64, uint64(1)<<(bit%64)
	if p[word]&mask != 0 {
		return false
	}
	p[word] |= mask
	return true
}

// closeOldest keeps the pages within their bound. Where the page just opened
// is the oldest itself, this redemption still counts, and no later one of it.
func (s *Service) closeOldest() {
	if len(s.order) <= maxPages {
		return
	}
	first := s.order[0]
	s.order = s.order[1:]
	delete(s.pages, first)
	s.oldest = first + 1
}
