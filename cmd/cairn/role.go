package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/internal/config"
	"github.com/cairn-ca/cairn/internal/rpc"
	"github.com/cairn-ca/cairn/ra"
	"github.com/cairn-ca/cairn/sa"
	"github.com/cairn-ca/cairn/va"
)

// role is a part of the CA that runs in a process of its own.
type role struct {
	name  rpc.Role
	short string
	// keeps tells that the role keeps something in the data folder.
	keeps func(*config.Config) bool
	// wire builds the role's service, and the clients of those it calls.
	wire func(ctx context.Context, n *instance, peers *peers) error
}

func always(*config.Config) bool           { return true }
func never(*config.Config) bool            { return false }
func withEmbedded(cfg *config.Config) bool { return cfg.Store.URL == "" }

var roles = []role{
	{rpc.RoleWFE, "Run the ACME front end alone", never, wireWFE},
	{rpc.RoleRA, "Run the registration authority alone", never, wireRA},
	{rpc.RoleVA, "Run the validation authority alone", never, wireVA},
	{rpc.RoleSA, "Run the storage authority alone", withEmbedded, wireSA},
	{rpc.RoleCA, "Run the signing authority alone", always, wireCA},
	{rpc.RoleOCSP, "Run the public listener alone: OCSP, CRLs, issuers", never, wireOCSP},
}

func roleCommands() []*cobra.Command {
	var commands []*cobra.Command
	for _, r := range roles {
		commands = append(commands, r.command())
	}
	return commands
}

func (r role) command() *cobra.Command {
	var s settings
	var perspective perspectiveFlags
	cmd := &cobra.Command{
		Use:   string(r.name),
		Short: r.short,
		Long: r.short + `.

The process reaches the other roles over gRPC with mutual TLS, as the keys
below rpc say; "cairn mtls" makes the certificates. The audit log goes to
stdout unless audit.file says otherwise.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := perspective.role(r)
			if err != nil {
				return err
			}
			cfg, err := s.load()
			if err != nil {
				return err
			}
			return runRole(cmd.Context(), r, cfg, streams{stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr(), reload: s.load})
		},
	}
	s.register(cmd)
	if r.name == rpc.RoleVA {
		perspective.register(cmd)
	}
	return cmd
}

// runRole runs one role until ctx ends.
func runRole(ctx context.Context, r role, cfg *config.Config, out streams) error {
	if err := r.check(cfg); err != nil {
		return err
	}
	var data *dataFolder
	if r.keeps(cfg) {
		var err error
		if data, err = openData(cfg.Data, string(r.name)); err != nil {
			return err
		}
	}
	n, err := newInstance(cfg, string(r.name), data, out)
	if err == nil {
		err = r.assemble(ctx, n)
	}
	if err != nil {
		if ctx.Err() != nil {
			return n.close() // told to stop before everything was there
		}
		return errors.Join(err, n.close())
	}
	return n.run(ctx, func() error {
		n.process.logger.Info("ready", "role", r.name)
		return nil
	})
}

// check finds what a role needs and the configuration does not say.
func (r role) check(cfg *config.Config) error {
	need := func(key, value string) error {
		if value != "" {
			return nil
		}
		return fmt.Errorf("the role %s needs the key %s; see docs/configuration.md", r.name, key)
	}
	if err := errors.Join(
		need("rpc.tls.ca", cfg.RPC.TLS.CA), need("rpc.tls.cert", cfg.RPC.TLS.Cert), need("rpc.tls.key", cfg.RPC.TLS.Key),
	); err != nil {
		return err
	}
	if r.name.Service() != "" {
		return need("rpc.listen", cfg.RPC.Listen)
	}
	return nil
}

// assemble adds what every role has, and what this one has.
func (r role) assemble(ctx context.Context, n *instance) error {
	admin, err := n.bind(ctx, "listen.admin", n.cfg.Listen.Admin)
	if err != nil {
		return err
	}
	n.addresses = configuredAddresses(n.cfg, n.cfg.Listen.ACME, n.cfg.Listen.Public)
	own := fileCertificate{cert: n.cfg.RPC.TLS.Cert, key: n.cfg.RPC.TLS.Key}
	if _, err := own.get(nil); err != nil {
		return err
	}
	if err := r.wire(ctx, n, &peers{n}); err != nil {
		return err
	}
	n.addAdmin(admin, tlsConfig(func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		// Where there is a listener for clients, this one has its certificate,
		// from the moment that the CA has issued it.
		if n.certificate != nil {
			if cert, err := n.certificate.get(hello); err == nil {
				return cert, nil
			}
		}
		return own.get(hello)
	}))
	return nil
}

// serveRPC offers a service to other roles.
func (n *instance) serveRPC(ctx context.Context, r rpc.Role, clients []string, register func(*rpc.Server)) error {
	l, err := n.bind(ctx, "rpc.listen", n.cfg.RPC.Listen)
	if err != nil {
		return err
	}
	server, err := rpc.NewServer(rpc.ServerConfig{
		TLS:     n.tlsFiles(),
		Grants:  n.grants(r, clients),
		Drain:   n.cfg.ShutdownTimeout,
		Now:     n.now,
		Logger:  n.log("rpc"),
		Metrics: n.metrics,
	})
	if err != nil {
		return fmt.Errorf("setting up rpc.listen: %w", err)
	}
	register(server)
	n.addServer(newRPCServer(server, l))
	return nil
}

// grants are who may call a service: the configured clients or, with none, the
// roles that call it.
func (n *instance) grants(r rpc.Role, clients []string) []rpc.Grant {
	if len(clients) == 0 {
		for _, g := range rpc.Grants(r, nil) {
			for _, client := range g.Clients {
				clients = append(clients, strings.TrimSuffix(client, rpc.Domain)+n.cfg.RPC.Domain)
			}
		}
	}
	return rpc.Grants(r, clients)
}

func (n *instance) tlsFiles() rpc.Files {
	return rpc.Files{CA: n.cfg.RPC.TLS.CA, Cert: n.cfg.RPC.TLS.Cert, Key: n.cfg.RPC.TLS.Key}
}

// rpcServer lets process run an rpc.Server.
type rpcServer struct {
	server   *rpc.Server
	listener net.Listener
	ctx      context.Context // ends when stop is called
	cancel   context.CancelFunc
	done     chan struct{}
}

func newRPCServer(s *rpc.Server, l net.Listener) *rpcServer {
	ctx, cancel := context.WithCancel(context.Background())
	return &rpcServer{server: s, listener: l, ctx: ctx, cancel: cancel, done: make(chan struct{})}
}

func (s *rpcServer) serve() error {
	defer close(s.done)
	return s.server.Serve(s.ctx, s.listener)
}

func (s *rpcServer) stop(ctx context.Context) error {
	s.cancel()
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return errors.New("calls to rpc.listen were cut off")
	}
}

func wireSA(ctx context.Context, n *instance, _ *peers) error {
	store, err := n.openStore(ctx)
	if err != nil {
		return err
	}
	n.health.Add("store", store.Ping)
	return n.serveRPC(ctx, rpc.RoleSA, n.cfg.RPC.Clients.SA, func(s *rpc.Server) { sa.RegisterServer(s, store) })
}

func wireVA(ctx context.Context, n *instance, _ *peers) error {
	validation, err := n.newVA()
	if err != nil {
		return err
	}
	n.addLoop("DNSSEC probes", n.validationLoop)
	if validation, err = n.corroborated(validation); err != nil {
		return err
	}
	return n.serveRPC(ctx, rpc.RoleVA, n.cfg.RPC.Clients.VA, func(s *rpc.Server) { va.RegisterServer(s, validation) })
}

func wireCA(ctx context.Context, n *instance, peers *peers) error {
	store, err := peers.store(ctx)
	if err != nil {
		return err
	}
	// The authority tells the store about its issuers before it takes calls.
	if err := peers.await(ctx, "the storage authority", store.Ping); err != nil {
		return err
	}
	signing, err := n.addCA(ctx, store)
	if err != nil {
		return err
	}
	return n.serveRPC(ctx, rpc.RoleCA, n.cfg.RPC.Clients.CA, func(s *rpc.Server) { ca.RegisterServer(s, signing) })
}

func wireRA(ctx context.Context, n *instance, peers *peers) error {
	store, err := peers.store(ctx)
	if err != nil {
		return err
	}
	validation, err := peers.dial(rpc.RoleVA, n.cfg.RPC.Services.VA)
	if err != nil {
		return err
	}
	signing, err := peers.dial(rpc.RoleCA, n.cfg.RPC.Services.CA)
	if err != nil {
		return err
	}
	registration, err := n.newRA(store, va.NewClient(validation), ca.NewClient(signing))
	if err != nil {
		return err
	}
	n.addLoop("registration", registration.Run)
	return n.serveRPC(ctx, rpc.RoleRA, n.cfg.RPC.Clients.RA, func(s *rpc.Server) { ra.RegisterServer(s, registration) })
}

func wireWFE(ctx context.Context, n *instance, peers *peers) error {
	acme, err := n.bind(ctx, "listen.acme", n.cfg.Listen.ACME)
	if err != nil {
		return err
	}
	n.addresses = configuredAddresses(n.cfg, acme.Addr().String(), n.cfg.Listen.Public)
	store, err := peers.store(ctx)
	if err != nil {
		return err
	}
	registration, err := peers.dial(rpc.RoleRA, n.cfg.RPC.Services.RA)
	if err != nil {
		return err
	}
	signing, err := peers.dial(rpc.RoleCA, n.cfg.RPC.Services.CA)
	if err != nil {
		return err
	}
	front, err := n.newWFE(ra.NewClient(registration), store)
	if err != nil {
		return err
	}
	n.certificate = n.newListenerCertificate(ca.NewClient(signing))
	n.addLoop("listener certificate", n.certificate.run)
	n.health.Add("listener certificate", n.certificate.check)
	n.addHTTP("acme", acme, front, tlsConfig(n.certificate.get))
	return nil
}

// publicStore is where a public listener alone reads: a replica of the store
// or, without one, the storage authority.
func (n *instance) publicStore(ctx context.Context, peers *peers) (sa.Reader, error) {
	if n.cfg.Store.ReplicaURL == "" {
		return peers.store(ctx)
	}
	replica, err := n.openReplica(ctx)
	if err != nil {
		return nil, err
	}
	n.health.Add("store replica", replica.Ping)
	return replica, nil
}

func wireOCSP(ctx context.Context, n *instance, peers *peers) error {
	public, err := n.bind(ctx, "listen.public", n.cfg.Listen.Public)
	if err != nil {
		return err
	}
	store, err := n.publicStore(ctx, peers)
	if err != nil {
		return err
	}
	folder := n.cfg.CA.OCSPSigners
	if folder == "" {
		folder = filepath.Join(n.cfg.Data, "keys")
	}
	handler, err := n.newPublic(store, &folderSigners{folder: folder, now: n.now})
	if err != nil {
		return err
	}
	n.addHTTP("public", public, handler, nil)
	return nil
}
