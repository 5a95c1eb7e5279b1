//go:build unix

package pgtest

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"
)

// Replica starts a streaming read replica of the test binary's server. It ends
// with the test.
func Replica(t testing.TB) *Server {
	t.Helper()
	primary, err := shared()
	if err != nil {
		t.Fatalf("starting PostgreSQL: %v", err)
	}
	s, err := primary.replicate()
	if err != nil {
		t.Fatalf("starting a replica of PostgreSQL: %v", err)
	}
	t.Cleanup(func() { _ = s.end.Close() })
	return s
}

func (s *Server) replicate() (*Server, error) {
	replica := &Server{bin: s.bin, attr: s.attr}
	var err error
	if replica.dir, err = os.MkdirTemp("", "cairn-pgtest-"); err != nil {
		return nil, err
	}
	if c := s.attr.Credential; c != nil {
		if err := os.Chown(replica.dir, int(c.Uid), int(c.Gid)); err != nil {
			return nil, errors.Join(err, os.RemoveAll(replica.dir))
		}
	}
	err = replica.run("pg_basebackup", "--pgdata", replica.data(), "--host", s.dir, "--username", "postgres", "--write-recovery-conf", "--checkpoint", "fast", "--no-sync")
	if err == nil {
		err = replica.set(fmt.Sprintf("unix_socket_directories = '%s'\n", replica.dir))
	}
	if err == nil {
		err = replica.watch()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(replica.dir))
	}
	if err := replica.start(); err != nil {
		return nil, errors.Join(err, replica.end.Close())
	}
	return replica, nil
}

// Of is the URL by which the replica has a database of its primary.
func (s *Server) Of(t testing.TB, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	return s.url(filepath.Base(u.Path))
}
