package acme

import (
	"encoding/base64"
	"strings"
)

// CertID names a certificate by its issuer's key identifier and its serial
// (RFC 9773 §4.1).
type CertID struct {
	keyID  string // octets of the authority key identifier
	serial Serial
}

// NewCertID makes the CertID of a certificate.
func NewCertID(authorityKeyID []byte, serial Serial) CertID {
	return CertID{string(authorityKeyID), serial}
}

// ParseCertID reads the form that String writes, and no other: a certificate
// has one CertID. The error is a *Problem.
func ParseCertID(s string) (CertID, error) {
	bad := func(what string) (CertID, error) {
		return CertID{}, NewProblem(Malformed, "the certificate identifier %s; it is base64url(authority key identifier) \".\" base64url(serial number), without padding (RFC 9773 §4.1)", what)
	}
	if len(s) > 200 {
		return bad("is too long")
	}
	key, serial, ok := strings.Cut(s, ".")
	if !ok {
		return bad("has no dot")
	}
	keyID, err1 := base64.RawURLEncoding.Strict().DecodeString(key)
	octets, err2 := base64.RawURLEncoding.Strict().DecodeString(serial)
	if err1 != nil || err2 != nil || strings.ContainsAny(s, "\r\n") || len(keyID) == 0 {
		return bad("is not base64url")
	}
	// The serial's octets are those of its DER encoding: a leading zero where
	// the next bit is set, and only there.
	if len(octets) == 0 || octets[0]&0x80 != 0 || len(octets) > 1 && octets[0] == 0 && octets[1]&0x80 == 0 {
		return bad("has a serial number that is not in DER form")
	}
	n, err := SerialFromBytes(octets)
	if err != nil {
		return bad("has no legal serial number")
	}
	return CertID{string(keyID), n}, nil
}

// AuthorityKeyID is the key identifier of the issuer.
func (c CertID) AuthorityKeyID() []byte { return []byte(c.keyID) }

// Serial is the serial number.
func (c CertID) Serial() Serial { return c.serial }

// String is the form of RFC 9773 §4.1.
func (c CertID) String() string {
	octets := c.serial.Bytes()
	if len(octets) > 0 && octets[0]&0x80 != 0 {
		octets = append([]byte{0}, octets...)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(c.keyID)) + "." + base64.RawURLEncoding.EncodeToString(octets)
}

// IsZero tells whether the CertID was never set.
func (c CertID) IsZero() bool { return c == CertID{} }
