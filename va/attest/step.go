package attest

import (
	"crypto"
	"encoding/asn1"
	"math/big"

	"github.com/cairn-ca/cairn/internal/acme"
)

// oidYubicoSerial is the extension with the serial number of a YubiKey, an
// INTEGER, in the certificates by which it attests PIV keys.
var oidYubicoSerial = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 41482, 3, 7}

// verifyStep verifies a statement of the format "step", which step-ca and its
// clients have for keys in the PIV slots of a YubiKey: the certificate by
// which the YubiKey attests the key, and a signature of that key on the key
// authorization.
func verifyStep(v *verification) (crypto.PublicKey, error) {
	algorithm, err := v.algorithm()
	if err != nil {
		return nil, err
	}
	chain, err := v.chain()
	if err != nil {
		return nil, err
	}
	leaf := chain[0]
	if !v.signedByKey(algorithm, leaf.PublicKey) {
		return nil, refuse("\"sig\" is no signature of the attested key on this challenge's key authorization")
	}
	value, ok := extension(leaf, oidYubicoSerial)
	if !ok {
		return nil, refuse("the attestation certificate has no serial number of a YubiKey (%s)", oidYubicoSerial)
	}
	var serial *big.Int
	if rest, err := asn1.Unmarshal(value, &serial); err != nil || len(rest) > 0 || serial.Sign() < 0 || serial.BitLen() > 64 {
		return nil, refuse("the serial number of the YubiKey can't be read")
	}
	if err := v.identify(named([]acme.Identifier(nil), serial.String())); err != nil {
		return nil, err
	}
	return leaf.PublicKey, nil
}

// signedByKey checks the statement's signature on the key authorization.
// Clients of step-ca wrap it into a CBOR byte string once more.
func (v *verification) signedByKey(a algorithm, key crypto.PublicKey) bool {
	if a.verify(key, []byte(v.KeyAuthorization), v.Signature) {
		return true
	}
	var inner []byte
	return decMode.Unmarshal(v.Signature, &inner) == nil && a.verify(key, []byte(v.KeyAuthorization), inner)
}
