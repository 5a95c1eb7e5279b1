package ra

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/va"
)

func TestPlaces(t *testing.T) {
	t.Parallel()
	account := func(n byte) acme.ID { return acme.ID{n} }
	// taken is how many places an account that wants all gets.
	taken := func(p *places, account acme.ID) (n int) {
		for p.take(account) {
			n++
		}
		return n
	}
	t.Run("per account", func(t *testing.T) {
		p := newPlaces(Places{InFlight: 100, PerAccount: 10})
		if n := taken(p, account(1)); n != 10 {
			t.Errorf("it got %d", n)
		}
		p.release(account(1))
		if n := taken(p, account(1)); n != 1 {
			t.Errorf("after one was given back it got %d", n)
		}
	})
	t.Run("one leaves half", func(t *testing.T) {
		p := newPlaces(Places{InFlight: 100, PerAccount: 100})
		if n := taken(p, account(1)); n != 50 {
			t.Errorf("one account got %d", n)
		}
		if n := taken(p, account(2)); n != 25 {
			t.Errorf("the second got %d", n)
		}
	})
	t.Run("who holds none finds one", func(t *testing.T) {
		p := newPlaces(Places{InFlight: 64, PerAccount: 64})
		for n := byte(1); n <= 6; n++ {
			if taken(p, account(n)) == 0 {
				t.Fatalf("account %d found no place", n)
			}
		}
	})
	t.Run("all", func(t *testing.T) {
		p := newPlaces(Places{InFlight: 1, PerAccount: 1})
		if !p.take(account(1)) || p.take(account(2)) {
			t.Error("one place is not given out once")
		}
		if limit, _, _ := p.free(10); limit != 0 {
			t.Errorf("%d are to be claimed without a place", limit)
		}
		p.release(account(1))
		if !p.take(account(2)) || len(p.held) != 1 {
			t.Error("a place was not given back")
		}
	})
	t.Run("claims", func(t *testing.T) {
		p := newPlaces(Places{InFlight: 100, PerAccount: 20})
		taken(p, account(1))
		for range 5 {
			p.take(account(2))
		}
		limit, perAccount, full := p.free(30)
		if limit != 30 || perAccount != 10 || !slices.Equal(full, []acme.ID{account(1)}) {
			t.Errorf("%d, %d of one account, none of %v", limit, perAccount, full)
		}
		// What is claimed so has its places.
		for range 10 {
			p.takeClaimed(account(2))
		}
		if p.held[account(2)] > p.PerAccount || p.inFlight() > p.InFlight {
			t.Errorf("%d places are held", p.held[account(2)])
		}
	})
}

// asked waits until the validation authority was asked n times in all.
func (f fixture) asked(t *testing.T, n int) {
	t.Helper()
	for {
		f.va.mu.Lock()
		got := len(f.va.asked)
		f.va.mu.Unlock()
		if got > n {
			t.Fatalf("%d tries run, %d may", got, n)
		}
		if got == n {
			return
		}
		runtime.Gosched()
	}
}

// What an account responds to beyond its places waits in the store, still
// processing, and runs when there is a place. Another account is not kept
// waiting.
func TestValidationsWaitForAPlace(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) {
		c.AnswerWait = 0
		c.Places = Places{InFlight: 8, PerAccount: 2}
	})
	greedy, modest := f.account(t), f.account(t)
	begin := func(account acme.Account, names ...string) []acme.ID {
		t.Helper()
		ids := f.order(t, account, names...).Authorizations
		for _, id := range ids {
			authz := f.respond(t, account, id, acme.HTTP01)
			if c, _ := authz.Challenge(acme.HTTP01); c.Status != acme.ChallengeProcessing {
				t.Fatalf("a challenge that was responded to is %s", c.Status)
			}
		}
		return ids
	}
	valid := func(ids []acme.ID) (n int) {
		t.Helper()
		for _, id := range ids {
			authz, err := f.Store.Authorization(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if authz.Status == acme.AuthorizationValid {
				n++
			}
		}
		return n
	}
	many := append(begin(greedy, "a.example", "b.example", "c.example"), begin(greedy, "d.example", "e.example")...)
	f.asked(t, 2)
	begin(modest, "a.example")
	f.asked(t, 3)

	// As long as its places are taken, no more of it is claimed.
	if err := f.claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.asked(t, 3)
	for range 3 {
		f.va.results <- f.proven()
	}
	f.work.Wait()
	if n := valid(many); n != 2 {
		t.Fatalf("%d of two that ran are valid", n)
	}
	if n := f.places.inFlight(); n != 0 {
		t.Fatalf("%d places are still held", n)
	}
	for range 3 {
		f.va.results <- f.proven()
	}
	for valid(many) < len(many) {
		if err := f.claim(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.work.Wait()
	}
	f.asked(t, 6)
}

// A response that is refused gives its place back.
func TestPlaceOfARefusedResponse(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.AnswerWait = 0 })
	account := f.account(t)
	id := f.order(t, account, "a.example").Authorizations[0]
	if _, err := f.DeactivateAccount(t.Context(), account.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := f.RespondToChallenge(t.Context(), RespondToChallenge{Account: account, Authorization: id, Type: acme.HTTP01}); err != nil {
		t.Logf("refused: %v", err)
	}
	if n := f.places.inFlight(); n != 0 {
		t.Errorf("%d places are held", n)
	}
}

// A validation authority without a place decides nothing: the validation
// begins anew once its lease has lapsed, and the try does not count.
func TestBusyValidationAuthority(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Directories[0].Retries = 0 })
	busy := &busyVA{Authority: f.va}
	f.VA = busy
	busy.times.Store(3)
	account := f.account(t)
	id := f.order(t, account, "a.example").Authorizations[0]
	f.va.results <- f.proven()
	authz := f.respond(t, account, id, acme.HTTP01)
	for range 3 {
		if authz.Status != acme.AuthorizationPending || authz.Attempt.Tries != 0 {
			t.Fatalf("after a try that found no place: %+v", authz)
		}
		f.clock.advance(time.Minute)
		if err := f.claim(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.work.Wait()
		var err error
		if authz, err = f.Store.Authorization(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if authz.Status != acme.AuthorizationValid {
		t.Errorf("with a place again: %+v", authz)
	}
}

// busyVA has no place so many times.
type busyVA struct {
	va.Authority
	times atomic.Int32
}

func (b *busyVA) Validate(ctx context.Context, req va.Request) (va.Result, error) {
	if b.times.Add(-1) >= 0 {
		return va.Result{}, fmt.Errorf("validating: %w", acme.NewProblem(acme.RateLimited, "too many validations are running"))
	}
	return b.Authority.Validate(ctx, req)
}
