package ra

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
	"github.com/cairn-ca/cairn/va"
)

func newPersistFixture(t *testing.T, change func(*Config)) fixture {
	t.Helper()
	return newFixture(t, func(c *Config) {
		c.Directories[0].Challenges = []acme.ChallengeType{acme.DNSPersist01, acme.HTTP01}
		if change != nil {
			change(c)
		}
	})
}

func (f fixture) persisted(until time.Time) va.Result {
	return va.Result{Evidence: acme.Evidence{
		Method: acme.DNSPersist01, AccountURI: "https://ca.example/h", PersistUntil: until, CAA: &acme.CAAEvidence{CheckedAt: f.clock.Now()},
	}}
}

func TestPersistLifetime(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		method       acme.ChallengeType
		valid, until time.Duration // until 0: no persistUntil
		want         time.Duration
	}{
		{acme.HTTP01, 30 * day, 0, 30 * day},
		{acme.DNSAccount01, 30 * day, 0, 30 * day},
		{acme.DNSPersist01, 30 * day, 0, 10 * day},
		{acme.DNSPersist01, 7 * day, 0, 7 * day},
		{acme.DNSPersist01, 30 * day, 100 * day, 10 * day},
		{acme.DNSPersist01, 30 * day, time.Minute, time.Minute},
	} {
		var e acme.Evidence
		if c.until != 0 {
			e.PersistUntil = now.Add(c.until)
		}
		dir := Directory{ValidLifetime: c.valid}
		if got := dir.validUntil(now, c.method, e).Sub(now); got != c.want {
			t.Errorf("%s, %v, record until %v: %v, want %v", c.method, c.valid, c.until, got, c.want)
		}
	}
}

// Each order is validated anew, and nothing is issued once a record has ended.
func TestPersistServesOneOrder(t *testing.T) {
	t.Parallel()
	f := newPersistFixture(t, nil)
	account := f.account(t)
	order := f.order(t, account, "a.example")
	f.va.results <- f.persisted(f.clock.Now().Add(2 * time.Hour))
	authz := f.respond(t, account, order.Authorizations[0], acme.DNSPersist01)
	if authz.Status != acme.AuthorizationValid || !authz.Expires.Equal(f.clock.Now().Add(2*time.Hour)) {
		t.Fatalf("the authorization is %s until %s", authz.Status, authz.Expires)
	}
	if e := authz.Attempt.Evidence; e.AccountURI != "https://ca.example/h" || !e.PersistUntil.Equal(authz.Expires) {
		t.Errorf("the evidence is %+v", e)
	}
	again := f.order(t, account, "a.example")
	if again.Authorizations[0] == order.Authorizations[0] || again.Status != acme.OrderPending {
		t.Fatalf("the next order is %s with the same authorization", again.Status)
	}
	// Over http-01 the directory reuses.
	f.va.results <- f.proven()
	f.respond(t, account, again.Authorizations[0], acme.HTTP01)
	if third := f.order(t, account, "a.example"); third.Authorizations[0] != again.Authorizations[0] {
		t.Error("an authorization of http-01 is not reused")
	}

	f.clock.advance(2 * time.Hour)
	if _, err := f.FinalizeOrder(t.Context(), FinalizeOrder{Account: account, Order: order.ID}); problemType(err) != acme.OrderNotReady || len(f.ca.asked) != 0 {
		t.Errorf("finalizing after the record's end: %v", err)
	}
}

// A validation is asked for with all keys that the account has had; when the
// account ends between two tries, with none.
func TestPersistKeys(t *testing.T) {
	t.Parallel()
	f := newPersistFixture(t, nil)
	account := f.account(t)
	first := account.Key
	f.clock.advance(time.Minute)
	account, err := f.ChangeKey(t.Context(), ChangeKey{Account: account.ID, OldKey: first, NewKey: newKey(t)})
	if err != nil {
		t.Fatal(err)
	}
	order := f.order(t, account, "a.example", "b.example")
	f.va.results <- f.proven()
	f.respond(t, account, order.Authorizations[1], acme.HTTP01)
	f.va.results <- va.Result{Problem: acme.NewProblem(acme.DNS, "no answer"), MayHeal: true}
	f.respond(t, account, order.Authorizations[0], acme.DNSPersist01)

	if _, err := f.DeactivateAccount(t.Context(), account.ID); err != nil {
		t.Fatal(err)
	}
	f.clock.advance(time.Minute)
	f.va.results <- va.Result{Problem: acme.NewProblem(acme.Unauthorized, "the account is not valid any more")}
	if err := f.claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.work.Wait()
	want := [][]string{nil, {account.Key.Thumbprint(), first.Thumbprint()}, nil}
	if len(f.va.asked) != len(want) {
		t.Fatalf("%d tries", len(f.va.asked))
	}
	for i, req := range f.va.asked {
		if !slices.Equal(req.AccountThumbprints, want[i]) {
			t.Errorf("try %d has the keys %q, want %q", i, req.AccountThumbprints, want[i])
		}
	}
}

// Failed validations use up a budget, as those of every type.
func TestPersistFailuresAreLimited(t *testing.T) {
	t.Parallel()
	f := newPersistFixture(t, func(c *Config) { c.Limits.FailedValidations = Rate{Burst: 2, Per: time.Hour} })
	account := f.account(t)
	for range 2 {
		order := f.order(t, account, "a.example")
		f.va.results <- va.Result{Problem: acme.NewProblem(acme.Unauthorized, "another account")}
		f.respond(t, account, order.Authorizations[0], acme.DNSPersist01)
	}
	order := f.order(t, account, "a.example")
	_, err := f.RespondToChallenge(t.Context(), RespondToChallenge{Account: account, Authorization: order.Authorizations[0], Type: acme.DNSPersist01})
	if problemType(err) != acme.RateLimited {
		t.Errorf("after two failures: %v", err)
	}
}

// A certificate renews itself only while the record is there: what can't be
// relied on any more is validated again.
func TestPersistRenewal(t *testing.T) {
	t.Parallel()
	f := newPersistFixture(t, nil)
	account := f.account(t)
	order := f.order(t, account, "a.example", "b.example")
	f.va.results <- f.persisted(time.Time{})
	f.respond(t, account, order.Authorizations[0], acme.DNSPersist01)
	f.va.results <- f.proven()
	f.respond(t, account, order.Authorizations[1], acme.HTTP01)

	if err := f.proveAgain(t.Context(), account, order); err != nil || len(f.va.asked) != 2 {
		t.Fatalf("while it may be relied on: %v, %d validations", err, len(f.va.asked))
	}
	f.clock.advance(maxPersistLifetime)
	f.va.results <- f.persisted(time.Time{})
	if err := f.proveAgain(t.Context(), account, order); err != nil || len(f.va.asked) != 3 {
		t.Fatalf("later, with the record: %v, %d validations", err, len(f.va.asked))
	}
	if req := f.va.asked[2]; req.Type != acme.DNSPersist01 || len(req.AccountThumbprints) != 1 {
		t.Errorf("validated again: %+v", req)
	}
	f.va.results <- va.Result{Problem: acme.NewProblem(acme.DNS, "no record")}
	if err := f.proveAgain(t.Context(), account, order); problemType(err) != acme.DNS {
		t.Errorf("later, without the record: %v", err)
	}
}

// A challenge without a token comes last, wherever the configuration has it.
func TestPersistComesLast(t *testing.T) {
	t.Parallel()
	dir := Directory{Challenges: []acme.ChallengeType{acme.DNSPersist01, acme.DNSAccount01, acme.HTTP01, acme.DNS01}}
	for name, want := range map[string][]acme.ChallengeType{
		"a.example":   {acme.DNSAccount01, acme.HTTP01, acme.DNS01, acme.DNSPersist01},
		"*.a.example": {acme.DNSAccount01, acme.DNS01, acme.DNSPersist01},
	} {
		if got := dir.offered(parse(t, acme.IdentifierDNS, name)); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// manyKeys is a store in which every account has had as many keys as it may.
type manyKeys struct{ sa.Store }

func (manyKeys) AccountKeys(context.Context, acme.ID) ([]acme.UsedKey, error) {
	return make([]acme.UsedKey, maxAccountKeys), nil
}

func TestKeyChangesAreBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Store = manyKeys{c.Store} })
	account := f.account(t)
	_, err := f.ChangeKey(t.Context(), ChangeKey{Account: account.ID, OldKey: account.Key, NewKey: newKey(t)})
	if problemType(err) != acme.Unauthorized {
		t.Errorf("one key too many: %v", err)
	}
}
