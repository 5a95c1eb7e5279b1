package harness

import (
	"fmt"
	"os"
	"sync"
	"testing"
)

// shared are the servers that the tests of a package have in common.
var shared sharedServers

type sharedServers struct {
	mu      sync.Mutex
	servers map[Wiring]*sharedServer
}

type sharedServer struct {
	once sync.Once
	s    *Server
	err  error
}

// Shared is the package's server for the default wiring. It starts when it is
// first asked for and stops after the package's tests; a test must not stop
// it.
func Shared(t testing.TB) *Server {
	t.Helper()
	w, err := DefaultWiring()
	if err != nil {
		t.Fatal(err)
	}
	return SharedWith(t, w)
}

// SharedWith is the package's server for a wiring.
func SharedWith(t testing.TB, w Wiring) *Server {
	t.Helper()
	shared.mu.Lock()
	if shared.servers == nil {
		shared.servers = make(map[Wiring]*sharedServer)
	}
	server := shared.servers[w]
	if server == nil {
		server = &sharedServer{}
		shared.servers[w] = server
	}
	shared.mu.Unlock()
	server.once.Do(func() {
		server.s, server.err = start(keep{t}, Options{Wiring: w})
		atExit(server.s.close)
	})
	if server.err != nil {
		t.Fatalf("starting the shared server (%v): %v\n%s", w, server.err, server.s.Logs())
	}
	return server.s
}

// dump shows the servers' logs.
func (s *sharedServers) dump() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, server := range s.servers {
		if server.s != nil {
			fmt.Fprintln(os.Stderr, server.s.Logs())
		}
	}
}
