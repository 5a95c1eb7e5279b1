package testmode

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// ResolverConfig says what a Resolver asks.
type ResolverConfig struct {
	// Upstreams are the resolvers, address:port, asked in their order.
	Upstreams []string
	// HostsFile is a file such as /etc/hosts.
	HostsFile string
}

// Resolver is the DNS as Pebble sees it: names of the hosts file first, as in
// test networks, and no CAA records at all, since Pebble does not look for
// any. Everything else it asks its upstreams. It listens on loopback.
type Resolver struct {
	ResolverConfig
	// Address is where it listens, UDP and TCP.
	Address string
	servers []*dns.Server
}

const upstreamTimeout = 5 * time.Second

// StartResolver starts a resolver; Close stops it.
func StartResolver(ctx context.Context, cfg ResolverConfig) (*Resolver, error) {
	r := &Resolver{ResolverConfig: cfg}
	var lc net.ListenConfig
	// The port that is free for TCP may be taken for UDP: try another then.
	var failed error
	for range 10 {
		tcp, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("starting the resolver of test mode: %w", err)
		}
		udp, err := lc.ListenPacket(ctx, "udp", tcp.Addr().String())
		if err != nil {
			tcp.Close()
			failed = err
			continue
		}
		r.Address = tcp.Addr().String()
		r.servers = []*dns.Server{{Listener: tcp, Handler: r}, {PacketConn: udp, Handler: r}}
		return r, r.start()
	}
	return nil, fmt.Errorf("starting the resolver of test mode: %w", failed)
}

func (r *Resolver) start() error {
	for _, s := range r.servers {
		started, failed := make(chan struct{}), make(chan error, 1)
		s.NotifyStartedFunc = func() { close(started) }
		go func() { failed <- s.ActivateAndServe() }()
		select {
		case <-started:
		case err := <-failed:
			return errors.Join(fmt.Errorf("starting the resolver of test mode: %w", err), r.Close())
		}
	}
	return nil
}

// Close stops the resolver.
func (r *Resolver) Close() error {
	var errs []error
	for _, s := range r.servers {
		errs = append(errs, s.Shutdown())
	}
	r.servers = nil
	return errors.Join(errs...)
}

// ServeDNS implements dns.Handler.
func (r *Resolver) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	answer := r.answer(query)
	if _, overUDP := w.RemoteAddr().(*net.UDPAddr); overUDP {
		size := dns.MinMsgSize
		if opt := query.IsEdns0(); opt != nil {
			size = max(size, int(opt.UDPSize()))
		}
		answer.Truncate(size)
	}
	_ = w.WriteMsg(answer) // who asked is gone if this fails
}

func (r *Resolver) answer(query *dns.Msg) *dns.Msg {
	reply := new(dns.Msg)
	if len(query.Question) != 1 {
		return reply.SetRcode(query, dns.RcodeFormatError)
	}
	reply.SetReply(query)
	reply.RecursionAvailable = true
	if opt := query.IsEdns0(); opt != nil {
		reply.SetEdns0(opt.UDPSize(), false)
	}
	q := query.Question[0]
	switch q.Qtype {
	case dns.TypeCAA:
		return reply
	case dns.TypeA, dns.TypeAAAA:
		if addrs := r.hosts(q.Name); len(addrs) > 0 {
			reply.Answer = records(q, addrs)
			return reply
		}
	}
	return r.forward(query)
}

// records are the addresses of the type that was asked for.
func records(q dns.Question, addrs []netip.Addr) []dns.RR {
	var rrs []dns.RR
	header := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET}
	for _, addr := range addrs {
		switch {
		case addr.Is4() && q.Qtype == dns.TypeA:
			rrs = append(rrs, &dns.A{Hdr: header, A: addr.AsSlice()})
		case addr.Is6() && q.Qtype == dns.TypeAAAA:
			rrs = append(rrs, &dns.AAAA{Hdr: header, AAAA: addr.AsSlice()})
		}
	}
	return rrs
}

// hosts looks a name up in the hosts file, which may change at any time.
func (r *Resolver) hosts(name string) []netip.Addr {
	data, err := os.ReadFile(r.HostsFile)
	if err != nil {
		return nil
	}
	name = strings.TrimSuffix(name, ".")
	var addrs []netip.Addr
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		addr, err := netip.ParseAddr(fields[0])
		if err != nil {
			continue
		}
		for _, alias := range fields[1:] {
			if strings.EqualFold(strings.TrimSuffix(alias, "."), name) {
				addrs = append(addrs, addr.Unmap().WithZone(""))
				break
			}
		}
	}
	return addrs
}

// forward asks the upstreams: over UDP, and over TCP when that fails or does
// not suffice.
func (r *Resolver) forward(query *dns.Msg) *dns.Msg {
	for _, upstream := range r.Upstreams {
		for _, network := range []string{"udp", "tcp"} {
			client := dns.Client{Net: network, Timeout: upstreamTimeout}
			reply, _, err := client.Exchange(query, upstream)
			if err == nil && !(reply.Truncated && network == "udp") {
				return reply
			}
		}
	}
	return new(dns.Msg).SetRcode(query, dns.RcodeServerFailure)
}

// SystemResolvers are the resolvers of a file such as /etc/resolv.conf; none
// when it can't be read.
func SystemResolvers(file string) []string {
	cfg, err := dns.ClientConfigFromFile(file)
	if err != nil {
		return nil
	}
	var addresses []string
	for _, server := range cfg.Servers {
		addresses = append(addresses, net.JoinHostPort(server, cfg.Port))
	}
	return addresses
}
