package attest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/binary"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// The structures of the TPM 2.0 Library, Part 2, in as far as statements have
// them. Each is read to its last octet.

// Values of TPM_ALG_ID, TPMA_OBJECT and other types of Part 2.
const (
	tpmGenerated = 0xff544347 // TPM_GENERATED_VALUE
	tpmStCertify = 0x8017     // TPM_ST_ATTEST_CERTIFY

	tpmAlgRSA    = 0x0001
	tpmAlgSHA256 = 0x000b
	tpmAlgSHA384 = 0x000c
	tpmAlgSHA512 = 0x000d
	tpmAlgNull   = 0x0010
	tpmAlgRSASSA = 0x0014
	tpmAlgRSAES  = 0x0015
	tpmAlgRSAPSS = 0x0016
	tpmAlgECDSA  = 0x0018
	tpmAlgECDAA  = 0x001a
	tpmAlgECC    = 0x0023

	tpmFixedTPM            = 1 << 1
	tpmFixedParent         = 1 << 4
	tpmSensitiveDataOrigin = 1 << 5
	tpmSign                = 1 << 18
)

var (
	tpmHashes = map[uint16]crypto.Hash{tpmAlgSHA256: crypto.SHA256, tpmAlgSHA384: crypto.SHA384, tpmAlgSHA512: crypto.SHA512}
	tpmCurves = map[uint16]elliptic.Curve{3: elliptic.P256(), 4: elliptic.P384(), 5: elliptic.P521()} // TPM_ECC_CURVE
)

// certifyInfo is what counts of a TPMS_ATTEST that certifies a key (§10.12.8,
// §10.12.3).
type certifyInfo struct {
	extraData []byte
	name      []byte // of the certified key
}

func parseCertifyInfo(data []byte) (certifyInfo, error) {
	s := cryptobyte.String(data)
	var magic uint32
	var kind uint16
	if !s.ReadUint32(&magic) || !s.ReadUint16(&kind) {
		return certifyInfo{}, refuse("\"certInfo\" is no TPMS_ATTEST")
	}
	if magic != tpmGenerated {
		return certifyInfo{}, refuse("\"certInfo\" was not made inside of a TPM: it does not begin with TPM_GENERATED_VALUE")
	}
	if kind != tpmStCertify {
		return certifyInfo{}, refuse("\"certInfo\" certifies no key: its type is %#04x, not TPM_ST_ATTEST_CERTIFY", kind)
	}
	const clockAndFirmware = 8 + 4 + 4 + 1 + 8 // TPMS_CLOCK_INFO and firmwareVersion
	var signer, extraData, name, qualifiedName cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&signer) || !s.ReadUint16LengthPrefixed(&extraData) || !s.Skip(clockAndFirmware) ||
		!s.ReadUint16LengthPrefixed(&name) || !s.ReadUint16LengthPrefixed(&qualifiedName) || !s.Empty() {
		return certifyInfo{}, refuse("\"certInfo\" is no TPMS_ATTEST")
	}
	return certifyInfo{extraData: extraData, name: name}, nil
}

// publicArea is what counts of a TPMT_PUBLIC (§12.2.4).
type publicArea struct {
	attributes uint32
	key        crypto.PublicKey
	name       []byte // TPM 2.0 Library, Part 1, §16
}

// boundToTPM refuses keys that somebody may have outside of the TPM too:
// TPM2_Certify certifies imported keys as well.
func (p publicArea) boundToTPM() error {
	for _, attribute := range []struct {
		name string
		bit  uint32
	}{{"fixedTPM", tpmFixedTPM}, {"fixedParent", tpmFixedParent}, {"sensitiveDataOrigin", tpmSensitiveDataOrigin}, {"sign", tpmSign}} {
		if p.attributes&attribute.bit == 0 {
			return refuse("the key of \"pubArea\" has not the attribute %s: it must be a signing key that the TPM made and that can't leave it", attribute.name)
		}
	}
	return nil
}

func parsePublicArea(data []byte) (publicArea, error) {
	s := cryptobyte.String(data)
	var p publicArea
	var kind, nameAlgorithm uint16
	var policy cryptobyte.String
	if !s.ReadUint16(&kind) || !s.ReadUint16(&nameAlgorithm) || !s.ReadUint32(&p.attributes) || !s.ReadUint16LengthPrefixed(&policy) {
		return publicArea{}, refuse("\"pubArea\" is no TPMT_PUBLIC")
	}
	hash, ok := tpmHashes[nameAlgorithm]
	if !ok {
		return publicArea{}, refuse("\"pubArea\" has the nameAlg %#04x; use SHA-256, SHA-384 or SHA-512", nameAlgorithm)
	}
	h := hash.New()
	h.Write(data)
	p.name = h.Sum(binary.BigEndian.AppendUint16(nil, nameAlgorithm))
	switch kind {
	case tpmAlgRSA:
		p.key = readRSA(&s)
	case tpmAlgECC:
		p.key = readECC(&s)
	default:
		return publicArea{}, refuse("\"pubArea\" is of a key of type %#04x; use an RSA or an ECC key", kind)
	}
	if p.key == nil || !s.Empty() {
		return publicArea{}, refuse("\"pubArea\" holds no public key that can be used")
	}
	if reason := unfitKey(p.key); reason != "" {
		return publicArea{}, refuse("\"pubArea\" is of %s", reason)
	}
	return p, nil
}

// readRSA reads TPMS_RSA_PARMS and TPM2B_PUBLIC_KEY_RSA; nil: they are none.
func readRSA(s *cryptobyte.String) crypto.PublicKey {
	var bits uint16
	var exponent uint32
	var modulus cryptobyte.String
	if !skipSymmetric(s) || !skipScheme(s) || !s.ReadUint16(&bits) || !s.ReadUint32(&exponent) || !s.ReadUint16LengthPrefixed(&modulus) {
		return nil
	}
	if exponent == 0 {
		exponent = 65537 // §12.2.3.5
	}
	n := new(big.Int).SetBytes(modulus)
	if n.BitLen() != int(bits) || exponent > 1<<31-1 {
		return nil
	}
	return &rsa.PublicKey{N: n, E: int(exponent)}
}

// readECC reads TPMS_ECC_PARMS and TPMS_ECC_POINT; nil: they are none, or the
// point is not on the curve.
func readECC(s *cryptobyte.String) crypto.PublicKey {
	var curveID uint16
	var x, y cryptobyte.String
	if !skipSymmetric(s) || !skipScheme(s) || !s.ReadUint16(&curveID) || !skipScheme(s) || // the last: TPMT_KDF_SCHEME
		!s.ReadUint16LengthPrefixed(&x) || !s.ReadUint16LengthPrefixed(&y) {
		return nil
	}
	curve, ok := tpmCurves[curveID]
	if !ok {
		return nil
	}
	size := (curve.Params().BitSize + 7) / 8
	if len(x) > size || len(y) > size {
		return nil
	}
	point := make([]byte, 1+2*size)
	point[0] = 4 // uncompressed
	copy(point[1+size-len(x):], x)
	copy(point[1+2*size-len(y):], y)
	key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil
	}
	return key
}

// skipSymmetric passes over a TPMT_SYM_DEF_OBJECT (§11.1.7).
func skipSymmetric(s *cryptobyte.String) bool {
	var algorithm uint16
	if !s.ReadUint16(&algorithm) {
		return false
	}
	return algorithm == tpmAlgNull || s.Skip(4) // keyBits and mode
}

// skipScheme passes over a scheme: an algorithm and, for most, its hash
// (§11.2.4.2, §11.2.5.6, §11.2.3.3).
func skipScheme(s *cryptobyte.String) bool {
	var algorithm uint16
	if !s.ReadUint16(&algorithm) {
		return false
	}
	switch algorithm {
	case tpmAlgNull, tpmAlgRSAES:
		return true
	case tpmAlgECDAA:
		return s.Skip(4) // a counter too
	}
	return s.Skip(2)
}

// plainSignature takes a signature out of its TPMT_SIGNATURE (§11.3.4). What is
// none is taken for the signature itself: Windows sends it so.
func plainSignature(data []byte, a algorithm) ([]byte, error) {
	s := cryptobyte.String(data)
	var scheme, hash uint16
	if !s.ReadUint16(&scheme) || !s.ReadUint16(&hash) {
		return data, nil
	}
	var plain []byte
	switch scheme {
	case tpmAlgRSASSA, tpmAlgRSAPSS:
		var signature cryptobyte.String
		if !s.ReadUint16LengthPrefixed(&signature) || !s.Empty() {
			return data, nil
		}
		plain = signature
	case tpmAlgECDSA:
		var r, t cryptobyte.String
		if !s.ReadUint16LengthPrefixed(&r) || !s.ReadUint16LengthPrefixed(&t) || !s.Empty() {
			return data, nil
		}
		b := cryptobyte.NewBuilder(nil)
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1BigInt(new(big.Int).SetBytes(r))
			b.AddASN1BigInt(new(big.Int).SetBytes(t))
		})
		der, err := b.Bytes()
		if err != nil {
			return nil, refuse("\"sig\" can't be read")
		}
		plain = der
	default:
		return data, nil
	}
	if tpmHashes[hash] != a.hash || (scheme == tpmAlgRSAPSS) != a.pss {
		return nil, refuse("\"sig\" was made with another algorithm than \"alg\" says, %s", a.name)
	}
	return plain, nil
}
