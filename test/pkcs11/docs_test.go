package pkcs11

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/test/harness"
)

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// The example of docs/pkcs11.md works as it stands.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/pkcs11.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, m := range shellBlock.FindAllStringSubmatch(string(page), -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) != 3 || !strings.HasPrefix(blocks[2], "cairn serve ") {
		t.Fatalf("the page's example has other blocks than this test knows: %q", blocks)
	}
	binary, err := harness.Binary()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.Symlink(binary, filepath.Join(folder, "cairn")); err != nil {
		t.Fatal(err)
	}
	// The addresses of the example may be in use here.
	addresses := "printf 'listen: {acme: \"127.0.0.1:0\", public: \"127.0.0.1:0\", admin: \"127.0.0.1:0\"}\\n' >> cairn.yaml\n"
	script := "set -eu\nPATH=$PWD:$PATH\n" + blocks[0] + blocks[1] + addresses + "exec " + blocks[2]
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = folder
	ready := &awaiting{text: "Cairn is ready.", seen: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = ready, ready
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-ready.seen:
	case err := <-done:
		t.Fatalf("the example ended: %v\n%s", err, ready.all.String())
	}
	for name, want := range map[string]bool{"root.key": true, "intermediate.key": false} {
		_, err := os.Stat(filepath.Join(folder, "cairn-data", "keys", name))
		if (err == nil) != want {
			t.Errorf("keys/%s: %v", name, err)
		}
	}
	chain := harness.OpenSSL(t, "x509", "-in", filepath.Join(folder, "cairn-data", "chain.pem"), "-noout", "-text")
	if !strings.Contains(chain, "secp384r1") {
		t.Errorf("the issuer's certificate is not for the token's key:\n%s", chain)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("%v\n%s", err, ready.all.String())
	}
}

// awaiting keeps what is written, and tells when a text was. A command writes
// to it from one goroutine when it is both of its outputs.
type awaiting struct {
	text string
	all  strings.Builder
	seen chan struct{}
	told bool
}

func (a *awaiting) Write(p []byte) (int, error) {
	n, err := a.all.Write(p)
	if !a.told && strings.Contains(a.all.String(), a.text) {
		a.told = true
		close(a.seen)
	}
	return n, err
}
