package ca

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/cairn-ca/cairn/ca/key"
)

// envelope signs a to-be-signed certificate and checks what came of it.
func (iss *issuer) envelope(random io.Reader, tbs []byte) ([]byte, error) {
	signature, err := key.Sign(random, iss.signer, tbs)
	if err != nil {
		return nil, err
	}
	der, err := key.Envelope(tbs, iss.algorithm, signature)
	if err != nil {
		return nil, err
	}
	return der, iss.checkSigned(der, tbs)
}

func (iss *issuer) checkSigned(der, tbs []byte) error {
	return checkSigned(der, tbs, iss.certificate.PublicKey)
}

// checkSigned proves, before anyone sees a certificate, that it is the
// to-be-signed part that was linted and recorded, byte for byte, with the
// algorithm that this part names, and that the signature is that of the key in
// the issuer's certificate. A fault of memory or of the key's hardware ends
// here; a signature with P-256 costs some 50 microseconds to verify.
func checkSigned(der, tbs []byte, issuer crypto.PublicKey) error {
	outer := cryptobyte.String(der)
	var certificate, signed, algorithm cryptobyte.String
	var signature []byte
	if !outer.ReadASN1(&certificate, cryptobyte_asn1.SEQUENCE) || !outer.Empty() ||
		!certificate.ReadASN1Element(&signed, cryptobyte_asn1.SEQUENCE) ||
		!certificate.ReadASN1Element(&algorithm, cryptobyte_asn1.SEQUENCE) ||
		!certificate.ReadASN1BitStringAsBytes(&signature) || !certificate.Empty() {
		return errors.New("what was signed is no certificate")
	}
	inner, err := algorithmOf(tbs)
	if err != nil {
		return err
	}
	own, err := key.AlgorithmOf(issuer)
	if err != nil {
		return err
	}
	switch {
	case !bytes.Equal(signed, tbs):
		return errors.New("the signed certificate is not the one that was recorded")
	case !bytes.Equal(algorithm, inner) || !bytes.Equal(algorithm, own.Identifier):
		return errors.New("the signed certificate has another signature algorithm than the issuer's")
	}
	if err := key.Verify(issuer, tbs, signature); err != nil {
		return fmt.Errorf("checking the signature of a certificate: %w", err)
	}
	return nil
}

// algorithmOf is the signature algorithm that a to-be-signed certificate names
// (RFC 5280 §4.1.2.3).
func algorithmOf(tbs []byte) ([]byte, error) {
	in := cryptobyte.String(tbs)
	var fields, algorithm cryptobyte.String
	if !in.ReadASN1(&fields, cryptobyte_asn1.SEQUENCE) ||
		!fields.SkipOptionalASN1(cryptobyte_asn1.Tag(0).Constructed().ContextSpecific()) || // version
		!fields.SkipASN1(cryptobyte_asn1.INTEGER) || // serialNumber
		!fields.ReadASN1Element(&algorithm, cryptobyte_asn1.SEQUENCE) {
		return nil, errors.New("it is no to-be-signed certificate")
	}
	return algorithm, nil
}

// sameBytes checks that what was signed is what was linted: the first element
// is the to-be-signed part, byte for byte.
func sameBytes(der, tbs []byte) error {
	outer := cryptobyte.String(der)
	var envelope, signed cryptobyte.String
	if !outer.ReadASN1(&envelope, cryptobyte_asn1.SEQUENCE) || !outer.Empty() ||
		!envelope.ReadASN1Element(&signed, cryptobyte_asn1.SEQUENCE) || !bytes.Equal(signed, tbs) {
		return errors.New("what was just signed is not what was linted")
	}
	return nil
}
