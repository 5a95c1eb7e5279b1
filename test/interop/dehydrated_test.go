package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cairn-ca/cairn/test/harness"
)

// dehydrated (Debian): http-01 by webroot, dns-01 by hook, forced renewal,
// revocation; RSA and ECDSA account keys.
func TestDehydrated(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	path := tool(t, "dehydrated")
	url := hooks(t, s)
	// Its hook gets what to do, the name, the token and the record's value.
	hook := script(t, `[ "$1" = deploy_challenge ] || exit 0`+"\n"+setTXT(url, "_acme-challenge.$2", "$4"))
	for _, test := range []struct{ challenge, accountKey, key string }{
		{"http-01", "rsa", "secp384r1"},
		{"dns-01", "secp384r1", "rsa"},
	} {
		t.Run(test.challenge, func(t *testing.T) {
			t.Parallel()
			name := harness.NewName("dehydrated")
			dir := t.TempDir()
			config := filepath.Join(dir, "config")
			text := fmt.Sprintf("CA=%q\nBASEDIR=%q\nWELLKNOWN=%q\nCHALLENGETYPE=%q\nACCOUNT_KEY_ALGO=%q\nACCOUNT_KEYSIZE=2048\nKEYSIZE=2048\nKEY_ALGO=%q\nCURL_OPTS=\"--cacert %s\"\nCONTACT_EMAIL=admin@example.org\n",
				s.DirectoryURL, dir, webroot(t, s, name), test.challenge, test.accountKey, test.key, s.RootFile())
			if test.challenge == "dns-01" {
				text += fmt.Sprintf("HOOK=%q\n", hook)
			}
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			dehydrated := func(args ...string) {
				t.Helper()
				run(t, command{name: path, args: append([]string{"--config", config}, args...), dir: dir})
			}
			dehydrated("--register", "--accept-terms")
			dehydrated("--cron", "--domain", name)
			file := filepath.Join(dir, "certs", name, "fullchain.pem")
			got := chain(t, file)
			good(t, s, got, name)

			if test.challenge == "http-01" { // once: each run is hundreds of processes
				dehydrated("--cron", "--domain", name, "--force")
				again := chain(t, file)
				renewed(t, s, got, again)
				got = again
			}
			dehydrated("--revoke", filepath.Join(dir, "certs", name, "cert.pem"))
			revoked(t, s, got)
		})
	}
}
