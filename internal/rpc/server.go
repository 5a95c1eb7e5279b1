package rpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/stats"
)

const (
	// DefaultMaxMessage is the size of the largest message, in bytes. CRLs
	// go in parts of 1 MiB.
	DefaultMaxMessage = 16 << 20
	// DefaultDrain is how long calls under way may take once a server stops.
	DefaultDrain = 30 * time.Second
	// DefaultConnectionAge is how long a connection lives. It bounds how long
	// a certificate that was replaced, or whose CA was taken out, still
	// speaks, and spreads clients over servers that came later.
	DefaultConnectionAge = 10 * time.Minute

	maxStreams       = 1000     // calls at once on a connection
	maxHeader        = 64 << 10 // of a request, in bytes
	handshakeTimeout = 10 * time.Second
	pingAfter        = 30 * time.Second // of silence
	pingTimeout      = 10 * time.Second
)

// ServerConfig says how a server of services behaves.
type ServerConfig struct {
	TLS Files
	// Grants is who may call what; everything else is refused with
	// PermissionDenied. See the function Grants.
	Grants []Grant
	// Health is the names that may ask for the server's health, beside those
	// of Grants, who need to.
	Health []string
	// Reflection is the names that may list the server's services; none: the
	// reflection service is off.
	Reflection []string
	// Timeout is the deadline of a call whose client set none; 0:
	// DefaultTimeout.
	Timeout time.Duration
	// Drain is how long calls under way may go on once Serve's context ends;
	// 0: DefaultDrain.
	Drain time.Duration
	// ConnectionAge is how long a connection lives; 0: DefaultConnectionAge.
	ConnectionAge time.Duration
	// MaxMessage is the size of the largest message in bytes; 0:
	// DefaultMaxMessage.
	MaxMessage int
	// Stats hears of every call, for tracing; nil: nobody does.
	Stats stats.Handler
	// Now is the time by which certificates are valid and calls are measured.
	Now    func() time.Time
	Logger *slog.Logger
	// Metrics registers the metrics; nil: there are none.
	Metrics prometheus.Registerer
}

// Server serves services over gRPC with mutual TLS, and the health service.
type Server struct {
	grpc    *grpc.Server
	health  *health.Server
	access  access
	drain   time.Duration
	stopped context.CancelFunc // ends the streams
	logger  *slog.Logger
}

// NewServer makes a server. Register services on it, then call Serve.
func NewServer(cfg ServerConfig) (*Server, error) {
	if cfg.Now == nil || cfg.Logger == nil {
		return nil, errors.New("a gRPC server needs a clock and a logger")
	}
	rules, err := newAccess(cfg)
	if err != nil {
		return nil, err
	}
	metrics, err := newCallMetrics(cfg.Metrics, "server")
	if err != nil {
		return nil, err
	}
	expires, err := newExpiryMetric(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	id, err := newIdentity(cfg.TLS, cfg.Logger, expires)
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.Background())
	s := &Server{access: rules, health: health.NewServer(), drain: cmp.Or(cfg.Drain, DefaultDrain), stopped: stop, logger: cfg.Logger}
	watch := observer{metrics, cfg.Logger, cfg.Now}
	age := cmp.Or(cfg.ConnectionAge, DefaultConnectionAge)
	options := []grpc.ServerOption{
		grpc.Creds(&transport{identity: id, now: cfg.Now, logger: cfg.Logger}),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeader),
		grpc.MaxRecvMsgSize(cmp.Or(cfg.MaxMessage, DefaultMaxMessage)),
		grpc.MaxSendMsgSize(cmp.Or(cfg.MaxMessage, DefaultMaxMessage)),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge:      age,
			MaxConnectionAgeGrace: s.drain,
			Time:                  pingAfter,
			Timeout:               pingTimeout,
		}),
		// Half the clients' interval, so that a late timer is no offence.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingAfter / 2, PermitWithoutStream: true}),
		grpc.ChainUnaryInterceptor(
			watch.unaryServer,
			recoverUnary(cfg.Logger),
			func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
				if err := rules.authorize(ctx, info.FullMethod); err != nil {
					return nil, err
				}
				return handler(ctx, req)
			},
			serverDeadline(cmp.Or(cfg.Timeout, DefaultTimeout)),
		),
		// Only health and reflection have streams.
		grpc.ChainStreamInterceptor(
			watch.streamServer,
			recoverStream(cfg.Logger),
			func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
				if err := rules.authorize(stream.Context(), info.FullMethod); err != nil {
					return err
				}
				ctx, cancel := context.WithCancel(stream.Context())
				defer cancel()
				defer context.AfterFunc(running, cancel)()
				return handler(srv, streamWithContext{stream, ctx})
			},
		),
	}
	if cfg.Stats != nil {
		options = append(options, grpc.StatsHandler(cfg.Stats))
	}
	s.grpc = grpc.NewServer(options...)
	healthpb.RegisterHealthServer(s.grpc, s.health)
	if len(cfg.Reflection) > 0 {
		reflection.Register(s.grpc)
	}
	return s, nil
}

type streamWithContext struct {
	grpc.ServerStream
	ctx context.Context
}

func (s streamWithContext) Context() context.Context { return s.ctx }

// RegisterService adds a service; the RegisterServer functions of the
// services' packages call it.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) {
	s.grpc.RegisterService(desc, impl)
	s.health.SetServingStatus(desc.ServiceName, healthpb.HealthCheckResponse_SERVING)
}

// Serve serves until ctx ends. Then it stops accepting connections and calls,
// tells those who watch its health, lets the calls under way come to their end
// for the time of Drain, and cuts off what is left. It returns nil after that,
// and closes listener in any case. A server serves once.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	defer s.stopped()
	services := map[string][]string{}
	for name, info := range s.grpc.GetServiceInfo() {
		for _, m := range info.Methods {
			services[name] = append(services[name], m.Name)
		}
	}
	if err := s.access.check(services); err != nil {
		listener.Close()
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- s.grpc.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving gRPC on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	s.health.Shutdown()
	s.stopped()
	drained := make(chan struct{})
	go func() { s.grpc.GracefulStop(); close(drained) }()
	timer := time.NewTimer(s.drain)
	defer timer.Stop()
	select {
	case <-drained:
	case <-timer.C:
		s.logger.Warn("calls under way were cut off", "after", s.drain)
		s.grpc.Stop()
		<-drained
	}
	<-failed
	return nil
}
