package interop

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"github.com/cairn-ca/cairn/test/harness"
)

// golang.org/x/crypto/acme/autocert: a TLS server that gets its certificate at
// the first connection, over tls-alpn-01 or http-01.
func TestAutocert(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	for _, kind := range []string{"tls-alpn-01", "http-01"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			name := harness.NewName("autocert")
			address := s.ClientAddress(name)
			manager := &autocert.Manager{
				Prompt: autocert.AcceptTOS, HostPolicy: only(name), Cache: autocert.DirCache(t.TempDir()),
				Client: &acme.Client{DirectoryURL: s.DirectoryURL, HTTPClient: s.HTTP(t), RetryBackoff: quickly},
			}
			config := manager.TLSConfig()
			if kind == "http-01" {
				serve(t, at(address, s.Names.HTTPPort()), manager.HTTPHandler(nil))
				config.NextProtos = []string{"http/1.1"} // no acme-tls/1
			}
			listener, err := net.Listen("tcp", at(address, s.Names.TLSPort()))
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewUnstartedServer(http.NotFoundHandler())
			server.Listener.Close()
			server.Listener, server.TLS = listener, config
			server.StartTLS()
			t.Cleanup(server.Close)

			good(t, s, served(t, s, at(address, s.Names.TLSPort()), name), name)
		})
	}
}

// only allows one name. autocert.HostWhitelist would compare it with the
// challenge request's Host, which names a port that is not 80.
func only(name string) autocert.HostPolicy {
	return func(_ context.Context, host string) error {
		if without, _, err := net.SplitHostPort(host); err == nil {
			host = without
		}
		if host != name {
			return fmt.Errorf("the host %q is not %q", host, name)
		}
		return nil
	}
}

// served connects and returns the chain that the server shows for a name.
func served(t testing.TB, s *harness.Server, address, name string) []*x509.Certificate {
	t.Helper()
	got, err := dial(t, s, address, name)
	if err != nil {
		t.Fatalf("connecting to the server of %s: %v", name, err)
	}
	return got
}

func dial(t testing.TB, s *harness.Server, address, name string) ([]*x509.Certificate, error) {
	t.Helper()
	root, err := s.Root()
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	dialer := &tls.Dialer{Config: &tls.Config{ServerName: name, RootCAs: roots, NextProtos: []string{"http/1.1"}}}
	conn, err := dialer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates, nil
}
