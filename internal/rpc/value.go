package rpc

import (
	"net/netip"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/rpc/acmepb"
)

// EncodeTime is nil for the zero time.
func EncodeTime(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// Time reads a time, in UTC; none is the zero time.
func (d *Decoder) Time(field string, t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	if err := t.CheckValid(); err != nil {
		d.Fail(field, "%v", err)
		return time.Time{}
	}
	return t.AsTime()
}

// EncodeDuration is nil for 0.
func EncodeDuration(v time.Duration) *durationpb.Duration {
	if v == 0 {
		return nil
	}
	return durationpb.New(v)
}

// Duration reads a duration; none is 0.
func (d *Decoder) Duration(field string, v *durationpb.Duration) time.Duration {
	if v == nil {
		return 0
	}
	if err := v.CheckValid(); err != nil {
		d.Fail(field, "%v", err)
		return 0
	}
	duration := v.AsDuration()
	// AsDuration saturates: protobuf's range is wider than Go's.
	if back := durationpb.New(duration); back.Seconds != v.Seconds || back.Nanos != v.Nanos {
		d.Fail(field, "%d s is too long", v.Seconds)
		return 0
	}
	return duration
}

// EncodeAddr is empty for the zero address.
func EncodeAddr(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// OptionalAddr reads an IP address; none is the zero address.
func (d *Decoder) OptionalAddr(field, s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		d.Fail(field, "%v", err)
		return netip.Addr{}
	}
	return a
}

// EncodeBytes32 is the bytes of a hash or a seed.
func EncodeBytes32(b [32]byte) []byte { return b[:] }

// Bytes32 reads exactly 32 bytes.
func (d *Decoder) Bytes32(field string, b []byte) [32]byte {
	if len(b) != 32 {
		d.Fail(field, "it has 32 bytes, not %d", len(b))
		return [32]byte{}
	}
	return [32]byte(b)
}

// EncodeStrings is nil for nil.
func EncodeStrings(list *[]string) *acmepb.Strings {
	if list == nil {
		return nil
	}
	return &acmepb.Strings{Values: *list}
}

// DecodeStrings is nil for nil.
func DecodeStrings(m *acmepb.Strings) *[]string {
	if m == nil {
		return nil
	}
	return &m.Values
}

// EncodeText is for text that quotes what strangers sent: protobuf strings
// are UTF-8, and an odd byte in a DNS record must not make an answer
// unsendable.
func EncodeText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// EncodeWords is a list of words such as challenge types.
func EncodeWords[T ~string](words []T) []string {
	return EncodeList(words, func(w T) string { return string(w) })
}

// DecodeWords is a list of words such as challenge types.
func DecodeWords[T ~string](words []string) []T {
	return EncodeList(words, func(w string) T { return T(w) })
}

// EncodeID is the 16 bytes of an ID, of the zero ID too.
func EncodeID(id acme.ID) []byte { return id[:] }

// ID reads an ID.
func (d *Decoder) ID(field string, b []byte) acme.ID {
	id, err := acme.IDFromBytes(b)
	if err != nil {
		d.Fail(field, "%v", err)
	}
	return id
}

// EncodeOptionalID is empty for the zero ID.
func EncodeOptionalID(id acme.ID) []byte {
	if id.IsZero() {
		return nil
	}
	return id[:]
}

// OptionalID reads an ID; no bytes are the zero ID.
func (d *Decoder) OptionalID(field string, b []byte) acme.ID {
	if len(b) == 0 {
		return acme.ID{}
	}
	return d.ID(field, b)
}

// Serial reads a serial.
func (d *Decoder) Serial(field string, b []byte) acme.Serial {
	serial, err := acme.SerialFromBytes(b)
	switch {
	case err != nil:
		d.Fail(field, "%v", err)
	case len(serial.Bytes()) != len(b):
		d.Fail(field, "a serial number has no leading zero octets here")
		return acme.Serial{}
	}
	return serial
}

// OptionalSerial reads a serial; no bytes are the zero Serial.
func (d *Decoder) OptionalSerial(field string, b []byte) acme.Serial {
	if len(b) == 0 {
		return acme.Serial{}
	}
	return d.Serial(field, b)
}

// EncodeCertID is empty for the zero CertID.
func EncodeCertID(id acme.CertID) string {
	if id.IsZero() {
		return ""
	}
	return id.String()
}

// OptionalCertID reads a CertID (RFC 9773 §4.1); no text is the zero CertID.
func (d *Decoder) OptionalCertID(field, s string) acme.CertID {
	if s == "" {
		return acme.CertID{}
	}
	id, err := acme.ParseCertID(s)
	if err != nil {
		d.Fail(field, "%v", err)
		return acme.CertID{}
	}
	return id
}

// EncodeIssuerID is the 20 bytes of an issuer identifier.
func EncodeIssuerID(id acme.IssuerID) []byte { return id[:] }

// IssuerID reads an issuer identifier.
func (d *Decoder) IssuerID(field string, b []byte) acme.IssuerID {
	if len(b) != len(acme.IssuerID{}) {
		d.Fail(field, "an issuer identifier has %d bytes, not %d", len(acme.IssuerID{}), len(b))
		return acme.IssuerID{}
	}
	return acme.IssuerID(b)
}

// Int reads an int.
func (d *Decoder) Int(field string, v int64) int {
	if int64(int(v)) != v {
		d.Fail(field, "%d is out of range", v)
		return 0
	}
	return int(v)
}
