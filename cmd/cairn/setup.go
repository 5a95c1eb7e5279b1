package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-ca/cairn/internal/config"
	"github.com/cairn-ca/cairn/internal/telemetry"
	"github.com/cairn-ca/cairn/sa"
)

// streams are where a process writes: the log to stderr; a role's audit log to
// stdout.
type streams struct {
	stdout, stderr io.Writer
	// reload reads the configuration again that the process was started with;
	// nil: it was not read from anywhere.
	reload func() (*config.Config, error)
}

// instance is a process while it is being put together: its services, its
// listeners, and what they share.
type instance struct {
	services
	process
	registry *prometheus.Registry
	data     *dataFolder // nil in roles that keep nothing
	// certificate is that of the listeners that clients see; nil in roles that
	// have none.
	certificate *listenerCertificate
	// ocspFolder is where a signing authority in this process keeps its OCSP
	// signers.
	ocspFolder string
	// reload is that of streams.
	reload func() (*config.Config, error)
}

// newInstance sets up what every process has. The caller closes it when
// setting up the rest fails.
func newInstance(cfg *config.Config, role string, data *dataFolder, out streams) (*instance, error) {
	n := &instance{data: data, reload: out.reload, process: process{health: &telemetry.Health{}, shutdown: cfg.ShutdownTimeout}}
	if data != nil {
		n.addCloser(func() error { data.close(); return nil })
	}
	logger, err := telemetry.NewLogger(out.stderr, telemetry.LogConfig(cfg.Log))
	if err != nil {
		return n, err
	}
	n.process.logger = logger
	audit, err := openAudit(cfg, role, data, out.stdout)
	if err != nil {
		return n, err
	}
	n.addCloser(audit.Close)
	n.health.Add("audit log", func(context.Context) error { return audit.Check() })
	if n.registry, err = telemetry.NewRegistry(telemetry.BuildInfo{Version: buildVersion(), Role: role}); err != nil {
		return n, err
	}
	n.services = services{
		cfg:     cfg,
		now:     time.Now,
		random:  rand.Reader,
		logger:  logger,
		audit:   audit.Logger(),
		metrics: n.registry,
	}
	return n, nil
}

// auditFile is the audit log in the data folder.
const auditFile = "audit.log"

// openAudit opens the audit log where the configuration wants it, or else
// where processes of this kind have it.
func openAudit(cfg *config.Config, role string, data *dataFolder, stdout io.Writer) (*telemetry.AuditLog, error) {
	switch file := cfg.Audit.File; {
	case file == "-", file == "" && role != "serve":
		return telemetry.NewAuditLog(stdout), nil
	case file == "":
		return telemetry.OpenAuditLog(data.file(auditFile))
	default:
		return telemetry.OpenAuditLog(file)
	}
}

// openStore opens the store itself; processes without it reach it over gRPC.
func (n *instance) openStore(ctx context.Context) (*sa.DB, error) {
	url, err := storeURL(n.cfg.Store, n.data)
	if err != nil {
		return nil, err
	}
	if n.cfg.Store.HasPassword() {
		n.services.logger.Warn("store.url holds a password; move it to store.password_file")
	}
	store, err := sa.Open(ctx, sa.Config{URL: url, Migrate: n.cfg.Store.Migrate, Now: n.now, Logger: n.log("sa"), Metrics: n.metrics})
	if err != nil {
		return nil, storeError(n.cfg, err)
	}
	n.addCloser(store.Close)
	return store, nil
}

// openReplica opens a read replica of the store.
func (n *instance) openReplica(ctx context.Context) (*sa.DB, error) {
	replica := n.cfg.Store
	replica.URL = replica.ReplicaURL
	url, err := storeURL(replica, n.data)
	if err != nil {
		return nil, err
	}
	if replica.HasPassword() {
		n.services.logger.Warn("store.replica_url holds a password; move it to store.password_file")
	}
	cfg := sa.Config{URL: url, ReadOnly: true, Now: n.now, Logger: n.log("sa")}
	if err := n.awaitReplica(ctx, cfg); err != nil {
		return nil, fmt.Errorf("store.replica_url: %w", err)
	}
	cfg.Metrics = n.metrics
	store, err := sa.Open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("store.replica_url: %w", err)
	}
	n.addCloser(store.Close)
	return store, nil
}

// awaitReplica waits until a migration of the primary has reached the replica.
func (n *instance) awaitReplica(ctx context.Context, cfg sa.Config) error {
	timeout := time.NewTimer(replicaLag)
	defer timeout.Stop()
	for {
		store, err := sa.Open(ctx, cfg)
		if err == nil {
			return store.Close()
		}
		if !errors.Is(err, sa.ErrSchema) {
			return err
		}
		n.process.logger.Warn("waiting for the replica of the store", "error", err)
		again := time.NewTimer(time.Second)
		select {
		case <-again.C:
		case <-timeout.C:
			again.Stop()
			return err
		case <-ctx.Done():
			again.Stop()
			return err
		}
	}
}

// replicaLag is how long a replica may take to get the schema of its primary.
const replicaLag = time.Minute

// bind listens on the address of a configuration key.
func (n *instance) bind(ctx context.Context, key, address string) (net.Listener, error) {
	l, err := listen(ctx, key, address)
	if err != nil {
		return nil, err
	}
	// The server closes it too; the second time does no harm.
	n.addCloser(func() error { l.Close(); return nil })
	return l, nil
}

// addHTTP adds an HTTP server and the health check that it serves.
func (n *instance) addHTTP(name string, l net.Listener, h http.Handler, tls *tls.Config) {
	s := newServer(serverConfig{Name: name, Listener: l, Handler: h, TLS: tls, Answer: n.cfg.AnswerWait, Logger: n.services.logger})
	n.addServer(s)
	n.health.Add("listen."+name, s.check)
}

// addAdmin adds the admin listener.
func (n *instance) addAdmin(l net.Listener, tls *tls.Config) {
	n.addHTTP("admin", l, n.adminHandler(), tls)
}

func (n *instance) adminHandler() http.Handler { return telemetry.AdminHandler(n.registry, n.health) }
