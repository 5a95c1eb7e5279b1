package va

import (
	"context"
	"crypto/ed25519"
	"crypto/subtle"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cryptobyteasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/cairn-ca/cairn/internal/acme"
)

// The attributes of the CSR (RFC 9799 §3.2; Baseline Requirements, appendix B).
var (
	oidCASigningNonce        = asn1.ObjectIdentifier{2, 23, 140, 41}
	oidApplicantSigningNonce = asn1.ObjectIdentifier{2, 23, 140, 42}
	oidEd25519               = asn1.ObjectIdentifier{1, 3, 101, 112} // RFC 8410 §3
)

// minApplicantNonce is 64 bits, in octets.
const minApplicantNonce = 8

// onionCSR01 is RFC 9799 §3.2: the key that an onion service's name is made of
// signs a CSR with the challenge's nonce in it. The proof is in the response;
// nothing is looked up or connected to.
type onionCSR01 struct{}

func (onionCSR01) unfit(id acme.Identifier, _ bool) string {
	if !id.IsOnion() {
		return "onion-csr-01 proves control of the names of onion services only"
	}
	return ""
}

func (onionCSR01) prove(_ context.Context, t *try) *failure {
	nonce, err := base64.RawURLEncoding.DecodeString(t.Token)
	if err != nil || len(nonce) == 0 {
		return wrong(acme.ServerInternal, "the challenge's nonce can't be read")
	}
	service := t.Identifier.OnionService()
	csr, err := parseOnionCSR(t.Response)
	if err != nil {
		return wrong(acme.BadCSR, "the CSR of the response is refused: %s", err)
	}
	t.step("CSR signed with the key %x, applicantSigningNonce %.64x", []byte(csr.key), csr.applicantNonce)
	switch {
	case !csr.key.Equal(service.OnionKey()):
		return wrong(acme.Unauthorized, "the CSR's key is not that of %s: sign it with the key in the service's hs_ed25519_secret_key", service.Value())
	case !ed25519.Verify(csr.key, csr.signed, csr.signature):
		return wrong(acme.Unauthorized, "the CSR's signature does not verify with the key of %s", service.Value())
	case csr.caNonce == nil:
		return wrong(acme.IncorrectResponse, "the CSR has no caSigningNonce attribute (%s); it holds the octets of the challenge's nonce", oidCASigningNonce)
	case subtle.ConstantTimeCompare(csr.caNonce, nonce) != 1:
		return wrong(acme.IncorrectResponse, "the caSigningNonce of the CSR is not the challenge's nonce: put the octets there that %q is the base64 of", base64.StdEncoding.EncodeToString(nonce))
	case csr.applicantNonce == nil:
		return wrong(acme.IncorrectResponse, "the CSR has no applicantSigningNonce attribute (%s); it holds %d random octets or more", oidApplicantSigningNonce, minApplicantNonce)
	case len(csr.applicantNonce) < minApplicantNonce:
		return wrong(acme.IncorrectResponse, "the applicantSigningNonce of the CSR has %d octets; at least %d are needed", len(csr.applicantNonce), minApplicantNonce)
	}
	return nil
}

// onionCSR is what a CSR says for onion-csr-01. A nonce that is not there is
// nil.
type onionCSR struct {
	signed, signature       []byte
	key                     ed25519.PublicKey
	caNonce, applicantNonce []byte
}

// parseOnionCSR reads a PKCS#10 request (RFC 2986 §4) in DER. The subject and
// other attributes are passed over (RFC 9799 §3.2). The error is for the
// client.
func parseOnionCSR(der []byte) (onionCSR, error) {
	var c onionCSR
	var request, signed, info, algorithm cryptobyte.String
	input := cryptobyte.String(der)
	if !input.ReadASN1(&request, cryptobyteasn1.SEQUENCE) || !input.Empty() ||
		!request.ReadASN1Element(&signed, cryptobyteasn1.SEQUENCE) ||
		!request.ReadASN1(&algorithm, cryptobyteasn1.SEQUENCE) ||
		!request.ReadASN1BitStringAsBytes(&c.signature) || !request.Empty() {
		return c, errors.New("it is not a PKCS#10 request in DER")
	}
	if !isEd25519(algorithm) {
		return c, errors.New("its signature is not of Ed25519")
	}
	c.signed = signed
	if !signed.ReadASN1(&info, cryptobyteasn1.SEQUENCE) {
		return c, errors.New("it is not a PKCS#10 request in DER")
	}
	var version int
	var subject, spki, attributes cryptobyte.String
	var some bool
	if !info.ReadASN1Integer(&version) || version != 0 ||
		!info.ReadASN1(&subject, cryptobyteasn1.SEQUENCE) ||
		!info.ReadASN1(&spki, cryptobyteasn1.SEQUENCE) ||
		!info.ReadOptionalASN1(&attributes, &some, cryptobyteasn1.Tag(0).ContextSpecific().Constructed()) || !info.Empty() {
		return c, errors.New("it is not a PKCS#10 request of version 1 in DER")
	}
	var err error
	if c.key, err = onionPublicKey(spki); err != nil {
		return c, err
	}
	for !attributes.Empty() {
		if err := c.attribute(&attributes); err != nil {
			return c, err
		}
	}
	return c, nil
}

func isEd25519(algorithm cryptobyte.String) bool {
	var oid asn1.ObjectIdentifier
	return algorithm.ReadASN1ObjectIdentifier(&oid) && oid.Equal(oidEd25519) && algorithm.Empty()
}

func onionPublicKey(spki cryptobyte.String) (ed25519.PublicKey, error) {
	var algorithm cryptobyte.String
	var key []byte
	if !spki.ReadASN1(&algorithm, cryptobyteasn1.SEQUENCE) || !spki.ReadASN1BitStringAsBytes(&key) || !spki.Empty() {
		return nil, errors.New("its public key can't be read")
	}
	if !isEd25519(algorithm) || len(key) != ed25519.PublicKeySize {
		return nil, errors.New("its public key is not of Ed25519, which the keys of onion services are")
	}
	return key, nil
}

// attribute reads one attribute. The nonces are single-valued (RFC 9799 §3.2).
func (c *onionCSR) attribute(attributes *cryptobyte.String) error {
	var attribute, values cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !attributes.ReadASN1(&attribute, cryptobyteasn1.SEQUENCE) ||
		!attribute.ReadASN1ObjectIdentifier(&oid) ||
		!attribute.ReadASN1(&values, cryptobyteasn1.SET) || !attribute.Empty() {
		return errors.New("its attributes can't be read")
	}
	var nonce *[]byte
	var name string
	switch {
	case oid.Equal(oidCASigningNonce):
		nonce, name = &c.caNonce, "caSigningNonce"
	case oid.Equal(oidApplicantSigningNonce):
		nonce, name = &c.applicantNonce, "applicantSigningNonce"
	default:
		return nil
	}
	var value cryptobyte.String
	switch {
	case *nonce != nil:
		return fmt.Errorf("it has the attribute %s twice", name)
	case !values.ReadASN1(&value, cryptobyteasn1.OCTET_STRING) || !values.Empty():
		return fmt.Errorf("its attribute %s must have one OCTET STRING as its value", name)
	}
	*nonce = append([]byte{}, value...)
	return nil
}
