package rpc_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/cairn-ca/cairn/internal/rpc"
	"github.com/cairn-ca/cairn/internal/rpc/rpctest"
	"github.com/cairn-ca/cairn/internal/rpc/vapb"
)

// validation is a validation service that does what the test says.
type validation struct {
	vapb.UnimplementedValidationAuthorityServer
	validate func(context.Context) error
	check    func(context.Context) error
}

func (v validation) Validate(ctx context.Context, _ *vapb.ValidateRequest) (*vapb.ValidateResponse, error) {
	if v.validate == nil {
		return &vapb.ValidateResponse{}, nil
	}
	return &vapb.ValidateResponse{}, v.validate(ctx)
}

func (v validation) CheckCAA(ctx context.Context, _ *vapb.CheckCAARequest) (*vapb.CheckCAAResponse, error) {
	if v.check == nil {
		return &vapb.CheckCAAResponse{}, nil
	}
	return &vapb.CheckCAAResponse{}, v.check(ctx)
}

// setup is one server and one client of it; what a test leaves empty is as in
// production.
type setup struct {
	dir     string // with the certificates; empty: new ones
	service validation
	server  rpc.ServerConfig
	client  rpc.ClientConfig

	log     *logBuffer
	address string
	stop    func()
	conn    *grpc.ClientConn
}

func (s *setup) start(t *testing.T) vapb.ValidationAuthorityClient {
	t.Helper()
	s.serve(t)
	if s.client.Addresses == nil {
		s.client.Addresses = []string{s.address}
	}
	return s.dial(t)
}

func (s *setup) serve(t *testing.T) {
	t.Helper()
	if s.dir == "" {
		s.dir = rpctest.Certificates(t)
	}
	s.log = &logBuffer{}
	cfg := s.server
	if cfg.TLS == (rpc.Files{}) {
		cfg.TLS = rpctest.Files(s.dir, "va")
	}
	if cfg.Grants == nil {
		cfg.Grants = rpc.Grants(rpc.RoleVA, nil)
	}
	cfg.Now = time.Now
	cfg.Logger = slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	server, err := rpc.NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	vapb.RegisterValidationAuthorityServer(server, s.service)
	s.address, s.stop = rpctest.Serve(t, server)
}

func (s *setup) dial(t *testing.T) vapb.ValidationAuthorityClient {
	t.Helper()
	cfg := s.client
	if cfg.TLS == (rpc.Files{}) {
		cfg.TLS = rpctest.Files(s.dir, "ra")
	}
	cfg.Role = rpc.RoleVA
	cfg.Now = time.Now
	cfg.Logger = discard
	conn, err := rpc.Dial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s.conn = conn
	return vapb.NewValidationAuthorityClient(conn)
}

// logBuffer is a log that is read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if status.Code(err) != want {
		t.Fatalf("got %v, want %s", err, want)
	}
}

// soon bounds calls that are meant to find no server: long enough for a
// handshake on a busy machine, as the outcome is the same however long.
const soon = 2 * time.Second

var discard = slog.New(slog.DiscardHandler)

// unused is an address of loopback's at which nobody listens.
func unused(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return listener.Addr().String()
}
