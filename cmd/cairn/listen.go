package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"
)

// listen binds the address of a configuration key.
func listen(ctx context.Context, key, address string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: the address %s is in use by another process; stop that one, or set %[1]s to another address", key, address)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s: this user may not listen on %s; set %[1]s to a port from 1024 up, or grant CAP_NET_BIND_SERVICE", key, address)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s: %s is not an address of this machine; set %[1]s to one that is", key, address)
	case err != nil:
		return nil, fmt.Errorf("%s: listening on %s: %w", key, address, err)
	}
	return l, nil
}

// Bounds of every HTTP connection. Requests are small and answers are not far
// away: what takes longer is broken or means harm.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 16 << 10
)

// server is one listener with what it serves.
type server struct {
	name     string
	listener net.Listener
	http     *http.Server
	up       atomic.Bool
}

// serverConfig says what to serve where.
type serverConfig struct {
	Name     string // acme, public or admin
	Listener net.Listener
	Handler  http.Handler
	TLS      *tls.Config   // nil: plain HTTP
	Answer   time.Duration // the longest that an answer may take
	Logger   *slog.Logger
}

func newServer(cfg serverConfig) *server {
	logger := cfg.Logger.With("listener", cfg.Name)
	// HTTP/1.1 alone: an ACME client sends one request after the other, each
	// with the nonce of the answer before, and has no use for streams, which
	// cost a tenth of the CPU of an issuance.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &server{name: cfg.Name, listener: cfg.Listener, http: &http.Server{
		Handler:           cfg.Handler,
		TLSConfig:         cfg.TLS,
		Protocols:         &protocols,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      readTimeout + cfg.Answer,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		// What net/http logs is about broken clients.
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}}
}

// serve serves until stop is called.
func (s *server) serve() error {
	s.up.Store(true)
	defer s.up.Store(false)
	var err error
	if s.http.TLSConfig != nil {
		err = s.http.ServeTLS(s.listener, "", "")
	} else {
		err = s.http.Serve(s.listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving listen.%s: %w", s.name, err)
}

// check is a health check.
func (s *server) check(context.Context) error {
	if !s.up.Load() {
		return errors.New("not serving")
	}
	return nil
}

// stop takes no more connections and finishes the requests under way, until
// ctx ends.
func (s *server) stop(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		s.http.Close()
		return fmt.Errorf("requests to listen.%s were cut off: %w", s.name, err)
	}
	return nil
}

// tlsConfig is for the HTTPS listeners. Session tickets are on, as net/http
// has them: most clients come back.
func tlsConfig(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate}
}
