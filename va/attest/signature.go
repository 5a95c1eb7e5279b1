package attest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	_ "crypto/sha256" // its hashes are used by way of crypto.Hash
	_ "crypto/sha512"
)

// algorithm is a COSE signature algorithm (RFC 9053 §2, RFC 8812 §2).
type algorithm struct {
	name string
	hash crypto.Hash // 0: it signs the message itself
	pss  bool
}

// algorithms are those that statements may be signed with. SHA-1 (RS1) is not
// among them.
var algorithms = map[int64]algorithm{
	-7:   {name: "ES256", hash: crypto.SHA256},
	-35:  {name: "ES384", hash: crypto.SHA384},
	-36:  {name: "ES512", hash: crypto.SHA512},
	-8:   {name: "EdDSA"},
	-37:  {name: "PS256", hash: crypto.SHA256, pss: true},
	-38:  {name: "PS384", hash: crypto.SHA384, pss: true},
	-39:  {name: "PS512", hash: crypto.SHA512, pss: true},
	-257: {name: "RS256", hash: crypto.SHA256},
	-258: {name: "RS384", hash: crypto.SHA384},
	-259: {name: "RS512", hash: crypto.SHA512},
}

// algorithm is the statement's; the error names it when it is not accepted.
func (v *verification) algorithm() (algorithm, error) {
	a, ok := algorithms[v.Algorithm]
	if !ok {
		return algorithm{}, refuse("\"alg\" %d is not accepted", v.Algorithm)
	}
	return a, nil
}

// verify tells whether a signature is a key's on a message; false too when the
// key is not of the algorithm's kind.
func (a algorithm) verify(key crypto.PublicKey, message, signature []byte) bool {
	digest := message
	if a.hash != 0 {
		digest = a.sum(message)
	}
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		return a.name[:2] == "ES" && ecdsa.VerifyASN1(k, digest, signature)
	case ed25519.PublicKey:
		return a.hash == 0 && ed25519.Verify(k, message, signature)
	case *rsa.PublicKey:
		if a.pss {
			return rsa.VerifyPSS(k, a.hash, digest, signature, nil) == nil
		}
		return a.name[:2] == "RS" && rsa.VerifyPKCS1v15(k, a.hash, digest, signature) == nil
	}
	return false
}

// sum is the message's hash; the algorithm must have one.
func (a algorithm) sum(message []byte) []byte {
	h := a.hash.New()
	h.Write(message)
	return h.Sum(nil)
}
