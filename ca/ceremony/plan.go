package ceremony

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"time"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
)

// Plan is what a ceremony is to make. Every artefact has a name, by which
// others refer to it; names are unique in a plan. Files are named relative to
// the ceremony's folder.
type Plan struct {
	// Lint is what certificates must pass.
	Lint ca.LintPolicy
	// Existing are CAs that were made before, whose keys may be used.
	Existing          []Existing
	Roots             []CA
	Intermediates     []CA
	CrossCertificates []Cross
	OCSPSigners       []OCSPSigner
	CRLs              []CRL
	Chains            []Chain
}

// Key is a key that the ceremony makes, or that exists.
type Key struct {
	Type key.Type
	Bits int // of an RSA key; 0: the usual size
	// File is where a key is, or is to be: a new one below the ceremony's
	// folder, an existing one anywhere. Empty: PKCS11 says.
	File string
	// Passphrase encrypts a new file, or opens an existing one. nil: the file
	// is not encrypted.
	Passphrase key.Passphrase
	// PKCS11 is the URI of a key on a token (RFC 7512).
	PKCS11 string
}

// String is where the key is.
func (k Key) String() string {
	if k.PKCS11 != "" {
		return k.PKCS11
	}
	return k.File
}

// Existing is a CA that was made before.
type Existing struct {
	Name        string
	Certificate *x509.Certificate
	// Issuer is the name of the existing CA that issued it; empty: it is a
	// root, or its issuer is not there.
	Issuer string
	// Key is its key; nil: it signs nothing in this ceremony.
	Key *Key
}

// Validity is the time that a certificate or CRL is for.
type Validity struct {
	// NotBefore is the first moment; zero: that of the ceremony.
	NotBefore time.Time
	// For is from the first to the last moment, both included.
	For time.Duration
}

// CA is a root or an intermediate.
type CA struct {
	Name     string
	File     string // the certificate, PEM
	Subject  pkix.Name
	Key      Key
	Validity Validity
	// Issuer is the name of the CA that certifies an intermediate.
	Issuer string
	Extensions
}

// Extensions are what a CA's certificate allows and points to. Roots have none
// of them but the path length.
type Extensions struct {
	// PathLength is how many CAs may follow below; nil: any number.
	PathLength        *int
	ExtendedKeyUsages []x509.ExtKeyUsage
	Policies          []x509.OID
	CRLURL            string
	OCSPURL           string
	IssuerURL         string
	// PermittedNames and PermittedAddresses are name constraints; empty: none.
	PermittedNames     []string
	PermittedAddresses []*net.IPNet
}

// Cross is a cross-certificate: another certificate for the key and name of a
// CA, by an issuer that is not its own.
type Cross struct {
	Name     string
	File     string
	Of       string // the CA that is certified
	Issuer   string
	Validity Validity
	Extensions
}

// OCSPSigner is a delegated OCSP signer (RFC 6960 §4.2.2.2).
type OCSPSigner struct {
	Name     string
	File     string
	Key      Key
	Issuer   string
	Validity Validity
}

// CRL is a complete CRL of an issuer, for the certificates of CAs.
type CRL struct {
	Name     string
	File     string // DER
	Issuer   string
	Number   int64
	Validity Validity
	Revoked  []Revoked
}

// Revoked is an entry of a CRL.
type Revoked struct {
	Serial acme.Serial
	At     time.Time
	Reason acme.RevocationReason
}

// Chain is a file with several certificates, each issued by the next.
type Chain struct {
	Name         string
	File         string
	Certificates []string // names of CAs and cross-certificates
}
