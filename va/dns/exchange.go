package dns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	udpBuffer = 4096 // octets; answers are asked to be smaller
	// maxStrangers is how many messages that answer nothing a socket may
	// receive before somebody is taken to be guessing, and TCP is used.
	maxStrangers = 50
)

var (
	udpBuffers = sync.Pool{New: func() any { return new([udpBuffer]byte) }}
	tcpBuffers = sync.Pool{New: func() any { return new([dns.MaxMsgSize]byte) }}
)

// resolve asks the queries, of one upstream after the other, until each is
// done.
func (r *Resolver) resolve(ctx context.Context, queries []*query) {
	open := slices.Clone(queries)
	var u *upstream
	for range r.config.Attempts {
		u = r.pick(u)
		if open = r.round(ctx, u, open); len(open) == 0 || ctx.Err() != nil {
			break
		}
	}
	for _, q := range open {
		if errors.Is(ctx.Err(), context.Canceled) {
			q.fail(Canceled, "")
		}
		q.done = true
	}
}

// round asks one upstream, over UDP and then, for the queries that need it,
// over TCP. It returns the queries that are still open.
func (r *Resolver) round(ctx context.Context, u *upstream, queries []*query) []*query {
	var byUDP, byTCP []*query
	for _, q := range queries {
		q.answer.Upstream = u.name
		if err := q.prepare(r.config.Random); err != nil {
			q.fail(Malformed, printable(err.Error()))
			q.done = true
			continue
		}
		if q.tcp {
			byTCP = append(byTCP, q)
		} else {
			byUDP = append(byUDP, q)
		}
	}
	if len(byUDP) > 0 {
		r.exchange(ctx, u, byUDP, false)
		for _, q := range byUDP {
			if q.tcp {
				byTCP = append(byTCP, q)
			}
		}
	}
	if len(byTCP) > 0 {
		r.exchange(ctx, u, byTCP, true)
	}
	return slices.DeleteFunc(queries, func(q *query) bool { return q.done })
}

// exchange sends the queries over one socket and waits for their answers.
// Queries that must be asked over TCP are marked so.
func (r *Resolver) exchange(ctx context.Context, u *upstream, queries []*query, tcp bool) {
	deadline := time.Now().Add(r.config.Timeout) // a deadline of sockets is one of the system's clock
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	waiting := slices.Clone(queries)
	conn, err := r.dial(ctx, u, tcp, deadline)
	if err != nil {
		r.lost(ctx, u, waiting, err)
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if err := conn.SetDeadline(deadline); err != nil {
		r.lost(ctx, u, waiting, err)
		return
	}
	if ctx.Err() != nil { // the deadline just set may have undone AfterFunc's
		r.lost(ctx, u, waiting, ctx.Err())
		return
	}
	for _, q := range waiting {
		if _, err := conn.Write(q.msg); err != nil {
			r.lost(ctx, u, waiting, err)
			return
		}
	}

	buffer, release := buffer(tcp)
	defer release()
	for strangers := 0; len(waiting) > 0; {
		n, err := conn.Read(buffer)
		if err != nil {
			r.lost(ctx, u, waiting, err)
			return
		}
		i, v := deliver(waiting, buffer[:n], tcp)
		if v == stranger {
			strangers++
			if strangers < maxStrangers {
				continue
			}
			for _, q := range waiting {
				q.tcp = true
				q.fail(Malformed, "too many messages that answer nothing")
			}
			return
		}
		u.answered()
		waiting[i].done = v == settled
		waiting[i].tcp = waiting[i].tcp || v == useTCP
		waiting = slices.Delete(waiting, i, i+1)
	}
}

// deliver gives a message to the query that it answers.
func deliver(waiting []*query, msg []byte, tcp bool) (int, verdict) {
	for i, q := range waiting {
		if v := q.accept(msg, tcp); v != stranger {
			return i, v
		}
	}
	return 0, stranger
}

// lost notes that the queries got no answer.
func (r *Resolver) lost(ctx context.Context, u *upstream, waiting []*query, err error) {
	outcome, detail := Network, ""
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		outcome = Canceled // no fault of the upstream
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		outcome = Timeout
		u.failed(r.config.Now())
	default:
		detail = printable(u.name + ": " + cause(err))
		u.failed(r.config.Now())
	}
	for _, q := range waiting {
		q.fail(outcome, detail)
	}
}

// cause is the system's word for a network error, without the addresses.
func cause(err error) string {
	var call *os.SyscallError
	if errors.As(err, &call) {
		return call.Err.Error()
	}
	return err.Error()
}

func (r *Resolver) dial(ctx context.Context, u *upstream, tcp bool, deadline time.Time) (*dns.Conn, error) {
	if !tcp {
		conn, err := r.dialer.DialUDP(ctx, "udp", netip.AddrPort{}, u.addr)
		if err != nil {
			return nil, err
		}
		return &dns.Conn{Conn: conn}, nil
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	conn, err := r.dialer.DialTCP(ctx, "tcp", netip.AddrPort{}, u.addr)
	if err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			err = context.DeadlineExceeded
		}
		return nil, err
	}
	return &dns.Conn{Conn: conn}, nil
}

func buffer(tcp bool) (b []byte, release func()) {
	if tcp {
		p := tcpBuffers.Get().(*[dns.MaxMsgSize]byte)
		return p[:], func() { tcpBuffers.Put(p) }
	}
	p := udpBuffers.Get().(*[udpBuffer]byte)
	return p[:], func() { udpBuffers.Put(p) }
}
