package acme

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// ID names an account, an order or an authorization. It is a UUIDv7
// (RFC 9562 §5.7): 48 bits of Unix milliseconds, so that rows are dense in an
// index, and 74 random bits, so that a URL can't be guessed.
type ID [16]byte

// NewID makes an ID for the given moment, with its random bits from random.
func NewID(now time.Time, random io.Reader) (ID, error) {
	var id ID
	if _, err := io.ReadFull(random, id[6:]); err != nil {
		return ID{}, fmt.Errorf("reading random bits for an identifier: %w", err)
	}
	ms := uint64(now.UnixMilli())
	binary.BigEndian.PutUint16(id[0:2], uint16(ms>>32))
	binary.BigEndian.PutUint32(id[2:6], uint32(ms))
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id, nil
}

// ParseID reads the form that String writes. Any other spelling of the same
// bits is refused, so that a URL has one form only.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 22 {
		return ID{}, fmt.Errorf("an identifier has 22 characters, not %d", len(s))
	}
	if _, err := base64.RawURLEncoding.Strict().Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("decoding an identifier: %w", err)
	}
	return id, nil
}

// IDFromBytes takes the 16 bytes of an ID as the store keeps them.
func IDFromBytes(b []byte) (ID, error) {
	if len(b) != 16 {
		return ID{}, fmt.Errorf("an identifier has 16 bytes, not %d", len(b))
	}
	return ID(b), nil
}

// Time is when the ID was made, to the millisecond.
func (id ID) Time() time.Time {
	ms := uint64(binary.BigEndian.Uint16(id[0:2]))<<32 | uint64(binary.BigEndian.Uint32(id[2:6]))
	return time.UnixMilli(int64(ms)).UTC()
}

// String is the base64url form that URLs carry.
func (id ID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// IsZero tells whether the ID was never set.
func (id ID) IsZero() bool { return id == ID{} }
