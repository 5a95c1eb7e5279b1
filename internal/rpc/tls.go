package rpc

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/credentials"
)

// Files are the files of mutual TLS, all PEM. They are read again at every
// handshake, so that a replaced certificate or CA is used without a restart;
// files that can't be used are logged, and those before them stay in use.
type Files struct {
	CA   string // the internal CA's certificates, one or more
	Cert string // the process's certificate, with intermediates if there are any
	Key  string // the key of Cert
}

// identity is what Files hold.
type identity struct {
	files   Files
	logger  *slog.Logger
	expires *prometheus.GaugeVec

	mu   sync.Mutex
	raw  [3][]byte
	pool *x509.CertPool
	cert tls.Certificate
}

func newIdentity(files Files, logger *slog.Logger, expires *prometheus.GaugeVec) (*identity, error) {
	i := &identity{files: files, logger: logger, expires: expires}
	if err := i.load(); err != nil {
		return nil, err
	}
	return i, nil
}

// current is the CA certificates and the certificate as they are on disk.
func (i *identity) current() (*x509.CertPool, tls.Certificate) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := i.load(); err != nil {
		i.logger.Error("the changed files of mutual TLS can't be used; those before them stay in use", "error", err)
	}
	return i.pool, i.cert
}

// load reads the files and takes them if they are new and sound. The caller
// holds mu, but for the first time.
func (i *identity) load() error {
	var raw [3][]byte
	for n, file := range []string{i.files.CA, i.files.Cert, i.files.Key} {
		var err error
		if raw[n], err = os.ReadFile(file); err != nil {
			return fmt.Errorf("reading the files of mutual TLS: %w", err)
		}
	}
	if bytes.Equal(raw[0], i.raw[0]) && bytes.Equal(raw[1], i.raw[1]) && bytes.Equal(raw[2], i.raw[2]) {
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw[0]) {
		return fmt.Errorf("%s holds no certificate in PEM", i.files.CA)
	}
	cert, err := tls.X509KeyPair(raw[1], raw[2])
	if err != nil {
		return fmt.Errorf("reading the certificate %s with its key %s: %w", i.files.Cert, i.files.Key, err)
	}
	if i.pool != nil {
		i.logger.Info("the files of mutual TLS were read again", "cert", i.files.Cert, "not_after", cert.Leaf.NotAfter)
	}
	i.raw, i.pool, i.cert = raw, pool, cert
	i.expires.WithLabelValues(i.files.Cert).Set(float64(cert.Leaf.NotAfter.Unix()))
	return nil
}

// transport makes the handshakes, each with the files as they are then.
type transport struct {
	identity *identity
	server   string // the name that the server's certificate must hold
	now      func() time.Time
	logger   *slog.Logger
}

func (t *transport) config() *tls.Config {
	pool, cert := t.identity.current()
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{cert},
		RootCAs:      pool,
		ServerName:   t.server,
		ClientCAs:    pool,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		Time:         t.now,
		// A resumed session would be trusted by what an earlier handshake found.
		SessionTicketsDisabled: true,
	}
}

// ClientHandshake expects the server's name, whatever the channel calls it:
// grpc-go would verify the certificate for the authority.
func (t *transport) ClientHandshake(ctx context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return credentials.NewTLS(t.config()).ClientHandshake(ctx, t.server, conn)
}

func (t *transport) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	remote := conn.RemoteAddr()
	secured, info, err := credentials.NewTLS(t.config()).ServerHandshake(conn)
	if err != nil && !errors.Is(err, io.EOF) { // a load balancer that looks whether the port is open
		t.logger.Warn("refused a connection", "remote", remote.String(), "error", err)
	}
	return secured, info, err
}

func (t *transport) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone returns the transport itself: it never changes.
func (t *transport) Clone() credentials.TransportCredentials { return t }

// OverrideServerName is part of the interface and deprecated there.
func (t *transport) OverrideServerName(string) error {
	return errors.New("the name of the server is fixed")
}
