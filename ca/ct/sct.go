package ct

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// SCT is a log's signed promise to have, or to take in, a certificate
// (RFC 6962 §3.2), version 1.
type SCT struct {
	LogID     [32]byte
	Timestamp uint64 // milliseconds since 1970
	// Extensions are the log's, as they are signed: the index of the entry in
	// logs of static-ct-api.
	Extensions []byte
	// Signature is a DigitallySigned of RFC 5246: algorithms, length, value.
	Signature []byte
}

// Time is the SCT's timestamp.
func (s SCT) Time() time.Time { return time.UnixMilli(int64(s.Timestamp)).UTC() }

const (
	// A hostile log must not make certificates that nobody can handle.
	maxSCTExtensions = 256
	maxSCTSignature  = 4 + 512
)

// entry is what an SCT is signed for.
type entry struct {
	kind EntryKind
	// tbs and issuerKeyHash are of a precertificate, certificate is DER.
	tbs           []byte
	issuerKeyHash [32]byte
	certificate   []byte
}

// EntryKind tells what is submitted.
type EntryKind int

const (
	Certificate    EntryKind = 0 // x509_entry
	Precertificate EntryKind = 1 // precert_entry
)

func (k EntryKind) String() string {
	if k == Precertificate {
		return "precertificate"
	}
	return "certificate"
}

// newEntry makes the entry of a certificate or precertificate.
func newEntry(kind EntryKind, der, issuerSPKI []byte) (entry, error) {
	e := entry{kind: kind, certificate: der}
	if kind == Certificate {
		return e, nil
	}
	tbs, err := TBSOf(der)
	if err != nil {
		return e, err
	}
	e.issuerKeyHash = sha256.Sum256(issuerSPKI)
	e.tbs, err = entryTBS(tbs, OIDPoison)
	return e, err
}

// signed is what the log signs (RFC 6962 §3.2).
func (e entry) signed(s SCT) ([]byte, error) {
	b := cryptobyte.NewBuilder(nil)
	b.AddUint8(0) // v1
	b.AddUint8(0) // certificate_timestamp
	b.AddUint64(s.Timestamp)
	b.AddUint16(uint16(e.kind))
	if e.kind == Precertificate {
		b.AddBytes(e.issuerKeyHash[:])
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(e.tbs) })
	} else {
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(e.certificate) })
	}
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(s.Extensions) })
	return b.Bytes()
}

// The algorithms of RFC 5246 §7.4.1.4.1 that logs have (RFC 6962 §2.1.4).
const (
	hashSHA256     = 4
	signatureRSA   = 1
	signatureECDSA = 3
)

// verify checks that the log signed the SCT for the entry.
func (l *Log) verify(s SCT, e entry) error {
	if s.LogID != l.ID {
		return errors.New("it is of another log")
	}
	message, err := e.signed(s)
	if err != nil {
		return fmt.Errorf("encoding what the log signs: %w", err)
	}
	in := cryptobyte.String(s.Signature)
	var hash, algorithm uint8
	var signature cryptobyte.String
	if !in.ReadUint8(&hash) || !in.ReadUint8(&algorithm) || !in.ReadUint16LengthPrefixed(&signature) || !in.Empty() {
		return errors.New("its signature has another form than RFC 6962 §3.2 says")
	}
	digest := sha256.Sum256(message)
	switch public := l.Key.(type) {
	case *ecdsa.PublicKey:
		if hash == hashSHA256 && algorithm == signatureECDSA && ecdsa.VerifyASN1(public, digest[:], signature) {
			return nil
		}
	case *rsa.PublicKey:
		if hash == hashSHA256 && algorithm == signatureRSA && rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature) == nil {
			return nil
		}
	}
	return errors.New("its signature is wrong")
}

// listExtension is the extension with the SCTs (RFC 6962 §3.3), DER.
func listExtension(scts []SCT) ([]byte, error) {
	if len(scts) == 0 {
		return nil, errors.New("a certificate needs an SCT")
	}
	list := cryptobyte.NewBuilder(nil)
	list.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, s := range scts {
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				b.AddUint8(0) // v1
				b.AddBytes(s.LogID[:])
				b.AddUint64(s.Timestamp)
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(s.Extensions) })
				b.AddBytes(s.Signature)
			})
		}
	})
	encoded, err := list.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encoding SCTs: %w", err)
	}
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(OIDSCTList)
		b.AddASN1(cryptobyte_asn1.OCTET_STRING, func(b *cryptobyte.Builder) {
			b.AddASN1OctetString(encoded)
		})
	})
	return b.Bytes()
}
