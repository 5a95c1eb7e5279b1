package harness

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// envCTLog names a binary of test/ctlog to use instead of building one, which
// takes minutes the first time; `make test` builds it.
const envCTLog = "CAIRN_TEST_CTLOG"

var ctlogBinary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv(envCTLog); path != "" {
		return filepath.Abs(path)
	}
	dir, err := scratch()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "ctlog")
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/cairn-ca/cairn").Output()
	if err != nil {
		return "", fmt.Errorf("looking for the module: %w", err)
	}
	cmd := exec.Command("go", "build", "-o", path, ".")
	cmd.Dir = filepath.Join(string(root[:len(root)-1]), "test", "ctlog")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the CT log: %w\n%s", err, out)
	}
	return path, nil
})

// CTLog is a running Certificate Transparency log.
type CTLog struct {
	URL string `json:"url"`
	Key []byte `json:"key"` // SPKI, DER

	roots string
}

// StartCTLog starts a log. It serves once it is told what it accepts.
func StartCTLog(t testing.TB) *CTLog {
	t.Helper()
	binary, err := ctlogBinary()
	if err != nil {
		t.Fatal(err)
	}
	l := &CTLog{roots: filepath.Join(t.TempDir(), "roots.pem")}
	cmd := exec.Command(binary, "-roots", l.roots)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if err := json.NewDecoder(out).Decode(l); err != nil {
		t.Fatalf("reading what the CT log says: %v", err)
	}
	return l
}

// Accept makes the log accept the certificates of a server.
func (l *CTLog) Accept(t testing.TB, s *Server) {
	t.Helper()
	data, err := os.ReadFile(s.RootFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.roots+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(l.roots+".new", l.roots); err != nil {
		t.Fatal(err)
	}
}
