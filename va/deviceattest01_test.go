package va_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/test/harness/device"
	"github.com/cairn-ca/cairn/va"
	"github.com/cairn-ca/cairn/va/attest"
)

func deviceID(t testing.TB, text string) acme.Identifier {
	t.Helper()
	id, err := acme.ParseIdentifierString(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestDeviceAttest01(t *testing.T) {
	t.Parallel()
	authority := device.NewAuthority(t, "Yubico PIV")
	l := newLab(t, func(c *va.Config) {
		c.AttestationRoots = map[string]attest.Roots{"default": {attest.Step: {authority.Root}}, "apple": {attest.Apple: {authority.Root}}}
	})
	key := device.NewKey(t)
	payload, err := json.Marshal(device.Step{Authority: authority, Key: key, Serial: 7}.Attest(t, keyAuth).Response(t))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(change func(*va.Request)) va.Request {
		req := request(deviceID(t, "permanent-identifier:7"), acme.DeviceAttest01)
		req.Response = payload
		if change != nil {
			change(&req)
		}
		return req
	}

	result := l.validate(t, ask(nil))
	expect(t, result, valid, false)
	want, err := acme.PublicKeySHA256(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if a := result.Evidence.Attestation; a == nil || a.Format != "step" || a.KeySHA256 != want || len(a.RootSHA256) != 64 {
		t.Errorf("the evidence is %+v", a)
	}
	if !strings.Contains(strings.Join(result.Evidence.Steps, "\n"), want) {
		t.Errorf("the steps do not tell the key: %q", result.Evidence.Steps)
	}

	for _, test := range []struct {
		name    string
		change  func(*va.Request)
		kind    acme.ProblemType
		mention string
	}{
		{"another device", func(r *va.Request) { r.Identifier = deviceID(t, "permanent-identifier:8") }, acme.BadAttestationStatement, "another device"},
		{"another token", func(r *va.Request) { r.Token = "other" }, acme.BadAttestationStatement, "no signature"},
		{"another account key", func(r *va.Request) { r.KeyThumbprint = "other" }, acme.BadAttestationStatement, "no signature"},
		{"a directory without the format's roots", func(r *va.Request) { r.Directory = "apple" }, acme.BadAttestationStatement, "accepts apple"},
		{"a directory without roots", func(r *va.Request) { r.Directory = "none" }, acme.BadAttestationStatement, "accepts none"},
		{"no attestation", func(r *va.Request) { r.Response = []byte("{}") }, acme.Malformed, "attObj"},
		{"a DNS name", func(r *va.Request) { r.Identifier = dnsName(t, "a.test") }, acme.Malformed, "devices only"},
		{"http-01 for a device", func(r *va.Request) { r.Type = acme.HTTP01 }, acme.Malformed, ""},
		{"dns-01 for a device", func(r *va.Request) { r.Type = acme.DNS01 }, acme.Malformed, ""},
		{"tls-alpn-01 for a device", func(r *va.Request) { r.Type = acme.TLSALPN01 }, acme.Malformed, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			result := l.validate(t, ask(test.change))
			expect(t, result, test.kind, false, test.mention)
			if result.Evidence.Attestation != nil {
				t.Errorf("a failure has the evidence %+v", result.Evidence.Attestation)
			}
		})
	}
}
