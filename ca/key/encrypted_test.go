package key

import (
	"bytes"
	"crypto/rand"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var passphrase = []byte("correct horse")

func given(secret []byte) Passphrase { return func() ([]byte, error) { return secret, nil } }

// openssl runs openssl in a folder; its output is given.
func openssl(t *testing.T, folder string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openssl", args...)
	cmd.Dir = folder
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// Encrypted keys go into files and come back, and OpenSSL reads them.
func TestEncrypted(t *testing.T) {
	t.Parallel()
	for _, kind := range []Type{P256, RSA, Ed25519} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			signer, err := Generate(kind, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			encoded, err := EncodeEncrypted(rand.Reader, signer, passphrase)
			if err != nil {
				t.Fatal(err)
			}
			if !Encrypted(encoded) {
				t.Error("it is not known to be encrypted")
			}
			path := filepath.Join(t.TempDir(), "key.pem")
			if err := Create(rand.Reader, path, encoded, 0o600); err != nil {
				t.Fatal(err)
			}
			back, err := File{Path: path, Passphrase: given(passphrase)}.Open()
			if err != nil || !Equal(back.Public(), signer.Public()) {
				t.Fatalf("read back %v, %v", back, err)
			}
			plain := openssl(t, filepath.Dir(path), "pkcs8", "-in", path, "-passin", "pass:"+string(passphrase))
			if again, err := ParsePEM(plain, nil); err != nil || !Equal(again.Public(), signer.Public()) {
				t.Errorf("openssl reads another key: %v", err)
			}
			if kind != P256 {
				return // the rest is the same for all
			}
			if _, err := (File{Path: path, Passphrase: given([]byte("wrong"))}).Open(); !errors.Is(err, ErrPassphrase) || !strings.Contains(err.Error(), path) {
				t.Errorf("a wrong passphrase: %v", err)
			}
			if _, err := ReadFile(path); err == nil || !strings.Contains(err.Error(), "encrypted") {
				t.Errorf("no passphrase: %v", err)
			}
		})
	}
	if _, err := EncodeEncrypted(rand.Reader, nil, nil); err == nil {
		t.Error("an empty passphrase is taken")
	}
}

// Keys that OpenSSL and older software wrote.
func TestForeignEncryption(t *testing.T) {
	t.Parallel()
	signer, err := Generate(P256, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := Encode(signer)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "plain.pem"), encoded, 0o600); err != nil {
		t.Fatal(err)
	}
	with := []string{"-in", "plain.pem", "-passout", "pass:" + string(passphrase)}
	pkcs8 := slices.Clip(append([]string{"pkcs8", "-topk8"}, with...))
	for _, test := range []struct {
		name string
		args []string
		want string // in the error; empty: the key is read
	}{
		{"openssl's default", pkcs8, ""},
		{"AES-128", append(pkcs8, "-v2", "aes-128-cbc"), ""},
		{"AES-192", append(pkcs8, "-v2", "aes-192-cbc"), ""},
		{"HMAC-SHA-1", append(pkcs8, "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA1"), ""},
		{"HMAC-SHA-512", append(pkcs8, "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA512"), "only HMAC with SHA-256"},
		{"scrypt", append(pkcs8, "-scrypt"), "only PBKDF2"},
		{"triple DES", append(pkcs8, "-v2", "des3"), "only AES"},
		{"PBES1", append(pkcs8, "-v1", "PBE-SHA1-3DES"), "too old"},
		{"SEC 1, RFC 1423", append([]string{"ec", "-aes256"}, with...), ""},
		{"SEC 1", []string{"ec", "-in", "plain.pem"}, ""},
	} {
		openssl(t, folder, append(test.args, "-out", "other.pem")...)
		data, err := os.ReadFile(filepath.Join(folder, "other.pem"))
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParsePEM(data, given(passphrase))
		if test.want != "" {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if err != nil || !Equal(back.Public(), signer.Public()) {
			t.Errorf("%s: %v", test.name, err)
		}
		if _, err := ParsePEM(data, given([]byte("wrong"))); Encrypted(data) && !errors.Is(err, ErrPassphrase) {
			t.Errorf("%s: a wrong passphrase: %v", test.name, err)
		}
	}
}

type kdf0 struct {
	Salt       []byte
	Iterations int
}

type encrypted0 struct {
	Algorithm struct {
		OID        asn1.ObjectIdentifier
		Parameters struct {
			KDF struct {
				OID        asn1.ObjectIdentifier
				Parameters kdf0
			}
			Scheme struct {
				OID asn1.ObjectIdentifier
				IV  []byte
			}
		}
	}
	Data []byte
}

// Files that would make a reader panic, or work for ever, are refused.
func TestHostileEncryption(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*encrypted0)
		want   string
	}{
		{"short IV", func(e *encrypted0) { e.Algorithm.Parameters.Scheme.IV = []byte{1} }, "malformed"},
		{"half a block", func(e *encrypted0) { e.Data = e.Data[:17] }, "malformed"},
		{"no data", func(e *encrypted0) { e.Data = nil }, "malformed"},
		{"a billion iterations", func(e *encrypted0) { e.Algorithm.Parameters.KDF.Parameters.Iterations = 1_000_000_000 }, "1000000000 steps"},
		{"negative iterations", func(e *encrypted0) { e.Algorithm.Parameters.KDF.Parameters.Iterations = -1 }, "-1 steps"},
		{"AES-GCM", func(e *encrypted0) { e.Algorithm.Parameters.Scheme.OID = append(copyOf(oidAESFamily), 46) }, "only AES in CBC"},
	} {
		e := encrypted0{Data: make([]byte, 32)}
		e.Algorithm.OID = oidPBES2
		e.Algorithm.Parameters.KDF.OID = oidPBKDF2
		e.Algorithm.Parameters.KDF.Parameters = kdf0{[]byte("salt"), 1000}
		e.Algorithm.Parameters.Scheme.OID = append(copyOf(oidAESFamily), 42)
		e.Algorithm.Parameters.Scheme.IV = make([]byte, 16)
		test.change(&e)
		der, err := asn1.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		data := pem.EncodeToMemory(&pem.Block{Type: PEMEncryptedPrivateKey, Bytes: der})
		if _, err := ParsePEM(data, given(passphrase)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func copyOf(oid asn1.ObjectIdentifier) asn1.ObjectIdentifier {
	return append(asn1.ObjectIdentifier{}, oid...)
}

func TestReadPassphrase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "passphrase")
	for content, want := range map[string]string{
		"secret":                             "secret",
		"secret\n":                           "secret",
		"two words \r\n":                     "two words ",
		"":                                   "",
		"\n":                                 "",
		"one\ntwo\n":                         "",
		"nul\x00":                            "",
		strings.Repeat("x", maxPassphrase+1): "",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := ReadPassphrase(path)
		if string(got) != want || (err == nil) != (want != "") {
			t.Errorf("%.20q gives %q, %v", content, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "one\n") {
			t.Errorf("the error repeats the file: %v", err)
		}
	}
}

func FuzzParsePEM(f *testing.F) {
	signer, err := Generate(P256, rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	plain, err := Encode(signer)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	e := encrypted0{Data: make([]byte, 32)}
	e.Algorithm.OID = oidPBES2
	e.Algorithm.Parameters.KDF.OID = oidPBKDF2
	e.Algorithm.Parameters.KDF.Parameters = kdf0{[]byte("salt"), 1}
	e.Algorithm.Parameters.Scheme.OID = append(copyOf(oidAESFamily), 42)
	e.Algorithm.Parameters.Scheme.IV = make([]byte, 16)
	der, err := asn1.Marshal(e)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pem.EncodeToMemory(&pem.Block{Type: PEMEncryptedPrivateKey, Bytes: der}))
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00000000000000000000000000000000"}, Bytes: make([]byte, 32)}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4096 || bytes.Contains(data, []byte("ENCRYPTED")) && slow(data) {
			return
		}
		if signer, err := ParsePEM(data, given(passphrase)); (err == nil) == (signer == nil) {
			t.Errorf("%v, %v", signer, err)
		}
	})
}

// slow tells that a key's passphrase takes long to derive, as it may.
func slow(data []byte) bool {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		var e encrypted0
		if _, err := asn1.Unmarshal(block.Bytes, &e); err == nil && e.Algorithm.Parameters.KDF.Parameters.Iterations > 1000 {
			return true
		}
	}
	return false
}
