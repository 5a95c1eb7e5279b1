package rpc_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"

	"github.com/cairn-ca/cairn/internal/rpc"
	"github.com/cairn-ca/cairn/internal/rpc/rpctest"
	"github.com/cairn-ca/cairn/internal/rpc/vapb"
)

// clientConfig is a client's TLS without the help of the package.
func clientConfig(t *testing.T, dir, name string) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(rpctest.Files(dir, name).CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("no CA certificate")
	}
	cert, err := tls.LoadX509KeyPair(rpctest.Files(dir, name).Cert, rpctest.Files(dir, name).Key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}, ServerName: "va.cairn.internal", NextProtos: []string{"h2"}}
}

func clientCredentials(t *testing.T, dir, name string) credentials.TransportCredentials {
	t.Helper()
	return credentials.NewTLS(clientConfig(t, dir, name))
}

// TLS handshakes of clients that must be refused, and of one that must not.
func TestHandshake(t *testing.T) {
	t.Parallel()
	s := setup{}
	s.serve(t)
	foreign := rpctest.Certificates(t)
	for _, test := range []struct {
		name   string
		change func(*tls.Config)
		ok     bool
	}{
		{"right certificate", func(*tls.Config) {}, true},
		{"no certificate", func(c *tls.Config) { c.Certificates = nil }, false},
		{"certificate of a foreign CA", func(c *tls.Config) {
			own := clientConfig(t, foreign, "ra").Certificates[0]
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
		}, false},
		{"TLS 1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, false},
		{"no HTTP/2", func(c *tls.Config) { c.NextProtos = nil }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := clientConfig(t, s.dir, "ra")
			test.change(cfg)
			conn, err := tls.Dial("tcp", s.address, cfg)
			if err == nil {
				defer conn.Close()
				// In TLS 1.3 the client learns of a refusal when it reads; a
				// server that accepts sends its HTTP/2 settings.
				_, err = conn.Read(make([]byte, 1))
			}
			if (err == nil) != test.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestClientRefusesServer(t *testing.T) {
	t.Parallel()
	dir := rpctest.Certificates(t)
	for _, test := range []struct {
		name   string
		server rpc.Files
		want   string // in the error
	}{
		{"of another role", rpctest.Files(dir, "wfe"), "wfe.cairn.internal"},
		{"of a foreign CA", rpctest.Files(rpctest.Certificates(t), "va"), "unknown authority"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := setup{dir: dir, server: rpc.ServerConfig{TLS: test.server}}
			client := s.start(t)
			ctx, cancel := context.WithTimeout(t.Context(), soon)
			defer cancel()
			_, err := client.Validate(ctx, &vapb.ValidateRequest{})
			wantCode(t, err, codes.DeadlineExceeded)
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error does not say why: %v", err)
			}
		})
	}
}

func TestCertificatesAreReloaded(t *testing.T) {
	t.Parallel()
	old, renewed, foreign := rpctest.Certificates(t), rpctest.Certificates(t), rpctest.Certificates(t)
	dir := rpctest.Certificates(t)
	install := func(from string, names ...string) {
		t.Helper()
		for _, name := range names {
			content, err := os.ReadFile(filepath.Join(from, name))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	authority := rpc.AuthorityFile + ".pem"
	install(old, authority, "va.pem", "va.key")
	s := setup{dir: dir}
	s.serve(t)

	// handshake returns the certificate that the server shows to a client
	// that has its own from the folder.
	handshake := func(from string) (*x509.Certificate, error) {
		conn, err := tls.Dial("tcp", s.address, clientConfig(t, from, "ra"))
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			return nil, err
		}
		return conn.ConnectionState().PeerCertificates[0], nil
	}
	first, err := handshake(old)
	if err != nil {
		t.Fatal(err)
	}

	// A new CA and a new certificate: both are used at once, the old CA no more.
	install(renewed, authority, "va.pem", "va.key")
	second, err := handshake(renewed)
	if err != nil {
		t.Fatal(err)
	}
	if second.Equal(first) {
		t.Error("the old certificate is still shown")
	}
	if _, err := handshake(old); err == nil {
		t.Error("the old CA is still trusted")
	}

	// Files that can't be used, or don't belong together, change nothing.
	install(foreign, "va.pem")
	third, err := handshake(renewed)
	if err != nil {
		t.Fatal(err)
	}
	if !third.Equal(second) || !strings.Contains(s.log.String(), "stay in use") {
		t.Errorf("half a change was taken, or not logged:\n%s", s.log)
	}
}

func TestClientReloadsCertificates(t *testing.T) {
	t.Parallel()
	s := setup{}
	s.serve(t)
	// The client begins with another CA's files: it can't get through.
	files := rpctest.Certificates(t)
	s.client = rpc.ClientConfig{TLS: rpctest.Files(files, "ra"), Addresses: []string{s.address}}
	client := s.dial(t)
	result := make(chan error, 1)
	go func() {
		_, err := client.Validate(t.Context(), &vapb.ValidateRequest{})
		result <- err
	}()
	for _, name := range []string{rpc.AuthorityFile + ".pem", "ra.pem", "ra.key"} {
		content, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(files, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-result; err != nil {
		t.Errorf("the waiting call did not get through: %v", err)
	}
}

func TestMissingFiles(t *testing.T) {
	t.Parallel()
	dir := rpctest.Certificates(t, "ra")
	for _, name := range []string{rpc.AuthorityFile + ".pem", "ra.pem", "ra.key"} {
		files := rpctest.Files(dir, "ra")
		for _, file := range []*string{&files.CA, &files.Cert, &files.Key} {
			if filepath.Base(*file) == name {
				*file = filepath.Join(dir, "missing")
			}
		}
		cfg := rpc.ClientConfig{TLS: files, Role: rpc.RoleVA, Addresses: []string{"127.0.0.1:1"}, Now: time.Now, Logger: slog.New(slog.DiscardHandler)}
		if _, err := rpc.Dial(cfg); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "missing")) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func TestMakeCertificates(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	cfg := rpc.CertificatesConfig{Now: time.Now}
	made, err := rpc.MakeCertificates(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if want := 2 * (1 + len(rpc.Roles())); len(made) != want {
		t.Errorf("%d files were made, want %d: %v", len(made), want, made)
	}
	content := map[string][]byte{}
	for _, path := range made {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(path) == ".key" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if content[path], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	// Each is fit for both ends, under its name.
	authority := clientConfig(t, dir, "ra").RootCAs
	for _, role := range rpc.Roles() {
		cert := clientConfig(t, dir, string(role)).Certificates[0].Leaf
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
			if _, err := cert.Verify(x509.VerifyOptions{Roots: authority, DNSName: role.Name(), KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
				t.Errorf("%s: %v", role, err)
			}
		}
	}

	// Nothing is overwritten; a name is added under the same CA.
	cfg.Names = []string{"ra", "va-eu"}
	more, err := rpc.MakeCertificates(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(more) != 2 {
		t.Errorf("the second call made %v", more)
	}
	for path, was := range content {
		is, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(is, was) {
			t.Errorf("%s was changed, or lost: %v", path, err)
		}
	}
	added := clientConfig(t, dir, "va-eu").Certificates[0].Leaf
	if _, err := added.Verify(x509.VerifyOptions{Roots: authority, DNSName: "va-eu.cairn.internal"}); err != nil {
		t.Error(err)
	}

	// Half a pair is an error that changes nothing.
	if err := os.Remove(filepath.Join(dir, "sa.key")); err != nil {
		t.Fatal(err)
	}
	cfg.Names = []string{"sa"}
	if made, err := rpc.MakeCertificates(dir, cfg); err == nil || len(made) != 0 {
		t.Errorf("half a pair: %v, %v", made, err)
	}
	for _, name := range []string{"", ".", "../up", "a/b", "*", "UPPER", rpc.AuthorityFile} {
		cfg.Names = []string{name}
		if made, err := rpc.MakeCertificates(t.TempDir(), cfg); err == nil {
			t.Errorf("the name %q made %v", name, made)
		}
	}
}

// A server that is looked at by something that speaks no TLS goes on.
func TestNoTLS(t *testing.T) {
	t.Parallel()
	s := setup{}
	client := s.start(t)
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	// Whatever comes is an alert or an end, no HTTP/2.
	buffer := make([]byte, 1)
	if n, _ := conn.Read(buffer); n == 1 && buffer[0] != 0x15 { // alert, RFC 8446 §5.1
		t.Errorf("got %#x", buffer)
	}
	_, err = client.Validate(t.Context(), &vapb.ValidateRequest{})
	wantCode(t, err, codes.OK)
}
