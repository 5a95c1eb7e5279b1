package harness

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports are drawn from below Linux's range for outgoing connections
// (net.ipv4.ip_local_port_range, from 32768), so that no client socket can sit
// on one between its choice and its use.
const (
	firstPort = 20000
	lastPort  = 32000
)

// reservation keeps ports from being chosen by another test process until it
// is released: each is claimed by a socket name in Linux's abstract namespace,
// which the kernel frees when the process ends, however it ends.
type reservation struct{ claims []net.Listener }

// port chooses a free TCP and UDP port of 127.0.0.1.
func (r *reservation) port() (int, error) {
	for range 200 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		claim, err := net.Listen("unix", fmt.Sprintf("@cairn-test-port-%d", port))
		if err != nil {
			continue // another test has it
		}
		if !unused(port) {
			claim.Close()
			continue
		}
		r.claims = append(r.claims, claim)
		return port, nil
	}
	return 0, fmt.Errorf("no free port between %d and %d", firstPort, lastPort)
}

// addr chooses a port and returns it as an address.
func (r *reservation) addr() (string, error) {
	port, err := r.port()
	return fmt.Sprintf("127.0.0.1:%d", port), err
}

func unused(port int) bool {
	// Any address: a client under test may listen on another loopback address.
	tcp, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		return false
	}
	tcp.Close()
	udp, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	udp.Close()
	return true
}

// release gives the ports back.
func (r *reservation) release() {
	for _, claim := range r.claims {
		claim.Close()
	}
	r.claims = nil
}

// addrs chooses n addresses.
func (r *reservation) addrs(n int) ([]string, error) {
	addrs := make([]string, n)
	for i := range addrs {
		var err error
		if addrs[i], err = r.addr(); err != nil {
			return nil, err
		}
	}
	return addrs, nil
}
