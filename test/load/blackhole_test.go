package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	s := Scenario{kindIssue, 1, 1}
	summaries := []Summary{{Server: serverIdle, Scenario: s, MedianMS: 10}, {Server: serverHoles, Scenario: s, MedianMS: 14}}
	for most, ok := range map[float64]bool{0: true, 1.5: true, 1.3: false} {
		var out bytes.Buffer
		err := blackholeOptions{holes: 7, mostRatio: most}.judge(&out, summaries)
		if (err == nil) != ok || !strings.Contains(out.String(), "with 7 black holes 14.0 ms, ratio 1.40") {
			t.Errorf("at most %v: %v, %q", most, err, out.String())
		}
	}
}

func TestInFlight(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		value := map[int64]string{1: "7", 2: "1.2e+03", 3: "900"}[n.Add(1)]
		_, _ = w.Write([]byte("# HELP " + inFlightMetric + " x\nother 5\n" + inFlightMetric + " " + value + "\n"))
	}))
	defer server.Close()
	gauge := inFlight{url: server.URL}
	if err := gauge.reach(t.Context(), 1000); err != nil || n.Load() != 2 {
		t.Errorf("%v after %d readings", err, n.Load())
	}
	ctx, cancel := context.WithCancel(t.Context())
	var least int
	if err := gauge.every(ctx, func(n int) bool { least = n; cancel(); return false }); err == nil || least != 900 {
		t.Errorf("%v, %d", err, least)
	}
}

func TestSilence(t *testing.T) {
	t.Parallel()
	ports, err := freePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	s, err := listenSilently(ports[0])
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if len(s.addrs) != silentAddresses {
		t.Fatalf("%d addresses", len(s.addrs))
	}
	conn, err := net.Dial("tcp", netip.AddrPortFrom(s.addrs[3], uint16(ports[0])).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n > 0 || !os.IsTimeout(err) {
		t.Errorf("it answered: %d, %v", n, err)
	}
}

func TestPrepareBlackhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := prepareBlackhole("cairn", dir, surroundings{resolver: "127.0.0.1:53", httpPort: 80}); err != nil {
		t.Fatal(err)
	}
	url, err := adminOf(dir)
	if err != nil || !strings.HasPrefix(url, "https://localhost:") || !strings.HasSuffix(url, "/metrics") {
		t.Errorf("%q, %v", url, err)
	}
}
