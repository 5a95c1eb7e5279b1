package ca

import (
	"crypto/x509/pkix"
	"encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// requestedExtensions is the rule for the extensions that a CSR asks for. What
// is in a certificate is the profile's to say; a request is
//
//   - honored where it must agree with what is decided already: the subject
//     alternative names are the order's (csrNames), and must-staple, which is
//     returned, is the profile's;
//   - ignored where clients ask out of habit and lose nothing they could rely
//     on: key usage, extended key usage, basic constraints of an end entity,
//     key identifiers, and whatever is unknown and not critical;
//   - refused where ignoring it would give the client something else than it
//     must have: a CA certificate, another TLS feature, an unknown extension
//     that it calls critical, and what can't be read.
func requestedExtensions(extensions []pkix.Extension) (mustStaple bool, err error) {
	for _, e := range extensions {
		switch {
		case e.Id.Equal(oidBasicConstraints):
			err = notCA(e.Value)
		case e.Id.Equal(oidTLSFeature):
			mustStaple, err = true, onlyStatusRequest(e.Value)
		case e.Critical && !ignoredExtensions[e.Id.String()]:
			err = badCSR("the CSR asks for the critical extension %s, which this CA does not know; leave it out", e.Id)
		}
		if err != nil {
			return false, err
		}
	}
	return mustStaple, nil
}

// ignoredExtensions are known, and the profile's or the order's to say.
var ignoredExtensions = map[string]bool{
	oidSubjectAltName.String(): true, oidKeyUsage.String(): true, oidExtendedKeyUsage.String(): true,
	oidSubjectKeyID.String(): true, oidAuthorityKeyID.String(): true,
}

// notCA refuses basic constraints (RFC 5280 §4.2.1.9) of a CA.
func notCA(value []byte) error {
	input := cryptobyte.String(value)
	var constraints cryptobyte.String
	isCA := false
	if !input.ReadASN1(&constraints, cryptobyte_asn1.SEQUENCE) || !input.Empty() ||
		constraints.PeekASN1Tag(cryptobyte_asn1.BOOLEAN) && !constraints.ReadASN1Boolean(&isCA) {
		return badCSR("the CSR's basic constraints can't be read; leave them out")
	}
	if isCA || !constraints.Empty() {
		return badCSR("the CSR asks for the certificate of a CA; this one certifies end entities alone")
	}
	return nil
}

// onlyStatusRequest refuses TLS features (RFC 7633) other than status_request.
func onlyStatusRequest(value []byte) error {
	var features []int
	rest, err := asn1.Unmarshal(value, &features)
	if err != nil || len(rest) > 0 || len(features) != 1 || features[0] != 5 {
		return badCSR("the CSR asks for TLS features other than status_request (5), or they can't be read; leave them out")
	}
	return nil
}
