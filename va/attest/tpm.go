package attest

import (
	"bytes"
	"crypto"
	"crypto/subtle"
	"crypto/x509"
	"encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/cairn-ca/cairn/internal/acme"
)

var (
	oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
	// oidAIKCertificate is tcg-kp-AIKCertificate.
	oidAIKCertificate = asn1.ObjectIdentifier{2, 23, 133, 8, 3}
	// The attributes of the TPM in the directoryName of an AIK certificate
	// (TCG EK Credential Profile §3.2.9).
	tpmAttributes = map[string]asn1.ObjectIdentifier{
		"tpmManufacturer": {2, 23, 133, 2, 1}, "tpmModel": {2, 23, 133, 2, 2}, "tpmVersion": {2, 23, 133, 2, 3},
	}
)

// verifyTPM verifies a statement of the format "tpm" (WebAuthn §8.3): the
// attestation identity key (AIK) of a TPM 2.0 certifies a key that the TPM
// holds. The device is the one that the AIK's certificate names.
func verifyTPM(v *verification) (crypto.PublicKey, error) {
	if v.Version != "2.0" {
		return nil, refuse("\"ver\" is %s; statements of the format tpm are of version 2.0", quote(v.Version))
	}
	algorithm, err := v.algorithm()
	if err != nil {
		return nil, err
	}
	if algorithm.hash == 0 {
		return nil, refuse("no TPM signs with %s", algorithm.name)
	}
	public, err := parsePublicArea(v.PubArea)
	if err != nil {
		return nil, err
	}
	if err := public.boundToTPM(); err != nil {
		return nil, err
	}
	info, err := parseCertifyInfo(v.CertInfo)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(info.extraData, algorithm.sum([]byte(v.KeyAuthorization))) != 1 {
		return nil, refuse("extraData of \"certInfo\" is not the hash of this challenge's key authorization: the statement was made for another challenge or account")
	}
	if !bytes.Equal(info.name, public.name) {
		return nil, refuse("\"certInfo\" certifies another key than that of \"pubArea\"")
	}
	chain, err := v.chain(oidSubjectAltName) // it is critical where there is no subject
	if err != nil {
		return nil, err
	}
	aik := chain[0]
	if err := checkAIK(aik); err != nil {
		return nil, err
	}
	signature, err := plainSignature(v.Signature, algorithm)
	if err != nil {
		return nil, err
	}
	if !algorithm.verify(aik.PublicKey, v.CertInfo, signature) {
		return nil, refuse("\"sig\" is no %s signature of the AIK on \"certInfo\"", algorithm.name)
	}
	if err := v.identify(acme.DevicesIn(aik)); err != nil {
		return nil, err
	}
	return public.key, nil
}

// checkAIK holds the AIK's certificate to WebAuthn §8.3.1.
func checkAIK(cert *x509.Certificate) error {
	bad := func(format string, args ...any) error {
		return refuse("the AIK certificate "+format+" (WebAuthn §8.3.1)", args...)
	}
	san, hasSAN := extension(cert, oidSubjectAltName)
	switch {
	case cert.Version != 3:
		return bad("is of version %d, not 3", cert.Version)
	case len(cert.Subject.Names) > 0:
		return bad("has a subject; it must be empty")
	case !hasSAN:
		return bad("has no subject alternative names")
	case cert.IsCA:
		return bad("is that of a CA")
	}
	hasUsage := false
	for _, usage := range cert.UnknownExtKeyUsage {
		hasUsage = hasUsage || usage.Equal(oidAIKCertificate)
	}
	if !hasUsage {
		return bad("has not the extended key usage tcg-kp-AIKCertificate (%s)", oidAIKCertificate)
	}
	present := directoryAttributes(san)
	for name, id := range tpmAttributes {
		if !present[id.String()] {
			return bad("does not say in its subject alternative names what TPM it is: %s (%s) is missing", name, id)
		}
	}
	return nil
}

// directoryAttributes are the types of the attributes that stand in the
// directoryNames of a subject alternative name extension with a value.
func directoryAttributes(san []byte) map[string]bool {
	found := make(map[string]bool)
	s := cryptobyte.String(san)
	var list cryptobyte.String
	if !s.ReadASN1(&list, cryptobyte_asn1.SEQUENCE) {
		return found
	}
	for !list.Empty() {
		var general, rdns cryptobyte.String
		var tag cryptobyte_asn1.Tag
		if !list.ReadAnyASN1(&general, &tag) {
			return found
		}
		if tag != cryptobyte_asn1.Tag(4).Constructed().ContextSpecific() || !general.ReadASN1(&rdns, cryptobyte_asn1.SEQUENCE) {
			continue
		}
		for !rdns.Empty() {
			var set cryptobyte.String
			if !rdns.ReadASN1(&set, cryptobyte_asn1.SET) {
				return found
			}
			for !set.Empty() {
				var attribute, value cryptobyte.String
				var id asn1.ObjectIdentifier
				var tag cryptobyte_asn1.Tag
				if !set.ReadASN1(&attribute, cryptobyte_asn1.SEQUENCE) || !attribute.ReadASN1ObjectIdentifier(&id) ||
					!attribute.ReadAnyASN1(&value, &tag) {
					return found
				}
				if len(value) > 0 {
					found[id.String()] = true
				}
			}
		}
	}
	return found
}
