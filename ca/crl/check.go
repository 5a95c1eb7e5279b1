package crl

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// checker holds a CRL to what it is to be: nothing is lost in it, before it is
// signed, and run, when it is.
type checker struct {
	store    Store
	issuer   Issuer
	list     *list
	previous []byte // the CRL that it replaces; nil: none
	// expiresAfter: entries of certificates that expired before may be gone.
	expiresAfter time.Time
}

// run parses the CRL with another package than the one that wrote it, verifies
// its signature, and compares it with what it is to say.
func (c *checker) run(der []byte) error {
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
	}
	if url, err := pointOf(parsed.Extensions); err != nil {
		return err
	} else if url != c.list.url {
		return fmt.Errorf("its URL is %q, not %q", url, c.list.url)
	}
	return sameEntries(parsed.RevokedCertificateEntries, c.list.want)
}

// sameEntries tells whether a CRL says what it is to say, in that order.
func sameEntries(have []x509.RevocationListEntry, want []revoked) error {
	if len(have) != len(want) {
		return fmt.Errorf("it has %d entries, not %d", len(have), len(want))
	}
	for i, w := range want {
		switch h := have[i]; {
		case h.SerialNumber.Cmp(w.serial.Big()) != 0:
			return fmt.Errorf("entry %d is of certificate %x, not %s", i, h.SerialNumber, w.serial)
		case h.RevocationTime.Unix() != w.at:
			return fmt.Errorf("certificate %s is revoked at %s in it, not at %s", w.serial, h.RevocationTime, time.Unix(w.at, 0).UTC())
		case h.ReasonCode != int(w.reason):
			return fmt.Errorf("the reason of certificate %s in it is %d, not %d", w.serial, h.ReasonCode, w.reason)
		case len(h.Extensions) > 1 || len(h.Extensions) == 1 && w.reason == acme.ReasonUnspecified:
			return fmt.Errorf("the entry of certificate %s has extensions that it should not have", w.serial)
		}
	}
	return nil
}

// nothingLost looks for entries of the CRL before that this one lacks. Both are
// in the order of their serials.
func (c *checker) nothingLost(ctx context.Context) error {
	if c.previous == nil {
		return nil
	}
	before, err := readEntries(c.previous)
	if err != nil {
		return fmt.Errorf("reading the CRL before: %w", err)
	}
	now := &entries{rest: c.list.entries}
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
		// It may be valid for years: an entry goes when the store knows that
		// the certificate expired, not when the store lost it.
		return fmt.Errorf("it lacks certificate %s, which the CRL before has and the store has not; restore the store from a backup", serial)
	case err != nil:
		return fmt.Errorf("reading certificate %s, which the CRL before has: %w", serial, err)
	case cert.NotAfter.After(c.expiresAfter):
		return fmt.Errorf("it lacks certificate %s, which the CRL before has and which is valid until %s; restore its revocation, or revoke it again", serial, cert.NotAfter)
	}
	return nil
}

// pointOf is the URL of the issuing distribution point, which is to be of the
// form that addExtensions writes.
func pointOf(extensions []pkix.Extension) (string, error) {
	for _, e := range extensions {
		if !e.Id.Equal(oidIssuingPoint) {
			continue
		}
		if !e.Critical {
			return "", errors.New("its issuing distribution point is not critical")
		}
		return readPoint(e.Value)
	}
	return "", errors.New("it has no issuing distribution point")
}

func readPoint(der cryptobyte.String) (string, error) {
	var whole, point, full, url, users cryptobyte.String
	if !der.ReadASN1(&whole, cryptobyte_asn1.SEQUENCE) || !der.Empty() ||
		!whole.ReadASN1(&point, explicit(0)) ||
		!point.ReadASN1(&full, explicit(0)) || !point.Empty() ||
		!full.ReadASN1(&url, cryptobyte_asn1.Tag(6).ContextSpecific()) || !full.Empty() ||
		!whole.ReadASN1(&users, cryptobyte_asn1.Tag(1).ContextSpecific()) || !whole.Empty() ||
		!bytes.Equal(users, []byte{0xff}) {
		return "", errors.New("its issuing distribution point is not one URL, for user certificates")
	}
	return string(url), nil
}

// entries iterates over the serials of a CRL.
type entries struct {
	rest cryptobyte.String
	// extensions are the CRL's own, with their explicit tag.
	extensions cryptobyte.String
	err        error
}

// url is the URL that the CRL names as its own; empty: none that this package
// would write.
func (e *entries) url() string {
	extensions := e.extensions
	var tagged, list cryptobyte.String
	if !extensions.ReadASN1(&tagged, explicit(0)) || !tagged.ReadASN1(&list, cryptobyte_asn1.SEQUENCE) {
		return ""
	}
	for !list.Empty() {
		var extension, value cryptobyte.String
		var oid asn1.ObjectIdentifier
		if !list.ReadASN1(&extension, cryptobyte_asn1.SEQUENCE) || !extension.ReadASN1ObjectIdentifier(&oid) ||
			!extension.SkipOptionalASN1(cryptobyte_asn1.BOOLEAN) || !extension.ReadASN1(&value, cryptobyte_asn1.OCTET_STRING) {
			return ""
		}
		if oid.Equal(oidIssuingPoint) {
			url, err := readPoint(value)
			if err != nil {
				return ""
			}
			return url
		}
	}
	return ""
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
	return &entries{rest: list, extensions: tbs}, nil
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
