package acme

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// draft-ietf-acme-device-attest §3.1 and §4.1.
func TestParseDevice(t *testing.T) {
	t.Parallel()
	const permanent, module = IdentifierPermanentIdentifier, IdentifierHardwareModule
	for _, test := range []struct {
		kind          IdentifierType
		value         string
		problem       ProblemType // empty: it is good
		identity, oid string
	}{
		{permanent, "ABCDEF123456", "", "ABCDEF123456", ""},
		{permanent, "ABCDEF123456/1.2.3.4", "", "ABCDEF123456", "1.2.3.4"},
		{permanent, "a serial: №7", "", "a serial: №7", ""},
		{permanent, "x/2.999.0.340282366920938463463374607431768211456", "", "x", "2.999.0.340282366920938463463374607431768211456"},
		{permanent, "x/0.0", "", "x", "0.0"},
		{permanent, "x/1.39", "", "x", "1.39"},
		{permanent, "x/1.40", Malformed, "", ""},
		{permanent, "x/1.04", Malformed, "", ""},
		{permanent, "x/3.1", Malformed, "", ""},
		{permanent, "x/1", Malformed, "", ""},
		{permanent, "x/1.2.03", Malformed, "", ""},
		{permanent, "x/1.2.", Malformed, "", ""},
		{permanent, "x/1.2\n", Malformed, "", ""},
		{permanent, "x/", Malformed, "", ""},
		{permanent, "x/y/1.2", Malformed, "", ""},
		{permanent, "/1.2", Malformed, "", ""},
		{permanent, "", Malformed, "", ""},
		{permanent, "\xff", Malformed, "", ""},
		{permanent, strings.Repeat("a", 256), "", strings.Repeat("a", 256), ""},
		{permanent, strings.Repeat("a", 257), Malformed, "", ""},
		{permanent, "a\x00b", RejectedIdentifier, "", ""},
		{permanent, "a\u202eb", RejectedIdentifier, "", ""},
		{module, "ABCD/1.2.3.4", "", "ABCD", "1.2.3.4"},
		{module, "ABCD", Malformed, "", ""},
		{module, "/1.2.3.4", Malformed, "", ""},
	} {
		id, err := ParseIdentifier(test.kind, test.value)
		var p *Problem
		switch errors.As(err, &p); {
		case test.problem != "":
			if p == nil || p.Type != test.problem {
				t.Errorf("%s %q: got %v, %v; want %s", test.kind, test.value, id, err, test.problem)
			}
			continue
		case err != nil:
			t.Errorf("%s %q: %v", test.kind, test.value, err)
			continue
		}
		if identity, oid := id.Device(); identity != test.identity || oid != test.oid || !id.IsDevice() || id.Value() != test.value {
			t.Errorf("%s %q: the parts are %q and %q", test.kind, test.value, identity, oid)
		}
		again, err := ParseIdentifierString(id.String())
		if err != nil || again != id {
			t.Errorf("%s: as text and back it is %v, %v", id, again, err)
		}
		// In a certificate, and back.
		if back := DeviceNames(sanOf(t, id)); len(back) != 1 || back[0] != id {
			t.Errorf("%s: from a certificate it comes back as %v", id, back)
		}
	}
}

func sanOf(t testing.TB, ids ...Identifier) []byte {
	t.Helper()
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, id := range ids {
			id.AddOtherName(b)
		}
	})
	der, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// The bytes, as `openssl asn1parse -genconf` makes them.
func TestOtherNameEncoding(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"permanent-identifier:AB":       "3014a01206082b06010505070803a00630040c024142",
		"permanent-identifier:AB/1.2.3": "3018a01606082b06010505070803a00a30080c02414206022a03",
		"hardware-module:AB/1.2.3":      "3018a01606082b06010505070804a00a300806022a0304024142",
	} {
		id, err := ParseIdentifierString(value)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(sanOf(t, id)); got != want {
			t.Errorf("%s is %s, want %s", value, got, want)
		}
	}
	b := cryptobyte.NewBuilder(nil)
	Identifier{IdentifierDNS, "example.org"}.AddOtherName(b)
	if _, err := b.Bytes(); err == nil {
		t.Error("a DNS name became an otherName")
	}
}

func FuzzDeviceNames(f *testing.F) {
	for _, value := range []string{"permanent-identifier:AB", "permanent-identifier:AB/1.2.3", "hardware-module:AB/1.2.3"} {
		id, err := ParseIdentifierString(value)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(sanOf(f, id))
	}
	f.Add([]byte("\x30\x10\xa0\x0e\x06\x08+\x06\x01\x05\x05\x07\x08\x03\xa0\x02\x30\x00"))
	f.Fuzz(func(t *testing.T, san []byte) {
		ids := DeviceNames(san)
		if len(ids) == 0 {
			return
		}
		again := DeviceNames(sanOf(t, ids...))
		for i, id := range ids {
			if !id.IsDevice() || again[i] != id {
				t.Errorf("%v came back as %v", ids, again)
			}
		}
	})
}
