package ca

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
)

// Certification is the making of a certificate of the hierarchy: a CA's, or
// one of a delegated OCSP signer that the hierarchy's keeper makes by hand.
// The certificates of subscribers are CA.Issue's.
type Certification struct {
	// Template is what the certificate says, all but its issuer, key and key
	// identifiers. A serial number is made when it has none.
	Template *x509.Certificate
	// Public is the key that is certified.
	Public crypto.PublicKey
	// Issuer is the issuing CA's certificate; nil: the certificate is
	// self-signed.
	Issuer *x509.Certificate
	// Signer is the issuing CA's key.
	Signer crypto.Signer
	Lint   LintPolicy
	Now    func() time.Time
	Random io.Reader
}

// PrivateCALints are the lints that certificates of CAs need not pass outside
// of public root programs: a country in the name, and pointers to CRLs and to
// the issuer, which a private root that is kept offline does not publish.
func PrivateCALints() LintPolicy { return LintPolicy{Exclude: privateCALints} }

// CertifyCA makes the certificate of a CA. What is to be signed is linted
// first, under the signature of a key that is thrown away; what a new key says
// of itself is linted once it is signed, as nothing else would be self-signed.
// The findings are those that stop nothing.
func CertifyCA(c Certification) (cert *x509.Certificate, findings []string, err error) {
	t := *c.Template
	if t.SerialNumber == nil {
		serial, err := acme.NewSerial(c.Now(), c.Random)
		if err != nil {
			return nil, nil, err
		}
		t.SerialNumber = serial.Big()
	}
	if _, err := key.Check(c.Public); err != nil {
		return nil, nil, fmt.Errorf("the key is not fit for a CA: %w", err)
	}
	if len(t.SubjectKeyId) == 0 {
		if t.SubjectKeyId, err = subjectKeyID(c.Public); err != nil {
			return nil, nil, err
		}
	}
	var linted []byte
	if c.Issuer != nil {
		if linted, findings, err = c.lintFirst(t); err != nil {
			return nil, nil, err
		}
	}
	if cert, err = c.create(t, c.Signer); err != nil {
		return nil, nil, err
	}
	if c.Issuer == nil {
		if findings, err = lintCertificate(c.Lint, cert.Raw); err != nil {
			return nil, nil, err
		}
	} else if err := sameBytes(cert.Raw, linted); err != nil {
		return nil, nil, err
	}
	return cert, findings, checkIssuer(cert.Raw)
}

// lintFirst lints what is to be signed.
func (c Certification) lintFirst(t x509.Certificate) (tbs []byte, findings []string, err error) {
	kind, err := key.TypeOf(c.Signer.Public())
	if err != nil {
		return nil, nil, fmt.Errorf("the issuer's key: %w", err)
	}
	throwaway, err := key.Generate(kind, c.Random)
	if err != nil {
		return nil, nil, fmt.Errorf("making a throwaway key: %w", err)
	}
	tried, err := c.create(t, throwaway)
	if err != nil {
		return nil, nil, err
	}
	findings, err = lintCertificate(c.Lint, tried.Raw)
	return tried.RawTBSCertificate, findings, err
}

// create signs the certificate. The signer's key need not be the issuer's: the
// to-be-signed bytes are the same.
func (c Certification) create(t x509.Certificate, signer crypto.Signer) (*x509.Certificate, error) {
	t.PublicKey = nil
	parent := &t
	if c.Issuer != nil {
		issuer := *c.Issuer
		issuer.PublicKey = nil // or it would have to be the signer's
		parent = &issuer
	}
	der, err := x509.CreateCertificate(c.Random, &t, parent, c.Public, signer)
	if err != nil {
		return nil, fmt.Errorf("signing the certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// subjectKeyID is the key identifier of RFC 7093 §2, method 1: the leftmost
// 160 bits of the SHA-256 hash of the public key.
func subjectKeyID(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("encoding a public key: %w", err)
	}
	input := cryptobyte.String(der)
	var spki, bits cryptobyte.String
	if !input.ReadASN1(&spki, cryptobyte_asn1.SEQUENCE) || !spki.SkipASN1(cryptobyte_asn1.SEQUENCE) ||
		!spki.ReadASN1(&bits, cryptobyte_asn1.BIT_STRING) || !bits.Skip(1) { // the number of unused bits
		return nil, errors.New("encoding a public key: it has no bits")
	}
	sum := sha256.Sum256(bits)
	return sum[:20], nil
}

// CertifyOCSPSigner makes the certificate of a delegated OCSP signer (RFC 6960
// §4.2.2.2) that a person keeps, as for a root whose key is offline. Template
// gives the validity alone: the subject is the issuer's with a common name of
// its own. An authority makes the signers of its own issuers itself.
func CertifyOCSPSigner(c Certification) (cert *x509.Certificate, findings []string, err error) {
	if c.Issuer == nil {
		return nil, nil, errors.New("an OCSP signer needs an issuer")
	}
	// A dry run signs with another key of the issuer's kind.
	issuing := *c.Issuer
	issuing.PublicKey = c.Signer.Public()
	iss, err := newIssuer(IssuerConfig{Signer: c.Signer, Chains: [][]*x509.Certificate{{&issuing}}}, c.Random)
	if err != nil {
		return nil, nil, err
	}
	if _, err := key.Check(c.Public); err != nil {
		return nil, nil, fmt.Errorf("the key is not fit for an OCSP signer: %w", err)
	}
	t, err := newOCSPSignerTemplate(iss)
	if err != nil {
		return nil, nil, err
	}
	l := leaf{notBefore: c.Template.NotBefore.UTC(), notAfter: c.Template.NotAfter.UTC(), public: c.Public}
	if l.serial, err = acme.NewSerial(c.Now(), c.Random); err != nil {
		return nil, nil, err
	}
	if l.subject, err = ocspSubject(iss); err != nil {
		return nil, nil, err
	}
	if l.spki, err = x509.MarshalPKIXPublicKey(c.Public); err != nil {
		return nil, nil, fmt.Errorf("encoding an OCSP signer's key: %w", err)
	}
	tbs, err := t.build(l)
	if err != nil {
		return nil, nil, err
	}
	linter, err := newLinter(c.Lint)
	if err != nil {
		return nil, nil, err
	}
	found, err := linter.check(tbs, iss, func(tbs []byte) ([]byte, error) { return key.Sign(c.Random, iss.throwaway, tbs) })
	if err != nil {
		return nil, nil, err
	}
	der, err := key.SignEnvelope(c.Random, c.Signer, tbs)
	if err != nil {
		return nil, nil, err
	}
	if err := sameBytes(der, tbs); err != nil {
		return nil, nil, err
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		return nil, nil, fmt.Errorf("parsing the certificate just signed: %w", err)
	}
	return cert, findingTexts(found), checkIssuer(der)
}

// lintCertificate gives what the lints found that stops nothing; the error
// is what must stop the certificate.
func lintCertificate(p LintPolicy, der []byte) ([]string, error) {
	l, err := newLinter(p)
	if err != nil {
		return nil, err
	}
	found, err := l.checkCertificate(der)
	return findingTexts(found), err
}

// LintCertificate is for certificates that others made: everything the lints
// found, errors too.
func LintCertificate(p LintPolicy, der []byte) ([]string, error) {
	found, err := lintCertificate(p, der)
	if _, findings := errors.AsType[*lintError](err); findings {
		err = nil
	}
	return found, err
}

func findingTexts(found []finding) []string {
	texts := make([]string, len(found))
	for i, f := range found {
		texts[i] = f.Status.String() + " " + f.String()
	}
	return texts
}
