package interop

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// GnuTLS's ocsptool asks and verifies.
func TestOCSPTool(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	path := tool(t, "ocsptool")
	c := s.Account(t)
	for _, status := range []string{"good", "revoked"} {
		cert := s.Issue(t, c, "http-01", harness.NewName("ocsptool")).Certificate
		if status == "revoked" {
			c.Revoke(t, cert.Leaf().Raw, 4).Want(t, 200)
		}
		// Its exit status tells whether the certificate is good.
		issuer := harness.WritePEM(t, "issuer.pem", cert.Issuer())
		out, _ := try(t, command{name: path, args: []string{"--ask=" + cert.Leaf().OCSPServer[0], "--nonce",
			"--load-cert", harness.WritePEM(t, "leaf.pem", cert.Leaf()), "--load-issuer", issuer, "--load-trust", issuer}})
		if !strings.Contains(out, "Certificate Status: "+status) || !strings.Contains(out, "Verifying OCSP Response: Success.") {
			t.Errorf("ocsptool about a certificate that is %s:\n%s", status, out)
		}
	}
}

// nginx asks for the answer, verifies it and staples it; OpenSSL sees it in
// the handshake. The profile demands it (RFC 7633).
func TestStapling(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Options{Configure: func(config map[string]any) {
		config["ca"].(map[string]any)["profiles"] = map[string]any{"default": map[string]any{"must_staple": true}}
	}})
	path, err := exec.LookPath("nginx")
	if err != nil {
		path = tool(t, "/usr/sbin/nginx")
	}
	name, dir := harness.NewName("stapling"), t.TempDir()
	cert := s.Issue(t, s.Account(t), "http-01", name).Certificate
	file := func(name string, data []byte) string {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	key, err := x509.MarshalECPrivateKey(cert.Key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	chain, err := os.ReadFile(harness.WritePEM(t, "chain.pem", cert.Chain...))
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	conf := file("nginx.conf", fmt.Appendf(nil, `daemon off;
worker_processes 1;
pid %[1]s/pid;
error_log stderr info;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
		listen %[2]s ssl;
		ssl_certificate %[3]s;
		ssl_certificate_key %[4]s;
		ssl_stapling on;
		ssl_stapling_verify on;
		ssl_trusted_certificate %[5]s;
	}
}
`, dir, address, file("chain.pem", chain), file("key.pem", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: key})), s.RootFile()))
	log := &logFile{path: filepath.Join(dir, "log")}
	stop := start(t, log, command{name: path, args: []string{"-c", conf, "-p", dir, "-e", "stderr"}})
	defer stop()

	// The first handshakes make nginx ask.
	var out string
	rawacme.Poll(t, "nginx staples", func() bool {
		cmd := exec.CommandContext(t.Context(), "openssl", "s_client", "-connect", address, "-servername", name, "-status", "-CAfile", s.RootFile(), "-verify_return_error")
		data, _ := cmd.CombinedOutput() // it fails until nginx listens
		out = string(data)
		return strings.Contains(out, "OCSP Response Status: successful")
	})
	if !strings.Contains(out, "Cert Status: good") || !strings.Contains(out, "Verify return code: 0 (ok)") {
		t.Errorf("openssl s_client says:\n%s\nnginx says:\n%s", out, log.read())
	}
}

// freeAddress is an address that nothing listens on. nginx can't choose one.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
