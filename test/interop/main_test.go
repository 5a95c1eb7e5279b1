// Package interop runs real ACME clients against a real Cairn: each makes an
// account, obtains certificates over the challenge types that it knows, renews
// and revokes. What they got is checked with OpenSSL.
//
// The clients are Debian's (test/debian-packages.txt) or Go libraries. Each has
// an address of its own in 127.0.0.0/8, where it answers challenges at the
// ports that the server connects to.
package interop

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

func TestMain(m *testing.M) { harness.Main(m) }

// clientTime bounds one run of a client; it is far more than any needs.
const clientTime = 5 * time.Minute

// tool finds a client that Debian packages.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not installed; run `make test`, which installs the packages in test/debian-packages.txt", name)
	}
	return path
}

// command is one run of a client.
type command struct {
	name string // or path
	args []string
	env  []string // besides the environment of the tests
	dir  string
}

// run runs a client, which must succeed, and returns what it printed.
func run(t testing.TB, c command) string {
	t.Helper()
	out, err := try(t, c)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(c.name), strings.Join(c.args, " "), err, out)
	}
	return out
}

func try(t testing.TB, c command) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clientTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.name, c.args...)
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Dir = c.dir
	// The client's own children end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// chain reads a PEM chain from a file.
func chain(t testing.TB, path ...string) []*x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return rawacme.ParseChain(t, data)
}

// good checks a certificate that was obtained: its names, that it verifies,
// and that OCSP and the CRL hold nothing against it.
func good(t testing.TB, s *harness.Server, got []*x509.Certificate, names ...string) {
	t.Helper()
	s.Verify(t, harness.Certificate{Chain: got}, names...)
	if len(got[0].DNSNames) != len(names) {
		t.Errorf("the certificate has the names %q, want %q", got[0].DNSNames, names)
	}
	s.OpenSSLVerify(t, got)
	if status := s.OpenSSLOCSP(t, got); status != "good" {
		t.Errorf("openssl ocsp says %q, want good", status)
	}
	if s.OpenSSLCRL(t, got) {
		t.Error("openssl finds the certificate revoked by its CRL")
	}
}

// renewed checks that a client has a new certificate for the same names.
func renewed(t testing.TB, s *harness.Server, before, after []*x509.Certificate) {
	t.Helper()
	if before[0].SerialNumber.Cmp(after[0].SerialNumber) == 0 {
		t.Error("the client did not renew: the serial number is the same")
	}
	good(t, s, after, before[0].DNSNames...)
}

// revoked checks that OCSP and the CRL say that the certificate is revoked.
func revoked(t testing.TB, s *harness.Server, got []*x509.Certificate) {
	t.Helper()
	if status := s.OpenSSLOCSP(t, got); status != "revoked" {
		t.Errorf("openssl ocsp says %q, want revoked", status)
	}
	s.AwaitOpenSSLCRL(t, got)
}

// webroot serves a folder at a name's own address, where http-01 looks, and
// returns the folder that challenge files go to.
func webroot(t testing.TB, s *harness.Server, names ...string) string {
	t.Helper()
	root := t.TempDir()
	files := filepath.Join(root, ".well-known", "acme-challenge")
	if err := os.MkdirAll(files, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		serve(t, net.JoinHostPort(s.ClientAddress(name), strconv.Itoa(s.Names.HTTPPort())), http.FileServer(http.Dir(root)))
	}
	return files
}

// serve serves plain HTTP until the test ends.
func serve(t testing.TB, address string, handler http.Handler) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
}

// hooks is a server that clients' hook scripts call to set DNS records and
// tokens.
func hooks(t testing.TB, s *harness.Server) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /txt", func(_ http.ResponseWriter, req *http.Request) {
		s.Names.AddTXT(req.FormValue("name"), req.FormValue("value"))
	})
	mux.HandleFunc("POST /token", func(_ http.ResponseWriter, req *http.Request) {
		s.Names.SetHTTP01(req.FormValue("token"), req.FormValue("value"))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	tool(t, "curl")
	return server.URL
}

// script writes an executable shell script.
func script(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nset -e\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// setTXT and setToken are the lines of a hook script that set a record, named
// and valued by shell words, or a token.
func setTXT(hooks, name, value string) string {
	return fmt.Sprintf("curl -fsS --data-urlencode \"name=%s\" --data-urlencode \"value=%s\" %s/txt\n", name, value, hooks)
}

func setToken(hooks, token, value string) string {
	return fmt.Sprintf("curl -fsS --data-urlencode \"token=%s\" --data-urlencode \"value=%s\" %s/token\n", token, value, hooks)
}

// at is a name's own address with a port.
func at(address string, port int) string { return net.JoinHostPort(address, strconv.Itoa(port)) }
