package harness

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/cairn-ca/cairn/internal/pgtest"
	"github.com/cairn-ca/cairn/internal/responder"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// Options say which server to start.
type Options struct {
	Wiring Wiring
	// ReadReplica has the role ocsp of several processes on PostgreSQL read from a
	// replica of the store, and from nowhere else.
	ReadReplica bool
	// Replicas are the roles that two processes run each; for Wiring.Roles.
	Replicas []string
	// Configure changes the configuration, which has the keys of
	// docs/configuration.md, before it is written. With several processes it
	// is called for each.
	Configure func(config map[string]any)
}

// Server is a running Cairn.
type Server struct {
	Options
	// DirectoryURL is the URL of the ACME directory, PublicURL and AdminURL
	// the bases of the other two listeners.
	DirectoryURL, PublicURL, AdminURL string
	// Dir is the folder of the server's files; each process has a data folder
	// in it.
	Dir string
	// Names answers the server's validations.
	Names *responder.Responder

	externalURL string
	store       string // URL; empty: SQLite
	replica     string // URL; empty: none
	plan        []plan
	ports       reservation
	processes   []*process // as in plan; nil: not running
	past        []*process // ended ones, for their logs
	cleanups    []func() error
}

// plan is how to start one process, the same at each start.
type plan struct {
	name  string
	args  []string
	data  string
	admin string // base URL of its admin listener
}

// readyTime is how long a start may take: the first one makes the hierarchy
// and, with the race detector on two busy cores, is slow.
const readyTime = 90 * time.Second

// Start runs a server for one test. It is stopped when the test ends, and must
// stop cleanly; its log is shown when the test fails.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := start(t, o)
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Errorf("stopping the server: %v", err)
		}
		if t.Failed() {
			t.Log(s.Logs())
		}
	})
	if err != nil {
		t.Fatalf("starting a server (%v): %v", o.Wiring, err)
	}
	return s
}

// start never returns nil: what was started before an error can be closed.
func start(t testing.TB, o Options) (*Server, error) {
	t.Helper()
	s := &Server{Options: o, store: storeURL(t, o.Wiring)}
	if o.ReadReplica {
		s.replica = pgtest.Replica(t).Of(t, s.store)
	}
	steps := []func() error{s.makeDir, s.startResponder, s.makePlan, s.up}
	for _, step := range steps {
		if err := step(); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *Server) makeDir() (err error) {
	s.Dir, err = os.MkdirTemp("", "cairn-server-")
	s.later(func() error { return os.RemoveAll(s.Dir) })
	return err
}

func (s *Server) later(f func() error) { s.cleanups = append(s.cleanups, f) }

// up starts the processes of the plan that are not running and waits until
// all are ready.
func (s *Server) up() error {
	if s.processes == nil {
		s.processes = make([]*process, len(s.plan))
	}
	for i, p := range s.plan {
		if s.processes[i] != nil {
			continue
		}
		started, err := startProcess(p.name, p.args)
		if err != nil {
			return err
		}
		s.processes[i] = started
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), readyTime, errors.New("it took longer than "+readyTime.String()))
	defer cancel()
	for i, p := range s.plan {
		if err := awaitReady(ctx, s.processes[i], p.admin); err != nil {
			return err
		}
	}
	return nil
}

// awaitReady polls /readyz. The certificate is not verified: the root may not
// exist yet, and nothing secret is sent.
func awaitReady(ctx context.Context, p *process, admin string) error {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/readyz", nil)
		if err != nil {
			return err
		}
		if resp, err := transport.RoundTrip(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ticker.C:
		case <-p.exited:
			return fmt.Errorf("cairn %s ended instead of getting ready: %v", p.name, p.err)
		case <-ctx.Done():
			return fmt.Errorf("cairn %s did not get ready: %w", p.name, context.Cause(ctx))
		}
	}
}

// RootFile is the path of the root certificate, PEM; ChainFile of the issuing
// chain.
func (s *Server) RootFile() string  { return filepath.Join(s.issuing().data, "root.pem") }
func (s *Server) ChainFile() string { return filepath.Join(s.issuing().data, "chain.pem") }

// issuing is the process that holds the issuer keys.
func (s *Server) issuing() plan {
	for _, p := range s.plan {
		if p.name == "ca" || p.name == "serve" {
			return p
		}
	}
	panic("no process issues")
}

// Root is the root certificate.
func (s *Server) Root() (*x509.Certificate, error) {
	data, err := os.ReadFile(s.RootFile())
	if err != nil {
		return nil, fmt.Errorf("reading the root certificate: %w", err)
	}
	return parseCertificate(data)
}

// HTTP is a client that trusts the server's root and nothing else.
func (s *Server) HTTP(t testing.TB) *http.Client {
	t.Helper()
	root, err := s.Root()
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: pool},
		ForceAttemptHTTP2: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 60 * time.Second}
}

// Client is an ACME client without an account.
func (s *Server) Client(t testing.TB, key any) *rawacme.Client {
	t.Helper()
	return rawacme.New(t, s.HTTP(t), s.DirectoryURL, key)
}

// Account is an ACME client with a new account.
func (s *Server) Account(t testing.TB) *rawacme.Client {
	t.Helper()
	c := s.Client(t, rawacme.NewKey(t))
	c.Register(t)
	return c
}

// Stop ends every process with SIGTERM; each must exit with status 0.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if err := s.down(); err != nil {
		t.Fatal(err)
	}
}

// Up starts the server again on the same data and ports after Stop or Kill.
func (s *Server) Up(t testing.TB) {
	t.Helper()
	if err := s.up(); err != nil {
		t.Fatalf("starting the server again: %v", err)
	}
}

// Kill ends processes at once, as kill -9 does: the named roles, or all.
func (s *Server) Kill(roles ...string) {
	for i, p := range s.processes {
		if p != nil && (len(roles) == 0 || slices.Contains(roles, p.name)) {
			p.kill()
			s.ended(i)
		}
	}
}

// down stops the processes, those that clients face first.
func (s *Server) down() error {
	var errs []error
	for i, p := range slices.Backward(s.processes) {
		if p != nil {
			errs = append(errs, p.stop())
			s.ended(i)
		}
	}
	return errors.Join(errs...)
}

func (s *Server) ended(i int) {
	s.past = append(s.past, s.processes[i])
	s.processes[i] = nil
}

func (s *Server) close() error {
	errs := []error{s.down()}
	for i := len(s.cleanups) - 1; i >= 0; i-- {
		errs = append(errs, s.cleanups[i]())
	}
	s.ports.release()
	return errors.Join(errs...)
}

// Logs are the ends of what the processes wrote.
func (s *Server) Logs() string {
	var all strings.Builder
	for _, p := range append(slices.Clone(s.past), s.processes...) {
		if p != nil {
			fmt.Fprintf(&all, "--- log of cairn %s (pid %d)\n%s\n", p.name, p.cmd.Process.Pid, p.log.tail(8000))
		}
	}
	return all.String()
}

// writeConfig writes the configuration of a process and returns its path.
func (s *Server) writeConfig(name string, config map[string]any) (string, error) {
	if s.Configure != nil {
		s.Configure(config)
	}
	data, err := yaml.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("writing a configuration: %w", err)
	}
	path := filepath.Join(s.Dir, name+".yaml")
	return path, os.WriteFile(path, data, 0o600)
}

// Reconfigure changes the configuration file of the process that issues, and
// has it read it again.
func (s *Server) Reconfigure(t testing.TB, change func(config map[string]any)) {
	t.Helper()
	for i, p := range s.plan {
		if p.name != s.issuing().name {
			continue
		}
		path := filepath.Join(s.Dir, p.name+".yaml")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var config map[string]any
		if err := yaml.Unmarshal(data, &config); err != nil {
			t.Fatal(err)
		}
		change(config)
		if data, err = yaml.Marshal(config); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.processes[i].cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
}

// Admin runs "cairn admin" with the configuration of the process that holds
// the store, and returns what it prints.
func (s *Server) Admin(t testing.TB, args ...string) string {
	t.Helper()
	path, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	p := s.plan[0] // "serve", or the storage authority
	cmd := exec.CommandContext(t.Context(), path, append(append([]string{"admin"}, args...), p.args[1:]...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cairn admin %v: %v\n%s", args, err, stderr.Bytes())
	}
	return string(out)
}
