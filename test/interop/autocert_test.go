package interop

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// golang.org/x/crypto/acme/autocert: a TLS server that gets its certificate at
// the first connection, over tls-alpn-01 or http-01, and renews it by itself.
// It can't revoke: its account key does.
func TestAutocert(t *testing.T) {
	t.Parallel()
	s := dueAtOnce(t)
	for _, test := range []struct {
		kind, account string
		key           crypto.Signer
	}{
		{"tls-alpn-01", "ECDSA", rawacme.NewKey(t)},
		{"tls-alpn-01", "RSA", rawacme.NewRSAKey(t, 2048)},
		{"http-01", "ECDSA", rawacme.NewKey(t)},
		{"http-01", "RSA", rawacme.NewRSAKey(t, 2048)},
	} {
		t.Run(test.kind+"/"+test.account, func(t *testing.T) {
			t.Parallel()
			name := harness.NewName("autocert")
			address := s.ClientAddress(name)
			client := s.HTTP(t)
			two := &certificates{RoundTripper: client.Transport}
			two.left.Store(2)
			client.Transport = two
			manager := &autocert.Manager{
				Prompt: autocert.AcceptTOS, HostPolicy: only(name), Cache: autocert.DirCache(t.TempDir()),
				Client: &acme.Client{Key: test.key, DirectoryURL: s.DirectoryURL, HTTPClient: client, RetryBackoff: quickly},
			}
			config := manager.TLSConfig()
			if test.kind == "http-01" {
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

			got := served(t, s, at(address, s.Names.TLSPort()), name)
			good(t, s, got, name)
			again := awaitRenewed(t, s, at(address, s.Names.TLSPort()), name, got)
			if again == nil {
				t.Fatal("autocert does not renew")
			}
			renewed(t, s, got, again)
			revokeAs(t, s, test.key, again)
		})
	}
}

// certificates lets a client have so many certificates and order no more:
// with certificates that are due at once, autocert renews without end.
type certificates struct {
	http.RoundTripper
	left atomic.Int32
}

func (c *certificates) RoundTrip(req *http.Request) (*http.Response, error) {
	if c.left.Load() <= 0 && strings.HasSuffix(req.URL.Path, "/new-order") {
		return nil, errors.New("no more certificates are allowed in this test")
	}
	resp, err := c.RoundTripper.RoundTrip(req)
	if err == nil && resp.StatusCode == http.StatusOK && strings.Contains(req.URL.Path, "/cert/") {
		c.left.Add(-1)
	}
	return resp, err
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
