package conformance

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/device"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// makers are the authorities of each format's devices.
type makers struct{ apple, tpm, android, step *device.Authority }

func newMakers(t *testing.T) makers {
	return makers{device.NewAuthority(t, "Apple"), device.NewAuthority(t, "TPM"), device.NewAuthority(t, "Google"), device.NewAuthority(t, "Yubico")}
}

// configure offers device-attest-01 beside the other challenge types.
func (m makers) configure(t *testing.T) func(map[string]any) {
	roots := map[string]any{"apple": m.apple.RootFile(t), "tpm": m.tpm.RootFile(t), "android_key": m.android.RootFile(t), "step": m.step.RootFile(t)}
	return func(config map[string]any) {
		config["challenges"] = []string{"http-01", "dns-01", "device-attest-01"}
		config["validation"].(map[string]any)["attestation_roots"] = roots
		config["authorizations"] = map[string]any{"reuse": true}
	}
}

// attested is a device's identity, its key and what it says to a challenge.
type attested struct {
	id     rawacme.Identifier
	key    crypto.Signer
	attest func(t testing.TB, token, keyAuthorization string) device.Statement
}

func permanent(value string) rawacme.Identifier {
	return rawacme.Identifier{Type: "permanent-identifier", Value: value}
}

// devices are one of each format.
func (m makers) devices(t *testing.T) map[string]attested {
	apple := device.Apple{Authority: m.apple, Key: device.NewKey(t), Serial: "C02XYZ123456"}
	phone, yubikey := device.NewKey(t), device.Step{Authority: m.step, Key: device.NewKey(t), Serial: 7654321}
	tpm := device.TPM{Authority: m.tpm, AIK: device.NewKey(t), Key: device.NewKey(t),
		Names: []string{device.TPMName, "permanent-identifier:LAPTOP-7/1.3.6.1.4.1.99", "hardware-module:HW7/1.3.6.1.4.1.99.1"}}
	byTPM := func(t testing.TB, _, keyAuthorization string) device.Statement {
		return tpm.Attest(t, keyAuthorization)
	}
	return map[string]attested{
		"apple": {permanent(apple.Serial), apple.Key, func(t testing.TB, token, _ string) device.Statement { return apple.Attest(t, token) }},
		"step": {permanent("7654321"), yubikey.Key, func(t testing.TB, _, keyAuthorization string) device.Statement {
			return yubikey.Attest(t, keyAuthorization)
		}},
		"android-key": {permanent("PHONE1"), phone, func(t testing.TB, _, keyAuthorization string) device.Statement {
			return device.Android{Authority: m.android, Key: phone, Description: device.GoodDescription(keyAuthorization, "PHONE1")}.Attest(t, keyAuthorization)
		}},
		"tpm":                 {permanent("LAPTOP-7/1.3.6.1.4.1.99"), tpm.Key, byTPM},
		"tpm hardware module": {rawacme.Identifier{Type: "hardware-module", Value: "HW7/1.3.6.1.4.1.99.1"}, tpm.Key, byTPM},
	}
}

func orderDevice(t *testing.T, c *rawacme.Client, ids ...rawacme.Identifier) (rawacme.Order, rawacme.Authorization, rawacme.Challenge) {
	t.Helper()
	order := c.NewOrderFor(t, map[string]any{"identifiers": ids, "profile": "device"})
	authz := c.Authorization(t, order.Authorizations[0])
	return order, authz, authz.Challenge(t, "device-attest-01")
}

func respond(t *testing.T, c *rawacme.Client, d attested, challenge rawacme.Challenge) {
	t.Helper()
	payload := d.attest(t, challenge.Token, c.KeyAuthorization(challenge.Token)).Response(t)
	payload["unknown"] = "ignored" // draft-ietf-acme-device-attest §5
	wantOK(t, c, c.Post(t, challenge.URL, payload), http.StatusOK)
}

// draft-ietf-acme-device-attest: devices of every format get certificates with
// their identifiers, on every way to run Cairn.
func TestDeviceAttestation(t *testing.T) {
	t.Parallel()
	harness.EachWiring(t, func(t *testing.T, w harness.Wiring) {
		m := newMakers(t)
		s := harness.Start(t, harness.Options{Wiring: w, Configure: m.configure(t)})
		c := s.Account(t)
		for name, d := range m.devices(t) {
			order, authz, challenge := orderDevice(t, c, d.id)
			if authz.Identifier != d.id || order.Identifiers[0] != d.id || len(authz.Challenges) != 1 {
				t.Fatalf("%s: the authorization is %+v", name, authz)
			}
			respond(t, c, d, challenge)
			if authz = c.Decided(t, authz.URL); authz.Status != "valid" {
				t.Fatalf("%s: the authorization is %+v", name, authz)
			}
			// §10: the certificate is for the attested key, and for no other.
			resp := c.Post(t, order.Finalize, map[string]any{"csr": rawacme.B64(device.CSR(t, device.NewKey(t), ""))})
			if p := wantProblem(t, c, resp, http.StatusBadRequest, "badCSR"); !strings.Contains(p.Detail, "attested key") {
				t.Errorf("%s: the detail does not say why: %q", name, p.Detail)
			}
			chain := c.Finalize(t, order, device.CSR(t, d.key, ""))
			checkDevice(t, s, name, chain, d)
			if again, _, _ := orderDevice(t, c, d.id); again.Status != "pending" || again.Authorizations[0] == authz.URL {
				t.Errorf("%s: the attestation was used for another order", name)
			}
		}
	})
}

// checkDevice verifies a device's certificate by its bytes, as a TLS server
// would, and with OpenSSL.
func checkDevice(t *testing.T, s *harness.Server, name string, chain []*x509.Certificate, d attested) {
	t.Helper()
	leaf := chain[0]
	if !leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }).Equal(d.key.Public()) {
		t.Errorf("%s: the certificate is for another key", name)
	}
	want := device.AltNames(t, d.id.Type+":"+d.id.Value)
	i := slices.IndexFunc(leaf.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) })
	if i < 0 || !slices.Equal(leaf.Extensions[i].Value, want) {
		t.Errorf("%s: the subject alternative names are not %x", name, want)
	}
	root, err := s.Root()
	if err != nil {
		t.Fatal(err)
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(root)
	intermediates.AddCert(chain[1])
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	file := harness.WritePEM(t, "leaf.pem", leaf)
	harness.OpenSSL(t, "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", s.RootFile(), "-untrusted", harness.WritePEM(t, "rest.pem", chain[1:]...), file)
	if text := harness.OpenSSL(t, "x509", "-in", file, "-noout", "-text"); !strings.Contains(text, "othername:") {
		t.Errorf("%s: OpenSSL finds no otherName:\n%s", name, text)
	}
}

// What is refused, and what it does to the challenge.
func TestDeviceAttestationRefused(t *testing.T) {
	t.Parallel()
	m := newMakers(t)
	s := harness.Start(t, harness.Options{Configure: m.configure(t)})
	c := s.Account(t)
	good := m.devices(t)

	t.Run("newOrder", func(t *testing.T) {
		for _, test := range []struct {
			id      rawacme.Identifier
			profile string
			status  int
			kind    string
		}{
			// §3.1, §4.1: non-conforming values are malformed.
			{permanent(""), "device", http.StatusBadRequest, "malformed"},
			{permanent("a/b"), "device", http.StatusBadRequest, "malformed"},
			{permanent("a/1.2.3/4"), "device", http.StatusBadRequest, "malformed"},
			{permanent("a/1.40.3"), "device", http.StatusBadRequest, "malformed"},
			{permanent("/1.2.3"), "device", http.StatusBadRequest, "malformed"},
			{rawacme.Identifier{Type: "hardware-module", Value: "ABCD"}, "device", http.StatusBadRequest, "malformed"},
			{permanent("a\u0000"), "device", http.StatusForbidden, "rejectedIdentifier"},
			{permanent("a"), "default", http.StatusBadRequest, "unsupportedIdentifier"},
			{rawacme.Identifier{Type: "dns", Value: "a.example"}, "device", http.StatusBadRequest, "unsupportedIdentifier"},
		} {
			resp := c.Post(t, c.Directory.NewOrder, map[string]any{"identifiers": []rawacme.Identifier{test.id}, "profile": test.profile})
			checkPOST(t, c, resp)
			if resp.Status != test.status || !strings.Contains(string(resp.Body), urn+test.kind) {
				t.Errorf("%+v: status %d, want %d %s: %s", test.id, resp.Status, test.status, test.kind, resp.Body)
			}
		}
	})
	t.Run("unusable", func(t *testing.T) {
		// The challenge stays pending, and takes a good response afterwards.
		d := good["apple"]
		_, authz, challenge := orderDevice(t, c, d.id)
		for _, payload := range []any{
			map[string]any{}, map[string]any{"attObj": ""}, map[string]any{"attObj": nil}, map[string]any{"attObj": 1}, map[string]any{"attObj": "!"},
			map[string]any{"attObj": "_w"}, map[string]any{"attObj": "oA"}, map[string]any{"attObj": strings.Repeat("A", 45_000)},
		} {
			wantProblem(t, c, c.Post(t, challenge.URL, payload), http.StatusBadRequest, "malformed")
		}
		if authz = c.Authorization(t, authz.URL); authz.Challenge(t, "device-attest-01").Status != "pending" {
			t.Fatalf("the authorization is %+v", authz)
		}
		respond(t, c, d, challenge)
		if authz = c.Decided(t, authz.URL); authz.Status != "valid" {
			t.Errorf("the authorization is %+v", authz)
		}
	})
	t.Run("bad statements", func(t *testing.T) {
		foreign := newMakers(t).devices(t)
		for name, d := range good {
			for what, bad := range map[string]attested{
				"other root":   {d.id, d.key, foreign[name].attest},
				"other device": {rawacme.Identifier{Type: d.id.Type, Value: "X" + d.id.Value}, d.key, d.attest},
				"other challenge": {d.id, d.key, func(t testing.TB, token, keyAuthorization string) device.Statement {
					return d.attest(t, token+"x", "x"+keyAuthorization)
				}},
				"unknown format": {d.id, d.key, func(testing.TB, string, string) device.Statement {
					return device.Statement{Format: "none", Members: map[string]any{}}
				}},
			} {
				order, authz, challenge := orderDevice(t, c, bad.id)
				respond(t, c, bad, challenge)
				authz = c.Decided(t, authz.URL)
				failed := authz.Challenge(t, "device-attest-01")
				if authz.Status != "invalid" || failed.Status != "invalid" || failed.Error == nil {
					t.Errorf("%s, %s: the authorization is %+v", name, what, authz)
					continue
				}
				checkProblem(t, *failed.Error, "badAttestationStatement")
				if order = c.Order(t, order.URL); order.Status != "invalid" {
					t.Errorf("%s, %s: the order is %s", name, what, order.Status)
				}
			}
		}
	})
	t.Run("CSR", func(t *testing.T) {
		d := good["tpm"]
		order, authz, challenge := orderDevice(t, c, d.id)
		respond(t, c, d, challenge)
		if authz = c.Decided(t, authz.URL); authz.Status != "valid" {
			t.Fatalf("the authorization is %+v", authz)
		}
		for name, csr := range map[string][]byte{
			"another device": device.CSR(t, d.key, "", "permanent-identifier:X"), "without the assigner": device.CSR(t, d.key, "", "permanent-identifier:LAPTOP-7"),
			"another common name": device.CSR(t, d.key, "somebody"), "a DNS name": rawacme.CSR(t, d.key, []string{"a.example"}),
		} {
			t.Log(name)
			wantProblem(t, c, c.Post(t, order.Finalize, map[string]any{"csr": rawacme.B64(csr)}), http.StatusBadRequest, "badCSR")
		}
		checkDevice(t, s, "tpm", c.Finalize(t, order, device.CSR(t, d.key, "LAPTOP-7", "permanent-identifier:"+d.id.Value)), d)
	})
}

// An operator revokes what a device has, by its identity.
func TestRevokeDevice(t *testing.T) {
	t.Parallel()
	m := newMakers(t)
	s := harness.Start(t, harness.Options{Configure: m.configure(t)})
	c := s.Account(t)
	d := m.devices(t)["tpm"]
	order, authz, challenge := orderDevice(t, c, d.id)
	respond(t, c, d, challenge)
	if authz = c.Decided(t, authz.URL); authz.Status != "valid" {
		t.Fatalf("the authorization is %+v", authz)
	}
	cert := harness.Certificate{Chain: c.Finalize(t, order, device.CSR(t, d.key, "")), Key: d.key}
	if done := revoke(t, s, "--name", d.id.Type+":"+d.id.Value, "--reason", "superseded"); done.Revoked != 1 {
		t.Errorf("revoked: %+v", done)
	}
	s.CheckRevoked(t, cert, 4)
}

// A directory that does not offer device-attest-01 says nothing of devices.
func TestNoDeviceAttestation(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	if profiles, _ := c.Directory.Meta["profiles"].(map[string]any); profiles["device"] != nil {
		t.Errorf("the profiles are %v", profiles)
	}
	resp := c.Post(t, c.Directory.NewOrder, map[string]any{"identifiers": []rawacme.Identifier{permanent("a")}})
	if resp.Status != http.StatusBadRequest || !strings.Contains(string(resp.Body), urn+"unsupportedIdentifier") {
		t.Errorf("status %d: %s", resp.Status, resp.Body)
	}
}
