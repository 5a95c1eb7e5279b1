package ra

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/va"
)

func deviceFixture(t *testing.T) fixture {
	t.Helper()
	return newFixture(t, func(c *Config) {
		dir := c.Directories[0]
		dir.Challenges = []acme.ChallengeType{acme.HTTP01, acme.DNS01, acme.DeviceAttest01}
		dir.PreAuthorization = true
		profile := dir.Profiles[0]
		profile.Name = "device"
		profile.Identifiers = []acme.IdentifierType{acme.IdentifierDNS, acme.IdentifierPermanentIdentifier, acme.IdentifierHardwareModule}
		dir.Profiles = append(slices.Clone(dir.Profiles), profile)
		c.Directories = []Directory{dir}
	})
}

func (f fixture) deviceOrder(t *testing.T, account acme.Account, texts ...string) acme.Order {
	t.Helper()
	var ids []acme.Identifier
	for _, text := range texts {
		id, err := acme.ParseIdentifierString(text)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	order, err := f.NewOrder(t.Context(), NewOrder{Account: account, Identifiers: ids, Profile: "device"})
	if err != nil {
		t.Fatal(err)
	}
	return order
}

// attObj is well-formed, and that is all: {"fmt": "none", "attStmt": {}}.
const attObj = `{"attObj":"omNmbXRkbm9uZWdhdHRTdG10oA"}`

func (f fixture) attest(t *testing.T, account acme.Account, authz acme.ID, result va.Result) acme.Authorization {
	t.Helper()
	f.va.results <- result
	after, err := f.RespondToChallenge(t.Context(), RespondToChallenge{Account: account, Authorization: authz, Type: acme.DeviceAttest01, Response: []byte(attObj)})
	if err != nil {
		t.Fatal(err)
	}
	return after
}

func attested(t *testing.T, key crypto.Signer) va.Result {
	t.Helper()
	sum, err := acme.PublicKeySHA256(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return va.Result{Evidence: acme.Evidence{Method: acme.DeviceAttest01, Attestation: &acme.AttestationEvidence{Format: "tpm", KeySHA256: sum}}}
}

func certificateKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func request(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Devices are proven by attestation alone, and nothing else is.
func TestDeviceChallenges(t *testing.T) {
	t.Parallel()
	f := deviceFixture(t)
	account := f.account(t)
	order := f.deviceOrder(t, account, "permanent-identifier:C02XYZ", "hardware-module:HW7/1.2.3", "dns:a.example")
	for _, id := range order.Authorizations {
		authz, err := f.Store.Authorization(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		want := []acme.ChallengeType{acme.DeviceAttest01}
		if !authz.Identifier.IsDevice() {
			want = []acme.ChallengeType{acme.HTTP01, acme.DNS01}
		}
		if !slices.Equal(authz.Offered, want) {
			t.Errorf("for %s are offered %q", authz.Identifier, authz.Offered)
		}
	}
	// The default profile does not certify them.
	id := order.Identifiers[slices.IndexFunc(order.Identifiers, acme.Identifier.IsDevice)]
	if _, err := f.NewOrder(t.Context(), NewOrder{Account: account, Identifiers: []acme.Identifier{id}}); problemType(err) != acme.UnsupportedIdentifier {
		t.Errorf("an order with the default profile: %v", err)
	}
	// Nor can they be authorized ahead.
	if _, _, err := f.NewAuthorization(t.Context(), NewAuthorization{Account: account, Identifier: id}); problemType(err) != acme.Malformed {
		t.Errorf("pre-authorization of a device: %v", err)
	}
}

// A directory that offers no attestation issues for no device.
func TestDeviceWithoutChallenge(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) {
		dir := c.Directories[0]
		dir.Profiles = slices.Clone(dir.Profiles)
		dir.Profiles[0].Identifiers = append(dir.Profiles[0].Identifiers, acme.IdentifierPermanentIdentifier)
		c.Directories = []Directory{dir}
	})
	_, err := f.NewOrder(t.Context(), NewOrder{Account: f.account(t), Identifiers: []acme.Identifier{parse(t, acme.IdentifierPermanentIdentifier, "X")}})
	if problemType(err) != acme.RejectedIdentifier {
		t.Errorf("got %v", err)
	}
}

// draft-ietf-acme-device-attest §10: the certificate is for the attested key.
func TestAttestedKey(t *testing.T) {
	t.Parallel()
	f := deviceFixture(t)
	account, key := f.account(t), certificateKey(t)
	order := f.deviceOrder(t, account, "permanent-identifier:C02XYZ", "hardware-module:HW7/1.2.3")
	for _, id := range order.Authorizations {
		if authz := f.attest(t, account, id, attested(t, key)); authz.Status != acme.AuthorizationValid {
			t.Fatalf("the authorization is %+v", authz)
		}
	}
	finalize := func(csr []byte) error {
		_, err := f.FinalizeOrder(t.Context(), FinalizeOrder{Account: account, Order: order.ID, CSR: csr})
		return err
	}
	for name, csr := range map[string][]byte{"another key": request(t, certificateKey(t)), "no CSR": []byte("x"), "empty": nil} {
		if err := finalize(csr); problemType(err) != acme.BadCSR {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(f.ca.asked) != 0 {
		t.Fatal("the signing authority was asked")
	}
	if err := finalize(request(t, key)); err != nil {
		t.Error(err)
	}
}

// Two devices that attest different keys have no certificate in common, and a
// result without a key is none.
func TestAttestedKeyOfEach(t *testing.T) {
	t.Parallel()
	f := deviceFixture(t)
	account, key := f.account(t), certificateKey(t)
	for name, second := range map[string]va.Result{
		"another key": attested(t, certificateKey(t)), "no key": {Evidence: acme.Evidence{Method: acme.DeviceAttest01}},
	} {
		order := f.deviceOrder(t, account, "permanent-identifier:C02XYZ", "hardware-module:HW7/1.2.3")
		f.attest(t, account, order.Authorizations[0], attested(t, key))
		f.attest(t, account, order.Authorizations[1], second)
		_, err := f.FinalizeOrder(t.Context(), FinalizeOrder{Account: account, Order: order.ID, CSR: request(t, key)})
		if problemType(err) != acme.BadCSR {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What an attestation proves serves one order, reuse or not.
func TestAttestationIsNotReused(t *testing.T) {
	t.Parallel()
	f := deviceFixture(t)
	account := f.account(t)
	first := f.deviceOrder(t, account, "permanent-identifier:C02XYZ", "dns:a.example")
	for _, id := range first.Authorizations {
		authz, err := f.Store.Authorization(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if authz.Identifier.IsDevice() {
			f.attest(t, account, id, attested(t, certificateKey(t)))
			continue
		}
		f.va.results <- f.proven()
		f.respond(t, account, id, acme.HTTP01)
	}
	second := f.deviceOrder(t, account, "permanent-identifier:C02XYZ", "dns:a.example")
	if second.Status != acme.OrderPending {
		t.Errorf("the order is %s", second.Status)
	}
	shared := 0
	for _, id := range second.Authorizations {
		if slices.Contains(first.Authorizations, id) {
			shared++
		}
	}
	if shared != 1 {
		t.Errorf("%d authorizations are shared, want that of the DNS name", shared)
	}
}

// The names of a certificate that count when another account asks to revoke it
// are all of them.
func TestIdentifiersOfDevices(t *testing.T) {
	t.Parallel()
	key := certificateKey(t)
	device := parse(t, acme.IdentifierHardwareModule, "HW7/1.2.3")
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		device.AddOtherName(b)
		b.AddASN1(cryptobyte_asn1.Tag(2).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte("a.example")) })
	})
	template := &x509.Certificate{SerialNumber: big.NewInt(7), ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: b.BytesOrPanic()}}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	got, err := identifiers(cert)
	if want := []acme.Identifier{parse(t, acme.IdentifierDNS, "a.example"), device}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

// What is no attestation at all starts nothing.
func TestUnusableAttestation(t *testing.T) {
	t.Parallel()
	f := deviceFixture(t)
	account := f.account(t)
	order := f.deviceOrder(t, account, "permanent-identifier:C02XYZ")
	for _, payload := range []string{`{}`, `{"attObj":""}`, `{"attObj":"!"}`, `{"attObj":"oA"}`, `{"attObj":"9g"}`, ``} {
		_, err := f.RespondToChallenge(t.Context(), RespondToChallenge{
			Account: account, Authorization: order.Authorizations[0], Type: acme.DeviceAttest01, Response: []byte(payload),
		})
		if problemType(err) != acme.Malformed {
			t.Errorf("%s: %v", payload, err)
		}
	}
	authz, err := f.Store.Authorization(t.Context(), order.Authorizations[0])
	if err != nil || authz.Attempt != nil {
		t.Fatalf("the challenge was begun: %+v, %v", authz.Attempt, err)
	}
	if authz := f.attest(t, account, order.Authorizations[0], va.Result{Problem: acme.NewProblem(acme.BadAttestationStatement, "no")}); authz.Status != acme.AuthorizationInvalid {
		t.Errorf("a bad statement leaves the authorization %s", authz.Status)
	}
	if response := f.va.asked[0].Response; string(response) != attObj {
		t.Errorf("the validation authority got %q", response)
	}
}
