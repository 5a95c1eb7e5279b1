package key

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// debianKey reads a key that Debian's OpenSSL made when it drew from 32,768
// states: one of HARICA's collection, or badkeys' example.
func debianKey(t *testing.T, name string) (*rsa.PublicKey, []byte) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return public.(*rsa.PublicKey), block.Bytes
}

func list(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// The hashes are what openssl rsa -modulus, sha1sum and sha256sum say of the
// keys.
func TestDebianWeakKeys(t *testing.T) {
	t.Parallel()
	harica, haricaSPKI := debianKey(t, "debian-harica.pub")
	badkeys, badkeysSPKI := debianKey(t, "debian-badkeys.pub")
	for _, c := range []struct {
		name, text      string
		harica, badkeys bool
	}{
		{"openssl-blacklist", "# a comment\n\nc554e4aa49d96fae9bfc\n54e4aa49d96fae9bfc0e\n", false, false},
		{"openssl-blacklist, one", "# a comment\n\n00005890bc78bcbee3ca\n49d96fae9bfc0e84bba3\n", true, false},
		{"openssl-blacklist, both", "D96FAE9BFC0E84BBA300\r\n49D96FAE9BFC0E84BBA3\r\nb7ead9492dfd921fc4f9\n", true, true},
		{"whole SHA-1", "74b23198cae7c554e4aa49d96fae9bfc0e84bba3\n", true, false},
		{"dwk_blocklists", "6a5fe0a26ec49ea11eda6c6c05ee63f01c8dda392fc771b6ececd2efe4f3f039\n", true, false},
		{"dwk_blocklists, another", "31c152529eb033a010f8c272fd8d42b0a9bde378ae56982058985be84a743cea", false, true},
		{"SPKI", "56510da4eb530916eaa14193d592b5cff1be03a5d9f39566e55780db519b1df7\n", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, err := ReadWeakKeys([]string{list(t, c.text)})
			if err != nil {
				t.Fatal(err)
			}
			if got := w.Has(harica, haricaSPKI); got != c.harica {
				t.Errorf("HARICA's key: %v", got)
			}
			if got := w.Has(badkeys, badkeysSPKI); got != c.badkeys {
				t.Errorf("badkeys' key: %v", got)
			}
		})
	}
	// The modulus counts, not the exponent.
	other := &rsa.PublicKey{N: harica.N, E: 65539}
	spki, err := x509.MarshalPKIXPublicKey(other)
	if err != nil {
		t.Fatal(err)
	}
	w, err := ReadWeakKeys([]string{list(t, "49d96fae9bfc0e84bba3\n")})
	if err != nil || !w.Has(other, spki) {
		t.Errorf("another exponent: %v", err)
	}
	var none *WeakKeys
	if none.Has(harica, haricaSPKI) || none.Len() != 0 {
		t.Error("no list has a key")
	}
}

func TestWeakECKeys(t *testing.T) {
	t.Parallel()
	k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := k.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	x := strings.TrimLeft(string(point[1:49]), "\x00")
	sum := sha256.Sum256([]byte(x))
	w, err := ReadWeakKeys([]string{list(t, hex.EncodeToString(sum[:]))})
	if err != nil {
		t.Fatal(err)
	}
	has := func(public crypto.PublicKey) bool {
		spki, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			t.Fatal(err)
		}
		return w.Has(public, spki)
	}
	if !has(k.Public()) {
		t.Error("the key is not found")
	}
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if has(other.Public()) || has(ed) {
		t.Error("another key is found")
	}
}

func TestBadWeakKeyLists(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                             "it has no hash",
		"# nothing\n":                  "it has no hash",
		"# one\n49d96fae9bfc0e84bba\n": `line 2: expects a hash in hexadecimal; found "49d96fae9bfc0e84bba"`,
		"49d96fae9bfc0e84bba3ff\n":     "line 1: expects a hash of 20, 40 or 64 hexadecimal digits; found 22",
		"SHA256_FINGERPRINT\n":         "line 1: expects a hash in hexadecimal",
		strings.Repeat("a", 300):       "line 1: it is longer than any hash",
	} {
		if _, err := ReadWeakKeys([]string{list(t, text)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := ReadWeakKeys([]string{"testdata/none"}); err == nil || !strings.Contains(err.Error(), "testdata/none") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func FuzzReadWeakKeys(f *testing.F) {
	f.Add("# c\n49d96fae9bfc0e84bba3\n")
	f.Add("6a5fe0a26ec49ea11eda6c6c05ee63f01c8dda392fc771b6ececd2efe4f3f039\r\n\n")
	f.Add("74b23198cae7c554e4aa49d96fae9bfc0e84bba3\nx")
	f.Fuzz(func(t *testing.T, text string) {
		w := &WeakKeys{}
		if err := w.read(strings.NewReader(text)); err == nil && w.Len() > strings.Count(text, "\n")+1 {
			t.Errorf("%d hashes in %q", w.Len(), text)
		}
	})
}

// Two keys with one modulus are known by one hash.
func TestSPKIHashes(t *testing.T) {
	t.Parallel()
	usual, spki := debianKey(t, "debian-harica.pub")
	want, err := SPKIHashes(usual, spki)
	if err != nil || len(want) != 1 || want[0] != sha256.Sum256(spki) {
		t.Fatalf("%x, %v", want, err)
	}
	other := &rsa.PublicKey{N: usual.N, E: 65539}
	otherSPKI, err := x509.MarshalPKIXPublicKey(other)
	if err != nil {
		t.Fatal(err)
	}
	got, err := SPKIHashes(other, otherSPKI)
	if err != nil || len(got) != 2 || got[0] != sha256.Sum256(otherSPKI) || got[1] != want[0] {
		t.Errorf("%x, %v", got, err)
	}
}
