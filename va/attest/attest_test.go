package attest_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-tpm/tpm2"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/test/harness/device"
	"github.com/cairn-ca/cairn/va/attest"
)

const (
	token   = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
	keyAuth = token + ".NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
	serial  = "C02XYZ123456"
)

// trial is a statement and what is expected of it.
type trial struct {
	name      string
	statement device.Statement
	// identifier is the order's; empty: the permanent-identifier serial.
	identifier string
	roots      attest.Roots // nil: those of the table
	now        time.Time    // zero: now
	// refused is words of the refusal; empty: the statement is good.
	refused string
}

func run(t *testing.T, roots attest.Roots, key crypto.PublicKey, trials []trial) {
	t.Helper()
	for _, test := range trials {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			object, err := attest.ParseResponse(payload(t, test.statement))
			if err != nil {
				t.Fatal(err)
			}
			want := attest.Expected{Identifier: parse(t, test.identifier), Token: token, KeyAuthorization: keyAuth, Now: test.now}
			if want.Now.IsZero() {
				want.Now = time.Now()
			}
			trusted := roots
			if test.roots != nil {
				trusted = test.roots
			}
			attested, err := trusted.Verify(object, want)
			var refusal *attest.Error
			switch {
			case test.refused == "" && err != nil:
				t.Fatal(err)
			case test.refused == "":
				if string(attested.Format) != test.statement.Format || !attested.Key.(interface{ Equal(crypto.PublicKey) bool }).Equal(key) {
					t.Errorf("attested %s %T", attested.Format, attested.Key)
				}
				if attested.Root == nil || len(attested.Steps) < 2 {
					t.Errorf("the evidence is thin: %+v", attested)
				}
			case !errors.As(err, &refusal):
				t.Errorf("accepted, or another kind of error: %v", err)
			case !strings.Contains(refusal.Error(), test.refused):
				t.Errorf("refused because %q, not for %q", refusal, test.refused)
			}
		})
	}
}

func parse(t testing.TB, text string) acme.Identifier {
	t.Helper()
	if text == "" {
		text = "permanent-identifier:" + serial
	}
	id, err := acme.ParseIdentifierString(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func payload(t testing.TB, s device.Statement) []byte {
	t.Helper()
	data, err := json.Marshal(s.Response(t))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func rootsOf(format attest.Format, a *device.Authority) attest.Roots {
	return attest.Roots{format: {a.Root}}
}

// with is a statement with one member replaced; nil: without it.
func with(s device.Statement, member string, value any) device.Statement {
	members := make(map[string]any)
	for name, v := range s.Members {
		members[name] = v
	}
	if members[member] = value; value == nil {
		delete(members, member)
	}
	return device.Statement{Format: s.Format, Members: members}
}

func expired(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }

func without(ids ...asn1.ObjectIdentifier) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		var kept []pkix.Extension
		for _, e := range c.ExtraExtensions {
			drop := false
			for _, id := range ids {
				drop = drop || e.Id.Equal(id)
			}
			if !drop {
				kept = append(kept, e)
			}
		}
		c.ExtraExtensions = kept
	}
}

// set replaces the value of an extension.
func set(value []byte, id ...int) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		for i, e := range c.ExtraExtensions {
			if e.Id.Equal(id) {
				c.ExtraExtensions[i].Value = value
			}
		}
	}
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func TestApple(t *testing.T) {
	t.Parallel()
	a, other := device.NewAuthority(t, "Apple"), device.NewAuthority(t, "Apple")
	late := device.NewAuthority(t, "Apple", expired)
	key := device.NewKey(t)
	good := device.Apple{Authority: a, Key: key, Serial: serial, UDID: "00008110-000123456789801E"}
	edited := func(edit func(*x509.Certificate)) device.Statement {
		d := good
		d.Edit = edit
		return d.Attest(t, token)
	}
	by := func(a *device.Authority) device.Statement {
		d := good
		d.Authority = a
		return d.Attest(t, token)
	}
	whole := good.Attest(t, token)
	chain := whole.Members["x5c"].([][]byte)
	run(t, rootsOf(attest.Apple, a), key.Public(), []trial{
		{name: "serial number", statement: whole},
		{name: "UDID", statement: whole, identifier: "permanent-identifier:" + good.UDID},
		{name: "root sent too", statement: with(whole, "x5c", append(chain[:2:2], a.Root.Raw))},
		{name: "two roots configured", statement: whole, roots: attest.Roots{attest.Apple: {other.Root, a.Root}}},
		{name: "wrong root", statement: by(other), refused: "do not chain to a root"},
		{name: "no roots", statement: whole, roots: attest.Roots{}, refused: "accepts none"},
		{name: "roots of another format", statement: whole, roots: rootsOf(attest.TPM, a), refused: "this directory accepts tpm"},
		{name: "unknown format", statement: device.Statement{Format: "packed", Members: map[string]any{}}, refused: `format "packed" are not accepted here; this directory accepts apple`},
		{name: "nonce of the key authorization", statement: good.Attest(t, keyAuth), refused: "made for another challenge"},
		{name: "another token's nonce", statement: good.Attest(t, "other"), refused: "made for another challenge"},
		{name: "nonce missing", statement: edited(without(asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 8, 11, 1})), refused: "no freshness code"},
		{name: "nonce empty", statement: edited(set(nil, 1, 2, 840, 113635, 100, 8, 11, 1)), refused: "made for another challenge"},
		{name: "another serial number", statement: whole, identifier: "permanent-identifier:C02XYZ123457", refused: "of another device"},
		{name: "in lower case", statement: whole, identifier: "permanent-identifier:" + strings.ToLower(serial), refused: "of another device"},
		{name: "with an assigner", statement: whole, identifier: "permanent-identifier:" + serial + "/1.2.3", refused: "of another device"},
		{name: "an assigner in the serial number", statement: edited(set([]byte(serial+"/1.2.3"), 1, 2, 840, 113635, 100, 8, 9, 1)), identifier: "permanent-identifier:" + serial + "/1.2.3", refused: "of another device"},
		{name: "hardware module", statement: whole, identifier: "hardware-module:" + serial + "/1.2.3", refused: "of another device"},
		{name: "no identity", statement: device.Apple{Authority: a, Key: key}.Attest(t, token), refused: "names no device"},
		{name: "expired", statement: edited(expired), refused: "expired"},
		{name: "intermediate expired", statement: by(late), roots: rootsOf(attest.Apple, late), refused: "expired"},
		{name: "not yet valid", statement: whole, now: time.Now().Add(-48 * time.Hour), refused: "expired"},
		{name: "intermediate missing", statement: with(whole, "x5c", chain[:1]), refused: "do not chain"},
		{name: "certificate cut short", statement: with(whole, "x5c", [][]byte{chain[0][:50], chain[1]}), refused: "can't be parsed"},
		{name: "the root itself", statement: with(whole, "x5c", [][]byte{a.Root.Raw}), refused: "itself a root"},
		{name: "unknown critical extension", statement: edited(func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}})
		}), refused: "unhandled critical"},
	})
}

func TestStep(t *testing.T) {
	t.Parallel()
	a, other := device.NewAuthority(t, "Yubico PIV"), device.NewAuthority(t, "Yubico PIV")
	key := device.NewKey(t)
	good := device.Step{Authority: a, Key: key, Serial: 7654321}
	edited := func(edit func(*x509.Certificate)) device.Statement {
		d := good
		d.Edit = edit
		return d.Attest(t, keyAuth)
	}
	whole := good.Attest(t, keyAuth)
	wrapped, err := cbor.Marshal(whole.Members["sig"])
	if err != nil {
		t.Fatal(err)
	}
	const id = "permanent-identifier:7654321"
	serialOID := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 41482, 3, 7}
	trials := []trial{
		{name: "good", statement: whole},
		{name: "signature in CBOR once more", statement: with(whole, "sig", wrapped)},
		{name: "wrong root", statement: device.Step{Authority: other, Key: key, Serial: 7654321}.Attest(t, keyAuth), refused: "do not chain"},
		{name: "another challenge", statement: good.Attest(t, keyAuth+"x"), refused: "no signature"},
		{name: "token alone", statement: good.Attest(t, token), refused: "no signature"},
		{name: "wrong key", statement: with(whole, "sig", device.Sign(t, device.NewKey(t), keyAuth)), refused: "no signature"},
		{name: "no signature", statement: with(whole, "sig", nil), refused: "no signature"},
		{name: "another algorithm", statement: with(whole, "alg", -257), refused: "no signature"},
		{name: "SHA-1", statement: with(whole, "alg", -65535), refused: `"alg" -65535`},
		{name: "no algorithm", statement: with(whole, "alg", nil), refused: `"alg" 0`},
		{name: "another serial number", statement: device.Step{Authority: a, Key: key, Serial: 7654322}.Attest(t, keyAuth), refused: "of another device"},
		{name: "no serial number", statement: edited(without(serialOID)), refused: "no serial number"},
		{name: "serial number that is text", statement: edited(set([]byte("7654321"), serialOID...)), refused: "can't be read"},
		{name: "negative serial number", statement: edited(set([]byte{2, 1, 0x80}, serialOID...)), refused: "can't be read"},
		{name: "expired", statement: edited(expired), refused: "expired"},
	}
	for i := range trials {
		trials[i].identifier = id
	}
	run(t, rootsOf(attest.Step, a), key.Public(), trials)
	for _, key := range []crypto.Signer{rsaKey(), ed25519.NewKeyFromSeed(make([]byte, 32))} {
		run(t, rootsOf(attest.Step, a), key.Public(), []trial{
			{name: "good", identifier: id, statement: device.Step{Authority: a, Key: key, Serial: 7654321}.Attest(t, keyAuth)},
		})
	}
}

func TestAndroidKey(t *testing.T) {
	t.Parallel()
	a, other := device.NewAuthority(t, "Google"), device.NewAuthority(t, "Google")
	key := device.NewKey(t)
	attested := func(change func(*device.KeyDescription)) device.Statement {
		d := device.Android{Authority: a, Key: key, Description: device.GoodDescription(keyAuth, serial)}
		if change != nil {
			change(&d.Description)
		}
		return d.Attest(t, keyAuth)
	}
	edited := func(edit func(*x509.Certificate)) device.Statement {
		return device.Android{Authority: a, Key: key, Description: device.GoodDescription(keyAuth, serial), Edit: edit}.Attest(t, keyAuth)
	}
	// instead replaces a member of the hardware-enforced list; without DER it
	// is left out.
	instead := func(tag device.Tag) device.Statement {
		return attested(func(d *device.KeyDescription) {
			var list []device.Tag
			for _, have := range d.HardwareEnforced {
				if have.Number != tag.Number {
					list = append(list, have)
				} else if tag.DER != nil {
					list = append(list, tag)
				}
			}
			d.HardwareEnforced = list
		})
	}
	whole := attested(nil)
	descriptionOID := []int{1, 3, 6, 1, 4, 1, 11129, 2, 1, 17}
	run(t, rootsOf(attest.AndroidKey, a), key.Public(), []trial{
		{name: "serial number", statement: whole},
		{name: "IMEI", statement: whole, identifier: "permanent-identifier:356938035643809"},
		{name: "StrongBox", statement: attested(func(d *device.KeyDescription) { d.AttestationLevel, d.KeyMintLevel = 2, 2 })},
		{name: "key authorization itself as the challenge", statement: attested(func(d *device.KeyDescription) { d.Challenge = []byte(keyAuth) })},
		{name: "more purposes", statement: instead(device.Purposes(3, 2))},
		{name: "wrong root", statement: device.Android{Authority: other, Key: key, Description: device.GoodDescription(keyAuth, serial)}.Attest(t, keyAuth), refused: "do not chain"},
		{name: "another challenge", statement: attested(func(d *device.KeyDescription) { d.Challenge = []byte(token) }), refused: "made for another challenge"},
		{name: "no challenge", statement: attested(func(d *device.KeyDescription) { d.Challenge = nil }), refused: "made for another challenge"},
		{name: "another signature", statement: with(whole, "sig", device.Sign(t, key, token)), refused: "no ES256 signature"},
		{name: "another key's signature", statement: with(whole, "sig", device.Sign(t, device.NewKey(t), keyAuth)), refused: "no ES256 signature"},
		{name: "another serial number", statement: whole, identifier: "permanent-identifier:X", refused: "of another device"},
		{name: "no identity", statement: attested(func(d *device.KeyDescription) { d.HardwareEnforced = d.HardwareEnforced[:4] }), refused: "names no device"},
		{name: "identity that software says", statement: attested(func(d *device.KeyDescription) {
			d.SoftwareEnforced = append(d.SoftwareEnforced, device.Octets(713, serial))
			d.HardwareEnforced = d.HardwareEnforced[:4]
		}), refused: "names no device"},
		{name: "software", statement: attested(func(d *device.KeyDescription) { d.AttestationLevel, d.KeyMintLevel = 0, 0 }), refused: "that of software"},
		{name: "software attests a hardware key", statement: attested(func(d *device.KeyDescription) { d.AttestationLevel = 0 }), refused: "that of software"},
		{name: "key in software", statement: attested(func(d *device.KeyDescription) { d.KeyMintLevel = 0 }), refused: "that of software"},
		{name: "unknown level", statement: attested(func(d *device.KeyDescription) { d.AttestationLevel = 3 }), refused: "can't be read"},
		{name: "for all applications", statement: attested(func(d *device.KeyDescription) {
			d.SoftwareEnforced = append(d.SoftwareEnforced, device.Tag{Number: 600, DER: []byte{5, 0}})
		}), refused: "all applications"},
		{name: "imported", statement: instead(device.Origin(2)), refused: "KM_ORIGIN_GENERATED"},
		{name: "no origin", statement: instead(device.Tag{Number: 702}), refused: "KM_ORIGIN_GENERATED"},
		{name: "origin that software says", statement: attested(func(d *device.KeyDescription) {
			d.SoftwareEnforced = []device.Tag{d.HardwareEnforced[3]}
			d.HardwareEnforced = append(d.HardwareEnforced[:3:3], d.HardwareEnforced[4:]...)
		}), refused: "KM_ORIGIN_GENERATED"},
		{name: "for decryption", statement: instead(device.Purposes(1)), refused: "not for signing"},
		{name: "no purpose", statement: instead(device.Tag{Number: 1}), refused: "not for signing"},
		{name: "a member twice", statement: attested(func(d *device.KeyDescription) {
			d.HardwareEnforced = append(d.HardwareEnforced, device.Octets(713, "other"))
		}), refused: "can't be read"},
		{name: "no key description", statement: edited(without(descriptionOID)), refused: "no key description"},
		{name: "key description cut short", statement: edited(set(device.GoodDescription(keyAuth, serial).DER()[:40], descriptionOID...)), refused: "can't be read"},
		{name: "trailing data", statement: edited(set(append(device.GoodDescription(keyAuth, serial).DER(), 0), descriptionOID...)), refused: "can't be read"},
		{name: "expired", statement: edited(expired), refused: "expired"},
	})
}

// A key that the keystore lets sign certificates is no keystore: what its
// holder writes into one is not attested.
func TestAndroidKeyIssuedByUser(t *testing.T) {
	t.Parallel()
	key := device.NewKey(t)
	real := device.NewAuthority(t, "Google")
	user := device.NewAuthority(t, "user", func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 1, 17}, Value: device.GoodDescription("other", "other").DER()}}
	})
	run(t, attest.Roots{attest.AndroidKey: {real.Root, user.Root}}, key.Public(), []trial{{
		name:      "by an attested key",
		statement: device.Android{Authority: user, Key: key, Description: device.GoodDescription(keyAuth, serial)}.Attest(t, keyAuth),
		refused:   "not by the keystore",
	}})
}

func TestTPM(t *testing.T) {
	t.Parallel()
	a, other := device.NewAuthority(t, "TPM"), device.NewAuthority(t, "TPM")
	aik, key := device.NewKey(t), device.NewKey(t)
	good := device.TPM{Authority: a, AIK: aik, Key: key, Names: []string{
		device.TPMName, "permanent-identifier:" + serial, "permanent-identifier:assigned/1.2.3", "hardware-module:HW7/1.3.6.1.4.1.99",
	}}
	attested := func(change func(*device.TPM)) device.Statement {
		d := good
		change(&d)
		return d.Attest(t, keyAuth)
	}
	certified := func(edit func(*x509.Certificate)) device.Statement {
		return attested(func(d *device.TPM) { d.Edit = edit })
	}
	info := func(edit func(*tpm2.TPMSAttest)) device.Statement {
		return attested(func(d *device.TPM) { d.EditInfo = edit })
	}
	attributes := func(change func(*tpm2.TPMAObject)) device.Statement {
		return attested(func(d *device.TPM) { d.EditPublic = func(p *tpm2.TPMTPublic) { change(&p.ObjectAttributes) } })
	}
	whole := good.Attest(t, keyAuth)
	otherKey := tpm2.Marshal(device.PublicArea(t, device.NewKey(t).Public()))
	roots := rootsOf(attest.TPM, a)
	run(t, roots, key.Public(), []trial{
		{name: "permanent identifier", statement: whole},
		{name: "permanent identifier with its assigner", statement: whole, identifier: "permanent-identifier:assigned/1.2.3"},
		{name: "hardware module", statement: whole, identifier: "hardware-module:HW7/1.3.6.1.4.1.99"},
		{name: "AIK on RSA", statement: attested(func(d *device.TPM) { d.AIK = rsaKey() })},
		{name: "signature without TPMT_SIGNATURE", statement: with(whole, "sig", device.Sign(t, aik, string(whole.Members["certInfo"].([]byte))))},
		{name: "wrong root", statement: attested(func(d *device.TPM) { d.Authority = other }), refused: "do not chain"},
		{name: "wrong version", statement: with(whole, "ver", "1.2"), refused: `"ver" is "1.2"`},
		{name: "no version", statement: with(whole, "ver", nil), refused: `"ver" is ""`},
		{name: "EdDSA", statement: with(whole, "alg", -8), refused: "no TPM signs"},
		{name: "another algorithm", statement: with(whole, "alg", -35), refused: "extraData"},
		{name: "another challenge", statement: good.Attest(t, token), refused: "extraData"},
		{name: "no extraData", statement: info(func(i *tpm2.TPMSAttest) { i.ExtraData.Buffer = nil }), refused: "extraData"},
		{name: "not made in a TPM", statement: info(func(i *tpm2.TPMSAttest) { i.Magic = 0xff544348 }), refused: "TPM_GENERATED_VALUE"},
		{name: "not of a key", statement: info(func(i *tpm2.TPMSAttest) {
			i.Type, i.Attested = tpm2.TPMSTAttestTime, tpm2.NewTPMUAttest(tpm2.TPMSTAttestTime, &tpm2.TPMSTimeAttestInfo{})
		}), refused: "TPM_ST_ATTEST_CERTIFY"},
		{name: "certInfo cut short", statement: with(whole, "certInfo", whole.Members["certInfo"].([]byte)[:40]), refused: "no TPMS_ATTEST"},
		{name: "certInfo with trailing data", statement: with(whole, "certInfo", append(whole.Members["certInfo"].([]byte), 0)), refused: "no TPMS_ATTEST"},
		{name: "no certInfo", statement: with(whole, "certInfo", nil), refused: "no TPMS_ATTEST"},
		{name: "another pubArea", statement: with(whole, "pubArea", otherKey), refused: "another key than that of"},
		{name: "no pubArea", statement: with(whole, "pubArea", nil), refused: "no TPMT_PUBLIC"},
		{name: "pubArea with trailing data", statement: with(whole, "pubArea", append(whole.Members["pubArea"].([]byte), 0)), refused: "no public key"},
		{name: "point off the curve", statement: attested(func(d *device.TPM) {
			d.EditPublic = func(p *tpm2.TPMTPublic) {
				p.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{X: tpm2.TPM2BECCParameter{Buffer: []byte{1}}, Y: tpm2.TPM2BECCParameter{Buffer: []byte{1}}})
			}
		}), refused: "no public key"},
		{name: "named by SHA-1", statement: attested(func(d *device.TPM) { d.EditPublic = func(p *tpm2.TPMTPublic) { p.NameAlg = tpm2.TPMAlgSHA1 } }), refused: "nameAlg"},
		{name: "key that can leave the TPM", statement: attributes(func(a *tpm2.TPMAObject) { a.FixedTPM = false }), refused: "fixedTPM"},
		{name: "key that can be duplicated", statement: attributes(func(a *tpm2.TPMAObject) { a.FixedParent = false }), refused: "fixedParent"},
		{name: "key made outside", statement: attributes(func(a *tpm2.TPMAObject) { a.SensitiveDataOrigin = false }), refused: "sensitiveDataOrigin"},
		{name: "key that does not sign", statement: attributes(func(a *tpm2.TPMAObject) { a.SignEncrypt = false }), refused: "attribute sign"},
		{name: "another AIK's signature", statement: with(whole, "sig", attested(func(d *device.TPM) { d.AIK = device.NewKey(t) }).Members["sig"]), refused: "no ES256 signature"},
		{name: "no signature", statement: with(whole, "sig", nil), refused: "no ES256 signature"},
		{name: "signature of another hash", statement: with(whole, "sig", append([]byte{0, 0x18, 0, 0x0c}, whole.Members["sig"].([]byte)[4:]...)), refused: "another algorithm"},
		{name: "another identifier", statement: whole, identifier: "permanent-identifier:X", refused: "of another device"},
		{name: "assigner left out", statement: whole, identifier: "permanent-identifier:assigned", refused: "of another device"},
		{name: "assigner added", statement: whole, identifier: "permanent-identifier:" + serial + "/1.2.3", refused: "of another device"},
		{name: "type of the module is another", statement: whole, identifier: "hardware-module:HW7/1.3.6.1.4.1.98", refused: "of another device"},
		{name: "AIK names no device", statement: attested(func(d *device.TPM) { d.Names = []string{device.TPMName} }), refused: "names no device"},
		{name: "AIK without alternative names", statement: attested(func(d *device.TPM) { d.Names = nil }), refused: "no subject alternative names"},
		{name: "AIK does not say what TPM", statement: attested(func(d *device.TPM) { d.Names = d.Names[1:] }), refused: "is missing"},
		{name: "AIK does not say which version", statement: attested(func(d *device.TPM) {
			d.Names = []string{"tpm:id:FFFFF1D0,swtpm,", "permanent-identifier:" + serial}
		}), refused: "tpmVersion"},
		{name: "AIK with a subject", statement: certified(func(c *x509.Certificate) { c.Subject.CommonName = "AIK" }), refused: "has a subject"},
		{name: "AIK without its usage", statement: certified(func(c *x509.Certificate) { c.UnknownExtKeyUsage = nil }), refused: "tcg-kp-AIKCertificate"},
		{name: "AIK of another usage", statement: certified(func(c *x509.Certificate) {
			c.UnknownExtKeyUsage, c.ExtKeyUsage = nil, []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
		}), refused: "tcg-kp-AIKCertificate"},
		{name: "AIK that is a CA", statement: certified(func(c *x509.Certificate) { c.IsCA = true }), refused: "that of a CA"},
		{name: "AIK expired", statement: certified(expired), refused: "expired"},
	})
	rsaAttested := good
	rsaAttested.Key = rsaKey()
	run(t, roots, rsaKey().Public(), []trial{{name: "key on RSA", statement: rsaAttested.Attest(t, keyAuth)}})
}
