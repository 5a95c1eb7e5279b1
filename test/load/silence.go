package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// silentAddresses is how many addresses accept connections and say nothing: so
// many that no bound on connections to one address is met.
const silentAddresses = 16

// silence are listeners that accept and never answer.
type silence struct {
	addrs     []netip.Addr
	listeners []net.Listener
	accepting sync.WaitGroup
}

// listenSilently listens on the port at addresses of the loopback network
// other than 127.0.0.1.
func listenSilently(port int) (*silence, error) {
	s := &silence{}
	for i := range silentAddresses {
		addr := netip.AddrFrom4([4]byte{127, 9, 9, byte(1 + i)})
		l, err := net.Listen("tcp", netip.AddrPortFrom(addr, uint16(port)).String())
		if err != nil {
			s.close()
			return nil, fmt.Errorf("listening where nothing is answered: %w", err)
		}
		s.addrs, s.listeners = append(s.addrs, addr), append(s.listeners, l)
		s.accepting.Go(func() { hold(l) })
	}
	return s, nil
}

// hold keeps what it accepts open until the other end closes it.
func hold(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			buffer := make([]byte, 512)
			for {
				if _, err := conn.Read(buffer); err != nil {
					return
				}
			}
		}()
	}
}

func (s *silence) close() {
	for _, l := range s.listeners {
		l.Close()
	}
	s.accepting.Wait()
}

// inFlight reads from a server's metrics how many validations are in flight.
type inFlight struct {
	target Target
	url    string
}

const inFlightMetric = "cairn_ra_validations_in_flight"

func (f inFlight) read(ctx context.Context, h *http.Client) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url, nil)
	if err != nil {
		return 0, err
	}
	res, err := h.Do(req)
	if err != nil {
		return 0, fmt.Errorf("reading the metrics: %w", err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), inFlightMetric+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			return int(n), err
		}
	}
	return 0, fmt.Errorf("reading the metrics: %s has no %s", f.url, inFlightMetric)
}

// every reads the gauge again and again until see has seen enough or ctx ends.
func (f inFlight) every(ctx context.Context, see func(int) (enough bool)) error {
	h := f.target.httpClient()
	defer h.CloseIdleConnections()
	ticker := time.NewTicker(250 * time.Millisecond)
	defer ticker.Stop()
	for {
		n, err := f.read(ctx, h)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
		if see(n) {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// reach waits until so many are in flight.
func (f inFlight) reach(ctx context.Context, want int) error {
	last := 0
	err := f.every(ctx, func(n int) bool { last = n; return n >= want })
	if err != nil {
		return fmt.Errorf("%d of %d validations are in flight: %w", last, want, err)
	}
	return nil
}

// least is the least that it read until ctx ended; -1: it could not read.
func (f inFlight) least(ctx context.Context) int {
	least := -1
	err := f.every(ctx, func(n int) bool {
		if least < 0 || n < least {
			least = n
		}
		return false
	})
	if ctx.Err() == nil && err != nil {
		return -1
	}
	return least
}
