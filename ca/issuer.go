package ca

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
)

// IssuerConfig is an issuing CA: its key, and the chains that its
// certificates are served with.
type IssuerConfig struct {
	Signer crypto.Signer
	// Slow tells that signing may take long, as with a key in hardware or
	// behind a network: a request then waits no longer than it asked to, and
	// the work is left to this process for longer before another takes it up.
	Slow bool
	// Available tells whether the key can sign at the moment, at once and
	// without trying; nil: always. While it can't, requests are recorded, and
	// signed once it can.
	Available func() error
	// Inactive issuers sign no more certificates of subscribers, but CRLs, OCSP
	// signers, and what was recorded for them.
	Inactive bool
	// PublicURL is the base of the URLs in the issuer's certificates; empty:
	// Config.PublicURL.
	PublicURL string
	// Chains begin, each, with the issuing certificate, and leave the trust
	// anchor out; the first is the preferred one.
	Chains [][]*x509.Certificate
}

// issuer is an issuing CA that is ready to sign.
type issuer struct {
	id          acme.IssuerID
	certificate *x509.Certificate
	chains      [][][]byte
	signer      crypto.Signer
	slow        bool
	inactive    bool
	publicURL   string // without a slash at its end; empty: the CA's
	constraints nameConstraints
	available   func() error
	algorithm   key.Algorithm
	keyType     key.Type
	// throwaway is of the signer's kind, for certificates that are only
	// linted. It lives in memory alone.
	throwaway crypto.Signer
}

// IssuerIDOf is the identifier of an issuing certificate.
func IssuerIDOf(cert *x509.Certificate) acme.IssuerID {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return acme.IssuerID(sum[:20])
}

func newIssuer(cfg IssuerConfig, random io.Reader) (*issuer, error) {
	if len(cfg.Chains) == 0 || len(cfg.Chains[0]) == 0 {
		return nil, fmt.Errorf("an issuer needs a certificate")
	}
	cert := cfg.Chains[0][0]
	switch {
	case !key.Equal(cert.PublicKey, cfg.Signer.Public()):
		return nil, fmt.Errorf("the certificate of issuer %q is for another key than the one given", cert.Subject)
	case !cert.IsCA || cert.KeyUsage&x509.KeyUsageCertSign == 0 || cert.KeyUsage&x509.KeyUsageCRLSign == 0:
		return nil, fmt.Errorf("the certificate of issuer %q is not a CA's that may sign certificates and CRLs", cert.Subject)
	case len(cert.SubjectKeyId) == 0:
		return nil, fmt.Errorf("the certificate of issuer %q has no subject key identifier", cert.Subject)
	}
	// A CA whose key anyone can find, as the eMudhra ones of 2026, or break.
	if _, err := key.Check(cert.PublicKey); err != nil {
		return nil, fmt.Errorf("the key of issuer %q is not fit to sign with; make a new intermediate: %w", cert.Subject, err)
	}
	iss := &issuer{
		id: IssuerIDOf(cert), certificate: cert, signer: cfg.Signer, slow: cfg.Slow, available: cfg.Available,
		inactive: cfg.Inactive, publicURL: strings.TrimSuffix(cfg.PublicURL, "/"), constraints: constraintsOf(cert),
	}
	if iss.available == nil {
		iss.available = func() error { return nil }
	}
	var err error
	if iss.algorithm, err = key.AlgorithmOf(cfg.Signer.Public()); err != nil {
		return nil, fmt.Errorf("issuer %q: %w", cert.Subject, err)
	}
	if iss.keyType, err = key.TypeOf(cfg.Signer.Public()); err != nil {
		return nil, fmt.Errorf("issuer %q: %w", cert.Subject, err)
	}
	if iss.throwaway, err = key.Generate(iss.keyType, random); err != nil {
		return nil, fmt.Errorf("making a throwaway key: %w", err)
	}
	for _, chain := range cfg.Chains {
		var ders [][]byte
		for _, c := range chain {
			ders = append(ders, c.Raw)
		}
		if !key.Equal(chain[0].PublicKey, cert.PublicKey) || string(chain[0].RawSubject) != string(cert.RawSubject) {
			return nil, fmt.Errorf("a chain of issuer %q begins with another CA's certificate", cert.Subject)
		}
		iss.chains = append(iss.chains, ders)
	}
	return iss, nil
}

// urls makes the URLs in certificates from the public listener's base.
type urls struct {
	base          string
	ocspResponder string // empty: below base
}

func (u urls) ocsp() string {
	if u.ocspResponder != "" {
		return u.ocspResponder
	}
	return u.base + "/ocsp"
}

func (u urls) issuer(id acme.IssuerID) string { return u.base + "/issuer/" + id.String() + ".der" }
func (u urls) crl(id acme.IssuerID, shard int) string {
	return u.base + "/crl/" + id.String() + "/" + strconv.Itoa(shard) + ".crl"
}

// CRLURL is the URL of a shard's CRL, byte for byte as in certificates.
func CRLURL(publicURL string, id acme.IssuerID, shard int) string {
	return urls{base: strings.TrimSuffix(publicURL, "/")}.crl(id, shard)
}
