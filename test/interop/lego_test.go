package interop

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/test/harness"
)

// lego (Debian): http-01, tls-alpn-01 and dns-01, ECDSA and RSA keys for
// account and certificate, renewal, revocation.
func TestLego(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	path := tool(t, "lego")
	url := hooks(t, s)
	// The exec provider passes what to do, the record's name and its value.
	hook := script(t, `[ "$1" = present ] || exit 0`+"\n"+setTXT(url, "$2", "$3"))

	for _, test := range []struct {
		challenge, keyType string
		wildcard           bool
		args               func(name string) []string
	}{
		{"http-01", "ec256", false, func(name string) []string {
			return []string{"--http", "--http.port", at(s.ClientAddress(name), s.Names.HTTPPort())}
		}},
		{"http-01", "rsa2048", false, func(name string) []string {
			return []string{"--http", "--http.port", at(s.ClientAddress(name), s.Names.HTTPPort())}
		}},
		{"tls-alpn-01", "ec384", false, func(name string) []string {
			return []string{"--tls", "--tls.port", at(s.ClientAddress(name), s.Names.TLSPort())}
		}},
		{"dns-01", "ec256", true, func(string) []string {
			return []string{"--dns", "exec", "--dns.resolvers", s.Names.DNSAddr(), "--dns.disable-cp"}
		}},
	} {
		t.Run(test.challenge+" "+test.keyType, func(t *testing.T) {
			t.Parallel()
			name := harness.NewName("lego")
			if test.wildcard {
				name = "*." + name
			}
			dir := t.TempDir()
			global := append([]string{"--server", s.DirectoryURL, "--accept-tos", "--email", "admin@example.org", "--path", dir,
				"--key-type", test.keyType, "--domains", name}, test.args(name)...)
			lego := func(args ...string) {
				t.Helper()
				run(t, command{name: path, args: append(global[:len(global):len(global)], args...), dir: dir, env: []string{
					"LEGO_CA_CERTIFICATES=" + s.RootFile(), "EXEC_PATH=" + hook, "EXEC_POLLING_INTERVAL=1", "EXEC_SEQUENCE_INTERVAL=1",
				}})
			}
			lego("run")
			file := filepath.Join(dir, "certificates", strings.Replace(name, "*", "_", 1)+".crt")
			got := chain(t, file)
			good(t, s, got, name)

			lego("renew", "--days", "9999", "--no-random-sleep")
			again := chain(t, file)
			renewed(t, s, got, again)

			lego("revoke", "--keep", "--reason", "4")
			revoked(t, s, again)
		})
	}
}
