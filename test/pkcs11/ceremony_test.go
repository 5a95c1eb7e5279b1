package pkcs11

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/hsmtest"
	"github.com/cairn-ca/cairn/test/harness"
)

// A hierarchy whose keys have never been anywhere but on a token: made by a
// ceremony, imported as certificates alone, and issuing.
func TestCeremonyOnToken(t *testing.T) {
	h := hsmtest.New(t)
	h.Use(t)
	token := h.NewToken(t, "issuers")
	pin := hsmtest.PINFile(t, token.PIN)
	root, issuing := token.URI("root", "%01", pin), token.URI("issuing", "%02", pin)
	folder := t.TempDir()
	cairn := func(args ...string) (string, error) {
		path, err := harness.Binary()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), path, args...)
		cmd.Dir = folder
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	plan := `
folder: made
subject: {organization: Test}
roots: {root: {subject: {common_name: Test Root}, validity: 3650d, key: {type: p384, pkcs11: "` + root + `"}}}
intermediates: {issuing: {issuer: root, subject: {common_name: Test Issuing}, validity: 365d, key: {type: rsa, bits: 2048, pkcs11: "` + issuing + `"}}}
crls: {crl: {issuer: root}}
`
	if err := os.WriteFile(filepath.Join(folder, "plan.yaml"), []byte(plan), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := cairn("ceremony", "--dry-run", "plan.yaml"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if list := token.List(t); strings.Contains(list, "Private Key") {
		t.Errorf("the dry run made keys:\n%s", list)
	}
	if out, err := cairn("ceremony", "plan.yaml"); err != nil || strings.Contains(out, token.PIN) {
		t.Fatalf("%v\n%s", err, out)
	}
	// The keys are there, so another ceremony makes none, and no file.
	if out, err := cairn("ceremony", "plan.yaml", "--folder", "other"); err == nil || !strings.Contains(out, "has a key of this name already") {
		t.Errorf("a second ceremony: %v\n%s", err, out)
	}
	if left, err := os.ReadDir(filepath.Join(folder, "other")); err == nil && len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	s := harness.Start(t, harness.Options{Configure: func(config map[string]any) {
		data := config["data"].(string)
		config["ca"].(map[string]any)["issuer_key"] = issuing
		if err := os.WriteFile(filepath.Join(folder, "cairn.yaml"), []byte("ca: {issuer_key: \""+issuing+"\"}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := cairn("import", "--config", "cairn.yaml", "--data", data, "--root", "made/root.pem", "--chain", "made/issuing.pem")
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if _, err := os.Stat(filepath.Join(data, "keys", "intermediate.key")); !os.IsNotExist(err) {
			t.Errorf("there is a key file for the issuer: %v", err)
		}
	}})
	c := s.Account(t)
	name := harness.NewName("ceremony")
	issued := s.Issue(t, c, "http-01", name)
	s.Verify(t, issued.Certificate, name)
	s.OpenSSLVerify(t, issued.Chain)
	if cn := issued.Issuer().Subject.CommonName; cn != "Test Issuing" {
		t.Errorf("%q issued", cn)
	}
}
