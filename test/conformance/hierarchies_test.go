package conformance

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.step.sm/crypto/pemutil"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/test/harness"
)

const caPassphrase = "correct horse battery staple"

// ceremonyFile is a hierarchy of three levels, whose issuing key is
// encrypted.
const ceremonyFile = `
subject: {organization: Test}
key: {type: p256, passphrase_file: passphrase}
roots:
  root: {subject: {common_name: Test Root}, validity: 3650d}
intermediates:
  policy: {issuer: root, subject: {common_name: Test Policy CA}, validity: 1825d, path_length: 1}
  issuing: {issuer: policy, subject: {common_name: Test Issuing CA}, validity: 365d, path_length: 0}
chains:
  chain: {certificates: [issuing, policy]}
`

// cairn runs the binary in a folder.
func cairn(t *testing.T, folder string, args ...string) {
	t.Helper()
	path, err := harness.Binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cairn %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, data, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// ceremony holds a ceremony, and gives its folder.
func ceremony(t *testing.T) (folder, passphrase string) {
	t.Helper()
	folder = t.TempDir()
	put(t, filepath.Join(folder, "ceremony.yaml"), []byte(ceremonyFile))
	put(t, filepath.Join(folder, "passphrase"), []byte(caPassphrase+"\n"))
	cairn(t, folder, "ceremony", "ceremony.yaml", "--folder", "made")
	return filepath.Join(folder, "made"), filepath.Join(folder, "passphrase")
}

func certificates(t *testing.T, path string) []*x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var certs []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		certs = append(certs, cert)
	}
	return certs
}

// A CA that was made by a ceremony, or elsewhere, issues: certificates chain to
// its root, and its OCSP signer and its CRLs say what was revoked.
func TestHierarchiesOfOthers(t *testing.T) {
	t.Parallel()
	made, passphrase := ceremony(t)
	file := func(name string) string { return filepath.Join(made, name) }
	issuing, err := key.File{Path: file("issuing.key"), Passphrase: key.PassphraseFile(passphrase)}.Open()
	if err != nil {
		t.Fatal(err)
	}
	root, chain := certificates(t, file("root.pem"))[0], certificates(t, file("chain.pem"))
	for _, test := range []struct {
		name string
		// args makes what is imported, and says how.
		args func(t *testing.T, folder string) []string
		// encrypted: the key needs its passphrase from then on.
		encrypted bool
	}{
		{"ceremony", func(*testing.T, string) []string {
			return []string{"--root", file("root.pem"), "--chain", file("chain.pem"), "--key", file("issuing.key"), "--passphrase-file", passphrase}
		}, true},
		{"PEM", func(t *testing.T, folder string) []string {
			encoded, err := key.Encode(issuing)
			if err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(folder, "issuing.key"), encoded)
			return []string{"--root", file("root.pem"), "--chain", file("chain.pem"), "--key", filepath.Join(folder, "issuing.key")}
		}, false},
		{"PKCS#12", func(t *testing.T, folder string) []string {
			data, err := pkcs12.Modern.Encode(issuing, chain[0], []*x509.Certificate{chain[1], root}, caPassphrase)
			if err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(folder, "ca.p12"), data)
			return []string{"--pkcs12", filepath.Join(folder, "ca.p12"), "--passphrase-file", passphrase, "--unencrypted"}
		}, false},
		{"step-ca", func(t *testing.T, folder string) []string {
			block, err := pemutil.Serialize(issuing, pemutil.WithPassword([]byte(caPassphrase)))
			if err != nil {
				t.Fatal(err)
			}
			both, err := os.ReadFile(file("chain.pem"))
			if err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(folder, "certs", "root_ca.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}))
			put(t, filepath.Join(folder, "certs", "intermediate_ca.crt"), both)
			put(t, filepath.Join(folder, "secrets", "intermediate_ca_key"), pem.EncodeToMemory(block))
			put(t, filepath.Join(folder, "config", "ca.json"), []byte(`{"root": "/home/step/certs/root_ca.crt", "crt": "/home/step/certs/intermediate_ca.crt", "key": "/home/step/secrets/intermediate_ca_key", "address": ":443"}`))
			return []string{"--step", folder, "--passphrase-file", passphrase}
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := harness.Start(t, harness.Options{Configure: func(config map[string]any) {
				folder := t.TempDir()
				cairn(t, folder, append([]string{"import", "--data", config["data"].(string)}, test.args(t, folder)...)...)
				if test.encrypted {
					config["ca"].(map[string]any)["key_passphrase_file"] = passphrase
				}
			}})
			c := s.Account(t)
			issued := s.Issue(t, c, "http-01", harness.NewName("hierarchies"))
			if len(issued.Chain) != 3 || !issued.Chain[1].Equal(chain[0]) || !issued.Chain[2].Equal(chain[1]) {
				t.Fatalf("the chain has %d certificates, the second of them %q", len(issued.Chain), issued.Chain[1].Subject)
			}
			s.OpenSSLVerify(t, issued.Chain)
			c.Revoke(t, issued.Leaf().Raw, 1).Want(t, 200)
			s.AwaitOpenSSLCRL(t, issued.Chain)
			s.CheckRevoked(t, issued.Certificate, 1)
			if status := s.OpenSSLOCSP(t, issued.Chain); status != "revoked" {
				t.Errorf("openssl ocsp finds the certificate %s", status)
			}
		})
	}
}
