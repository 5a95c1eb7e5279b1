package attest_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/test/harness/device"
	"github.com/cairn-ca/cairn/va/attest"
)

// What is no attestation object is malformed, and decides nothing.
func TestParseResponse(t *testing.T) {
	t.Parallel()
	b64 := func(s string) string {
		data, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		return `{"attObj":"` + base64.RawURLEncoding.EncodeToString(data) + `"}`
	}
	const (
		fmtApple = "63 666d74 65 6170706c65"             // "fmt": "apple"
		attStmt  = "67 61747453746d74"                   // "attStmt"
		x5c      = "63 783563"                           // "x5c"
		authData = "68 6175746844617461 43 010203"       // "authData": h'010203'
		stmt     = attStmt + " a1 " + x5c + " 81 41 00 " // with one certificate
	)
	for _, test := range []struct{ name, payload, problem string }{
		{"good", b64("a2" + fmtApple + stmt), ""},
		{"authData, and members that nobody knows", strings.Replace(b64("a3"+fmtApple+stmt+authData), "{", `{"error":null,`, 1), ""},
		{"another format", b64("a2 63 666d74 64 6e6f6e65" + attStmt + "a0"), ""},
		{"empty object", `{}`, `no "attObj"`},
		{"null", `{"attObj":null}`, `no "attObj"`},
		{"number", `{"attObj":7}`, "can't be read"},
		{"empty", `{"attObj":""}`, `no "attObj"`},
		{"twice", `{"attObj":"oA","attObj":"oA"}`, "can't be read"},
		{"an array", `[]`, "can't be read"},
		{"padded", `{"attObj":"oA=="}`, "base64url"},
		{"not base64url", `{"attObj":"+/+/"}`, "base64url"},
		{"bits to spare", `{"attObj":"oB"}`, "base64url"},
		{"too large", `{"attObj":"` + strings.Repeat("A", 60000) + `"}`, "larger than"},
		{"no CBOR", b64("ff"), "not a CBOR map"},
		{"a CBOR list", b64("80"), "not a CBOR map"},
		{"an empty map", b64("a0"), `no "fmt"`},
		{"no statement", b64("a1" + fmtApple), `no "attStmt"`},
		{"fmt a number", b64("a2 63 666d74 01" + stmt), "not a CBOR map"},
		{"in other case", b64("a2 63 464d54 65 6170706c65" + stmt), `no "fmt"`},
		{"cut short", b64("a2" + fmtApple), "not a CBOR map"},
		{"trailing data", b64("a2" + fmtApple + stmt + "00"), "not a CBOR map"},
		{"a key twice", b64("a3" + fmtApple + fmtApple + stmt), "not a CBOR map"},
		{"a key twice in the statement", b64("a2" + fmtApple + attStmt + "a2" + x5c + "81 41 00" + x5c + "81 41 00"), "attStmt"},
		{"statement a list", b64("a2" + fmtApple + attStmt + "80"), "attStmt"},
		{"no certificates", b64("a2" + fmtApple + attStmt + "a0"), "x5c"},
		{"an empty list of certificates", b64("a2" + fmtApple + attStmt + "a1" + x5c + "80"), "x5c"},
		{"certificates in text", b64("a2" + fmtApple + attStmt + "a1" + x5c + "81 61 41"), "attStmt"},
		{"nine certificates", b64("a2" + fmtApple + attStmt + "a1" + x5c + "89" + strings.Repeat("4100", 9)), "more than 8"},
		{"many certificates", b64("a2" + fmtApple + attStmt + "a1" + x5c + "98 20" + strings.Repeat("4100", 32)), "not a CBOR map"},
		{"nested deeply", b64("a2" + fmtApple + attStmt + strings.Repeat("81", 100) + "00"), "not a CBOR map"},
		{"a length without end", b64("9b ffffffffffffffff"), "not a CBOR map"},
		{"indefinite length", b64("bf" + fmtApple + stmt + "ff"), "not a CBOR map"},
		{"a tag", b64("d9 d9f7 a2" + fmtApple + stmt), "not a CBOR map"},
		{"text that is not UTF-8", b64("a2 63 666d74 61 ff" + stmt), "not a CBOR map"},
	} {
		_, err := attest.ParseResponse([]byte(test.payload))
		var p *acme.Problem
		switch {
		case test.problem == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.problem == "":
		case !errors.As(err, &p) || p.Type != acme.Malformed || !strings.Contains(p.Detail, test.problem):
			t.Errorf("%s: got %v, want malformed with %q", test.name, err, test.problem)
		}
	}
}

// FuzzVerify takes statements apart: whatever they are, they are refused in
// an orderly way.
func FuzzVerify(f *testing.F) {
	a := device.NewAuthority(f, "fuzzed")
	key := device.NewKey(f)
	names := []string{device.TPMName, "permanent-identifier:" + serial}
	roots := make(attest.Roots)
	for _, format := range attest.Formats() {
		roots[format] = rootsOf(format, a)[format]
	}
	for _, s := range []device.Statement{
		device.Apple{Authority: a, Key: key, Serial: serial}.Attest(f, token),
		device.Step{Authority: a, Key: key, Serial: 7}.Attest(f, keyAuth),
		device.Android{Authority: a, Key: key, Description: device.GoodDescription(keyAuth, serial)}.Attest(f, keyAuth),
		device.TPM{Authority: a, AIK: key, Key: key, Names: names}.Attest(f, keyAuth),
	} {
		f.Add(s.Object(f))
	}
	want := attest.Expected{Identifier: parse(f, "permanent-identifier:X"), Token: token, KeyAuthorization: keyAuth, Now: time.Now()}
	f.Fuzz(func(t *testing.T, object []byte) {
		payload, err := json.Marshal(map[string]string{"attObj": base64.RawURLEncoding.EncodeToString(object)})
		if err != nil {
			t.Fatal(err)
		}
		o, err := attest.ParseResponse(payload)
		var p *acme.Problem
		if errors.As(err, &p) {
			return
		}
		if err != nil {
			t.Fatalf("not a problem: %v", err)
		}
		_, err = roots.Verify(o, want)
		var refusal *attest.Error
		if !errors.As(err, &refusal) {
			t.Fatalf("a statement about another device is good: %v", err)
		}
		if reason := refusal.Error(); len(reason) > 2000 || strings.IndexFunc(reason, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
			t.Errorf("not a bounded printable line: %q", reason)
		}
	})
}
