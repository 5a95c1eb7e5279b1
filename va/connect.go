package va

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/va/dns"
)

// target is who to connect to.
type target struct {
	host string     // a DNS name, empty for an address
	addr netip.Addr // not valid for a DNS name
	port uint16
}

// connection is a connection to a target. It ends with the context that it
// was made under.
type connection struct {
	net.Conn
	remote  netip.AddrPort
	release func() // may be called again
}

// Close closes the connection and gives back its slot. A TLS handshake closes
// it by itself when its context ends.
func (c *connection) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// connect connects to a target: to its first IPv6 address, where it has one,
// and when that fails to its first IPv4 address.
func (v *VA) connect(ctx context.Context, t *try, to target) (*connection, *failure) {
	addrs, fail := v.addressesOf(ctx, t, to)
	if fail != nil {
		return nil, fail
	}
	var first *failure
	for i, addr := range addrs {
		dialCtx, cancel := ctx, context.CancelFunc(func() {})
		if end, ok := ctx.Deadline(); ok && i+1 < len(addrs) {
			// Leave the fall-back its share of the time.
			dialCtx, cancel = context.WithTimeout(ctx, time.Until(end)/3)
		}
		conn, fail := v.dial(ctx, dialCtx, t, netip.AddrPortFrom(addr, to.port))
		cancel()
		if fail == nil {
			return conn, nil
		}
		if first == nil {
			first = fail
		} else {
			first = both(first, fail)
		}
	}
	return nil, first
}

// addressesOf are the addresses to try, in order: at most one IPv6 and one
// IPv4 address.
func (v *VA) addressesOf(ctx context.Context, t *try, to target) ([]netip.Addr, *failure) {
	if to.addr.IsValid() {
		return []netip.Addr{to.addr}, nil
	}
	aaaa, a := v.resolver.LookupAddresses(ctx, to.host)
	t.step("%s", aaaa)
	t.step("%s", a)
	var addrs []netip.Addr
	for _, answer := range []dns.Answer{aaaa, a} {
		if all := answer.Addrs(); len(all) > 0 {
			addrs = append(addrs, all[0])
		}
	}
	switch {
	case len(addrs) > 0:
		return addrs, nil
	case a.Failed():
		return nil, unreached(acme.DNS, "%s", a.Problem())
	case aaaa.Failed():
		return nil, unreached(acme.DNS, "%s", aaaa.Problem())
	case a.Outcome == dns.NXDomain:
		return nil, unreached(acme.DNS, "%s; create an A or AAAA record", a.Problem())
	}
	return nil, unreached(acme.DNS, "%s has no A and no AAAA record; create one", to.host)
}

// dial connects to one address. The connection lives under ctx, the attempt
// to make it under dialCtx.
func (v *VA) dial(ctx, dialCtx context.Context, t *try, addr netip.AddrPort) (*connection, *failure) {
	if !v.AllowPrivateAddresses {
		// The very address that was checked is the one that is dialled: there
		// is no second look-up that could say something else.
		if what := notPublic(addr.Addr()); what != "" {
			t.step("%s: not tried, the address is %s", addr, what)
			return nil, wrong(acme.Connection, "the address %s is %s: this CA connects to public addresses only", addr.Addr(), what)
		}
	}
	release, err := v.addresses.acquire(dialCtx, addr.Addr())
	if err != nil {
		return nil, busy("too many validations are connected to %s already; try again later", addr.Addr())
	}
	conn, err := v.Dial(dialCtx, addr)
	if err == nil {
		if end, ok := ctx.Deadline(); ok {
			err = conn.SetDeadline(end)
		}
		if err != nil {
			_ = conn.Close()
		}
	}
	if err != nil {
		release()
		t.step("%s: %s", addr, networkCause(err))
		return nil, unreached(acme.Connection, "connecting to %s: %s; check that port %d is open from outside", addr, networkCause(err), addr.Port())
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return &connection{Conn: conn, remote: addr, release: sync.OnceFunc(func() { stop(); release() })}, nil
}

// both is the failure of two addresses.
func both(six, four *failure) *failure {
	for _, fail := range []*failure{six, four} {
		if fail.busy {
			return fail // what could not be tried may be what works
		}
	}
	return &failure{
		problem: acme.NewProblem(acme.Connection, "over IPv6: %s; over IPv4: %s", six.problem.Detail, four.problem.Detail),
		mayHeal: six.mayHeal || four.mayHeal,
	}
}

// networkCause is a few words about a network error, without addresses.
func networkCause(err error) string {
	var timeout net.Error
	if isTimeout(err) || errors.As(err, &timeout) && timeout.Timeout() {
		return "no answer in time"
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		return call.Err.Error()
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	text := quote(err.Error())
	return text[1 : len(text)-1]
}

func isTimeout(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// isReset tells a connection that the system or the peer broke from one whose
// bytes make no sense.
func isReset(err error) bool {
	var call *os.SyscallError
	return errors.As(err, &call) || errors.Is(err, net.ErrClosed)
}
