package rpc

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	_ "google.golang.org/grpc/health" // the client's half of health checking
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/stats"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// ClientConfig says how the processes of a role are called.
type ClientConfig struct {
	TLS Files
	// Role is the role that is called.
	Role Role
	// Addresses is where its processes are, each host:port. Calls go in turn
	// to all that are healthy. A single address may be a target of gRPC's own
	// resolver, such as "dns:///sa.example.internal:9004": then every address
	// of that name is one process.
	Addresses []string
	// ServerName is the DNS name that the servers' certificate must hold;
	// empty: the role's name in Domain.
	ServerName string
	// Timeout is the deadline of a call whose caller set none; 0:
	// DefaultTimeout.
	Timeout time.Duration
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

// Dial makes a connection for the client of a service. It does not wait: a
// call made while no server can be reached waits for one until its deadline.
// Calls that the .proto files mark as safe to repeat are repeated when a
// server goes away in the middle.
func Dial(cfg ClientConfig) (*grpc.ClientConn, error) {
	if cfg.Now == nil || cfg.Logger == nil {
		return nil, errors.New("a gRPC client needs a clock and a logger")
	}
	if cfg.Role.Service() == "" {
		return nil, fmt.Errorf("role %q offers no service", cfg.Role)
	}
	service, err := serviceConfig(cfg.Role.Service())
	if err != nil {
		return nil, err
	}
	metrics, err := newCallMetrics(cfg.Metrics, "client")
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
	maxMessage := cmp.Or(cfg.MaxMessage, DefaultMaxMessage)
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(&transport{
			identity: id,
			server:   cmp.Or(cfg.ServerName, cfg.Role.Name()),
			now:      cfg.Now,
			logger:   cfg.Logger,
		}),
		grpc.WithDefaultServiceConfig(service),
		grpc.WithDisableServiceConfig(), // none from the DNS
		grpc.WithNoProxy(),
		grpc.WithIdleTimeout(0),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			// Reconnecting inside a data centre: sooner than gRPC's defaults,
			// which are for the Internet.
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithChainUnaryInterceptor(
			observer{metrics, cfg.Logger, cfg.Now}.unaryClient,
			clientDeadline(cmp.Or(cfg.Timeout, DefaultTimeout)),
		),
	}
	if cfg.Stats != nil {
		options = append(options, grpc.WithStatsHandler(cfg.Stats))
	}
	target, found, err := target(cfg)
	if err != nil {
		return nil, err
	}
	if found != nil {
		options = append(options, grpc.WithResolvers(found))
	}
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		return nil, fmt.Errorf("making a gRPC client of %s: %w", cfg.Role, err)
	}
	conn.Connect()
	return conn, nil
}

// target is the name to dial and the resolver that knows its addresses; a nil
// resolver: gRPC's own does.
func target(cfg ClientConfig) (string, resolver.Builder, error) {
	if len(cfg.Addresses) == 1 && strings.HasPrefix(cfg.Addresses[0], "dns:") {
		return cfg.Addresses[0], nil, nil
	}
	var endpoints []resolver.Endpoint
	for _, address := range cfg.Addresses {
		if address == "" || strings.HasPrefix(address, "dns:") {
			return "", nil, fmt.Errorf("address %q of %s: write host:port, or a dns: target alone", address, cfg.Role)
		}
		endpoints = append(endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: address}}})
	}
	if len(endpoints) == 0 {
		return "", nil, fmt.Errorf("no address of %s is configured", cfg.Role)
	}
	fixed := manual.NewBuilderWithScheme("cairn")
	fixed.InitialState(resolver.State{Endpoints: endpoints})
	return "cairn:///" + string(cfg.Role), fixed, nil
}

// The parts of gRPC's service config that are used here
// (https://github.com/grpc/grpc-proto/blob/master/grpc/service_config/service_config.proto).
type (
	serviceConfigJSON struct {
		LoadBalancing []map[string]struct{} `json:"loadBalancingConfig"`
		Health        healthCheckJSON       `json:"healthCheckConfig"`
		Methods       []methodConfigJSON    `json:"methodConfig"`
		Throttling    retryThrottlingJSON   `json:"retryThrottling"`
	}
	healthCheckJSON struct {
		Service string `json:"serviceName"`
	}
	methodConfigJSON struct {
		Names        []methodNameJSON `json:"name"`
		WaitForReady bool             `json:"waitForReady"`
		Retry        *retryPolicyJSON `json:"retryPolicy,omitempty"`
	}
	methodNameJSON struct {
		Service string `json:"service"`
		Method  string `json:"method,omitempty"`
	}
	retryPolicyJSON struct {
		MaxAttempts       int      `json:"maxAttempts"`
		InitialBackoff    string   `json:"initialBackoff"`
		MaxBackoff        string   `json:"maxBackoff"`
		BackoffMultiplier float64  `json:"backoffMultiplier"`
		Codes             []string `json:"retryableStatusCodes"`
	}
	retryThrottlingJSON struct {
		MaxTokens  int     `json:"maxTokens"`
		TokenRatio float64 `json:"tokenRatio"`
	}
)

func serviceConfig(service string) (string, error) {
	// A method that has an entry of its own takes nothing from the service's.
	methods := []methodConfigJSON{{Names: []methodNameJSON{{Service: service}}, WaitForReady: true}}
	safe, err := repeatable(service)
	if err != nil {
		return "", err
	}
	if len(safe) > 0 {
		repeat := methodConfigJSON{WaitForReady: true, Retry: &retryPolicyJSON{
			MaxAttempts: 4, InitialBackoff: "0.05s", MaxBackoff: "1s", BackoffMultiplier: 2, Codes: []string{"UNAVAILABLE"},
		}}
		for _, method := range safe {
			repeat.Names = append(repeat.Names, methodNameJSON{service, method})
		}
		methods = append(methods, repeat)
	}
	b, err := json.Marshal(serviceConfigJSON{
		LoadBalancing: []map[string]struct{}{{"round_robin": {}}},
		Health:        healthCheckJSON{service},
		Methods:       methods,
		// When most calls fail, repeating them makes it worse.
		Throttling: retryThrottlingJSON{MaxTokens: 100, TokenRatio: 0.1},
	})
	if err != nil {
		return "", fmt.Errorf("writing the service config of %s: %w", service, err)
	}
	return string(b), nil
}

// repeatable is the methods that the .proto file marks with an idempotency
// level.
func repeatable(service string) ([]string, error) {
	desc, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return nil, fmt.Errorf("finding the description of %s: %w", service, err)
	}
	var names []string
	methods := desc.(protoreflect.ServiceDescriptor).Methods()
	for i := range methods.Len() {
		m := methods.Get(i)
		if options, ok := m.Options().(*descriptorpb.MethodOptions); ok && options.GetIdempotencyLevel() != descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN {
			names = append(names, string(m.Name()))
		}
	}
	return names, nil
}
