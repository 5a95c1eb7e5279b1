package ocsp

import (
	"encoding/asn1"
	"fmt"
	"io"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
)

// responseStatus is an OCSPResponseStatus (RFC 6960 §4.2.1).
type responseStatus byte

const (
	successful       responseStatus = 0
	malformedRequest responseStatus = 1
	internalError    responseStatus = 2
	tryLater         responseStatus = 3
	unauthorized     responseStatus = 6
)

func (s responseStatus) String() string {
	switch s {
	case successful:
		return "successful"
	case malformedRequest:
		return "malformedRequest"
	case internalError:
		return "internalError"
	case tryLater:
		return "tryLater"
	default:
		return "unauthorized"
	}
}

// failure is the OCSPResponse that says no more than its status.
func failure(s responseStatus) []byte { return []byte{0x30, 0x03, 0x0a, 0x01, byte(s)} }

// certStatus is what is said of a certificate.
type certStatus byte

const (
	good certStatus = iota
	revoked
	unknown
)

func (s certStatus) String() string { return [...]string{"good", "revoked", "unknown"}[s] }

// single is a SingleResponse.
type single struct {
	id        []byte // DER of the CertID
	status    certStatus
	revokedAt time.Time
	reason    acme.RevocationReason
}

// same tells whether two answers say the same.
func (s single) same(other single) bool {
	return s.status == other.status && s.reason == other.reason && s.revokedAt.Equal(other.revokedAt)
}

// basic is what a BasicOCSPResponse is made of.
type basic struct {
	singles                            []single
	producedAt, thisUpdate, nextUpdate time.Time
	unknownUntil                       time.Time // nextUpdate of what is unknown
	nonce                              []byte    // value of the extension; nil: none
}

var oidBasic = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}

// sign encodes and signs a successful OCSPResponse.
func (r basic) sign(random io.Reader, s *signer) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, 512))
	b.AddASN1(asn1Sequence, func(b *cryptobyte.Builder) { // ResponseData
		b.AddASN1(tagExplicit2, func(b *cryptobyte.Builder) { b.AddASN1OctetString(s.keyHash) }) // byKey
		b.AddASN1GeneralizedTime(r.producedAt)
		b.AddASN1(asn1Sequence, func(b *cryptobyte.Builder) {
			for _, one := range r.singles {
				r.addSingle(b, one)
			}
		})
		if r.nonce != nil {
			b.AddASN1(tagExplicit1, func(b *cryptobyte.Builder) {
				b.AddASN1(asn1Sequence, func(b *cryptobyte.Builder) {
					b.AddASN1(asn1Sequence, func(b *cryptobyte.Builder) {
						b.AddASN1ObjectIdentifier(oidNonce)
						b.AddASN1OctetString(r.nonce)
					})
				})
			})
		}
	})
	data, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encoding an OCSP response: %w", err)
	}
	signature, err := key.Sign(random, s.Key, data)
	if err != nil {
		return nil, fmt.Errorf("signing an OCSP response: %w", err)
	}
	// A faulty signature would be kept and handed out for days.
	if err := key.Verify(s.Key.Public(), data, signature); err != nil {
		return nil, fmt.Errorf("checking an OCSP response just signed: %w", err)
	}
	return wrap(data, signature, s)
}

// addSingle adds a SingleResponse. It has no extensions: Baseline Requirements
// §7.3.2 forbids the reason there.
func (r basic) addSingle(b *cryptobyte.Builder, s single) {
	b.AddASN1(asn1Sequence, func(b *cryptobyte.Builder) {
		b.AddBytes(s.id)
		switch s.status {
		case good:
			b.AddASN1(cryptobyte_asn1.Tag(0).ContextSpecific(), func(*cryptobyte.Builder) {})
		case revoked:
			b.AddASN1(tagExplicit1, func(b *cryptobyte.Builder) { // RevokedInfo, implicit
				b.AddASN1GeneralizedTime(s.revokedAt.UTC())
				if s.reason != acme.ReasonUnspecified {
					b.AddASN1(tagExplicit0, func(b *cryptobyte.Builder) { b.AddASN1Enum(int64(s.reason)) })
				}
			})
		default:
			b.AddASN1(cryptobyte_asn1.Tag(2).ContextSpecific(), func(*cryptobyte.Builder) {})
		}
		next := r.nextUpdate
		if s.status == unknown {
			next = r.unknownUntil
		}
		b.AddASN1GeneralizedTime(r.thisUpdate)
		b.AddASN1(tagExplicit0, func(b *cryptobyte.Builder) { b.AddASN1GeneralizedTime(next) })
	})
}

// wrap makes an OCSPResponse of signed ResponseData, with the signer's
// certificate.
func wrap(data, signature []byte, s *signer) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, len(data)+len(signature)+len(s.Certificate)+64))
	b.AddASN1(asn1Sequence, func(b *cryptobyte.Builder) {
		b.AddASN1Enum(int64(successful))
		b.AddASN1(tagExplicit0, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1Sequence, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidBasic)
				b.AddASN1(asn1OctetString, func(b *cryptobyte.Builder) {
					b.AddASN1(asn1Sequence, func(b *cryptobyte.Builder) {
						b.AddBytes(data)
						b.AddBytes(s.algorithm.Identifier)
						b.AddASN1BitString(signature)
						b.AddASN1(tagExplicit0, func(b *cryptobyte.Builder) {
							b.AddASN1(asn1Sequence, func(b *cryptobyte.Builder) { b.AddBytes(s.Certificate) })
						})
					})
				})
			})
		})
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encoding an OCSP response: %w", err)
	}
	return der, nil
}
