package ca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
)

// OCSPSigner is a delegated OCSP signer (RFC 6960 §4.2.2.2): the key of a
// responder that holds no issuer key.
type OCSPSigner struct {
	Issuer      acme.IssuerID
	Signer      crypto.Signer
	Certificate []byte // DER
	NotAfter    time.Time
}

// ocspSignerValidity is how long a signer is valid. It is replaced when two
// thirds are over, so that the last answers it signed end before it does.
const ocspSignerValidity = 60 * 24 * time.Hour

func ocspKeyFile(folder string, id acme.IssuerID) string {
	return filepath.Join(folder, "ocsp-"+id.String()+".key")
}

func ocspCertificateFile(folder string, id acme.IssuerID) string {
	return filepath.Join(folder, "ocsp-"+id.String()+".pem")
}

// LoadOCSPSigner reads the signer of an issuer from a folder that a signing
// authority keeps. The error wraps fs.ErrNotExist when there is none.
func LoadOCSPSigner(folder string, id acme.IssuerID) (OCSPSigner, error) {
	data, err := key.ReadPublic(ocspCertificateFile(folder, id))
	if err != nil {
		return OCSPSigner{}, fmt.Errorf("reading an OCSP signer's certificate: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != key.PEMCertificate {
		return OCSPSigner{}, fmt.Errorf("%s holds no certificate; remove it, and a new signer is made", ocspCertificateFile(folder, id))
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return OCSPSigner{}, fmt.Errorf("%s: %w; remove it, and a new signer is made", ocspCertificateFile(folder, id), err)
	}
	signer, err := key.ReadFile(ocspKeyFile(folder, id))
	if err != nil {
		return OCSPSigner{}, fmt.Errorf("reading an OCSP signer's key: %w", err)
	}
	if !key.Equal(cert.PublicKey, signer.Public()) {
		return OCSPSigner{}, errMismatch
	}
	return OCSPSigner{id, signer, block.Bytes, cert.NotAfter}, nil
}

// errMismatch is a key and a certificate that don't belong together, as a
// crash between the writing of the two leaves them.
var errMismatch = errors.New("the OCSP signer's key and certificate are not of one pair")

// OCSPSigners are the current signers.
func (c *CA) OCSPSigners() []OCSPSigner {
	c.mu.Lock()
	defer c.mu.Unlock()
	signers := make([]OCSPSigner, 0, len(c.signers))
	for _, iss := range c.issuers {
		if s, ok := c.signers[iss.id]; ok {
			signers = append(signers, s)
		}
	}
	return signers
}

// ocspSignerProfile is the profile of the signers' certificates.
type ocspSignerProfile struct {
	compiled
	templates map[acme.IssuerID]*template
}

func newOCSPSignerProfile() (ocspSignerProfile, error) {
	linter, err := newLinter(LintPolicy{})
	if err != nil {
		return ocspSignerProfile{}, err
	}
	return ocspSignerProfile{compiled{Profile: Profile{Name: OCSPSignerProfile}, linter: linter}, make(map[acme.IssuerID]*template)}, nil
}

// errForeign is a signer that is not the issuer's of today.
var errForeign = errors.New("the OCSP signer is not of its issuer")

// delegated checks what clients will check of a signer (RFC 6960 §4.2.2.2).
func delegated(s OCSPSigner, iss *issuer, now time.Time) error {
	cert, err := x509.ParseCertificate(s.Certificate)
	if err != nil {
		return fmt.Errorf("parsing an OCSP signer's certificate: %w", err)
	}
	switch {
	case !bytes.Equal(cert.RawIssuer, iss.certificate.RawSubject) || !bytes.Equal(cert.AuthorityKeyId, iss.certificate.SubjectKeyId):
		return fmt.Errorf("%w: its certificate names another issuer", errForeign)
	case cert.CheckSignatureFrom(iss.certificate) != nil:
		return fmt.Errorf("%w: another key signed its certificate", errForeign)
	case len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageOCSPSigning:
		return fmt.Errorf("%w: its certificate is not for OCSP signing", errForeign)
	case now.Before(cert.NotBefore) || !now.Before(cert.NotAfter):
		return fmt.Errorf("%w: its certificate is valid from %s to %s", errForeign, cert.NotBefore, cert.NotAfter)
	}
	return nil
}

// loadOCSPSigners takes the signers from the folder, and makes those that are
// not there, are not the issuer's, or are about to end.
func (c *CA) loadOCSPSigners(ctx context.Context) error {
	if c.OCSPFolder == "" {
		return nil
	}
	for _, iss := range c.issuers {
		s, err := LoadOCSPSigner(c.OCSPFolder, iss.id)
		if err == nil {
			err = delegated(s, iss, c.Now())
		}
		switch {
		case err == nil && !c.due(s):
			if err := checkIssuer(s.Certificate); err != nil {
				return fmt.Errorf("issuer %s must not sign any more; make a new intermediate: %w", iss.id, err)
			}
			c.setSigner(s)
			continue
		case err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errMismatch) && !errors.Is(err, errForeign):
			return err
		case err != nil:
			c.Logger.LogAttrs(ctx, slog.LevelInfo, "making an OCSP signer", slog.String("issuer", iss.id.String()), slog.String("why", err.Error()))
		}
		if err := c.makeOCSPSigner(ctx, iss); err != nil {
			return err
		}
	}
	return nil
}

func (c *CA) due(s OCSPSigner) bool {
	return c.Now().After(s.NotAfter.Add(-ocspSignerValidity / 3))
}

func (c *CA) setSigner(s OCSPSigner) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signers[s.Issuer] = s
}

// rotateOCSPSigners replaces the signers that are due, and tells the store.
func (c *CA) rotateOCSPSigners(ctx context.Context) error {
	made := false
	for _, s := range c.OCSPSigners() {
		if !c.due(s) {
			continue
		}
		iss, err := c.issuer(s.Issuer)
		if err != nil {
			return err
		}
		if err := c.makeOCSPSigner(ctx, iss); err != nil {
			return err
		}
		made = true
	}
	if !made {
		return nil
	}
	return c.publishIssuers(ctx)
}

// makeOCSPSigner makes a signer's key, certifies it, and writes both. A crash
// between the two files leaves a pair that does not match, and the next start
// makes another.
func (c *CA) makeOCSPSigner(ctx context.Context, iss *issuer) error {
	signer, err := key.Generate(iss.keyType, c.Random)
	if err != nil {
		return fmt.Errorf("making an OCSP signer's key: %w", err)
	}
	spki, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		return fmt.Errorf("encoding an OCSP signer's key: %w", err)
	}
	subject, err := ocspSubject(iss)
	if err != nil {
		return err
	}
	now := c.Now().UTC().Truncate(time.Second)
	cert, err := c.build(ctx, &c.responder.compiled, c.responder.templates[iss.id], leaf{
		notBefore: now.Add(-time.Hour), notAfter: now.Add(ocspSignerValidity), subject: subject, public: signer.Public(), spki: spki,
	})
	if err != nil {
		return err
	}
	der, err := c.issueOwn(ctx, cert)
	if err != nil {
		return err
	}
	if err := checkIssuer(der); err != nil {
		return fmt.Errorf("issuer %s must not sign any more; make a new intermediate: %w", iss.id, err)
	}
	encoded, err := key.Encode(signer)
	if err != nil {
		return err
	}
	if err := key.Replace(c.Random, ocspKeyFile(c.OCSPFolder, iss.id), encoded, 0o600); err != nil {
		return err
	}
	if err := key.Replace(c.Random, ocspCertificateFile(c.OCSPFolder, iss.id), encodePEM(der), 0o644); err != nil {
		return err
	}
	c.setSigner(OCSPSigner{iss.id, signer, der, cert.NotAfter})
	return nil
}

// ocspSubject is the issuer's subject with a common name of its own.
func ocspSubject(iss *issuer) ([]byte, error) {
	name := iss.certificate.Subject
	name.Names, name.ExtraNames = nil, nil
	name.CommonName = "OCSP signer of " + iss.id.String()[:16]
	der, err := asn1.Marshal(name.ToRDNSequence())
	if err != nil {
		return nil, fmt.Errorf("encoding an OCSP signer's subject: %w", err)
	}
	return der, nil
}

func encodePEM(ders ...[]byte) []byte {
	var out []byte
	for _, der := range ders {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: key.PEMCertificate, Bytes: der})...)
	}
	return out
}
