package harness

import (
	"os"
	"path/filepath"
	"testing"
)

// PIDs are the running processes, by name: serve, or the roles.
func (s *Server) PIDs() map[string]int {
	pids := make(map[string]int)
	for _, p := range s.processes {
		if p != nil {
			pids[p.name] = p.cmd.Process.Pid
		}
	}
	return pids
}

// IssuingURL is the base of the admin listener of the process that holds the
// issuer keys.
func (s *Server) IssuingURL() string { return s.issuing().admin }

// AuditLog is what the process that holds the issuer keys has written to its
// audit log.
func (s *Server) AuditLog(t testing.TB) string {
	t.Helper()
	for i, p := range s.plan {
		if p.name != s.issuing().name {
			continue
		}
		if p.name == "ca" {
			return s.processes[i].log.String() // the log is in it too
		}
		data, err := os.ReadFile(filepath.Join(p.data, "audit.log"))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	return ""
}
