package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/cairn-ca/cairn/internal/rpc"
	"github.com/cairn-ca/cairn/sa"
)

// peers makes the clients of the roles that a role calls.
type peers struct{ n *instance }

// dial makes the connection to a role. It does not wait for the role; the
// process is not ready while it is away.
func (p *peers) dial(r rpc.Role, addresses []string) (*grpc.ClientConn, error) {
	key := "rpc.services." + string(r)
	if len(addresses) == 0 {
		return nil, fmt.Errorf("the key %s says where the role %s is, and is missing; see docs/configuration.md", key, r)
	}
	conn, err := rpc.Dial(rpc.ClientConfig{
		TLS:        p.n.tlsFiles(),
		Role:       r,
		Addresses:  addresses,
		ServerName: string(r) + "." + p.n.cfg.RPC.Domain,
		Now:        p.n.now,
		Logger:     p.n.log("rpc"),
		Metrics:    p.n.metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	p.n.addCloser(conn.Close)
	p.n.health.Add(string(r), func(context.Context) error {
		if state := conn.GetState(); state != connectivity.Ready {
			return fmt.Errorf("the connection is %s", state)
		}
		return nil
	})
	return conn, nil
}

// store is the client of the storage authority.
func (p *peers) store(ctx context.Context) (sa.Store, error) {
	conn, err := p.dial(rpc.RoleSA, p.n.cfg.RPC.Services.SA)
	if err != nil {
		return nil, err
	}
	store := sa.NewClient(conn)
	p.n.health.Add("store", store.Ping)
	return store, nil
}

// awaitEvery is the time between two questions to a peer that is away.
const awaitEvery = 5 * time.Second

// await waits until a peer answers: roles may be started in any order.
func (p *peers) await(ctx context.Context, what string, ping func(context.Context) error) error {
	for {
		// The call waits for a connection, so that this loop does not spin.
		attempt, cancel := context.WithTimeout(ctx, awaitEvery)
		err := ping(attempt)
		waited := attempt.Err() != nil
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		}
		p.n.process.logger.Warn("waiting for "+what, "error", err)
		if waited {
			continue
		}
		timer := time.NewTimer(awaitEvery)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// fileCertificate is a certificate in files, read anew for each connection:
// they are few, and a replaced file counts at once.
type fileCertificate struct{ cert, key string }

// get is for tls.Config.GetCertificate.
func (f fileCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, fmt.Errorf("reading rpc.tls.cert and rpc.tls.key: %w", err)
	}
	return &cert, nil
}
