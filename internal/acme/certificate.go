package acme

import (
	"encoding/hex"
	"fmt"
	"time"
)

// IssuerID names an issuing CA certificate's key: the first 20 octets of the
// SHA-256 of its subject public key info.
type IssuerID [20]byte

// ParseIssuerID reads the form that String writes.
func ParseIssuerID(s string) (IssuerID, error) {
	var id IssuerID
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("%q is not an issuer identifier: it has %d hexadecimal digits", bounded(s), 2*len(id))
	}
	return IssuerID(b), nil
}

// String is the identifier in lower-case hexadecimal.
func (id IssuerID) String() string { return hex.EncodeToString(id[:]) }

// Issuer is an issuing CA as everyone may know it: certificates only.
type Issuer struct {
	ID IssuerID
	// Chains are the chains that a certificate of this issuer can be served
	// with, the preferred one first. Each begins with the issuing
	// certificate and leaves the trust anchor out; DER.
	Chains [][][]byte
	// Responder is the current delegated OCSP signing certificate, DER; nil:
	// none.
	Responder []byte
}

// Certificate is the record of a certificate. It exists from before the
// issuer key is used: until then DER is nil.
type Certificate struct {
	Serial   Serial
	Issuer   IssuerID
	Account  ID // zero: the CA's own
	Order    ID // zero: the CA's own
	Profile  string
	CRLShard int
	// TBS is the to-be-signed certificate that was linted and recorded; nil
	// once DER, which contains it, is there, and while SCTs are awaited for
	// Precertificate, which contains it.
	TBS []byte
	DER []byte
	// Precertificate is what was submitted to logs (RFC 6962 §3.1), DER; nil:
	// there is none.
	Precertificate      []byte
	NotBefore, NotAfter time.Time
	RecordedAt          time.Time
	Revocation          *Revocation // nil: not revoked
}

// Signed is what was signed of the certificate, DER: itself or, until then, its
// precertificate, which binds the CA as much; nil: nothing.
func (c *Certificate) Signed() []byte {
	if c.DER != nil {
		return c.DER
	}
	return c.Precertificate
}

// Revocation is the record of a revocation.
type Revocation struct {
	Serial   Serial
	Issuer   IssuerID
	CRLShard int
	At       time.Time // revocationDate
	Reason   RevocationReason
	NotAfter time.Time // of the certificate
	// By says who asked: "account ID", "certificate key", "operator NAME".
	By string
}
