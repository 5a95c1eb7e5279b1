package va

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestCloseTwice: the slot of a connection is given back once, however often
// it is closed.
func TestCloseTwice(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	v, err := New(Config{Resolvers: []string{"127.0.0.1:1"}, AllowPrivateAddresses: true, MaxPerAddress: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range 3 {
		conn, fail := v.connect(ctx, &try{}, target{addr: netip.MustParseAddr("127.0.0.1"), port: netip.MustParseAddrPort(l.Addr().String()).Port()})
		if fail != nil {
			t.Fatal(fail.problem)
		}
		done := make(chan struct{})
		go func() {
			_ = conn.Close()
			_ = conn.Close()
			close(done)
		}()
		select {
		case <-done:
		case <-ctx.Done():
			t.Fatal("closing it twice blocks")
		}
	}
}
