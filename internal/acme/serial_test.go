package acme

import (
	"bytes"
	"crypto/rand"
	"encoding/asn1"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNewSerial(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	seen := make(map[Serial]bool)
	for range 1000 {
		s, err := NewSerial(now, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		// RFC 5280 §4.1.2.2: positive, at most 20 octets in DER.
		der, err := asn1.Marshal(s.Big())
		if err != nil {
			t.Fatal(err)
		}
		if s.Big().Sign() <= 0 || len(der) != 22 || seen[s] {
			t.Fatalf("serial %s: DER of %d octets, seen %v", s, len(der), seen[s])
		}
		seen[s] = true
	}
	later, err := NewSerial(now.AddDate(30, 0, 0), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for s := range seen {
		if bytes.Compare(s.Bytes(), later.Bytes()) >= 0 {
			t.Errorf("%s is not before %s of 30 years later", s, later)
		}
	}
	if _, err := NewSerial(now, strings.NewReader("short")); err == nil {
		t.Errorf("a serial was made without enough random bits")
	}
}

func TestSerialForms(t *testing.T) {
	t.Parallel()
	s, err := ParseSerial("00AbCd")
	if err != nil || s.String() != "abcd" || !slices.Equal(s.Bytes(), []byte{0xab, 0xcd}) {
		t.Errorf("ParseSerial: %s, %v", s, err)
	}
	if odd, err := ParseSerial("1ac"); err != nil || odd.String() != "01ac" {
		t.Errorf("a serial without its leading zero: %s, %v", odd, err)
	}
	fromBig, err := SerialFromBig(big.NewInt(0xabcd))
	if err != nil || fromBig != s {
		t.Errorf("SerialFromBig: %s, %v", fromBig, err)
	}
	for _, bad := range []string{"", "0", "00", "xy", strings.Repeat("f", 40), "01" + strings.Repeat("0", 40)} {
		if got, err := ParseSerial(bad); err == nil {
			t.Errorf("ParseSerial(%q) = %s", bad, got)
		}
	}
	if _, err := SerialFromBig(big.NewInt(-5)); err == nil {
		t.Errorf("a negative serial was accepted")
	}
}

func TestID(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_790_000_000_123).UTC()
	id, err := NewID(now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if !id.Time().Equal(now) {
		t.Errorf("Time() = %s, want %s", id.Time(), now)
	}
	if id[6]>>4 != 7 || id[8]>>6 != 2 {
		t.Errorf("%x is not a UUIDv7", id[:])
	}
	back, err := ParseID(id.String())
	if err != nil || back != id {
		t.Errorf("ParseID(%s) = %s, %v", id, back, err)
	}
	for _, bad := range []string{"", "AAAA", id.String() + "A", id.String()[:21] + "=", strings.Repeat("A", 21) + "B", strings.Repeat("+", 22)} {
		if got, err := ParseID(bad); err == nil {
			t.Errorf("ParseID(%q) = %s", bad, got)
		}
	}
}
