package crl

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// batch is how many entries are parsed at once.
const batch = 1000

// checker holds a CRL to what it is to be: nothing is lost in it, before it is
// signed, and run, when it is.
type checker struct {
	store    Store
	hold     *holding // renewed meanwhile; nil: nothing to renew
	issuer   Issuer
	list     *list
	previous *document // the CRL that it replaces; nil: none
	// expiresAfter: entries of certificates that expired before may be gone.
	expiresAfter time.Time
}

// run parses the CRL with another package than the one that wrote it, verifies
// its signature, and compares it with what it is to say.
//
// The package parses CRLs in memory, so it gets the CRL in several, each with
// some of the entries and all of the rest.
func (c *checker) run(der *io.SectionReader) error {
	d, err := open(der)
	if err != nil {
		return fmt.Errorf("parsing it: %w", err)
	}
	records, err := c.list.want.reader()
	if err != nil {
		return err
	}
	want := wanted{records: readRecords(records)}
	list := d.entries()
	for first := true; ; first = false {
		var some []byte
		n := 0
		for n < batch {
			entry, ok := list.next()
			if !ok {
				break
			}
			some, n = append(some, entry...), n+1
		}
		if list.err != nil {
			return fmt.Errorf("parsing it: %w", list.err)
		}
		if n > 0 || first {
			part, err := d.with(some)
			if err != nil {
				return err
			}
			parsed, err := x509.ParseRevocationList(part)
			if err != nil {
				return fmt.Errorf("parsing it: %w", err)
			}
			if first {
				if err := c.frame(d, parsed); err != nil {
					return err
				}
			}
			if len(parsed.RevokedCertificateEntries) != n {
				return fmt.Errorf("%d entries are read as %d", n, len(parsed.RevokedCertificateEntries))
			}
			if err := want.same(parsed.RevokedCertificateEntries); err != nil {
				return err
			}
		}
		if n < batch {
			break
		}
	}
	return want.end()
}

// frame checks everything but the entries.
func (c *checker) frame(d *document, parsed *x509.RevocationList) error {
	a, err := key.AlgorithmOf(c.issuer.Certificate.PublicKey)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(d.closing, a.Identifier) { // the parser compared it with the signed one
		return errors.New("its signature algorithm is another")
	}
	if err := key.VerifyReader(c.issuer.Certificate.PublicKey, io.NewSectionReader(d.signed, 0, d.signed.Size()), parsed.Signature); err != nil {
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
	return nil
}

// wanted is what a CRL is to say, in that order.
type wanted struct {
	records records
	n       int
}

// same tells whether the next entries are the wanted ones.
func (w *wanted) same(have []x509.RevocationListEntry) error {
	for _, h := range have {
		want, err := w.records.next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("it has more entries than %d", w.n)
		}
		if err != nil {
			return err
		}
		switch {
		case h.SerialNumber.Cmp(want.serial.Big()) != 0:
			return fmt.Errorf("entry %d is of certificate %x, not %s", w.n, h.SerialNumber, want.serial)
		case h.RevocationTime.Unix() != want.at:
			return fmt.Errorf("certificate %s is revoked at %s in it, not at %s", want.serial, h.RevocationTime, time.Unix(want.at, 0).UTC())
		case h.ReasonCode != int(want.reason):
			return fmt.Errorf("the reason of certificate %s in it is %d, not %d", want.serial, h.ReasonCode, want.reason)
		case len(h.Extensions) > 1 || len(h.Extensions) == 1 && want.reason == acme.ReasonUnspecified:
			return fmt.Errorf("the entry of certificate %s has extensions that it should not have", want.serial)
		}
		w.n++
	}
	return nil
}

// end tells whether there is nothing more to say.
func (w *wanted) end() error {
	want, err := w.records.next()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("it ends after %d entries, before certificate %s", w.n, want.serial)
}

// nothingLost looks for entries of the CRL before that this one lacks. Both are
// in the order of their serials.
func (c *checker) nothingLost(ctx context.Context) error {
	if c.previous == nil {
		return nil
	}
	written, err := c.list.entries.reader()
	if err != nil {
		return err
	}
	before, now := c.previous.entries(), newEntries(written)
	var have []byte
	for {
		want, ok := before.nextSerial()
		if !ok {
			return errors.Join(before.err, now.err)
		}
		for have == nil || bytes.Compare(have, want) < 0 {
			if have, ok = now.nextSerial(); !ok {
				have = nil
				break
			}
		}
		if bytes.Equal(have, want) {
			continue
		}
		if now.err != nil {
			return now.err
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
	if err := c.hold.renew(ctx); err != nil {
		return err
	}
	cert, err := c.store.Certificate(ctx, serial)
	switch {
	case errors.Is(err, sa.ErrNotFound):
		// It may be valid for years: an entry goes when the store knows that
		// the certificate expired, not when the store lost it.
		return fmt.Errorf("it lacks certificate %s, which the CRL before has and the store has not; %s", serial, restoreIt)
	case err != nil:
		return fmt.Errorf("reading certificate %s, which the CRL before has: %w", serial, err)
	case cert.NotAfter.After(c.expiresAfter):
		return fmt.Errorf("it lacks certificate %s, which the CRL before has and which is valid until %s; %s", serial, cert.NotAfter, restoreIt)
	}
	return nil
}

const restoreIt = "restore the store from a backup, or take the revocations over from the published CRLs with cairn admin crl restore"

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
