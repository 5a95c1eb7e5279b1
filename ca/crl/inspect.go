package crl

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// Inspection is what a published CRL says of itself.
type Inspection struct {
	URL     string // of its issuing distribution point; empty: it has none that Cairn would write
	Number  int64
	Entries int
}

// Inspect reads a published CRL, all of it.
func Inspect(der *io.SectionReader) (Inspection, error) {
	d, err := open(der)
	if err != nil {
		return Inspection{}, err
	}
	i := Inspection{URL: d.url(), Number: d.number()}
	list := d.entries()
	for {
		if _, ok := list.next(); !ok {
			return i, list.err
		}
		i.Entries++
	}
}

// Place tells which CRL is at a URL that Cairn wrote into certificates.
func Place(url string) (acme.IssuerID, int, bool) {
	at := strings.LastIndex(url, "/crl/")
	if at < 0 {
		return acme.IssuerID{}, 0, false
	}
	return parsePath(url[at:])
}

// Verify verifies the signature of a CRL.
func Verify(der *io.SectionReader, issuer *x509.Certificate) error {
	d, err := open(der)
	if err != nil {
		return err
	}
	frame, err := d.with(nil)
	if err != nil {
		return err
	}
	parsed, err := x509.ParseRevocationList(frame)
	if err != nil {
		return fmt.Errorf("parsing the CRL: %w", err)
	}
	if !bytes.Equal(parsed.RawIssuer, issuer.RawSubject) {
		return errors.New("the CRL is another issuer's")
	}
	a, err := key.AlgorithmOf(issuer.PublicKey)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(d.closing, a.Identifier) {
		return errors.New("the CRL is signed with another algorithm than the issuer's")
	}
	return key.VerifyReader(issuer.PublicKey, d.signed, parsed.Signature)
}

// RevocationLister lists revocations; sa.Store has it.
type RevocationLister interface {
	Revocations(ctx context.Context, page sa.RevocationPage) ([]acme.Revocation, error)
}

// Missing finds the entries of a CRL that the store has no revocation for: it
// was restored from a backup that is older than the CRL, or is damaged. The
// revocations say what the CRL says; when the certificate expires it does not
// say.
func Missing(ctx context.Context, store RevocationLister, issuer acme.IssuerID, shard int, der *io.SectionReader, found func(acme.Revocation) error) error {
	d, err := open(der)
	if err != nil {
		return err
	}
	have := &walk{ctx: ctx, store: store, page: sa.RevocationPage{Issuer: issuer, Shard: shard, Limit: pageSize}}
	list := d.entries()
	for {
		entry, ok := list.next()
		if !ok {
			return list.err
		}
		r, err := d.revocation(entry)
		if err != nil {
			return err
		}
		there, err := have.has(r.Serial.Bytes())
		if err != nil {
			return err
		}
		if there {
			continue
		}
		r.Issuer, r.CRLShard = issuer, shard
		if err := found(r); err != nil {
			return err
		}
	}
}

// revocation is what an entry says.
func (d *document) revocation(entry []byte) (acme.Revocation, error) {
	der, err := d.with(entry)
	if err != nil {
		return acme.Revocation{}, err
	}
	parsed, err := x509.ParseRevocationList(der)
	if err != nil || len(parsed.RevokedCertificateEntries) != 1 {
		return acme.Revocation{}, fmt.Errorf("parsing an entry of the CRL: %w", errors.Join(err, errNoCRL))
	}
	e := parsed.RevokedCertificateEntries[0]
	serial, err := acme.SerialFromBig(e.SerialNumber)
	if err != nil {
		return acme.Revocation{}, fmt.Errorf("an entry of the CRL: %w", err)
	}
	return acme.Revocation{Serial: serial, At: e.RevocationTime.In(time.UTC), Reason: acme.RevocationReason(e.ReasonCode)}, nil
}

// walk goes through a shard's revocations, in the order of their serials.
type walk struct {
	ctx   context.Context
	store RevocationLister
	page  sa.RevocationPage
	list  []acme.Revocation
	ended bool
}

// has tells whether a serial is there; each is greater than the one before.
func (w *walk) has(serial []byte) (bool, error) {
	for {
		for len(w.list) > 0 {
			switch c := bytes.Compare(w.list[0].Serial.Bytes(), serial); {
			case c == 0:
				return true, nil
			case c > 0:
				return false, nil
			}
			w.list = w.list[1:]
		}
		if w.ended {
			return false, nil
		}
		list, err := w.store.Revocations(w.ctx, w.page)
		if err != nil {
			return false, err
		}
		w.list, w.ended = list, len(list) < w.page.Limit
		if !w.ended {
			w.page.After = list[len(list)-1].Serial
		}
	}
}
