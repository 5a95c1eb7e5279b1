package interop

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/test/harness"
)

// Caddy (Debian): a web server that gets its certificate by itself, over
// http-01 or tls-alpn-01.
func TestCaddy(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	path := tool(t, "caddy")
	for _, test := range []struct{ kind, off string }{{"http-01", "disable_tlsalpn_challenge"}, {"tls-alpn-01", "disable_http_challenge"}} {
		t.Run(test.kind, func(t *testing.T) {
			t.Parallel()
			name, dir := harness.NewName("caddy"), t.TempDir()
			address := s.ClientAddress(name)
			file := filepath.Join(dir, "Caddyfile")
			text := fmt.Sprintf(`{
	admin off
	http_port %d
	https_port %d
	email admin@example.org
	storage file_system %s
	ocsp_stapling off
}
%s {
	bind %s
	tls {
		issuer acme {
			dir %s
			trusted_roots %s
			%s
		}
	}
	respond "hello"
}
`, s.Names.HTTPPort(), s.Names.TLSPort(), filepath.Join(dir, "storage"), name, address, s.DirectoryURL, s.RootFile(), test.off)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			log := &logFile{path: filepath.Join(dir, "log")}
			stop := start(t, log, command{name: path, args: []string{"run", "--config", file, "--adapter", "caddyfile"},
				env: []string{"HOME=" + dir, "XDG_DATA_HOME=" + dir, "XDG_CONFIG_HOME=" + dir}})
			defer stop()
			got := awaitServed(t, s, at(address, s.Names.TLSPort()), name)
			if got == nil {
				t.Fatalf("caddy serves no certificate:\n%s", log.read())
			}
			good(t, s, got, name)
		})
	}
}

// awaitServed waits until a server shows a chain of ours for a name; nil when
// it does not.
func awaitServed(t testing.TB, s *harness.Server, address, name string) []*x509.Certificate {
	t.Helper()
	deadline := time.Now().Add(clientTime / 4)
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for time.Now().Before(deadline) {
		if got, err := dial(t, s, address, name); err == nil {
			return got
		}
		<-ticker.C
	}
	return nil
}

type logFile struct{ path string }

func (l *logFile) read() string {
	data, err := os.ReadFile(l.path)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// start runs a server until stop is called.
func start(t testing.TB, log *logFile, c command) (stop func()) {
	t.Helper()
	out, err := os.Create(log.path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, c.name, c.args...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = append(os.Environ(), c.env...), c.dir, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() {
		cancel()
		_ = cmd.Wait() // it was killed
		_ = out.Close()
	}
}
