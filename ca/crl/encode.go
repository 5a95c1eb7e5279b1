package crl

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
)

var (
	oidCRLNumber      = asn1.ObjectIdentifier{2, 5, 29, 20}
	oidReasonCode     = asn1.ObjectIdentifier{2, 5, 29, 21}
	oidIssuingPoint   = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidAuthorityKeyID = asn1.ObjectIdentifier{2, 5, 29, 35}
)

func explicit(n uint8) cryptobyte_asn1.Tag {
	return cryptobyte_asn1.Tag(n).Constructed().ContextSpecific()
}

// list is a CRL in the making. Its entries are encoded one by one as they are
// read, and go to a temporary file when they are many; beside them goes what
// the encoding is checked against. So a list of any length needs little memory.
type list struct {
	number                 int64
	thisUpdate, nextUpdate time.Time
	url                    string // of the shard, as in certificates

	count   int
	entries spool
	digest  hash.Hash // SHA-256 of the entries
	want    spool     // of records
}

// newList begins a list, with its temporary files in the given folder.
func newList(folder string) *list {
	return &list{entries: spool{folder: folder}, want: spool{folder: folder}, digest: sha256.New()}
}

func (l *list) close() error { return errors.Join(l.entries.close(), l.want.close()) }

// sum is the hash of the entries so far.
func (l *list) sum() [sha256.Size]byte { return [sha256.Size]byte(l.digest.Sum(nil)) }

// revoked is what an entry is to say.
type revoked struct {
	serial acme.Serial
	at     int64 // Unix time
	reason acme.RevocationReason
}

// add encodes the entry of a revoked certificate (RFC 5280 §5.1.2.6 and §5.3).
func (l *list) add(r acme.Revocation) error {
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(r.Serial.Big())
		addTime(b, r.At)
		if r.Reason == acme.ReasonUnspecified {
			return // §5.3.1: absent rather than unspecified
		}
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addExtension(b, oidReasonCode, false, func(b *cryptobyte.Builder) { b.AddASN1Enum(int64(r.Reason)) })
		})
	})
	entry, err := b.Bytes()
	if err != nil {
		return fmt.Errorf("encoding the CRL entry of certificate %s: %w", r.Serial, err)
	}
	if _, err := l.entries.Write(entry); err != nil {
		return err
	}
	l.digest.Write(entry)
	l.count++
	return writeRecord(&l.want, revoked{r.Serial, r.At.Unix(), r.Reason})
}

// sign encodes and signs the CRL (RFC 5280 §5.1, Baseline Requirements §7.2).
// What it returns reads the list's own entries, and lasts as long.
func (l *list) sign(random io.Reader, issuer *x509.Certificate, signer crypto.Signer) (*io.SectionReader, error) {
	a, err := key.AlgorithmOf(signer.Public())
	if err != nil {
		return nil, err
	}
	head, err := encode(func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1) // v2
		b.AddBytes(a.Identifier)
		b.AddBytes(issuer.RawSubject)
		addTime(b, l.thisUpdate)
		addTime(b, l.nextUpdate)
	})
	if err != nil {
		return nil, err
	}
	tail, err := encode(func(b *cryptobyte.Builder) {
		b.AddASN1(explicit(0), func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { l.addExtensions(b, issuer) })
		})
	})
	if err != nil {
		return nil, err
	}
	entries, err := l.entries.reader()
	if err != nil {
		return nil, err
	}
	if l.count > 0 { // §5.1.2.6: absent when empty
		head = append(head, sequence(entries.Size())...)
	}
	head = append(sequence(int64(len(head))+entries.Size()+int64(len(tail))), head...)
	tbs := joined{section(head), entries, section(tail)}
	if tbs.size() > maxSize {
		return nil, fmt.Errorf("the CRL would have %d bytes; spread certificates over more shards", tbs.size())
	}
	signature, err := key.SignReader(random, signer, tbs.reader())
	if err != nil {
		return nil, err
	}
	closing, err := encode(func(b *cryptobyte.Builder) {
		b.AddBytes(a.Identifier)
		b.AddASN1BitString(signature)
	})
	if err != nil {
		return nil, err
	}
	whole := sequence(tbs.size() + int64(len(closing)))
	return append(append(joined{section(whole)}, tbs...), section(closing)).reader(), nil
}

// maxSize bounds a CRL: no client takes more.
const maxSize = 1 << 31

func encode(contents cryptobyte.BuilderContinuation) ([]byte, error) {
	var b cryptobyte.Builder
	contents(&b)
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encoding a CRL: %w", err)
	}
	return der, nil
}

func section(b []byte) *io.SectionReader { return io.NewSectionReader(memory(b), 0, int64(len(b))) }

// sequence is how a SEQUENCE with contents of that length begins.
func sequence(length int64) []byte {
	tag := byte(cryptobyte_asn1.SEQUENCE)
	if length < 0x80 {
		return []byte{tag, byte(length)}
	}
	octets := bytes.TrimLeft([]byte{byte(length >> 24), byte(length >> 16), byte(length >> 8), byte(length)}, "\x00")
	return append([]byte{tag, 0x80 | byte(len(octets))}, octets...)
}

func (l *list) addExtensions(b *cryptobyte.Builder, issuer *x509.Certificate) {
	addExtension(b, oidAuthorityKeyID, false, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(issuer.SubjectKeyId) })
		})
	})
	addExtension(b, oidCRLNumber, false, func(b *cryptobyte.Builder) { b.AddASN1BigInt(big.NewInt(l.number)) })
	// RFC 5280 §5.2.5: the scope is the certificates that name this URL, none
	// of them a CA's.
	addExtension(b, oidIssuingPoint, true, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { // distributionPoint
				b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { // fullName
					b.AddASN1(cryptobyte_asn1.Tag(6).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte(l.url)) })
				})
			})
			b.AddASN1(cryptobyte_asn1.Tag(1).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddUint8(0xff) }) // onlyContainsUserCerts
		})
	})
}

func addExtension(b *cryptobyte.Builder, oid asn1.ObjectIdentifier, critical bool, value cryptobyte.BuilderContinuation) {
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		if critical {
			b.AddASN1Boolean(true)
		}
		b.AddASN1(cryptobyte_asn1.OCTET_STRING, value)
	})
}

func addTime(b *cryptobyte.Builder, t time.Time) {
	t = t.UTC().Truncate(time.Second)
	if t.Year() < 2050 { // RFC 5280 §5.1.2.4
		b.AddASN1UTCTime(t)
	} else {
		b.AddASN1GeneralizedTime(t)
	}
}
