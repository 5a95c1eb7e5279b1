package va

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/va/attest"
	"github.com/cairn-ca/cairn/va/dns"
)

// Defaults of Config.
const (
	DefaultHTTPPort      = 80
	DefaultTLSPort       = 443
	DefaultTimeout       = 10 * time.Second
	DefaultMaxInFlight   = 4096
	DefaultMaxPerAddress = 256
	// DefaultUserAgent identifies the requests of http-01 (RFC 8555 §11.2 asks
	// that operators can tell them from others).
	DefaultUserAgent = "Cairn-VA/1 (+https://github.com/cairn-ca/cairn)"
)

// Config says how a VA reaches the network.
type Config struct {
	// Resolvers are the recursive DNS resolvers, as package resolver reads
	// them, such as "127.0.0.1:8053". Empty: those of /etc/resolv.conf.
	Resolvers []string
	// DNSTimeout is how long one resolver has for an answer, DNSAttempts how
	// many times a question is asked. 0: the defaults of package dns.
	DNSTimeout  time.Duration
	DNSAttempts int
	// DNSKeepCase asks for names without random letter case.
	DNSKeepCase bool
	// DNSRoots are whom the certificates of resolvers over TLS and HTTPS must
	// come from. nil: the system's roots.
	DNSRoots *x509.CertPool
	// DNSSECProbe has Run find out which resolvers validate with DNSSEC. nil:
	// none is taken to.
	DNSSECProbe *dns.Probe
	// RequireDNSSEC has validations and CAA checks rely only on resolvers that
	// have proven to validate; while none has, all of them fail.
	RequireDNSSEC bool
	// DirectoryRequireDNSSEC is the same for directories that have their own
	// setting, by the directory's name.
	DirectoryRequireDNSSEC map[string]bool
	// HTTPPort and TLSPort are the ports that stand for 80 and 443: what
	// http-01 and tls-alpn-01 connect to, and where redirects without a port
	// lead. 0: 80 and 443.
	HTTPPort, TLSPort int
	// AllowPrivateAddresses lets validation connect to addresses that are not
	// on the public Internet. A public CA leaves it off.
	AllowPrivateAddresses bool
	// CAAIdentities are the issuer domain names that mean this CA in CAA
	// records (RFC 8659 §4.2), in any case. Empty: none does, so that every
	// record set that restricts issuance forbids it.
	CAAIdentities []string
	// DirectoryCAAIdentities are those of directories that have their own, by
	// the directory's name.
	DirectoryCAAIdentities map[string][]string
	// DNSPersist is how directories validate dns-persist-01, by the
	// directory's name; one that is not there does not.
	DNSPersist map[string]DNSPersist
	// AttestationRoots are, by the directory's name, the roots that
	// attestations of devices must chain to. A directory without any accepts
	// none.
	AttestationRoots map[string]attest.Roots
	// Timeout bounds one try of one challenge, CAA and waiting for a free
	// place included. 0: DefaultTimeout.
	Timeout time.Duration
	// MaxInFlight is how many tries may run at once; more wait. 0:
	// DefaultMaxInFlight.
	MaxInFlight int
	// MaxPerAddress is how many connections may be open to one address; more
	// wait. A try that waits for all of its time is no result, and counts for
	// nothing. 0: DefaultMaxPerAddress.
	MaxPerAddress int
	// UserAgent is what http-01 calls itself. Empty: DefaultUserAgent.
	UserAgent string
	// Dial opens the connections of challenges, to exactly the address it is
	// given. nil: an ordinary TCP connection.
	Dial func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)
	// Random makes DNS query IDs. nil: crypto/rand.
	Random io.Reader
	// Now is the clock of evidence and durations. nil: time.Now.
	Now func() time.Time
	// Logger gets what an operator wants to know. nil: nobody.
	Logger *slog.Logger
	// Audit gets one record for each decision: what was asked, what was seen,
	// what came of it. nil: nobody.
	Audit *slog.Logger
	// Metrics registers the collectors cairn_va_*. nil: nowhere.
	Metrics prometheus.Registerer
}

// VA is the validation authority. It implements Authority, for any number of
// goroutines, and keeps no state between tries.
type VA struct {
	Config
	resolver  *dns.Resolver
	caa       CAAChecker
	methods   map[acme.ChallengeType]method
	inFlight  slots
	addresses addressSlots
	metrics   metrics
}

var _ Authority = (*VA)(nil)

// New makes a VA.
func New(config Config) (*VA, error) {
	config = config.withDefaults()
	for _, port := range []int{config.HTTPPort, config.TLSPort} {
		if port < 1 || port > 65535 {
			return nil, fmt.Errorf("port %d: write a number from 1 to 65535", port)
		}
	}
	resolver, err := dns.New(dns.Config{
		Upstreams: config.Resolvers, Timeout: config.DNSTimeout, Attempts: config.DNSAttempts,
		KeepCase: config.DNSKeepCase, Roots: config.DNSRoots, Probe: config.DNSSECProbe,
		Random: config.Random, Now: config.Now, Logger: config.Logger, Metrics: config.Metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("setting up the DNS resolver: %w", err)
	}
	v := &VA{
		Config:   config,
		resolver: resolver,
		caa: CAAChecker{
			Resolver: resolver, Identities: config.CAAIdentities, DirectoryIdentities: config.DirectoryCAAIdentities, Now: config.Now,
		},
		inFlight:  make(slots, config.MaxInFlight),
		addresses: addressSlots{limit: config.MaxPerAddress, held: map[netip.Addr]*addressSlot{}},
	}
	v.methods = map[acme.ChallengeType]method{
		acme.HTTP01:     http01{v},
		acme.DNS01:      dns01{v},
		acme.TLSALPN01:  tlsALPN01{v},
		acme.OnionCSR01: onionCSR01{},

		acme.DeviceAttest01: deviceAttest01{v},
		acme.DNSAccount01:   dnsAccount01{v},
		acme.DNSPersist01:   dnsPersist01{v},
	}
	if v.metrics, err = newMetrics(config.Metrics, v.inFlight); err != nil {
		return nil, fmt.Errorf("registering the validation metrics: %w", err)
	}
	return v, nil
}

func (c Config) withDefaults() Config {
	if c.HTTPPort == 0 {
		c.HTTPPort = DefaultHTTPPort
	}
	if c.TLSPort == 0 {
		c.TLSPort = DefaultTLSPort
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = DefaultMaxInFlight
	}
	if c.MaxPerAddress == 0 {
		c.MaxPerAddress = DefaultMaxPerAddress
	}
	if c.UserAgent == "" {
		c.UserAgent = DefaultUserAgent
	}
	if c.Dial == nil {
		// The connections live for seconds: probing them to be alive is waste.
		dialer := net.Dialer{KeepAlive: -1}
		c.Dial = func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
			return dialer.DialTCP(ctx, "tcp", netip.AddrPort{}, addr)
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Audit == nil {
		c.Audit = slog.New(slog.DiscardHandler)
	}
	return c
}

type metrics struct {
	validations *prometheus.CounterVec   // by challenge type and result
	durations   *prometheus.HistogramVec // by challenge type
	caa         *prometheus.CounterVec   // by result
	busy        prometheus.Counter       // tries that found no place
}

func newMetrics(reg prometheus.Registerer, inFlight slots) (metrics, error) {
	m := metrics{
		validations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cairn_va_validations_total", Help: "Validation tries by challenge type and result: valid, or the type of the problem.",
		}, []string{"type", "result"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cairn_va_validation_seconds", Help: "Time from the start of a validation try to its result.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"type"}),
		caa: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cairn_va_caa_checks_total", Help: "CAA checks by result: permitted, forbidden or failed.",
		}, []string{"result"}),
		busy: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cairn_va_busy_total", Help: "Validation tries that found no place in time, and count for nothing.",
		}),
	}
	if reg == nil {
		return m, nil
	}
	running := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "cairn_va_in_flight", Help: "Validation tries that are running.",
	}, func() float64 { return float64(len(inFlight)) })
	return m, errors.Join(reg.Register(m.validations), reg.Register(m.durations), reg.Register(m.caa), reg.Register(m.busy), reg.Register(running))
}
