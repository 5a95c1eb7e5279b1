package attest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"slices"
)

// Bounds on the RSA keys of strangers' certificates: below, a signature proves
// little; above, verifying one takes too long.
const (
	minRSA = 2048
	maxRSA = 8192
)

// chain verifies the statement's certificates up to one of the roots and gives
// them, the statement's own first. Critical extensions of the first one are
// refused but for those that its format understands.
func (v *verification) chain(understood ...asn1.ObjectIdentifier) ([]*x509.Certificate, error) {
	certs := make([]*x509.Certificate, len(v.Certificates))
	for i, der := range v.Certificates {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, refuse("certificate %d of \"x5c\" can't be parsed: %s", i, quote(err.Error()))
		}
		if reason := unfitKey(cert.PublicKey); reason != "" {
			return nil, refuse("certificate %d of \"x5c\" has %s", i, reason)
		}
		certs[i] = cert
	}
	leaf := certs[0]
	leaf.UnhandledCriticalExtensions = slices.DeleteFunc(leaf.UnhandledCriticalExtensions, func(id asn1.ObjectIdentifier) bool {
		return slices.ContainsFunc(understood, id.Equal)
	})
	options := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: v.Now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	for _, root := range v.roots {
		options.Roots.AddCert(root)
	}
	for _, cert := range certs[1:] {
		options.Intermediates.AddCert(cert)
	}
	chains, err := leaf.Verify(options)
	if err != nil {
		return nil, refuse("the certificates of the attestation do not chain to a root that is trusted here: %s", quote(err.Error()))
	}
	// A root attests nothing itself.
	i := slices.IndexFunc(chains, func(chain []*x509.Certificate) bool { return len(chain) > 1 })
	if i < 0 {
		return nil, refuse("the certificate of the attestation is itself a root")
	}
	chain := chains[i]
	v.root = chain[len(chain)-1]
	v.step("the certificates chain to %s", quote(v.root.Subject.String()))
	return chain, nil
}

func unfitKey(key crypto.PublicKey) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < minRSA || bits > maxRSA {
			return "an RSA key of a size that is not accepted; use 2048 to 8192 bits"
		}
		return ""
	case *ecdsa.PublicKey:
		if k.Curve.Params().BitSize < 256 {
			return "an EC key on a curve that is not accepted; use P-256, P-384 or P-521"
		}
		return ""
	case ed25519.PublicKey:
		return ""
	}
	return "a key of a kind that is not known"
}

// extension is the value of a certificate's extension; false when it has none.
// crypto/x509 refuses certificates that have one twice.
func extension(cert *x509.Certificate, id asn1.ObjectIdentifier) ([]byte, bool) {
	for _, e := range cert.Extensions {
		if e.Id.Equal(id) {
			return e.Value, true
		}
	}
	return nil, false
}
