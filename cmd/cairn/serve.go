package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/internal/config"
	"github.com/cairn-ca/cairn/sa"
)

func serveCommand() *cobra.Command {
	var s settings
	var test bool
	var dnsServer string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the whole CA in one process",
		Long: `Run the whole CA in one process.

Without a configuration it runs on the loopback interface out of the folder
./cairn-data, and makes there what is not there yet: the store, a root, an
intermediate and an OCSP signer. Once everything is ready it prints where the
directory and the root certificate are. SIGTERM or SIGINT lets it finish what
it has begun; a second one stops it at once.

With --test-mode it is no CA but a stand-in for Pebble in the test suites of
ACME clients. It honours PEBBLE_VA_NOSLEEP, PEBBLE_VA_SLEEPTIME,
PEBBLE_VA_ALWAYS_VALID, PEBBLE_WFE_NONCEREJECT, PEBBLE_AUTHZREUSE,
PEBBLE_WFE_ORDERS_PER_PAGE, PEBBLE_ALTERNATE_ROOTS and PEBBLE_CHAIN_LENGTH,
takes a configuration file of Pebble's (FILE.json), has its directory at /dir
and serves Pebble's management interface on the admin listener. Like Pebble it
looks for no CAA records and keeps nothing when it stops.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := streams{stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr(), reload: s.load}
			switch {
			case test && s.data != "":
				return errors.New("--test-mode keeps nothing; leave --data out")
			case test:
				o := testOptions{config: s.file, dnsServer: dnsServer, getenv: os.Getenv, out: out}
				return serveTest(cmd.Context(), o, func(t *testMode, where serving) error {
					return t.print(out.stdout, where)
				})
			case dnsServer != "":
				return errors.New("--dns-server goes with --test-mode; a CA's resolvers are va.resolvers of its configuration")
			}
			cfg, err := s.load()
			if err != nil {
				return err
			}
			return serve(cmd.Context(), cfg, out, func(where serving) error {
				return where.print(out.stdout, cfg)
			})
		},
	}
	s.register(cmd)
	cmd.Flags().BoolVar(&test, "test-mode", false, "be no CA, but a stand-in for Pebble in test suites")
	cmd.Flags().StringVar(&dnsServer, "dns-server", "", "the DNS server `ADDRESS` that test mode asks (default: the system's)")
	return cmd
}

// serving is what a client must know of a CA that is ready.
type serving struct {
	// Directory is the URL of the directory that a first client uses: one
	// that takes accounts without an external account binding, if there is
	// one.
	Directory   string
	Directories []directoryURL // all of them
	Root        string         // absolute path of the root certificate
}

// directoryURL is where a directory is.
type directoryURL struct{ Name, URL string }

// where tells where the CA is.
func (n *instance) where(root string) serving {
	s := serving{Root: root}
	for _, d := range n.cfg.ServedDirectories() {
		url := n.addresses.directory(d.Path)
		s.Directories = append(s.Directories, directoryURL{d.Name, url})
		if s.Directory == "" && !d.EAB.Required {
			s.Directory = url
		}
	}
	if s.Directory == "" {
		s.Directory = s.Directories[0].URL
	}
	return s
}

// serve runs the whole CA until ctx ends. The function ready is called once,
// when everything is.
func serve(ctx context.Context, cfg *config.Config, out streams, ready func(serving) error) error {
	return serveWith(ctx, cfg, hooks{}, out, ready)
}

func serveWith(ctx context.Context, cfg *config.Config, h hooks, out streams, ready func(serving) error) error {
	data, err := openData(cfg.Data, "")
	if err != nil {
		return err
	}
	n, err := newInstance(cfg, "serve", data, out)
	if err == nil {
		n.hooks = h
		err = n.wireServe(ctx)
	}
	if err != nil {
		if ctx.Err() != nil {
			return n.close() // told to stop before everything was there
		}
		return errors.Join(err, n.close())
	}
	root, err := filepath.Abs(data.file(rootFile))
	if err != nil {
		return errors.Join(fmt.Errorf("finding the root certificate: %w", err), n.close())
	}
	return n.run(ctx, func() error {
		return ready(n.where(root))
	})
}

// wireServe builds every service and joins them: no socket between them.
func (n *instance) wireServe(ctx context.Context) error {
	acme, err := n.bind(ctx, "listen.acme", n.cfg.Listen.ACME)
	if err != nil {
		return err
	}
	public, err := n.bind(ctx, "listen.public", n.cfg.Listen.Public)
	if err != nil {
		return err
	}
	admin, err := n.bind(ctx, "listen.admin", n.cfg.Listen.Admin)
	if err != nil {
		return err
	}
	n.addresses = configuredAddresses(n.cfg, acme.Addr().String(), public.Addr().String())
	// Before anything is made: it may be that nothing could be validated.
	validation, err := n.newVA()
	if err != nil {
		return err
	}
	if validation, err = n.corroborated(validation); err != nil {
		return err
	}

	store, err := n.openStore(ctx)
	if err != nil {
		return err
	}
	n.health.Add("store", store.Ping)
	signing, err := n.addCA(ctx, store)
	if err != nil {
		return err
	}
	stored := sa.Store(store)
	if n.hooks.store != nil {
		if stored, err = n.hooks.store(ctx, store); err != nil {
			return err
		}
	}
	n.addLoop("DNSSEC probes", n.validationLoop)
	registration, err := n.newRA(stored, validation, signing)
	if err != nil {
		return err
	}
	n.addLoop("registration", registration.Run)
	front, err := n.newWFE(registration, store)
	if err != nil {
		return err
	}
	revocation, err := n.newPublic(store, signing)
	if err != nil {
		return err
	}
	certificate, err := n.addListenerCertificate(ctx, signing)
	if err != nil {
		return err
	}
	n.addHTTP("acme", acme, front, tlsConfig(certificate))
	n.addHTTP("public", public, revocation, nil)
	management := n.adminHandler()
	if n.hooks.management != nil {
		management = n.hooks.management(management, store)
	}
	n.addHTTP("admin", admin, management, tlsConfig(certificate))
	return nil
}

// addListenerCertificate gets the certificate of the HTTPS listeners.
func (n *instance) addListenerCertificate(ctx context.Context, signing ca.Authority) (func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	if cert := n.hooks.certificate; cert != nil {
		return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil }, nil
	}
	n.certificate = n.newListenerCertificate(signing)
	if err := n.certificate.renew(ctx); err != nil {
		return nil, err
	}
	n.addLoop("listener certificate", n.certificate.run)
	n.health.Add("listener certificate", n.certificate.check)
	return n.certificate.get, nil
}

// print tells a person what they need to begin.
func (s serving) print(w io.Writer, cfg *config.Config) error {
	_, err := fmt.Fprintf(w, `Cairn is ready.

%s  root       %s

A first certificate, with lego%s:

  %s
`, s.list(), s.Root, clientNote(cfg), s.clientCommand(cfg))
	return err
}

// list is a line for each directory, with its name where there are several.
func (s serving) list() string {
	var b strings.Builder
	for _, d := range s.Directories {
		fmt.Fprintf(&b, "  directory  %s", d.URL)
		if len(s.Directories) > 1 {
			fmt.Fprintf(&b, "  (%s)", d.Name)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// clientCommand is a command line that obtains a certificate. For a CA that
// may look at this machine it works as it stands: localhost needs no DNS.
func (s serving) clientCommand(cfg *config.Config) string {
	name := "www.example.com"
	if cfg.VA.AllowPrivateAddresses {
		name = "localhost"
	}
	return fmt.Sprintf("LEGO_CA_CERTIFICATES=%s lego --server %s --accept-tos --email you@example.com --domains %s --http --http.port :%d run",
		shellQuote(s.Root), shellQuote(s.Directory), name, cfg.VA.HTTPPort)
}

func clientNote(cfg *config.Config) string {
	switch {
	case !cfg.VA.AllowPrivateAddresses:
		return " on a machine that is reached under the name"
	case cfg.VA.HTTPPort < 1024:
		return fmt.Sprintf(" (as a user who may listen on port %d)", cfg.VA.HTTPPort)
	}
	return ""
}

// shellQuote quotes a word for a POSIX shell where it needs to be.
func shellQuote(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-:@%+=,", r))
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
