// Package hsmtest has PKCS#11 tokens for tests: those of SoftHSM, which Debian
// has as the package softhsm2, with pkcs11-tool (opensc) to make keys on them
// as operators do.
package hsmtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// HSM is a SoftHSM of one test, with tokens in a folder of its own.
type HSM struct {
	// Module is the path of the PKCS#11 library.
	Module string
	// Config is its configuration file. A process has it in the environment,
	// under ConfigEnv, when it initializes the library.
	Config string
	tokens string
}

// ConfigEnv is the variable that SoftHSM finds its configuration with.
const ConfigEnv = "SOFTHSM2_CONF"

// modules are where the library is, on Debian and elsewhere.
var modules = []string{
	"/usr/lib/softhsm/libsofthsm2.so",
	"/usr/lib64/softhsm/libsofthsm2.so",
	"/usr/lib/pkcs11/libsofthsm2.so",
	"/usr/local/lib/softhsm/libsofthsm2.so",
}

// New makes an HSM without tokens.
func New(t testing.TB) *HSM {
	t.Helper()
	h := &HSM{}
	for _, path := range modules {
		if _, err := os.Stat(path); err == nil {
			h.Module = path
			break
		}
	}
	if h.Module == "" {
		t.Fatalf("SoftHSM is not there: install the package softhsm2 (looked for %v)", modules)
	}
	folder := t.TempDir()
	h.tokens, h.Config = filepath.Join(folder, "tokens"), filepath.Join(folder, "softhsm2.conf")
	if err := os.Mkdir(h.tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = true\n", h.tokens)
	if err := os.WriteFile(h.Config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return h
}

// Use has the library in this process, and in those that it starts, use the
// HSM. The test can't be a parallel one.
func (h *HSM) Use(t *testing.T) {
	t.Helper()
	t.Setenv(ConfigEnv, h.Config)
}

// Token is a token of the HSM.
type Token struct {
	hsm    *HSM
	Label  string
	PIN    string
	folder string
	away   string // where the folder is while the token is away
}

// NewToken makes an empty token.
func (h *HSM) NewToken(t testing.TB, label string) *Token {
	t.Helper()
	before := h.folders(t)
	token := &Token{hsm: h, Label: label, PIN: "48213577"}
	h.run(t, "softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "91827364", "--pin", token.PIN)
	for folder := range h.folders(t) {
		if !before[folder] {
			token.folder = folder
		}
	}
	if token.folder == "" {
		t.Fatal("softhsm2-util made no token")
	}
	token.away = filepath.Join(filepath.Dir(h.tokens), filepath.Base(token.folder))
	return token
}

func (h *HSM) folders(t testing.TB) map[string]bool {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(h.tokens, "*"))
	if err != nil {
		t.Fatal(err)
	}
	folders := make(map[string]bool)
	for _, name := range names {
		folders[name] = true
	}
	return folders
}

// GenerateKey makes a key pair with pkcs11-tool; kind is its --key-type, such as
// EC:prime256v1, id its --id in hexadecimal.
func (token *Token) GenerateKey(t testing.TB, kind, label, id string) {
	t.Helper()
	token.tool(t, "--keypairgen", "--key-type", kind, "--label", label, "--id", id, "--usage-sign")
}

// Delete deletes the public or the private half of a key.
func (token *Token) Delete(t testing.TB, half, id string) {
	t.Helper()
	token.tool(t, "--delete-object", "--type", half, "--id", id)
}

// List lists what is on the token, as pkcs11-tool prints it.
func (token *Token) List(t testing.TB) string {
	t.Helper()
	return token.tool(t, "--list-objects")
}

func (token *Token) tool(t testing.TB, args ...string) string {
	t.Helper()
	return token.hsm.run(t, "pkcs11-tool", append([]string{"--module", token.hsm.Module, "--token-label", token.Label, "--login", "--pin", token.PIN}, args...)...)
}

func (h *HSM) run(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), ConfigEnv+"="+h.Config)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %v: %v\n%s%s", name, args, err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.String()
}

// Remove takes the token away, as one is pulled out of its slot: what uses it
// finds its objects gone.
func (token *Token) Remove(t testing.TB) {
	t.Helper()
	if err := os.Rename(token.folder, token.away); err != nil {
		t.Fatal(err)
	}
}

// Return brings the token back.
func (token *Token) Return(t testing.TB) {
	t.Helper()
	if err := os.Rename(token.away, token.folder); err != nil {
		t.Fatal(err)
	}
}

// PINFile writes a PIN to a file that only its owner can read.
func PINFile(t testing.TB, pin string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(path, []byte(pin+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// URI is the PKCS#11 URI (RFC 7512) of a key; object and id are its attributes
// as they stand there, empty ones left out.
func (token *Token) URI(object, id, pinFile string) string {
	s := "pkcs11:token=" + token.Label
	if object != "" {
		s += ";object=" + object
	}
	if id != "" {
		s += ";id=" + id
	}
	return s + "?module-path=" + token.hsm.Module + "&pin-source=file:" + pinFile
}

// Module is the path of the PKCS#11 library.
func (token *Token) Module() string { return token.hsm.Module }

// PublicKey is the public key of an id as the token has it: a
// SubjectPublicKeyInfo in DER.
func (token *Token) PublicKey(t testing.TB, id string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "public.der")
	token.tool(t, "--read-object", "--type", "pubkey", "--id", id, "--output-file", path)
	der, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
