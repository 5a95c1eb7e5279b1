package ra

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

func TestLimiter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	l := newLimiter(Limits{Orders: Rate{Burst: 3, Per: 30 * time.Second}}, func() time.Time { return now })
	account, other := acme.ID{1}, acme.ID{2}

	for i := range 3 {
		if err := l.newOrder(account); err != nil {
			t.Fatalf("order %d of the burst: %v", i, err)
		}
	}
	var limited *limitedError
	if err := l.newOrder(account); !errors.As(err, &limited) {
		t.Fatalf("a fourth order: %v, want a refusal", err)
	}
	if limited.retry != 10*time.Second {
		t.Errorf("told to wait %s, want 10s", limited.retry)
	}
	if err := l.newOrder(other); err != nil {
		t.Errorf("another account was refused: %v", err)
	}
	now = now.Add(limited.retry)
	if err := l.newOrder(account); err != nil {
		t.Errorf("refused after the wait that it was told: %v", err)
	}
	if err := l.newOrder(account); err == nil {
		t.Errorf("the wait freed more than one")
	}
	now = now.Add(time.Hour)
	for range 3 {
		if err := l.newOrder(account); err != nil {
			t.Fatalf("after an hour the burst is not whole: %v", err)
		}
	}
}

// Looking whether failures are left spends none.
func TestLimiterLook(t *testing.T) {
	t.Parallel()
	now := time.Now()
	l := newLimiter(Limits{FailedValidations: Rate{Burst: 1, Per: time.Hour}}, func() time.Time { return now })
	name, err := acme.ParseIdentifier(acme.IdentifierDNS, "example.com")
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := l.mayValidate(acme.ID{1}, name); err != nil {
			t.Fatal(err)
		}
	}
	l.failedValidation(acme.ID{1}, name)
	if err := l.mayValidate(acme.ID{1}, name); err == nil {
		t.Errorf("allowed after the failures were used up")
	}
}

// IPv6 clients are told apart by their /48 only: a host has many addresses.
func TestLimiterAddresses(t *testing.T) {
	t.Parallel()
	now := time.Now()
	l := newLimiter(Limits{Accounts: Rate{Burst: 1, Per: time.Hour}}, func() time.Time { return now })
	for _, step := range []struct {
		addr string
		ok   bool
	}{
		{"192.0.2.1", true}, {"192.0.2.2", true}, {"192.0.2.1", false}, {"::ffff:192.0.2.2", false},
		{"2001:db8:1::1", true}, {"2001:db8:1:2::9", false}, {"2001:db8:2::1", true},
	} {
		if err := l.newAccount(netip.MustParseAddr(step.addr)); (err == nil) != step.ok {
			t.Errorf("%s: %v, want allowed %v", step.addr, err, step.ok)
		}
	}
	if err := l.newAccount(netip.Addr{}); err != nil {
		t.Errorf("an unknown address was refused: %v", err)
	}
}

func TestLimiterForgets(t *testing.T) {
	t.Parallel()
	now := time.Now()
	l := newLimiter(Limits{Orders: Rate{Burst: 10, Per: time.Minute}}, func() time.Time { return now })
	for i := range 100 {
		_ = l.newOrder(acme.ID{byte(i)})
	}
	now = now.Add(2 * sweepEvery)
	_ = l.newOrder(acme.ID{200})
	if len(l.whole) != 1 {
		t.Errorf("%d keys are kept after all but one became whole", len(l.whole))
	}
}
