package harness

import (
	"bytes"
	"errors"
	"os/exec"
	"testing"
)

// Audit runs "cairn audit" with the configuration of the process that holds the
// store. It returns what the command prints, and whether it found nothing.
func (s *Server) Audit(t testing.TB, args ...string) (out string, clean bool) {
	t.Helper()
	path, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, append(append([]string{"audit"}, s.storing().args[1:]...), args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1 || !bytes.Contains(stderr.Bytes(), []byte("findings; see"))) {
		t.Fatalf("cairn audit %v: %v\n%s%s", args, err, stdout, stderr.Bytes())
	}
	return string(stdout), err == nil
}

// StoreURL is where the store is: of PostgreSQL, or of SQLite's file.
func (s *Server) StoreURL() string {
	if s.store != "" {
		return s.store
	}
	return "sqlite:" + s.storing().data + "/cairn.db"
}
