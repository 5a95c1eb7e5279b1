package crl

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
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
// read, so that a long list costs little more memory than its bytes, once
// encoded and once as what the encoding is checked against.
type list struct {
	number                 int64
	thisUpdate, nextUpdate time.Time
	url                    string // of the shard, as in certificates
	entries                []byte
	want                   []revoked
}

// revoked is what an entry is to say.
type revoked struct {
	serial acme.Serial
	at     int64 // Unix time
	reason acme.RevocationReason
}

// add encodes the entry of a revoked certificate (RFC 5280 §5.1.2.6 and §5.3).
func (l *list) add(r acme.Revocation) error {
	b := cryptobyte.NewBuilder(l.entries)
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
	entries, err := b.Bytes()
	if err != nil {
		return fmt.Errorf("encoding the CRL entry of certificate %s: %w", r.Serial, err)
	}
	l.entries = entries
	l.want = append(l.want, revoked{r.Serial, r.At.Unix(), r.Reason})
	return nil
}

// sign encodes and signs the CRL (RFC 5280 §5.1, Baseline Requirements §7.2).
func (l *list) sign(random io.Reader, issuer *x509.Certificate, signer crypto.Signer) ([]byte, error) {
	a, err := key.AlgorithmOf(signer.Public())
	if err != nil {
		return nil, err
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, len(l.entries)+1024))
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1) // v2
		b.AddBytes(a.Identifier)
		b.AddBytes(issuer.RawSubject)
		addTime(b, l.thisUpdate)
		addTime(b, l.nextUpdate)
		if len(l.want) > 0 { // §5.1.2.6: absent when empty
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(l.entries) })
		}
		b.AddASN1(explicit(0), func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { l.addExtensions(b, issuer) })
		})
	})
	tbs, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encoding a CRL: %w", err)
	}
	return key.SignEnvelope(random, signer, tbs)
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
