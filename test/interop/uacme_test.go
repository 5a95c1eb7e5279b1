package interop

import (
	"path/filepath"
	"testing"

	"github.com/cairn-ca/cairn/test/harness"
)

// uacme (Debian): http-01 and dns-01 by hook, forced renewal, key rollover,
// revocation, deactivation; RSA and ECDSA account keys. It trusts the system's
// store alone, so it runs in a mount namespace where that is the server's root.
func TestUacme(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	path, unshare := tool(t, "uacme"), tool(t, "unshare")
	url := hooks(t, s)
	// Its hook gets the method, the type, the name, the token and the answer;
	// status 1 declines a challenge.
	hook := func(kind, line string) string {
		return script(t, `[ "$2" = `+kind+` ] || exit 1`+"\n"+`[ "$1" = begin ] || exit 0`+"\n"+line)
	}
	for _, test := range []struct{ kind, keyType, hook string }{
		{"http-01", "RSA", hook("http-01", setToken(url, "$4", "$5"))},
		{"dns-01", "EC", hook("dns-01", setTXT(url, "_acme-challenge.$3", "$5"))},
	} {
		t.Run(test.kind, func(t *testing.T) {
			t.Parallel()
			name := harness.NewName("uacme")
			dir := t.TempDir()
			uacme := func(args ...string) {
				t.Helper()
				inside := `mount --bind "$0" /etc/ssl/certs/ca-certificates.crt && exec "$@"`
				run(t, command{name: unshare, args: append([]string{"--map-root-user", "--mount", "sh", "-c", inside, s.RootFile(),
					path, "--acme-url", s.DirectoryURL, "--confdir", dir, "--type", test.keyType, "--yes", "--verbose"}, args...)})
			}
			uacme("new", "admin@example.org")
			uacme("--hook", test.hook, "issue", name)
			file := filepath.Join(dir, name, "cert.pem")
			got := chain(t, file)
			good(t, s, got, name)

			uacme("--hook", test.hook, "--force", "issue", name)
			again := chain(t, file)
			renewed(t, s, got, again)

			uacme("newkey")
			uacme("revoke", file)
			revoked(t, s, again)
			uacme("deactivate")
		})
	}
}
