package device

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Apple is a device of Apple's.
type Apple struct {
	*Authority
	Key          crypto.Signer
	Serial, UDID string
	// Edit changes the attestation certificate.
	Edit func(*x509.Certificate)
}

// Attest makes a statement for a challenge's token.
func (d Apple) Attest(t testing.TB, token string) Statement {
	t.Helper()
	nonce := sha256.Sum256([]byte(token))
	template := Template()
	template.Subject = pkix.Name{CommonName: "attested key"}
	add := func(value []byte, last ...int) {
		id := append(asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 8}, last...)
		template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: id, Value: value})
	}
	if d.Serial != "" {
		add([]byte(d.Serial), 9, 1)
	}
	if d.UDID != "" {
		add([]byte(d.UDID), 9, 2)
	}
	add(nonce[:], 11, 1)
	return Statement{"apple", map[string]any{"x5c": d.chain(t, template, d.Key.Public(), d.Edit)}}
}

// Step is a YubiKey, its PIV key and the client "step".
type Step struct {
	*Authority
	Key    crypto.Signer
	Serial int64
	Edit   func(*x509.Certificate)
}

// Attest makes a statement for a challenge's key authorization.
func (d Step) Attest(t testing.TB, keyAuthorization string) Statement {
	t.Helper()
	serial, err := asn1.Marshal(big.NewInt(d.Serial))
	if err != nil {
		t.Fatal(err)
	}
	template := Template()
	template.Subject = pkix.Name{CommonName: "YubiKey PIV Attestation 9a"}
	template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 41482, 3, 7}, Value: serial}}
	return Statement{"step", map[string]any{
		"alg": algorithm(d.Key), "sig": Sign(t, d.Key, keyAuthorization), "x5c": d.chain(t, template, d.Key.Public(), d.Edit),
	}}
}

// Sign signs a message as statements are signed: with SHA-256, or Ed25519.
func Sign(t testing.TB, key crypto.Signer, message string) []byte {
	t.Helper()
	digest := sha256.Sum256([]byte(message))
	data, hash := digest[:], crypto.SHA256
	if _, ok := key.(ed25519.PrivateKey); ok {
		data, hash = []byte(message), 0
	}
	signature, err := key.Sign(rand.Reader, data, hash)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

// algorithm is the COSE algorithm of a key.
func algorithm(key crypto.Signer) int {
	switch key.Public().(type) {
	case ed25519.PublicKey:
		return -8
	case interface{ Size() int }: // *rsa.PublicKey
		return -257
	}
	return -7
}

// Android is a phone.
type Android struct {
	*Authority
	Key         crypto.Signer
	Description KeyDescription
	Edit        func(*x509.Certificate)
}

// KeyDescription is the content of the key attestation extension. Tags not set
// are not in it.
type KeyDescription struct {
	AttestationLevel, KeyMintLevel     int
	Challenge                          []byte
	SoftwareEnforced, HardwareEnforced []Tag
}

// Tag is a member of an AuthorizationList: its number and its DER.
type Tag struct {
	Number int
	DER    []byte
}

// Members of an AuthorizationList.
func Purposes(purposes ...int) Tag {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(cryptobyte_asn1.SET, func(b *cryptobyte.Builder) {
		for _, p := range purposes {
			b.AddASN1Int64(int64(p))
		}
	})
	return Tag{1, b.BytesOrPanic()}
}

// Origin is where the key comes from; 0: it was generated in the hardware.
func Origin(origin int) Tag {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1Int64(int64(origin))
	return Tag{702, b.BytesOrPanic()}
}

// Octets is a member that is an OCTET STRING, such as the serial number, 713.
func Octets(number int, value string) Tag {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1OctetString([]byte(value))
	return Tag{number, b.BytesOrPanic()}
}

// GoodDescription is that of a key in the trusted environment of a phone with
// a serial number.
func GoodDescription(keyAuthorization, serial string) KeyDescription {
	challenge := sha256.Sum256([]byte(keyAuthorization))
	return KeyDescription{
		AttestationLevel: 1, KeyMintLevel: 1, Challenge: challenge[:],
		SoftwareEnforced: []Tag{{701, []byte{2, 1, 7}}}, // creationDateTime
		HardwareEnforced: []Tag{
			Purposes(2), {2, []byte{2, 1, 3}}, {3, []byte{2, 2, 1, 0}}, // algorithm EC, keySize 256
			Origin(0), Octets(713, serial), Octets(714, "356938035643809"),
		},
	}
}

// DER is the encoded description.
func (d KeyDescription) DER() []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(100)
		b.AddASN1Enum(int64(d.AttestationLevel))
		b.AddASN1Int64(100)
		b.AddASN1Enum(int64(d.KeyMintLevel))
		b.AddASN1OctetString(d.Challenge)
		b.AddASN1OctetString(nil)
		for _, list := range [][]Tag{d.SoftwareEnforced, d.HardwareEnforced} {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, tag := range list {
					element, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag.Number, IsCompound: true, Bytes: tag.DER})
					if err != nil {
						b.SetError(err)
						return
					}
					b.AddBytes(element)
				}
			})
		}
	})
	return b.BytesOrPanic()
}

// Attest makes a statement for a challenge's key authorization.
func (d Android) Attest(t testing.TB, keyAuthorization string) Statement {
	t.Helper()
	template := Template()
	template.Subject = pkix.Name{CommonName: "Android Keystore Key"}
	template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 1, 17}, Value: d.Description.DER()}}
	return Statement{"android-key", map[string]any{
		"alg": algorithm(d.Key), "sig": Sign(t, d.Key, keyAuthorization), "x5c": d.chain(t, template, d.Key.Public(), d.Edit),
	}}
}
