// Package device plays the devices that device-attest-01 is for
// (draft-ietf-acme-device-attest): each type makes attestation statements of
// one format, with keys in memory and certificates of an authority that the
// test makes. What is in them can be changed, to see it refused.
package device

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Authority is a maker of devices, with a root and an intermediate.
type Authority struct {
	Root, Intermediate       *x509.Certificate
	rootKey, intermediateKey crypto.Signer
}

// NewKey makes a P-256 key.
func NewKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// NewAuthority makes an authority. The edits change its intermediate.
func NewAuthority(t testing.TB, name string, edits ...func(*x509.Certificate)) *Authority {
	t.Helper()
	a := &Authority{rootKey: NewKey(t), intermediateKey: NewKey(t)}
	ca := func(cn string) *x509.Certificate {
		c := Template()
		c.Subject = pkix.Name{CommonName: name + " " + cn}
		c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign
		return c
	}
	root := ca("root")
	a.Root = sign(t, root, root, a.rootKey.Public(), a.rootKey)
	intermediate := ca("intermediate")
	for _, edit := range edits {
		edit(intermediate)
	}
	a.Intermediate = sign(t, intermediate, a.Root, a.intermediateKey.Public(), a.rootKey)
	return a
}

// RootFile writes the root to a PEM file of the test's.
func (a *Authority) RootFile(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Root.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Template is a certificate that is valid for a day.
func Template() *x509.Certificate {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		panic(err)
	}
	return &x509.Certificate{
		SerialNumber: serial, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

func sign(t testing.TB, template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// chain is a certificate that the intermediate signs, and the intermediate's.
func (a *Authority) chain(t testing.TB, template *x509.Certificate, public crypto.PublicKey, edit func(*x509.Certificate)) [][]byte {
	t.Helper()
	if edit != nil {
		edit(template)
	}
	return [][]byte{sign(t, template, a.Intermediate, public, a.intermediateKey).Raw, a.Intermediate.Raw}
}

// Statement is an attestation statement, to be changed before it is encoded.
type Statement struct {
	Format  string
	Members map[string]any
}

// Object is the attestation object, CBOR.
func (s Statement) Object(t testing.TB) []byte {
	t.Helper()
	mode, err := cbor.CTAP2EncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	object, err := mode.Marshal(map[string]any{"fmt": s.Format, "attStmt": s.Members})
	if err != nil {
		t.Fatal(err)
	}
	return object
}

// Response is the payload of the response to the challenge.
func (s Statement) Response(t testing.TB) map[string]any {
	t.Helper()
	return map[string]any{"attObj": base64.RawURLEncoding.EncodeToString(s.Object(t))}
}

// AltNames is the value of a subject alternative name extension. Each name is
// "permanent-identifier:...", "hardware-module:..." or, for the TPM that an AIK
// certificate speaks of, "tpm:" and the attributes' values with commas between.
func AltNames(t testing.TB, names ...string) []byte {
	t.Helper()
	context := func(tag uint8) cryptobyte_asn1.Tag { return cryptobyte_asn1.Tag(tag).Constructed().ContextSpecific() }
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, name := range names {
			kind, value, _ := strings.Cut(name, ":")
			if kind == "tpm" {
				b.AddASN1(context(4), func(b *cryptobyte.Builder) { addTPMName(b, strings.Split(value, ",")) })
				continue
			}
			identity, dotted, hasOID := strings.Cut(value, "/")
			var oid asn1.ObjectIdentifier
			if hasOID {
				oid = parseOID(t, dotted)
			}
			form := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 3}
			if kind == "hardware-module" {
				form = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, 4}
			}
			b.AddASN1(context(0), func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(form)
				b.AddASN1(context(0), func(b *cryptobyte.Builder) {
					b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
						if kind == "hardware-module" {
							b.AddASN1ObjectIdentifier(oid)
							b.AddASN1OctetString([]byte(identity))
							return
						}
						b.AddASN1(cryptobyte_asn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(identity)) })
						if hasOID {
							b.AddASN1ObjectIdentifier(oid)
						}
					})
				})
			})
		}
	})
	der, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func addTPMName(b *cryptobyte.Builder, values []string) {
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for i, value := range values {
			b.AddASN1(cryptobyte_asn1.SET, func(b *cryptobyte.Builder) {
				b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{2, 23, 133, 2, i + 1})
					b.AddASN1(cryptobyte_asn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(value)) })
				})
			})
		}
	})
}

func parseOID(t testing.TB, dotted string) asn1.ObjectIdentifier {
	t.Helper()
	var oid asn1.ObjectIdentifier
	for part := range strings.SplitSeq(dotted, ".") {
		n, ok := new(big.Int).SetString(part, 10)
		if !ok {
			t.Fatalf("%q is no object identifier", dotted)
		}
		oid = append(oid, int(n.Int64()))
	}
	return oid
}

// CSR makes a PKCS#10 request for the device's key, with the given names.
func CSR(t testing.TB, key crypto.Signer, cn string, names ...string) []byte {
	t.Helper()
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: cn}}
	if len(names) > 0 {
		template.ExtraExtensions = []pkix.Extension{{Id: oidSubjectAltName, Value: AltNames(t, names...)}}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

var oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
