package ocsp

import (
	"bytes"
	"encoding/asn1"
	"errors"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/cairn-ca/cairn/internal/acme"
)

// Bounds of what is accepted. A request for one certificate has some 70 to 120
// octets.
const (
	maxRequest      = 8 << 10
	maxCertificates = 16
	maxSerial       = 32
	// RFC 9654 §2.1: a nonce has 1 to 128 octets.
	maxNonce = 128
)

// request is an OCSPRequest (RFC 6960 §4.1.1). Its signature, which the RFC
// makes optional, is not looked at: the answer is the same for everyone.
type request struct {
	certificates []certID
	// nonce is the value of the nonce extension, an OCTET STRING in DER; nil:
	// none.
	nonce []byte
}

// certID names a certificate by its issuer and serial.
type certID struct {
	raw     []byte    // DER, as the client wrote it: the answer repeats it
	issuer  issuerRef // what it says of the issuer
	serial  acme.Serial
	illegal bool // the serial is none that a certificate can have
}

// issuerRef is a CertID without its serial: hash algorithm, hash of the name,
// hash of the key.
type issuerRef struct{ algorithm, name, key string }

var errMalformed = errors.New("the request is malformed")

var (
	oidNonce        = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}
	oidAcceptable   = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 4}
	tagExplicit0    = cryptobyte_asn1.Tag(0).Constructed().ContextSpecific()
	tagExplicit1    = cryptobyte_asn1.Tag(1).Constructed().ContextSpecific()
	tagExplicit2    = cryptobyte_asn1.Tag(2).Constructed().ContextSpecific()
	asn1Sequence    = cryptobyte_asn1.SEQUENCE
	asn1OctetString = cryptobyte_asn1.OCTET_STRING
)

// parseRequest reads an OCSPRequest in DER. Every error is errMalformed.
func parseRequest(der []byte) (request, error) {
	if len(der) > maxRequest {
		return request{}, errMalformed
	}
	input := cryptobyte.String(der)
	var whole, tbs, list cryptobyte.String
	if !input.ReadASN1(&whole, asn1Sequence) || !input.Empty() ||
		!whole.ReadASN1(&tbs, asn1Sequence) ||
		!whole.SkipOptionalASN1(tagExplicit0) || !whole.Empty() { // optionalSignature
		return request{}, errMalformed
	}
	var version int64
	if !readVersion(&tbs, &version) || version != 0 ||
		!tbs.SkipOptionalASN1(tagExplicit1) || // requestorName
		!tbs.ReadASN1(&list, asn1Sequence) {
		return request{}, errMalformed
	}
	var r request
	for !list.Empty() {
		var single cryptobyte.String
		if len(r.certificates) == maxCertificates || !list.ReadASN1(&single, asn1Sequence) {
			return request{}, errMalformed
		}
		id, ok := readCertID(&single)
		if !ok || !readExtensions(&single, tagExplicit0, nil) || !single.Empty() {
			return request{}, errMalformed
		}
		r.certificates = append(r.certificates, id)
	}
	if len(r.certificates) == 0 {
		return request{}, errMalformed
	}
	if !readExtensions(&tbs, tagExplicit2, &r.nonce) || !tbs.Empty() {
		return request{}, errMalformed
	}
	return r, nil
}

func readVersion(s *cryptobyte.String, version *int64) bool {
	var explicit cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&explicit, &present, tagExplicit0) {
		return false
	}
	return !present || explicit.ReadASN1Integer(version) && explicit.Empty()
}

func readCertID(s *cryptobyte.String) (certID, bool) {
	var element, body, algorithm, serial cryptobyte.String
	var oid asn1.ObjectIdentifier
	var name, key cryptobyte.String
	if !s.ReadASN1Element(&element, asn1Sequence) {
		return certID{}, false
	}
	id := certID{raw: element}
	if !element.ReadASN1(&body, asn1Sequence) ||
		!body.ReadASN1(&algorithm, asn1Sequence) ||
		!algorithm.ReadASN1ObjectIdentifier(&oid) ||
		!algorithm.SkipOptionalASN1(cryptobyte_asn1.NULL) || !algorithm.Empty() ||
		!body.ReadASN1(&name, asn1OctetString) ||
		!body.ReadASN1(&key, asn1OctetString) ||
		!body.ReadASN1(&serial, cryptobyte_asn1.INTEGER) || !body.Empty() ||
		len(serial) == 0 || len(serial) > maxSerial {
		return certID{}, false
	}
	id.issuer = issuerRef{oid.String(), string(name), string(key)}
	if serial[0]&0x80 != 0 {
		id.illegal = true // negative
		return id, true
	}
	var err error
	id.serial, err = acme.SerialFromBytes(bytes.Clone(serial))
	id.illegal = err != nil
	return id, true
}

// readExtensions reads optional extensions under an explicit tag. Into nonce,
// unless nil, it takes the value of a nonce extension; critical extensions that
// are not known make the request malformed (RFC 6960 §4.4).
func readExtensions(s *cryptobyte.String, tag cryptobyte_asn1.Tag, nonce *[]byte) bool {
	var explicit, list cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&explicit, &present, tag) {
		return false
	}
	if !present {
		return true
	}
	if !explicit.ReadASN1(&list, asn1Sequence) || !explicit.Empty() {
		return false
	}
	for !list.Empty() {
		var extension, value cryptobyte.String
		var oid asn1.ObjectIdentifier
		var critical bool
		if !list.ReadASN1(&extension, asn1Sequence) ||
			!extension.ReadASN1ObjectIdentifier(&oid) ||
			extension.PeekASN1Tag(cryptobyte_asn1.BOOLEAN) && !extension.ReadASN1Boolean(&critical) ||
			!extension.ReadASN1(&value, asn1OctetString) || !extension.Empty() {
			return false
		}
		switch {
		case nonce != nil && oid.Equal(oidNonce):
			if *nonce != nil || !validNonce(value) {
				return false
			}
			*nonce = value
		case oid.Equal(oidAcceptable):
			// §4.4.3: basic answers are acceptable to all.
		case critical:
			return false
		}
	}
	return true
}

func validNonce(value cryptobyte.String) bool {
	var octets cryptobyte.String
	return value.ReadASN1(&octets, asn1OctetString) && value.Empty() && len(octets) >= 1 && len(octets) <= maxNonce
}
