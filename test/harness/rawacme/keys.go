package rawacme

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"sync"
	"testing"
)

// NewKey makes a P-256 key.
func NewKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	return NewECKey(t, elliptic.P256())
}

// NewECKey makes a key on a curve.
func NewECKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatalf("generating a key: %v", err)
	}
	return key
}

// NewEd25519Key makes an Ed25519 key.
func NewEd25519Key(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatalf("generating a key: %v", err)
	}
	return key
}

var rsaKeys struct {
	sync.Mutex
	byBits map[int]*rsa.PrivateKey
}

// SharedRSAKey is an RSA key of the given size, the same one each time: making
// one is slow. A test that needs a key of its own uses NewRSAKey.
func SharedRSAKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	rsaKeys.Lock()
	defer rsaKeys.Unlock()
	if key := rsaKeys.byBits[bits]; key != nil {
		return key
	}
	if rsaKeys.byBits == nil {
		rsaKeys.byBits = make(map[int]*rsa.PrivateKey)
	}
	rsaKeys.byBits[bits] = NewRSAKey(t, bits)
	return rsaKeys.byBits[bits]
}

// NewRSAKey makes an RSA key.
func NewRSAKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatalf("generating an RSA key: %v", err)
	}
	return key
}

// CSR makes a PKCS#10 request (RFC 2986) for the names and IP addresses, DER,
// after the edits.
func CSR(t testing.TB, key crypto.Signer, names []string, edits ...func(*x509.CertificateRequest)) []byte {
	t.Helper()
	template := &x509.CertificateRequest{Subject: pkix.Name{}}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	for _, edit := range edits {
		edit(template)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatalf("making a CSR: %v", err)
	}
	return der
}
