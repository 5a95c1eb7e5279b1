// Package responder answers ACME challenges on loopback: a DNS server, a web
// server and a TLS-ALPN server that share one set of names and tokens. The
// demonstration, the load generator and the tests prove control of names with
// it. Everything can be set while it runs, by any goroutine.
//
// It is made to be cheap for each request, and to misbehave when told to.
package responder

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// Config says where a Responder listens and which names exist.
type Config struct {
	// DNSAddr, HTTPAddr and TLSAddr are the addresses to listen on, as
	// "host:port". Empty: a free port of 127.0.0.1. DNS listens on the same
	// port over UDP and TCP.
	DNSAddr, HTTPAddr, TLSAddr string
	// Suffixes are the domains under which every name exists, and has
	// DefaultAddresses unless it was given others. Names elsewhere exist only
	// when something was set for them. "." is every name.
	Suffixes []string
	// DefaultAddresses are the addresses of names under Suffixes. Empty:
	// 127.0.0.1.
	DefaultAddresses []netip.Addr
	// OnQuery is called with each DNS question, from the goroutine that
	// answers it; nil: nobody is told.
	OnQuery func(Query)
}

// Query is one DNS question that arrived.
type Query struct {
	Name string // as it was written, with the trailing dot
	Type uint16
	TCP  bool
}

// Responder is a running responder.
type Responder struct {
	config   Config
	suffixes []string // lower case, with the trailing dot

	dnsAddr   string
	httpPort  int
	tlsPort   int
	udp       *net.UDPConn
	tcp       *dns.Server
	http, tls *http.Server
	issuer    certificateMaker
	stop      context.CancelFunc
	serving   sync.WaitGroup

	zone zone

	mu          sync.RWMutex
	tokens      map[string]string // token to key authorization
	httpHandler http.Handler
	alpn        map[string]*alpnAnswer // by SNI, lower case
}

// Start starts the three servers. They end when ctx does or Close is called.
func Start(ctx context.Context, config Config) (*Responder, error) {
	r := &Responder{
		config: config,
		zone:   zone{records: map[string]map[uint16][]dns.RR{}, failures: map[question]Failure{}},
		tokens: map[string]string{},
		alpn:   map[string]*alpnAnswer{},
	}
	for _, suffix := range config.Suffixes {
		r.suffixes = append(r.suffixes, canonical(suffix))
	}
	if len(r.config.DefaultAddresses) == 0 {
		r.config.DefaultAddresses = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	if err := r.issuer.init(); err != nil {
		return nil, err
	}
	ctx, r.stop = context.WithCancel(ctx)
	if err := errors.Join(r.startDNS(), r.startHTTP(), r.startTLS()); err != nil {
		r.Close()
		return nil, fmt.Errorf("starting the challenge responder: %w", err)
	}
	context.AfterFunc(ctx, r.shut)
	return r, nil
}

// Close ends the servers and waits for them.
func (r *Responder) Close() {
	r.stop()
	r.shut()
	r.serving.Wait()
}

func (r *Responder) shut() {
	if r.udp != nil {
		_ = r.udp.Close()
	}
	if r.tcp != nil {
		_ = r.tcp.Listener.Close()
		_ = r.tcp.Shutdown()
	}
	for _, server := range []*http.Server{r.http, r.tls} {
		if server != nil {
			_ = server.Close()
		}
	}
}

// DNSAddr is the DNS server's "host:port".
func (r *Responder) DNSAddr() string { return r.dnsAddr }

// HTTPPort is the web server's port.
func (r *Responder) HTTPPort() int { return r.httpPort }

// TLSPort is the TLS server's port.
func (r *Responder) TLSPort() int { return r.tlsPort }

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// canonical is a DNS name in lower case with its trailing dot.
func canonical(name string) string { return dns.Fqdn(strings.ToLower(name)) }
