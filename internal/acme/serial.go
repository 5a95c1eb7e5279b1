package acme

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"
)

// Serial is the serial number of a certificate: a positive integer of at most
// 20 octets (RFC 5280 §4.1.2.2). The zero value is no serial.
type Serial struct {
	octets string // big-endian, no leading zero octet
}

// NewSerial makes a serial for a certificate signed at now: four octets of
// time, then 128 bits from random. The time keeps inserts dense in the store's
// index; the random bits are twice what the Baseline Requirements (§7.1) ask.
func NewSerial(now time.Time, random io.Reader) (Serial, error) {
	var b [20]byte
	// Units of 64 seconds keep the top bit clear, and the first octet
	// non-zero, from 2004 until far beyond any certificate: every serial has
	// exactly 20 octets.
	binary.BigEndian.PutUint32(b[:4], uint32(now.Unix()/64))
	if _, err := io.ReadFull(random, b[4:]); err != nil {
		return Serial{}, fmt.Errorf("reading random bits for a serial: %w", err)
	}
	return SerialFromBytes(b[:])
}

// SerialFromBytes takes the big-endian magnitude of a serial number, with or
// without leading zero octets.
func SerialFromBytes(b []byte) (Serial, error) {
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	switch {
	case len(b) == 0:
		return Serial{}, errors.New("a serial number must be positive")
	case len(b) > 20 || len(b) == 20 && b[0]&0x80 != 0:
		return Serial{}, errors.New("a serial number has at most 20 octets (RFC 5280 §4.1.2.2)")
	}
	return Serial{octets: string(b)}, nil
}

// SerialFromBig takes the serial number of a parsed certificate.
func SerialFromBig(n *big.Int) (Serial, error) {
	if n == nil || n.Sign() <= 0 {
		return Serial{}, errors.New("a serial number must be positive")
	}
	return SerialFromBytes(n.Bytes())
}

// ParseSerial reads the hexadecimal form that String writes; upper case and a
// missing leading zero are accepted, as operators paste it from other tools.
func ParseSerial(s string) (Serial, error) {
	if len(s) > 42 {
		return Serial{}, errors.New("a serial number has at most 40 hexadecimal digits")
	}
	if len(s)%2 == 1 {
		s = "0" + s
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		return Serial{}, fmt.Errorf("reading a serial number in hexadecimal: %w", err)
	}
	return SerialFromBytes(b)
}

// String is the serial in lower-case hexadecimal, two digits an octet.
func (s Serial) String() string { return hex.EncodeToString([]byte(s.octets)) }

// Bytes is the big-endian magnitude without leading zeros.
func (s Serial) Bytes() []byte { return []byte(s.octets) }

// Big is the serial as an integer.
func (s Serial) Big() *big.Int { return new(big.Int).SetBytes([]byte(s.octets)) }

// IsZero tells whether the Serial was never set.
func (s Serial) IsZero() bool { return s.octets == "" }
