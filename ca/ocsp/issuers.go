package ocsp

import (
	"context"
	"crypto/sha1" //nolint:gosec // RFC 6960 clients name issuers by it
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/cairn-ca/cairn/internal/acme"
)

// issuer is an issuing CA of the store.
type issuer struct {
	id          acme.IssuerID
	certificate *x509.Certificate
}

// issuers knows by which hashes clients name the store's issuers.
type issuers struct {
	store  Store
	now    func() time.Time
	logger *slog.Logger

	known atomic.Pointer[map[issuerRef]*issuer]
	// mu is held while the list is read: those who need it wait for it, those
	// whose issuer is known do not.
	mu     sync.Mutex
	loaded time.Time
}

// reloadAfter bounds how often requests for issuers that are not known make
// the list be read again.
const reloadAfter = 5 * time.Second

const (
	algorithmSHA1   = "1.3.14.3.2.26"
	algorithmSHA256 = "2.16.840.1.101.3.4.2.1"
)

// find is the issuer that a CertID names; nil for one that is not ours. An
// error when that can't be told.
func (s *issuers) find(ctx context.Context, ref issuerRef) (*issuer, error) {
	if found := s.lookup(ref); found != nil {
		return found, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loaded.IsZero() || s.now().Sub(s.loaded) >= reloadAfter {
		list, err := s.store.Issuers(ctx)
		if err != nil {
			return nil, fmt.Errorf("reading the issuers: %w", err)
		}
		byRef, err := refsOf(list)
		if err != nil {
			// The others are answered for.
			s.logger.LogAttrs(ctx, slog.LevelError, "an issuer of the store can't be read; OCSP requests for it are refused", slog.Any("error", err))
		}
		s.known.Store(&byRef)
		s.loaded = s.now()
	}
	return s.lookup(ref), nil
}

func (s *issuers) lookup(ref issuerRef) *issuer {
	known := s.known.Load()
	if known == nil {
		return nil
	}
	return (*known)[ref]
}

// refsOf gives the issuers that can be read, and an error about the others.
func refsOf(list []acme.Issuer) (map[issuerRef]*issuer, error) {
	byRef := make(map[issuerRef]*issuer, 2*len(list))
	var unreadable []error
	for _, stored := range list {
		for _, chain := range stored.Chains {
			if len(chain) == 0 {
				unreadable = append(unreadable, fmt.Errorf("a chain of issuer %s is empty", stored.ID))
				continue
			}
			cert, err := x509.ParseCertificate(chain[0])
			if err != nil {
				unreadable = append(unreadable, fmt.Errorf("parsing the certificate of issuer %s: %w", stored.ID, err))
				continue
			}
			public, err := publicKeyBits(cert.RawSubjectPublicKeyInfo)
			if err != nil {
				unreadable = append(unreadable, fmt.Errorf("the certificate of issuer %s: %w", stored.ID, err))
				continue
			}
			found := &issuer{stored.ID, cert}
			name1, key1 := sha1.Sum(cert.RawSubject), sha1.Sum(public)
			name256, key256 := sha256.Sum256(cert.RawSubject), sha256.Sum256(public)
			byRef[issuerRef{algorithmSHA1, string(name1[:]), string(key1[:])}] = found
			byRef[issuerRef{algorithmSHA256, string(name256[:]), string(key256[:])}] = found
		}
	}
	return byRef, errors.Join(unreadable...)
}

// publicKeyBits is the content of the subjectPublicKey BIT STRING, which RFC
// 6960 §4.1.1 has hashed.
func publicKeyBits(spki []byte) ([]byte, error) {
	input := cryptobyte.String(spki)
	var body cryptobyte.String
	var bits asn1.BitString
	if !input.ReadASN1(&body, asn1Sequence) || !body.SkipASN1(cryptobyte_asn1.SEQUENCE) || !body.ReadASN1BitString(&bits) {
		return nil, fmt.Errorf("its public key can't be read")
	}
	return bits.RightAlign(), nil
}
