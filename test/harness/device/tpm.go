package device

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

// TPM is a TPM 2.0 whose keys are in memory.
type TPM struct {
	*Authority
	// AIK is the attestation identity key, Key the attested one; each an
	// *ecdsa.PrivateKey on P-256 or an *rsa.PrivateKey.
	AIK, Key crypto.Signer
	// Names are what the AIK's certificate has as AltNames takes it.
	Names []string
	// EditPublic, EditInfo and Edit change the public area, what is certified,
	// and the AIK's certificate.
	EditPublic func(*tpm2.TPMTPublic)
	EditInfo   func(*tpm2.TPMSAttest)
	Edit       func(*x509.Certificate)
}

// TPMName is what TPM a certificate speaks of, for Names.
const TPMName = "tpm:id:FFFFF1D0,swtpm,id:20191023"

// Attest makes a statement for a challenge's key authorization.
func (d TPM) Attest(t testing.TB, keyAuthorization string) Statement {
	t.Helper()
	public := PublicArea(t, d.Key.Public())
	if d.EditPublic != nil {
		d.EditPublic(&public)
	}
	name, err := tpm2.ObjectName(&public)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(keyAuthorization))
	info := tpm2.TPMSAttest{
		Magic: tpm2.TPMGeneratedValue, Type: tpm2.TPMSTAttestCertify, QualifiedSigner: tpm2.TPM2BName{Buffer: []byte("signer")},
		ExtraData: tpm2.TPM2BData{Buffer: digest[:]}, FirmwareVersion: 7,
		Attested: tpm2.NewTPMUAttest(tpm2.TPMSTAttestCertify, &tpm2.TPMSCertifyInfo{Name: *name, QualifiedName: *name}),
	}
	if d.EditInfo != nil {
		d.EditInfo(&info)
	}
	certInfo := tpm2.Marshal(info)
	return Statement{"tpm", map[string]any{
		"ver": "2.0", "alg": algorithm(d.AIK), "sig": tpmSignature(t, d.AIK, certInfo),
		"certInfo": certInfo, "pubArea": tpm2.Marshal(public), "x5c": d.AIKChain(t, d.AIK.Public()),
	}}
}

// AIKChain is a certificate for an AIK, and that of its issuer.
func (d TPM) AIKChain(t testing.TB, aik crypto.PublicKey) [][]byte {
	t.Helper()
	template := Template()
	template.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{2, 23, 133, 8, 3}}
	if len(d.Names) > 0 {
		template.ExtraExtensions = []pkix.Extension{{Id: oidSubjectAltName, Critical: true, Value: AltNames(t, d.Names...)}}
	}
	return d.chain(t, template, aik, d.Edit)
}

// tpmSignature is a TPMT_SIGNATURE.
func tpmSignature(t testing.TB, key crypto.Signer, message []byte) []byte {
	t.Helper()
	plain := Sign(t, key, string(message))
	if _, ok := key.(*rsa.PrivateKey); ok {
		return tpm2.Marshal(tpm2.TPMTSignature{SigAlg: tpm2.TPMAlgRSASSA, Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgRSASSA,
			&tpm2.TPMSSignatureRSA{Hash: tpm2.TPMAlgSHA256, Sig: tpm2.TPM2BPublicKeyRSA{Buffer: plain}})})
	}
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(plain, &rs); err != nil {
		t.Fatal(err)
	}
	return tpm2.Marshal(tpm2.TPMTSignature{SigAlg: tpm2.TPMAlgECDSA, Signature: tpm2.NewTPMUSignature(tpm2.TPMAlgECDSA,
		&tpm2.TPMSSignatureECC{Hash: tpm2.TPMAlgSHA256, SignatureR: tpm2.TPM2BECCParameter{Buffer: rs.R.Bytes()}, SignatureS: tpm2.TPM2BECCParameter{Buffer: rs.S.Bytes()}})})
}

// Attributes are those of a signing key that the TPM made and keeps.
var Attributes = tpm2.TPMAObject{FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, SignEncrypt: true}

// PublicArea is the TPMT_PUBLIC of a key.
func PublicArea(t testing.TB, key crypto.PublicKey) tpm2.TPMTPublic {
	t.Helper()
	public := tpm2.TPMTPublic{NameAlg: tpm2.TPMAlgSHA256, ObjectAttributes: Attributes}
	switch k := key.(type) {
	case *rsa.PublicKey:
		public.Type = tpm2.TPMAlgRSA
		public.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{
			Scheme:  tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgRSASSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSASSA, &tpm2.TPMSSigSchemeRSASSA{HashAlg: tpm2.TPMAlgSHA256})},
			KeyBits: tpm2.TPMKeyBits(k.N.BitLen()),
		})
		public.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{Buffer: k.N.Bytes()})
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			t.Fatal("only P-256 keys are played")
		}
		point, err := k.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		public.Type = tpm2.TPMAlgECC
		public.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
			Scheme:  tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256})},
			CurveID: tpm2.TPMECCNistP256,
		})
		public.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
			X: tpm2.TPM2BECCParameter{Buffer: point[1:33]}, Y: tpm2.TPM2BECCParameter{Buffer: point[33:]},
		})
	default:
		t.Fatalf("a TPM has no %T", key)
	}
	return public
}
