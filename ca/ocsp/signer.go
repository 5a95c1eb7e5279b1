package ocsp

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // RFC 6960 §4.2.1 names responders by it
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
)

// signer is a Signer that was checked, with what its answers need of it.
type signer struct {
	Signer
	algorithm key.Algorithm
	keyHash   []byte // SHA-1 of the public key: the ResponderID
	notAfter  time.Time
}

// signers checks each signer once.
type signers struct {
	source Signers

	mu      sync.Mutex
	checked map[acme.IssuerID]*signer
}

// errNoSigner is the lack of a signer, for now: one that is there and is not fit
// to sign is another error.
var errNoSigner = errors.New("no OCSP signer is at hand")

// of is the current signer of an issuer.
func (s *signers) of(iss *issuer) (*signer, error) {
	current, err := s.source.OCSPSigner(iss.id)
	if err != nil {
		return nil, fmt.Errorf("%w: that of issuer %s: %w", errNoSigner, iss.id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.checked[iss.id]; known != nil && bytes.Equal(known.Certificate, current.Certificate) && key.Equal(known.Key.Public(), current.Key.Public()) {
		return known, nil
	}
	checked, err := newSigner(current, iss.certificate)
	if err != nil {
		return nil, fmt.Errorf("the OCSP signer of issuer %s: %w", iss.id, err)
	}
	s.checked[iss.id] = checked
	return checked, nil
}

// newSigner checks what clients will check of a delegated signer (RFC 6960
// §4.2.2.2): an answer that none of them trusts is worse than an error.
func newSigner(s Signer, issuer *x509.Certificate) (*signer, error) {
	cert, err := x509.ParseCertificate(s.Certificate)
	if err != nil {
		return nil, fmt.Errorf("parsing its certificate: %w", err)
	}
	switch {
	case !key.Equal(cert.PublicKey, s.Key.Public()):
		return nil, errors.New("its certificate is for another key")
	case !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return nil, errors.New("its certificate does not have the extended key usage OCSPSigning")
	case !bytes.Equal(cert.RawIssuer, issuer.RawSubject):
		return nil, errors.New("its certificate is another issuer's")
	}
	if err := cert.CheckSignatureFrom(issuer); err != nil {
		return nil, fmt.Errorf("verifying its certificate: %w", err)
	}
	public, err := publicKeyBits(cert.RawSubjectPublicKeyInfo)
	if err != nil {
		return nil, fmt.Errorf("its certificate: %w", err)
	}
	algorithm, err := key.AlgorithmOf(cert.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("its key: %w", err)
	}
	hash := sha1.Sum(public)
	return &signer{s, algorithm, hash[:], cert.NotAfter}, nil
}
