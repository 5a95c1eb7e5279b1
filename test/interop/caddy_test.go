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

	"github.com/cairn-ca/cairn/test/harness"
)

// Caddy: a web server that gets and renews its certificate by itself, over
// http-01 or tls-alpn-01. It has no command to revoke: its account key does.
// CAIRN_TEST_CADDY names another one than Debian's.
func TestCaddy(t *testing.T) {
	t.Parallel()
	s := dueAtOnce(t)
	path := os.Getenv("CAIRN_TEST_CADDY")
	if path == "" {
		path = tool(t, "caddy")
	}
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
	renew_interval 1s
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
			server := at(address, s.Names.TLSPort())
			got := awaitShown(t, s, server, name, func([]*x509.Certificate) bool { return true })
			if got == nil {
				t.Fatalf("caddy serves no certificate:\n%s", log.read())
			}
			good(t, s, got, name)
			again := awaitRenewed(t, s, server, name, got)
			if again == nil {
				t.Fatalf("caddy does not renew:\n%s", log.read())
			}
			renewed(t, s, got, again)
			revokeAs(t, s, keptKey(t, dir, "storage", "acme", "*", "users", "*", "*.key"), again)
		})
	}
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
