// Package dns is the validation authority's stub resolver. It asks recursive
// resolvers that the operator chose, over UDP and, where an answer does not
// fit or looks forged, over TCP, or over TLS or HTTPS; it tells a name that
// does not exist from a look-up that failed, and never takes the second for
// the first.
//
// Against off-path forgery each batch of questions over UDP has a socket of
// its own with a random port, and each question a random ID and random letter
// case (draft-vixie-dnsext-dns0x20), all of which the answer must repeat. A
// batch holds different questions only, so that sharing its socket gives a
// forger no second chance at any of them.
//
// DNSSEC is the recursive resolvers' to verify. Whether they do is probed
// (Probe), and look-ups under RequireValidation rely on those that do alone.
package dns

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-ca/cairn/internal/resolver"
)

// Defaults of Config.
const (
	DefaultTimeout  = 2 * time.Second
	DefaultAttempts = 3
)

const (
	systemConfiguration = "/etc/resolv.conf"
	// maxLinks is how many aliases (CNAME) an answer may go through.
	maxLinks = 10
)

// Config says whom a Resolver asks.
type Config struct {
	// Upstreams are the recursive resolvers, each as package resolver reads
	// it, such as "127.0.0.1:8053"; they are asked in turn. Empty: those of
	// /etc/resolv.conf.
	Upstreams []string
	// Timeout is how long one upstream has for an answer. 0: DefaultTimeout.
	Timeout time.Duration
	// Attempts is how many times a question is asked before the look-up
	// fails. A server failure (SERVFAIL) is final when it comes twice. 0:
	// DefaultAttempts.
	Attempts int
	// KeepCase asks for names in the letter case in which they are given, for
	// upstreams that don't repeat it in their answers.
	KeepCase bool
	// Roots are whom the certificates of upstreams over TLS and HTTPS must
	// come from. nil: the system's roots.
	Roots *x509.CertPool
	// Probe has Run find out which upstreams validate with DNSSEC. nil: none
	// is taken to.
	Probe *Probe
	// Random makes query IDs and letter cases. nil: crypto/rand.
	Random io.Reader
	// Now is the clock. nil: time.Now.
	Now func() time.Time
	// Logger gets what the probes find. nil: nobody.
	Logger *slog.Logger
	// Metrics registers cairn_va_dns_* and cairn_va_dnssec_*. nil: nowhere.
	Metrics prometheus.Registerer
}

// Resolver is a stub resolver. It may be used by many goroutines and caches
// nothing: what it answers was asked just now.
type Resolver struct {
	config    Config
	upstreams []*upstream
	next      atomic.Uint32 // rotation
	dialer    net.Dialer
	probed    chan struct{} // closed once every upstream was probed
	metrics   metrics
}

// New makes a Resolver.
func New(config Config) (*Resolver, error) {
	if config.Timeout == 0 {
		config.Timeout = DefaultTimeout
	}
	if config.Attempts == 0 {
		config.Attempts = DefaultAttempts
	}
	if config.Random == nil {
		config.Random = rand.Reader
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Probe != nil {
		config.Probe = config.Probe.withDefaults()
	}
	addresses := config.Upstreams
	if len(addresses) == 0 {
		system, err := dns.ClientConfigFromFile(systemConfiguration)
		if err != nil {
			return nil, fmt.Errorf("finding the system's DNS resolvers (name some in va.resolvers): %w", err)
		}
		for _, server := range system.Servers {
			addresses = append(addresses, net.JoinHostPort(server, system.Port))
		}
	}
	if len(addresses) == 0 {
		return nil, errors.New("no DNS resolver: name some in va.resolvers")
	}
	r := &Resolver{config: config, probed: make(chan struct{})}
	for _, address := range addresses {
		endpoint, err := resolver.Parse(address)
		if err != nil {
			return nil, fmt.Errorf("DNS resolver: %w", err)
		}
		r.upstreams = append(r.upstreams, r.newUpstream(endpoint))
	}
	var err error
	r.metrics, err = newMetrics(r)
	return r, err
}

func (r *Resolver) newUpstream(e resolver.Endpoint) *upstream {
	u := &upstream{endpoint: e, name: e.String()}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: r.config.Roots, Time: r.config.Now}
	switch e.Transport {
	case resolver.TLS:
		u.connections = newConnectionPool(e, &r.dialer, config)
	case resolver.HTTPS:
		u.https = newHTTPS(e, &r.dialer, config)
	}
	return u
}

// Question asks for the records of one type of a name.
type Question struct {
	Name string // with or without the trailing dot
	Type uint16 // such as dns.TypeTXT
}

// Lookup asks all questions at once and returns their answers in the same
// order. The questions must differ from each other. It returns when each has
// its answer or has failed; an ended context is a failure of those that were
// open.
func (r *Resolver) Lookup(ctx context.Context, questions ...Question) []Answer {
	queries := make([]*query, len(questions))
	var open []*query
	for i, question := range questions {
		queries[i] = &query{asked: question, current: question}
		if answer, ok := localhost(question); ok {
			queries[i].answer, queries[i].done = answer, true
		} else if answer, ok := onion(question); ok {
			queries[i].answer, queries[i].done = answer, true
		} else {
			open = append(open, queries[i])
		}
	}
	// A recursive resolver follows aliases itself. One that hands out a bare
	// alias would make the target's records look absent, and with CAA absence
	// permits: ask for the target.
	for ; len(open) > 0; open = unfollowed(queries) {
		r.resolve(ctx, open)
	}
	answers := make([]Answer, len(queries))
	for i, q := range queries {
		answers[i] = q.finish()
		r.metrics.lookups.WithLabelValues(dns.TypeToString[q.asked.Type], answers[i].Outcome.String()).Inc()
	}
	return answers
}

// LookupTXT returns the TXT records of a name.
func (r *Resolver) LookupTXT(ctx context.Context, name string) Answer {
	return r.Lookup(ctx, Question{name, dns.TypeTXT})[0]
}

// LookupAddresses asks for the AAAA and A records of a name, at once.
func (r *Resolver) LookupAddresses(ctx context.Context, name string) (aaaa, a Answer) {
	answers := r.Lookup(ctx, Question{name, dns.TypeAAAA}, Question{name, dns.TypeA})
	return answers[0], answers[1]
}
