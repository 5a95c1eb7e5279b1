//go:build unix

// Package pgtest gives tests a real PostgreSQL: a server of their own in a
// temporary folder, reached through a Unix socket, that ends with the test
// binary however that ends.
package pgtest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx
)

// Database makes an empty database on the test binary's server, which the
// first call starts, and returns its URL. The database is dropped when the
// test ends.
func Database(t testing.TB) string {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatalf("starting PostgreSQL: %v", err)
	}
	return s.Database(t)
}

var shared = sync.OnceValues(start)

// Server is a PostgreSQL server that a test has for itself, to stop and start.
type Server struct {
	dir       string // holds data, the socket and the log
	bin       string // folder of the binaries
	attr      *syscall.SysProcAttr
	end       *os.File // closing it stops the server and removes dir
	mu        sync.Mutex
	databases int
}

// NewServer starts a server that ends with the test.
func NewServer(t testing.TB) *Server {
	t.Helper()
	s, err := start()
	if err != nil {
		t.Fatalf("starting PostgreSQL: %v", err)
	}
	t.Cleanup(func() { _ = s.end.Close() })
	return s
}

func start() (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin}
	if s.dir, err = os.MkdirTemp("", "cairn-pgtest-"); err != nil {
		return nil, err
	}
	// Not inherited credentials alone: the server also gets a process group,
	// so that an interrupt from the terminal reaches the tests first.
	s.attr = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 {
		if s.attr.Credential, err = unprivileged(); err != nil {
			return nil, errors.Join(err, os.RemoveAll(s.dir))
		}
		if err := os.Chown(s.dir, int(s.attr.Credential.Uid), int(s.attr.Credential.Gid)); err != nil {
			return nil, errors.Join(err, os.RemoveAll(s.dir))
		}
	}
	if err := s.initialize(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	if err := s.watch(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	if err := s.start(); err != nil {
		return nil, errors.Join(err, s.end.Close())
	}
	return s, nil
}

func binaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New("the server's binaries are not in /usr/lib/postgresql/*/bin: `make test` installs the package postgresql, or run `apt-get install postgresql`")
	}
	return filepath.Dir(path), nil
}

// unprivileged is whom the server runs as when the tests run as root, whom it
// refuses.
func unprivileged() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as")
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) run(name string, args ...string) error {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir, cmd.SysProcAttr = s.dir, s.attr
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, output.Bytes())
	}
	return nil
}

func (s *Server) initialize() error {
	if err := s.run("initdb", "--pgdata", s.data(), "--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"); err != nil {
		return err
	}
	// The tests' data may die with the machine.
	settings := fmt.Sprintf("listen_addresses = ''\nunix_socket_directories = '%s'\nmax_connections = 300\nfsync = off\nfull_page_writes = off\nlog_min_messages = warning\n", s.dir)
	return s.set(settings)
}

// set appends to the server's configuration.
func (s *Server) set(settings string) error {
	f, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(settings)
	return errors.Join(err, f.Close())
}

// watch starts a process that outlives this one: when the pipe to it closes,
// which happens however this process ends, it stops the server.
func (s *Server) watch() error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	cmd := exec.Command("/bin/sh", "-c", `cat; "$0/pg_ctl" stop --mode=immediate --pgdata="$1/data" --silent; rm -rf "$1"`, s.bin, s.dir)
	cmd.Dir, cmd.SysProcAttr, cmd.Stdin = "/", s.attr, read
	if err := cmd.Start(); err != nil {
		return errors.Join(err, write.Close())
	}
	go func() { _ = cmd.Wait() }()
	s.end = write
	return nil
}

func (s *Server) start() error {
	return s.run("pg_ctl", "start", "--wait", "--silent", "--pgdata", s.data(), "--log", filepath.Join(s.dir, "log"))
}

// Start starts the server again after Stop.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

// Stop stops the server and cuts its connections.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if err := s.run("pg_ctl", "stop", "--wait", "--silent", "--mode", "fast", "--pgdata", s.data()); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) url(database string) string {
	query := url.Values{"host": {s.dir}, "user": {"postgres"}, "sslmode": {"disable"}}
	return (&url.URL{Scheme: "postgres", Path: "/" + database, RawQuery: query.Encode()}).String()
}

// Database makes an empty database and returns its URL.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	s.mu.Lock()
	s.databases++
	name := "test_" + strconv.Itoa(s.databases)
	s.mu.Unlock()
	s.admin(t, "CREATE DATABASE "+name)
	t.Cleanup(func() { s.admin(t, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	return s.url(name)
}

// admin runs a statement on the maintenance database.
func (s *Server) admin(t testing.TB, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", s.url("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(context.Background(), statement); err != nil {
		log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		t.Fatalf("%s: %v\n%s", statement, err, strings.TrimSpace(string(log)))
	}
}
