package key

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const testURI = "pkcs11:token=cairn;object=issuer?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/cairn/pin"

func TestParsePKCS11URI(t *testing.T) {
	t.Parallel()
	base := PKCS11URI{Slot: -1, ModulePath: "/m.so"}
	with := func(change func(*PKCS11URI)) PKCS11URI {
		u := base
		change(&u)
		return u
	}
	for _, test := range []struct {
		uri  string
		want PKCS11URI
		err  string // a part of the error
	}{
		{uri: testURI, want: PKCS11URI{Token: "cairn", Slot: -1, Object: "issuer", ModulePath: "/usr/lib/softhsm/libsofthsm2.so", PINFile: "/etc/cairn/pin"}},
		{uri: "PKCS11:token=a%20b%3b;id=%01%00%ff;type=private?module-path=/m.so", want: with(func(u *PKCS11URI) { u.Token, u.ID = "a b;", []byte{1, 0, 255} })},
		{uri: "pkcs11:serial=0123;object=k;id=k?pin-source=file%3A%2F%2F%2Fpin&module-path=/m.so", want: with(func(u *PKCS11URI) { u.Serial, u.Object, u.ID, u.PINFile = "0123", "k", []byte("k"), "/pin" })},
		{uri: "pkcs11:slot-id=0;object=k?pin-source=env:PIN&module-path=/m.so", want: with(func(u *PKCS11URI) { u.Slot, u.Object, u.PINEnv = 0, "k", "PIN" })},
		{uri: "pkcs11:slot-id=7;object=k?pin-source=/pin&module-path=/m.so", want: with(func(u *PKCS11URI) { u.Slot, u.Object, u.PINFile = 7, "k", "/pin" })},

		{uri: "file:/x", err: "does not begin with"},
		{uri: "pkcs11:", err: "exactly one of token"},
		{uri: "pkcs11:token=a;serial=b;object=k?module-path=/m.so", err: "exactly one of token"},
		{uri: "pkcs11:token=a?module-path=/m.so", err: "must name the key"},
		{uri: "pkcs11:token=a;object=k", err: "absolute path"},
		{uri: "pkcs11:token=a;object=k?module-path=m.so", err: "absolute path"},
		{uri: "pkcs11:token=a;object=k?module-name=m&module-path=/m.so", err: `"module-name", which is not supported`},
		{uri: "pkcs11:token=a;object=k;manufacturer=m?module-path=/m.so", err: `"manufacturer", which is not supported`},
		{uri: "pkcs11:token=a;object=k;type=cert?module-path=/m.so", err: `type "cert"`},
		{uri: "pkcs11:token=a;object=k;token=b?module-path=/m.so", err: `"token" twice`},
		{uri: "pkcs11:token=a;object=?module-path=/m.so", err: `empty value for "object"`},
		{uri: "pkcs11:token=a;object?module-path=/m.so", err: "without a value"},
		{uri: "pkcs11:token=a;object=%zz?module-path=/m.so", err: "percent-encoding"},
		{uri: "pkcs11:token=a;object=k%00?module-path=/m.so", err: "zero byte"},
		{uri: "pkcs11:slot-id=-1;object=k?module-path=/m.so", err: "no number"},
		{uri: "pkcs11:token=a;object=k?module-path=/m.so&pin-source=%7Ccat%20pin", err: "neither file:/PATH nor env:NAME"},
		{uri: "pkcs11:token=a;object=k?module-path=/m.so&pin-value=s3cret", err: "holds a PIN"},
		{uri: "pkcs11:token=" + strings.Repeat("a", 5000), err: "more than"},
	} {
		got, err := ParsePKCS11URI(test.uri)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%.100s: %v, want an error with %q", test.uri, err, test.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.uri, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.uri, diff)
		}
	}
}

// What a URI names is written so that it is read as the same.
func FuzzParsePKCS11URI(f *testing.F) {
	for _, seed := range []string{
		testURI, "pkcs11:serial=%20;id=%00?module-path=/m&pin-source=env:A", "pkcs11:slot-id=1;object=a%3Bb%26%3F;type=private?module-path=/%FF", "pkcs11:?", "x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParsePKCS11URI(s)
		if err != nil {
			return
		}
		written := u.String()
		if len(written) > maxPKCS11URI {
			return // escapes made it longer
		}
		again, err := ParsePKCS11URI(written)
		if err != nil {
			t.Fatalf("%q was written as %q: %v", s, written, err)
		}
		if diff := cmp.Diff(u, again); diff != "" {
			t.Fatalf("%q was written as %q (-first +again):\n%s", s, written, diff)
		}
	})
}

func TestParseSpec(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"keys/intermediate.key": "keys/intermediate.key",
		"pkcs11-is-a-folder/a":  "pkcs11-is-a-folder/a",
		testURI:                 testURI,
	} {
		spec, err := ParseSpec(s)
		if err != nil || spec.String() != want || (spec.PKCS11 != nil) != strings.HasPrefix(s, "pkcs11:") {
			t.Errorf("%s: %v, %v", s, spec, err)
		}
	}
	if _, err := ParseSpec("pkcs11:"); err == nil {
		t.Error("an incomplete URI is taken")
	}
}

func TestPIN(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	getenv := func(name string) string { return map[string]string{"PIN": "1234"}[name] }
	for name, test := range map[string]struct {
		uri   PKCS11URI
		pin   string
		login bool
		err   string
	}{
		"none":            {uri: PKCS11URI{}},
		"file":            {uri: PKCS11URI{PINFile: write("pin", "1234\n", 0o600)}, pin: "1234", login: true},
		"file of Windows": {uri: PKCS11URI{PINFile: write("crlf", " 1234 \r\n", 0o400)}, pin: " 1234 ", login: true},
		"environment":     {uri: PKCS11URI{PINEnv: "PIN"}, pin: "1234", login: true},
		"open file":       {uri: PKCS11URI{PINFile: write("open", "1234", 0o644)}, err: "chmod 600"},
		"empty file":      {uri: PKCS11URI{PINFile: write("empty", "\n", 0o600)}, err: "is empty"},
		"long file":       {uri: PKCS11URI{PINFile: write("long", strings.Repeat("1", 300), 0o600)}, err: "more than"},
		"no file":         {uri: PKCS11URI{PINFile: filepath.Join(folder, "none")}, err: "no such file"},
		"no variable":     {uri: PKCS11URI{PINEnv: "OTHER"}, err: "no PIN in OTHER"},
	} {
		pin, login, err := test.uri.pin(getenv)
		if pin != test.pin && test.err == "" || login != test.login || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %q, %v, %v", name, pin, login, err)
		}
	}
}
