package crl

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// checker holds a signed CRL to what it is to be.
type checker struct {
	store    Store
	issuer   Issuer
	list     *list
	previous []byte // the CRL that it replaces; nil: none
	// expiresAfter: entries of certificates that expired before may be gone.
	expiresAfter time.Time
}

// run parses the CRL with another package than the one that wrote it, verifies
// its signature, and looks for entries of the CRL before that are lost.
func (c *checker) run(ctx context.Context, der []byte) error {
	parsed, err := x509.ParseRevocationList(der)
	if err != nil {
		return fmt.Errorf("parsing it: %w", err)
	}
	if err := parsed.CheckSignatureFrom(c.issuer.Certificate); err != nil {
		return fmt.Errorf("verifying its signature: %w", err)
	}
	switch {
	case !bytes.Equal(parsed.RawIssuer, c.issuer.Certificate.RawSubject):
		return errors.New("its issuer is another")
	case !bytes.Equal(parsed.AuthorityKeyId, c.issuer.Certificate.SubjectKeyId):
		return errors.New("its authority key identifier is another")
	case parsed.Number == nil || !parsed.Number.IsInt64() || parsed.Number.Int64() != c.list.number:
		return fmt.Errorf("its number is %v, not %d", parsed.Number, c.list.number)
	case !parsed.ThisUpdate.Equal(c.list.thisUpdate) || !parsed.NextUpdate.Equal(c.list.nextUpdate):
		return errors.New("its times are others")
	case len(parsed.RevokedCertificateEntries) != c.list.count:
		return fmt.Errorf("it has %d entries, not %d", len(parsed.RevokedCertificateEntries), c.list.count)
	case !names(der, c.list.url):
		return errors.New("it does not name its URL")
	}
	if c.previous == nil {
		return nil
	}
	return c.compare(ctx, der)
}

// compare walks through the entries of the previous CRL and this one, which
// both are in the order of their serials.
func (c *checker) compare(ctx context.Context, der []byte) error {
	before, err := readEntries(c.previous)
	if err != nil {
		return fmt.Errorf("reading the CRL before: %w", err)
	}
	now, err := readEntries(der)
	if err != nil {
		return fmt.Errorf("reading its entries: %w", err)
	}
	var have []byte
	for {
		want, ok := before.next()
		if !ok {
			return errors.Join(before.err, now.err)
		}
		for have == nil || bytes.Compare(have, want) < 0 {
			if have, ok = now.next(); !ok {
				have = nil
				break
			}
		}
		if bytes.Equal(have, want) {
			continue
		}
		if err := c.mayBeGone(ctx, want); err != nil {
			return err
		}
	}
}

// mayBeGone tells whether the entry of the given serial can be left out.
func (c *checker) mayBeGone(ctx context.Context, octets []byte) error {
	serial, err := acme.SerialFromBytes(octets)
	if err != nil {
		return fmt.Errorf("an entry of the CRL before: %w", err)
	}
	cert, err := c.store.Certificate(ctx, serial)
	switch {
	case errors.Is(err, sa.ErrNotFound):
		return nil // expired so long ago that the store has forgotten it
	case err != nil:
		return fmt.Errorf("reading certificate %s, which the CRL before has: %w", serial, err)
	case cert.NotAfter.After(c.expiresAfter):
		return fmt.Errorf("it lacks certificate %s, which the CRL before has and which is valid until %s", serial, cert.NotAfter)
	}
	return nil
}

// names tells whether a CRL has the URL in it: only the issuing distribution
// point has one.
func names(der []byte, url string) bool { return bytes.Contains(der, []byte(url)) }

// entries iterates over the serials of a CRL.
type entries struct {
	rest cryptobyte.String
	err  error
}

// readEntries finds the revokedCertificates of a CRL (RFC 5280 §5.1).
func readEntries(der []byte) (*entries, error) {
	input := cryptobyte.String(der)
	var whole, tbs, list cryptobyte.String
	if !input.ReadASN1(&whole, cryptobyte_asn1.SEQUENCE) || !whole.ReadASN1(&tbs, cryptobyte_asn1.SEQUENCE) ||
		!tbs.SkipOptionalASN1(cryptobyte_asn1.INTEGER) || // version
		!tbs.SkipASN1(cryptobyte_asn1.SEQUENCE) || // signature
		!tbs.SkipASN1(cryptobyte_asn1.SEQUENCE) || // issuer
		!skipTime(&tbs) || !skipTime(&tbs) {
		return nil, errors.New("it is no CRL")
	}
	if tbs.PeekASN1Tag(cryptobyte_asn1.SEQUENCE) && !tbs.ReadASN1(&list, cryptobyte_asn1.SEQUENCE) {
		return nil, errors.New("its entries can't be read")
	}
	return &entries{rest: list}, nil
}

func skipTime(s *cryptobyte.String) bool {
	if s.PeekASN1Tag(cryptobyte_asn1.UTCTime) {
		return s.SkipASN1(cryptobyte_asn1.UTCTime)
	}
	return s.SkipASN1(cryptobyte_asn1.GeneralizedTime)
}

// next is the magnitude of the next serial; false at the end, or with err set.
func (e *entries) next() ([]byte, bool) {
	if e.err != nil || e.rest.Empty() {
		return nil, false
	}
	var entry, serial cryptobyte.String
	if !e.rest.ReadASN1(&entry, cryptobyte_asn1.SEQUENCE) || !entry.ReadASN1(&serial, cryptobyte_asn1.INTEGER) {
		e.err = errors.New("an entry can't be read")
		return nil, false
	}
	return bytes.TrimLeft(serial, "\x00"), true
}
