package rpc_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/cairn-ca/cairn/internal/rpc"
	"github.com/cairn-ca/cairn/internal/rpc/rpctest"
	"github.com/cairn-ca/cairn/internal/rpc/vapb"
)

// A server has less time than its caller, and a call without a deadline gets
// one.
func TestDeadlineOverTheWire(t *testing.T) {
	t.Parallel()
	var left time.Duration
	s := setup{client: rpc.ClientConfig{Timeout: time.Hour}, service: validation{validate: func(ctx context.Context) error {
		deadline, ok := ctx.Deadline()
		if !ok {
			return errors.New("there is no deadline")
		}
		left = time.Until(deadline)
		return nil
	}}}
	client := s.start(t)
	if _, err := client.Validate(t.Context(), &vapb.ValidateRequest{}); err != nil {
		t.Fatal(err)
	}
	if left > time.Hour || left < time.Minute {
		t.Errorf("without a deadline the method had %v", left)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := client.Validate(ctx, &vapb.ValidateRequest{}); err != nil {
		t.Fatal(err)
	}
	if left > time.Minute-20*time.Millisecond {
		t.Errorf("of a minute the method had %v", left)
	}
}

func TestTooLateToBegin(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	s := setup{service: validation{validate: func(context.Context) error { calls.Add(1); return nil }}}
	client := s.start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Millisecond)
	defer cancel()
	_, err := client.Validate(ctx, &vapb.ValidateRequest{})
	wantCode(t, err, codes.DeadlineExceeded)
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	_, err = client.Validate(ctx, &vapb.ValidateRequest{})
	wantCode(t, err, codes.Canceled)
	if calls.Load() != 0 {
		t.Error("the method was called")
	}
}

// A caller that gives up ends the method's context.
func TestCancellationCrosses(t *testing.T) {
	t.Parallel()
	begun, ended := make(chan struct{}), make(chan error, 1)
	s := setup{service: validation{validate: func(ctx context.Context) error {
		close(begun)
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}}}
	client := s.start(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	_, err := client.Validate(ctx, &vapb.ValidateRequest{})
	wantCode(t, err, codes.Canceled)
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the method's context ended with %v", err)
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	metrics := prometheus.NewRegistry()
	s := setup{server: rpc.ServerConfig{Metrics: metrics}, service: validation{validate: func(context.Context) error { panic("the value") }}}
	client := s.start(t)
	_, err := client.Validate(t.Context(), &vapb.ValidateRequest{})
	wantCode(t, err, codes.Internal)
	if strings.Contains(err.Error(), "the value") {
		t.Errorf("the client learns of the panic: %v", err)
	}
	if log := s.log.String(); !strings.Contains(log, "the value") || !strings.Contains(log, "server_test.go") {
		t.Errorf("the log does not tell value and place:\n%s", log)
	}
	// The server goes on, and has counted the call.
	_, err = client.CheckCAA(t.Context(), &vapb.CheckCAARequest{})
	wantCode(t, err, codes.OK)
	if got := counted(t, metrics, "cairn_rpc_server_calls_total", "Validate", "Internal"); got != 1 {
		t.Errorf("%v calls that ended in an internal error were counted", got)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	serverMetrics, clientMetrics := prometheus.NewRegistry(), prometheus.NewRegistry()
	s := setup{
		server:  rpc.ServerConfig{Metrics: serverMetrics},
		client:  rpc.ClientConfig{Metrics: clientMetrics},
		service: validation{check: func(context.Context) error { return status.Error(codes.NotFound, "none") }},
	}
	client := s.start(t)
	for range 3 {
		if _, err := client.Validate(t.Context(), &vapb.ValidateRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := client.CheckCAA(t.Context(), &vapb.CheckCAARequest{})
	wantCode(t, err, codes.NotFound)
	for side, registry := range map[string]*prometheus.Registry{"server": serverMetrics, "client": clientMetrics} {
		if got := counted(t, registry, "cairn_rpc_"+side+"_calls_total", "Validate", "OK"); got != 3 {
			t.Errorf("%s: %v calls of Validate", side, got)
		}
		if got := counted(t, registry, "cairn_rpc_"+side+"_calls_total", "CheckCAA", "NotFound"); got != 1 {
			t.Errorf("%s: %v failed calls of CheckCAA", side, got)
		}
		if got := counted(t, registry, "cairn_rpc_"+side+"_call_seconds", "Validate", ""); got != 3 {
			t.Errorf("%s: %v durations of Validate", side, got)
		}
		if got := counted(t, registry, "cairn_rpc_certificate_not_after_seconds", "", ""); got < float64(time.Now().Unix()) {
			t.Errorf("%s: the certificate ends at %v", side, got)
		}
	}
	// A second client of the process shares the metrics.
	s.dial(t)
}

// counted is the value of a metric: of its only series, or of the one with the
// labels.
func counted(t *testing.T, registry *prometheus.Registry, name, method, code string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["method"] != method || labels["code"] != code {
				continue
			}
			switch {
			case m.GetCounter() != nil:
				return m.GetCounter().GetValue()
			case m.GetGauge() != nil:
				return m.GetGauge().GetValue()
			default:
				return float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return 0
}

func TestMessageSize(t *testing.T) {
	t.Parallel()
	s := setup{server: rpc.ServerConfig{MaxMessage: 10_000}}
	client := s.start(t)
	_, err := client.Validate(t.Context(), &vapb.ValidateRequest{Response: make([]byte, 9_000)})
	wantCode(t, err, codes.OK)
	_, err = client.Validate(t.Context(), &vapb.ValidateRequest{Response: make([]byte, 11_000)})
	wantCode(t, err, codes.ResourceExhausted)
}

// Once its context ends a server finishes the calls that it has and takes no
// more; those who watch its health hear of it.
func TestDrain(t *testing.T) {
	t.Parallel()
	begun, finish := make(chan struct{}), make(chan struct{})
	s := setup{server: rpc.ServerConfig{Drain: time.Hour}, service: validation{validate: func(context.Context) error {
		close(begun)
		<-finish
		return nil
	}}}
	client := s.start(t)
	watch, err := healthpb.NewHealthClient(plainConn(t, s.dir, "ra", s.address)).Watch(t.Context(), &healthpb.HealthCheckRequest{Service: rpc.RoleVA.Service()})
	if err != nil {
		t.Fatal(err)
	}
	if update, err := watch.Recv(); err != nil || update.Status != healthpb.HealthCheckResponse_SERVING {
		t.Fatalf("health is %v, %v", update, err)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := client.Validate(t.Context(), &vapb.ValidateRequest{})
		answered <- err
	}()
	<-begun
	stopped := make(chan struct{})
	go func() { s.stop(); close(stopped) }()

	// The watch ends, with the news or without.
	for err == nil {
		_, err = watch.Recv()
	}
	if errors.Is(err, io.EOF) {
		t.Error("the watch ended as if the server had no more to say")
	}
	select {
	case <-stopped:
		t.Fatal("the server stopped over a call")
	default:
	}
	close(finish)
	if err := <-answered; err != nil {
		t.Errorf("the call under way: %v", err)
	}
	<-stopped
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = client.CheckCAA(ctx, &vapb.CheckCAARequest{})
	wantCode(t, err, codes.DeadlineExceeded)
}

// A call that does not end holds a server up no longer than Drain.
func TestDrainIsBounded(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	s := setup{server: rpc.ServerConfig{Drain: time.Millisecond}, service: validation{validate: func(ctx context.Context) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	}}}
	client := s.start(t)
	answered := make(chan error, 1)
	go func() {
		_, err := client.Validate(t.Context(), &vapb.ValidateRequest{})
		answered <- err
	}()
	<-begun
	s.stop()
	wantCode(t, <-answered, codes.Unavailable)
	if !strings.Contains(s.log.String(), "cut off") {
		t.Errorf("the log is silent:\n%s", s.log)
	}
}

// A read is repeated on another server when one goes away in the middle; what
// changes something is not.
func TestRetries(t *testing.T) {
	t.Parallel()
	dir := rpctest.Certificates(t)
	var validations, checks atomic.Int32
	service := validation{
		validate: func(context.Context) error {
			validations.Add(1)
			return status.Error(codes.Unavailable, "going away")
		},
		check: func(context.Context) error {
			if checks.Add(1) < 3 {
				return status.Error(codes.Unavailable, "going away")
			}
			return nil
		},
	}
	s := setup{dir: dir, service: service}
	client := s.start(t)
	_, err := client.Validate(t.Context(), &vapb.ValidateRequest{})
	wantCode(t, err, codes.Unavailable)
	_, err = client.CheckCAA(t.Context(), &vapb.CheckCAARequest{})
	wantCode(t, err, codes.OK)
	if validations.Load() != 1 || checks.Load() != 3 {
		t.Errorf("%d validations and %d checks", validations.Load(), checks.Load())
	}
}

// Calls go to every server, and to those that are left when one is gone.
func TestSeveralServers(t *testing.T) {
	t.Parallel()
	dir := rpctest.Certificates(t)
	var counts [3]atomic.Int32
	var servers [3]setup
	var addresses []string
	for i := range servers {
		servers[i] = setup{dir: dir, service: validation{check: func(context.Context) error { counts[i].Add(1); return nil }}}
		servers[i].serve(t)
		addresses = append(addresses, servers[i].address)
	}
	s := setup{dir: dir, client: rpc.ClientConfig{Addresses: addresses}}
	client := s.dial(t)
	call := func() {
		t.Helper()
		if _, err := client.CheckCAA(t.Context(), &vapb.CheckCAARequest{}); err != nil {
			t.Fatal(err)
		}
	}
	all := func() bool {
		return !slices.ContainsFunc([]int{0, 1, 2}, func(i int) bool { return counts[i].Load() == 0 })
	}
	for !all() { // until every connection is up; the test's time limit bounds it
		call()
	}
	servers[1].stop()
	gone := counts[1].Load()
	for range 30 {
		call()
	}
	if counts[1].Load() != gone {
		t.Error("a server that is gone was called")
	}
}

// A call made before there is a server waits for it.
func TestWaitForReady(t *testing.T) {
	t.Parallel()
	s := setup{dir: rpctest.Certificates(t), client: rpc.ClientConfig{Addresses: []string{unused(t)}}}
	client := s.dial(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := client.Validate(ctx, &vapb.ValidateRequest{})
	wantCode(t, err, codes.DeadlineExceeded)
	if err := rpc.DecodeError(err, nil); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "connect") {
		t.Errorf("got %v", err)
	}
}

func TestDialRefuses(t *testing.T) {
	t.Parallel()
	dir := rpctest.Certificates(t, "ra")
	for name, change := range map[string]func(*rpc.ClientConfig){
		"no address":         func(c *rpc.ClientConfig) { c.Addresses = nil },
		"empty address":      func(c *rpc.ClientConfig) { c.Addresses = []string{""} },
		"dns among others":   func(c *rpc.ClientConfig) { c.Addresses = []string{"127.0.0.1:1", "dns:///a:1"} },
		"role of no service": func(c *rpc.ClientConfig) { c.Role = rpc.RoleWFE },
		"no clock":           func(c *rpc.ClientConfig) { c.Now = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := rpc.ClientConfig{TLS: rpctest.Files(dir, "ra"), Role: rpc.RoleVA, Addresses: []string{"127.0.0.1:1"}, Now: time.Now, Logger: discard}
			change(&cfg)
			if conn, err := rpc.Dial(cfg); err == nil {
				conn.Close()
				t.Error("it is accepted")
			}
		})
	}
	// A target of gRPC's own resolver.
	conn, err := rpc.Dial(rpc.ClientConfig{TLS: rpctest.Files(dir, "ra"), Role: rpc.RoleVA, Addresses: []string{"dns:///127.0.0.1:1"}, Now: time.Now, Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

var _ grpc.ServiceRegistrar = (*rpc.Server)(nil)
