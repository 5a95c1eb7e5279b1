package rpctest

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/cairn-ca/cairn/internal/rpc"
)

// Certificates makes the certificates of the named processes, of all roles if
// none is named, and returns the folder that they are in.
func Certificates(t testing.TB, names ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "mtls")
	if _, err := rpc.MakeCertificates(dir, rpc.CertificatesConfig{Names: names, Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Files are the files of a process whose certificate is in dir.
func Files(dir, name string) rpc.Files {
	return rpc.Files{
		CA:   filepath.Join(dir, rpc.AuthorityFile+".pem"),
		Cert: filepath.Join(dir, name+".pem"),
		Key:  filepath.Join(dir, name+".key"),
	}
}

// Serve runs a server on a port of loopback's until the test ends, or until
// stop is called, which waits for its end. It returns its address.
func Serve(t testing.TB, server *rpc.Server) (address string, stop func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var failed error
	go func() { failed = server.Serve(ctx, listener); close(done) }()
	stop = func() {
		cancel()
		<-done
		if failed != nil {
			t.Errorf("serving: %v", failed)
		}
	}
	t.Cleanup(stop)
	return listener.Addr().String(), stop
}

// Connect serves the service of a role, as register registers it, and connects
// to it as client, both with mutual TLS and the grants of rpc.Grants.
func Connect(t testing.TB, role, client rpc.Role, grants []rpc.Grant, register func(grpc.ServiceRegistrar)) *grpc.ClientConn {
	t.Helper()
	dir := Certificates(t, string(role), string(client))
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	server, err := rpc.NewServer(rpc.ServerConfig{TLS: Files(dir, string(role)), Grants: grants, Now: time.Now, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	register(server)
	address, _ := Serve(t, server)
	conn, err := rpc.Dial(rpc.ClientConfig{TLS: Files(dir, string(client)), Role: role, Addresses: []string{address}, Now: time.Now, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Canceled: the test has closed it.
		if err := conn.Close(); err != nil && status.Code(err) != codes.Canceled {
			t.Errorf("closing the connection: %v", err)
		}
	})
	return conn
}
