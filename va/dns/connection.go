package dns

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/resolver"
)

const (
	// maxConnections is how many connections over TLS may be open to one
	// upstream; look-ups wait for one.
	maxConnections = 64
	// maxIdle is how many of them are kept when nobody uses them, idleTime for
	// how long.
	maxIdle  = 16
	idleTime = 10 * time.Second
)

// connection is a socket for one batch of queries.
type connection struct {
	dns.Conn
	pool   *connectionPool // nil: it is used once
	reused bool
	spoilt bool // its deadline may change behind the back of whoever reuses it
}

// hangUp gives up the connection; clean tells that nothing is under way on it.
func (c *connection) hangUp(clean bool) {
	if c.pool == nil {
		_ = c.Close()
		return
	}
	c.pool.put(c, clean && !c.spoilt)
}

// connect opens a socket to an upstream or takes one that is open; fresh asks
// for a new one.
func (r *Resolver) connect(ctx context.Context, u *upstream, stream, fresh bool, deadline time.Time) (*connection, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	switch {
	case u.endpoint.Transport == resolver.TLS:
		return u.connections.get(ctx, fresh)
	case stream:
		conn, err := r.dialer.DialContext(ctx, "tcp", u.endpoint.Address())
		if err != nil {
			return nil, err
		}
		return &connection{Conn: dns.Conn{Conn: conn}}, nil
	}
	addr, err := netip.ParseAddrPort(u.endpoint.Address())
	if err != nil {
		return nil, err
	}
	conn, err := r.dialer.DialUDP(ctx, "udp", netip.AddrPort{}, addr)
	if err != nil {
		return nil, err
	}
	return &connection{Conn: dns.Conn{Conn: conn}}, nil
}

// connectionPool keeps connections over TLS for the batches to come: each
// serves one batch at a time (RFC 7858 §3.4 asks for reuse).
type connectionPool struct {
	dial func(ctx context.Context) (net.Conn, error)
	open chan struct{} // as long as there are connections

	mu   sync.Mutex
	idle []*idleConnection // the latest used last
}

type idleConnection struct {
	conn  net.Conn
	timer *time.Timer
}

func newConnectionPool(e resolver.Endpoint, dialer *net.Dialer, config *tls.Config) *connectionPool {
	config.ServerName = e.ServerName
	secure := tls.Dialer{NetDialer: dialer, Config: config}
	return &connectionPool{
		dial: func(ctx context.Context) (net.Conn, error) { return secure.DialContext(ctx, "tcp", e.Address()) },
		open: make(chan struct{}, maxConnections),
	}
}

func (p *connectionPool) get(ctx context.Context, fresh bool) (*connection, error) {
	select {
	case p.open <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if conn := p.takeIdle(); conn != nil && !fresh {
		return &connection{Conn: dns.Conn{Conn: conn}, pool: p, reused: true}, nil
	} else if conn != nil {
		_ = conn.Close() // as stale as the one that just failed
	}
	conn, err := p.dial(ctx)
	if err != nil {
		<-p.open
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	return &connection{Conn: dns.Conn{Conn: conn}, pool: p}, nil
}

func (p *connectionPool) takeIdle() net.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		last := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		if last.timer.Stop() {
			return last.conn
		}
	}
	return nil
}

func (p *connectionPool) put(c *connection, reusable bool) {
	defer func() { <-p.open }()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !reusable || len(p.idle) >= maxIdle {
		_ = c.Close()
		return
	}
	idle := &idleConnection{conn: c.Conn.Conn}
	// Forgetting an idle connection decides nothing, so the system's clock
	// will do.
	idle.timer = time.AfterFunc(idleTime, func() { p.forget(idle) })
	p.idle = append(p.idle, idle)
}

func (p *connectionPool) forget(gone *idleConnection) {
	_ = gone.conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, idle := range p.idle {
		if idle == gone {
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			return
		}
	}
}
