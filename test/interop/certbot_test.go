package interop

import (
	"crypto/x509"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/test/harness"
)

// certbot (Debian): http-01 by its own server, dns-01 by manual hooks, renewal,
// account update, revocation by account and by key, deactivation.
type certbot struct {
	path string
	dir  string
	s    *harness.Server
}

func newCertbot(t *testing.T, s *harness.Server) certbot {
	return certbot{path: tool(t, "certbot"), dir: t.TempDir(), s: s}
}

func (c certbot) run(t *testing.T, args ...string) string {
	t.Helper()
	return run(t, command{
		name: c.path,
		args: append(args, "--non-interactive", "--server", c.s.DirectoryURL,
			"--config-dir", c.dir, "--work-dir", filepath.Join(c.dir, "work"), "--logs-dir", filepath.Join(c.dir, "logs")),
		env: []string{"REQUESTS_CA_BUNDLE=" + c.s.RootFile()},
	})
}

func (c certbot) live(name, file string) string { return filepath.Join(c.dir, "live", name, file) }

func TestCertbotHTTP01(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := newCertbot(t, s)
	c.run(t, "register", "--agree-tos", "--no-eff-email", "--email", "admin@example.org")
	c.run(t, "update_account", "--no-eff-email", "--email", "other@example.org")
	if shown := c.run(t, "show_account"); !strings.Contains(shown, "other@example.org") {
		t.Errorf("certbot shows another account than it updated:\n%s", shown)
	}

	obtain := func(key ...string) (string, []*x509.Certificate) {
		t.Helper()
		name := harness.NewName("certbot")
		c.run(t, append([]string{"certonly", "--standalone", "--domain", name,
			"--http-01-address", s.ClientAddress(name), "--http-01-port", strconv.Itoa(s.Names.HTTPPort())}, key...)...)
		got := chain(t, c.live(name, "fullchain.pem"))
		good(t, s, got, name)
		return name, got
	}
	name, got := obtain("--key-type", "ecdsa")
	c.run(t, "renew", "--cert-name", name, "--force-renewal", "--no-random-sleep-on-renew")
	again := chain(t, c.live(name, "fullchain.pem"))
	renewed(t, s, got, again)
	c.run(t, "revoke", "--cert-name", name, "--reason", "superseded", "--no-delete-after-revoke")
	revoked(t, s, again)
	good(t, s, got, name) // the first one stays

	// By the certificate's key, without the account.
	name, got = obtain("--key-type", "rsa", "--rsa-key-size", "2048")
	c.run(t, "revoke", "--cert-path", c.live(name, "cert.pem"), "--key-path", c.live(name, "privkey.pem"), "--reason", "keycompromise", "--no-delete-after-revoke")
	revoked(t, s, got)
	c.run(t, "unregister")
}

func TestCertbotDNS01(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := newCertbot(t, s)
	url := hooks(t, s)
	hook := script(t, setTXT(url, "_acme-challenge.$CERTBOT_DOMAIN", "$CERTBOT_VALIDATION"))
	a, b := harness.NewName("certbot"), harness.NewName("certbot")
	c.run(t, "certonly", "--agree-tos", "--register-unsafely-without-email", "--manual", "--preferred-challenges", "dns",
		"--manual-auth-hook", hook, "--domain", a, "--domain", "*."+a, "--domain", b)
	got := chain(t, c.live(a, "fullchain.pem"))
	good(t, s, got, a, "*."+a, b)

	c.run(t, "renew", "--force-renewal", "--no-random-sleep-on-renew")
	again := chain(t, c.live(a, "fullchain.pem"))
	renewed(t, s, got, again)

	c.run(t, "revoke", "--cert-name", a, "--no-delete-after-revoke")
	revoked(t, s, again)
}
