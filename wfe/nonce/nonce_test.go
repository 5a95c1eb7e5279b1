package nonce

import (
	"crypto/rand"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func newService(t testing.TB) *Service {
	t.Helper()
	s, err := New(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func next(t testing.TB, s *Service) string {
	t.Helper()
	n, err := s.Next()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRedeemOnce(t *testing.T) {
	t.Parallel()
	s := newService(t)
	first, second := next(t, s), next(t, s)
	if first == second {
		t.Fatal("two nonces are the same")
	}
	for _, n := range []string{second, first} { // in any order
		if !s.Redeem(n) {
			t.Errorf("a fresh nonce was refused")
		}
		if s.Redeem(n) {
			t.Errorf("a nonce was redeemed twice")
		}
	}
}

func TestRedeemRefuses(t *testing.T) {
	t.Parallel()
	s, other := newService(t), newService(t)
	good := next(t, s)
	flip := func(i int) string {
		c := byte('A')
		if good[i] == c {
			c = 'B'
		}
		return good[:i] + string(c) + good[i+1:]
	}
	for name, n := range map[string]string{
		"empty":             "",
		"another process's": next(t, other),
		"prefix changed":    flip(0),
		"seal changed":      flip(12),
		"counter changed":   flip(26),
		"tag changed":       flip(len(good) - 2),
		"padded":            good + "=",
		"longer":            good + "A",
		"not base64url":     strings.Repeat("!", len(good)),
	} {
		if s.Redeem(n) {
			t.Errorf("%s: redeemed", name)
		}
	}
	if !s.Redeem(good) {
		t.Errorf("the nonce itself was refused")
	}
}

// Of many requests that race with one nonce exactly one wins.
func TestRedeemRace(t *testing.T) {
	t.Parallel()
	s := newService(t)
	n := next(t, s)
	var won atomic.Int32
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			if s.Redeem(n) {
				won.Add(1)
			}
		})
	}
	wait.Wait()
	if won.Load() != 1 {
		t.Errorf("%d requests redeemed one nonce", won.Load())
	}
}

// A flood of unredeemed nonces expires nobody's.
func TestFloodExpiresNothing(t *testing.T) {
	t.Parallel()
	s := newService(t)
	honest := next(t, s)
	s.issued.Add(pageBits * maxPages * 4)
	if !s.Redeem(next(t, s)) || !s.Redeem(honest) {
		t.Errorf("a nonce expired by issuing alone")
	}
}

// Memory is bounded; what falls out of the window is refused, never accepted
// a second time.
func TestWindowIsBounded(t *testing.T) {
	t.Parallel()
	s := newService(t)
	if !s.use(0) {
		t.Fatal("the first was refused")
	}
	for i := uint64(1); i <= maxPages; i++ {
		if !s.use(i * pageBits) {
			t.Fatalf("page %d refused", i)
		}
	}
	if len(s.pages) != maxPages || len(s.order) != maxPages {
		t.Errorf("%d pages and %d numbers are kept, want %d", len(s.pages), len(s.order), maxPages)
	}
	if s.use(0) || s.use(1) {
		t.Errorf("a counter of a closed page was accepted")
	}
	if !s.use(pageBits + 1) {
		t.Errorf("a counter of the oldest open page was refused")
	}
}

func FuzzRedeem(f *testing.F) {
	s := newService(f)
	f.Add(next(f, s))
	f.Add("")
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, n string) {
		first, again := s.Redeem(n), s.Redeem(n)
		if again {
			t.Errorf("%q was redeemed twice (first: %v)", n, first)
		}
	})
}

func BenchmarkNextRedeem(b *testing.B) {
	s := newService(b)
	for b.Loop() {
		if !s.Redeem(next(b, s)) {
			b.Fatal("refused")
		}
	}
}
