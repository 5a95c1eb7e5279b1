package interop

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// acme-tiny (Debian): http-01 by webroot, RSA account key, renewal with the
// same CSR. It does not revoke.
func TestAcmeTiny(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	path := tool(t, "acme-tiny")
	name, dir := harness.NewName("tiny"), t.TempDir()
	accountKey, key, csr := filepath.Join(dir, "account.key"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "csr.pem")
	harness.OpenSSL(t, "genrsa", "-out", accountKey, "2048")
	harness.OpenSSL(t, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
	harness.OpenSSL(t, "req", "-new", "-key", key, "-subj", "/CN="+name, "-addext", "subjectAltName=DNS:"+name, "-out", csr)
	challenges := webroot(t, s, name)
	obtain := func(file string) {
		t.Helper()
		out, err := try(t, command{
			name: path,
			args: []string{"--account-key", accountKey, "--csr", csr, "--acme-dir", challenges,
				"--directory-url", s.DirectoryURL, "--disable-check", "--contact", "mailto:admin@example.org", "--quiet"},
			env: []string{"SSL_CERT_FILE=" + s.RootFile()},
		})
		if err != nil {
			t.Fatalf("acme-tiny: %v\n%s", err, out)
		}
		if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first, second := filepath.Join(dir, "first.pem"), filepath.Join(dir, "second.pem")
	obtain(first)
	got := chain(t, first)
	good(t, s, got, name)
	obtain(second)
	again := chain(t, second)
	renewed(t, s, got, again)

	// By the certificate's key, in its place.
	data, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	c := s.Client(t, rawacme.NewKey(t))
	c.Revoke(t, again[0].Raw, 1, rawacme.WithKey(ecKey(t, data))).Want(t, 200)
	revoked(t, s, again)
}

// ecKey reads the key that openssl ecparam wrote.
func ecKey(t testing.TB, data []byte) *ecdsa.PrivateKey {
	t.Helper()
	block, _ := pem.Decode(data)
	if block == nil {
		t.Fatal("no PEM")
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
