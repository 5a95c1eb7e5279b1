// Command ctlog is a Certificate Transparency log for Cairn's tests: Trillian
// and its CT personality (RFC 6962), the software of public logs, with the log
// in memory. It is a module of its own, as Cairn needs none of that.
//
// It prints its address and key as a line of JSON, and serves once there is the
// file with the roots that it accepts.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/google/certificate-transparency-go/trillian/ctfe"
	"github.com/google/certificate-transparency-go/trillian/ctfe/configpb"
	"github.com/google/trillian"
	"github.com/google/trillian/client"
	"github.com/google/trillian/crypto/keys"
	"github.com/google/trillian/crypto/keys/der"
	"github.com/google/trillian/crypto/keyspb"
	"github.com/google/trillian/extension"
	"github.com/google/trillian/monitoring"
	"github.com/google/trillian/quota"
	"github.com/google/trillian/storage/memory"
	stestonly "github.com/google/trillian/storage/testonly"
	"github.com/google/trillian/testonly/integration"
	"github.com/google/trillian/util/election2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

func main() {
	roots := flag.String("roots", "", "PEM file with the roots that the log accepts")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *roots); err != nil {
		fmt.Fprintln(os.Stderr, "ctlog:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, roots string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	keys.RegisterHandler(&keyspb.PrivateKey{}, der.FromProto)

	trees := memory.NewTreeStorage()
	env, err := integration.NewLogEnvWithRegistry(ctx, 1, extension.Registry{
		AdminStorage: memory.NewAdminStorage(trees), LogStorage: memory.NewLogStorage(trees, monitoring.InertMetricFactory{}),
		ElectionFactory: election2.NoopFactory{}, QuotaManager: quota.Noop(), MetricFactory: monitoring.InertMetricFactory{},
	})
	if err != nil {
		return fmt.Errorf("starting Trillian: %w", err)
	}
	defer env.Close()
	tree, err := client.CreateAndInitTree(ctx, &trillian.CreateTreeRequest{Tree: proto.Clone(stestonly.LogTree).(*trillian.Tree)}, env.Admin, env.Log)
	if err != nil {
		return fmt.Errorf("making a tree: %w", err)
	}
	wrapped, err := anypb.New(&keyspb.PrivateKey{Der: private})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(struct {
		URL string `json:"url"`
		Key []byte `json:"key"`
	}{"http://" + listener.Addr().String() + "/log/", spki}); err != nil {
		return err
	}
	if err := await(ctx, roots); err != nil {
		return err
	}
	config, err := ctfe.ValidateLogConfig(&configpb.LogConfig{
		LogId: tree.TreeId, Prefix: "log", RootsPemFile: []string{roots}, PrivateKey: wrapped, PublicKey: &keyspb.PublicKey{Der: spki},
		ExtKeyUsages: []string{"Any"}, MaxMergeDelaySec: 60,
	})
	if err != nil {
		return fmt.Errorf("configuring the log: %w", err)
	}
	instance, err := ctfe.SetUpInstance(ctx, ctfe.InstanceOptions{
		Validated: config, Client: trillian.NewTrillianLogClient(env.ClientConn), Deadline: 10 * time.Second,
		MetricFactory: monitoring.InertMetricFactory{}, RequestLog: new(ctfe.DefaultRequestLog),
	})
	if err != nil {
		return fmt.Errorf("starting the log: %w", err)
	}
	mux := http.NewServeMux()
	for path, handler := range instance.Handlers {
		mux.Handle(path, handler)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.Serve(listener); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// await waits for the file with the roots: a CA that is to know the log's
// address and key before it starts has no root yet.
func await(ctx context.Context, file string) error {
	for {
		if _, err := os.Stat(file); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
