package dns

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/resolver"
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
	proven := validationRequired(ctx)
	if proven && !r.awaitProbe(ctx) {
		for _, q := range queries {
			q.fail(Unvalidated, "the first probe is not through yet")
		}
		r.giveUp(ctx, queries)
		return
	}
	open := slices.Clone(queries)
	var u *upstream
	for range r.config.Attempts {
		if u = r.pick(u, proven); u == nil {
			for _, q := range open {
				q.fail(Unvalidated, r.unproven())
				q.done = true
			}
			return
		}
		if open = r.round(ctx, u, open); len(open) == 0 || ctx.Err() != nil {
			break
		}
	}
	r.giveUp(ctx, open)
}

// giveUp ends queries without an answer.
func (r *Resolver) giveUp(ctx context.Context, open []*query) {
	for _, q := range open {
		switch {
		case errors.Is(ctx.Err(), context.Canceled):
			q.fail(Canceled, "")
		case q.answer.Outcome == Found: // it was never asked
			q.answer.Outcome = Timeout
		}
		q.done = true
	}
}

// round asks one upstream; over UDP and then, for the queries that need it,
// over TCP, where that is its transport. It returns the queries that are still
// open.
func (r *Resolver) round(ctx context.Context, u *upstream, queries []*query) []*query {
	proven := r.proves(u, r.config.Now())
	var byUDP, byStream []*query
	for _, q := range queries {
		q.answer.Upstream, q.answer.Validated = u.name, proven
		if err := q.prepare(r.config.Random, r.form(u)); err != nil {
			q.fail(Malformed, printable(err.Error()))
			q.done = true
			continue
		}
		if q.tcp || u.endpoint.Transport != resolver.Plain {
			byStream = append(byStream, q)
		} else {
			byUDP = append(byUDP, q)
		}
	}
	if len(byUDP) > 0 {
		r.exchange(ctx, u, byUDP, false)
		for _, q := range byUDP {
			if q.tcp {
				byStream = append(byStream, q)
			}
		}
	}
	switch {
	case len(byStream) == 0:
	case u.https != nil:
		r.exchangeHTTPS(ctx, u, byStream)
	default:
		r.exchange(ctx, u, byStream, true)
	}
	return slices.DeleteFunc(queries, func(q *query) bool { return q.done })
}

// form is how queries are written for an upstream. Letter case is mixed where
// anybody could send a datagram that looks like the upstream's.
func (r *Resolver) form(u *upstream) form {
	return form{
		mixCase: u.endpoint.Transport == resolver.Plain && !r.config.KeepCase,
		zeroID:  u.endpoint.Transport == resolver.HTTPS, // RFC 8484 §4.1
	}
}

// deadline is when an upstream's time is up.
func (r *Resolver) deadline(ctx context.Context) time.Time {
	deadline := time.Now().Add(r.config.Timeout) // a deadline of sockets is one of the system's clock
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		return d
	}
	return deadline
}

// exchange sends the queries over one socket and waits for their answers.
// Queries that must be asked over TCP are marked so.
func (r *Resolver) exchange(ctx context.Context, u *upstream, queries []*query, stream bool) {
	deadline := r.deadline(ctx)
	waiting := slices.Clone(queries)
	for fresh := false; ; fresh = true {
		c, err := r.connect(ctx, u, stream, fresh, deadline)
		if err != nil {
			r.lost(ctx, u, waiting, err)
			return
		}
		waiting, err = r.converse(ctx, u, c, waiting, stream, deadline)
		c.hangUp(err == nil)
		switch {
		case err == nil:
			return
		case c.reused && !isTimeout(err) && ctx.Err() == nil:
			// A server may close a connection that nobody used for a while at
			// any time (RFC 7766 §6.2.3). On a new one the queries start over.
		default:
			r.lost(ctx, u, waiting, err)
			return
		}
	}
}

// converse sends the queries and reads their answers. With an error it
// returns the queries that got none.
func (r *Resolver) converse(ctx context.Context, u *upstream, c *connection, waiting []*query, stream bool, deadline time.Time) ([]*query, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer func() { c.spoilt = !stop() }()
	if err := c.SetDeadline(deadline); err != nil {
		return waiting, err
	}
	if ctx.Err() != nil { // the deadline just set may have undone AfterFunc's
		return waiting, ctx.Err()
	}
	start := r.config.Now()
	for _, q := range waiting {
		if _, err := c.Write(q.msg); err != nil {
			return waiting, err
		}
	}
	buffer, release := buffer(stream)
	defer release()
	for strangers := 0; len(waiting) > 0; {
		n, err := c.Read(buffer)
		if err != nil {
			return waiting, err
		}
		i, v := deliver(waiting, buffer[:n], stream)
		if v == stranger {
			if strangers++; strangers < maxStrangers {
				continue
			}
			for _, q := range waiting {
				q.tcp = true
				q.fail(Malformed, "too many messages that answer nothing")
				r.metrics.answer(u, Malformed)
			}
			c.spoilt = true
			return nil, nil
		}
		r.answered(u, waiting[i], v, start)
		waiting = slices.Delete(waiting, i, i+1)
	}
	return nil, nil
}

// answered notes what the answer to a query meant.
func (r *Resolver) answered(u *upstream, q *query, v verdict, start time.Time) {
	u.answered()
	q.done = v == settled
	q.tcp = q.tcp || v == useTCP
	if v != useTCP {
		r.metrics.answer(u, q.answer.Outcome)
		r.metrics.seconds.WithLabelValues(u.name).Observe(r.config.Now().Sub(start).Seconds())
	}
}

// deliver gives a message to the query that it answers.
func deliver(waiting []*query, msg []byte, stream bool) (int, verdict) {
	for i, q := range waiting {
		if v := q.accept(msg, stream); v != stranger {
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
	case isTimeout(err):
		outcome = Timeout
		u.failed(r.config.Now())
	default:
		detail = printable(u.name + ": " + cause(err))
		u.failed(r.config.Now())
	}
	for _, q := range waiting {
		q.fail(outcome, detail)
		r.metrics.answer(u, outcome)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// cause is the system's word for a network error, without the addresses.
func cause(err error) string {
	var call *os.SyscallError
	if errors.As(err, &call) {
		return call.Err.Error()
	}
	return err.Error()
}

func buffer(stream bool) (b []byte, release func()) {
	if stream {
		p := tcpBuffers.Get().(*[dns.MaxMsgSize]byte)
		return p[:], func() { tcpBuffers.Put(p) }
	}
	p := udpBuffers.Get().(*[udpBuffer]byte)
	return p[:], func() { udpBuffers.Put(p) }
}
