package ra

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
	"github.com/cairn-ca/cairn/va"
)

// clock is a clock that tests move by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// scriptedVA answers with the results it is given, in their order, so that a
// test can say what the network would.
type scriptedVA struct {
	results chan va.Result
	caa     chan va.CAAResult
	mu      sync.Mutex
	asked   []va.Request
}

func (s *scriptedVA) Validate(ctx context.Context, req va.Request) (va.Result, error) {
	s.mu.Lock()
	s.asked = append(s.asked, req)
	s.mu.Unlock()
	select {
	case r := <-s.results:
		return r, nil
	case <-ctx.Done():
		return va.Result{}, ctx.Err()
	}
}

func (s *scriptedVA) CheckCAA(ctx context.Context, _ va.CAARequest) (va.CAAResult, error) {
	select {
	case r := <-s.caa:
		return r, nil
	case <-ctx.Done():
		return va.CAAResult{}, ctx.Err()
	}
}

// recordingCA records what it is asked to issue and signs nothing.
type recordingCA struct {
	store sa.Store
	clock *clock
	asked []ca.Request
}

func (c *recordingCA) Issue(ctx context.Context, req ca.Request) (ca.Issued, error) {
	c.asked = append(c.asked, req)
	serial, err := acme.NewSerial(c.clock.Now(), rand.Reader)
	if err != nil {
		return ca.Issued{}, err
	}
	now := c.clock.Now()
	err = c.store.RecordIssuance(ctx, sa.Issuance{
		Certificate: acme.Certificate{Serial: serial, Account: req.Account, Order: req.Order, Profile: req.Profile,
			TBS: []byte("tbs"), NotBefore: now, NotAfter: now.Add(time.Hour), RecordedAt: now},
		Owner: "test", LeaseUntil: now.Add(time.Minute),
	})
	return ca.Issued{Serial: serial}, err
}

func (c *recordingCA) ServiceCertificate(context.Context, []byte) ([][]byte, error) {
	panic("the registration authority never asks for one")
}

type fixture struct {
	*RA
	clock *clock
	va    *scriptedVA
	ca    *recordingCA
}

func newFixture(t *testing.T, change func(*Config)) fixture {
	t.Helper()
	c := &clock{now: time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)}
	store, err := sa.Open(t.Context(), sa.Config{
		URL: "sqlite:" + filepath.Join(t.TempDir(), "cairn.db"), Migrate: true, Now: c.Now, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	v := &scriptedVA{results: make(chan va.Result, 16), caa: make(chan va.CAAResult, 16)}
	signer := &recordingCA{store: store, clock: c}
	dir := testDirectory
	dir.PendingLifetime, dir.ValidLifetime = 24*time.Hour, 30*24*time.Hour
	dir.ReuseAuthorizations, dir.Retries, dir.RetryWait = true, 2, 5*time.Second
	cfg := Config{
		Store: store, VA: v, CA: signer, Directories: []Directory{dir},
		AccountURL: func(_ string, id acme.ID) string { return "https://ca.example/acct/" + id.String() },
		AnswerWait: time.Minute, TryTimeout: 10 * time.Second,
		Now: c.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler), Audit: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return fixture{r, c, v, signer}
}

func newKey(t *testing.T) acme.AccountKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := acme.AccountKeyOf(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (f fixture) account(t *testing.T) acme.Account {
	t.Helper()
	account, _, err := f.NewAccount(t.Context(), NewAccount{Directory: "default", Key: newKey(t)})
	if err != nil {
		t.Fatal(err)
	}
	return account
}

func (f fixture) order(t *testing.T, account acme.Account, names ...string) acme.Order {
	t.Helper()
	var ids []acme.Identifier
	for _, name := range names {
		ids = append(ids, parse(t, acme.IdentifierDNS, name))
	}
	order, err := f.NewOrder(t.Context(), NewOrder{Account: account, Identifiers: ids})
	if err != nil {
		t.Fatal(err)
	}
	return order
}

func (f fixture) respond(t *testing.T, account acme.Account, authz acme.ID, c acme.ChallengeType) acme.Authorization {
	t.Helper()
	after, err := f.RespondToChallenge(t.Context(), RespondToChallenge{Account: account, Authorization: authz, Type: c})
	if err != nil {
		t.Fatal(err)
	}
	return after
}

func (f fixture) proven() va.Result {
	return va.Result{Evidence: acme.Evidence{Method: acme.HTTP01, CAA: &acme.CAAEvidence{CheckedAt: f.clock.Now()}}}
}

func TestAccountLife(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	key := newKey(t)
	_, _, err := f.NewAccount(t.Context(), NewAccount{Directory: "default", Key: key, OnlyReturnExisting: true})
	if problemType(err) != acme.AccountDoesNotExist {
		t.Errorf("onlyReturnExisting without an account: %v", err)
	}
	first, created, err := f.NewAccount(t.Context(), NewAccount{Directory: "default", Key: key, Contacts: []string{"mailto:a@example.com"}})
	if err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	again, created, err := f.NewAccount(t.Context(), NewAccount{Directory: "default", Key: key, Contacts: []string{"mailto:b@example.com"}})
	if err != nil || created || again.ID != first.ID || again.Contacts[0] != "mailto:a@example.com" {
		t.Errorf("the same key again: %+v, created %v, %v", again, created, err)
	}
	if _, err := f.DeactivateAccount(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	// RFC 8555 §7.3.6: it never comes back.
	if _, _, err := f.NewAccount(t.Context(), NewAccount{Directory: "default", Key: key}); problemType(err) != acme.Unauthorized {
		t.Errorf("the key of a deactivated account: %v", err)
	}
	if _, err := f.UpdateAccount(t.Context(), UpdateAccount{Account: first, Contacts: &[]string{}}); problemType(err) != acme.Unauthorized {
		t.Errorf("updating a deactivated account: %v", err)
	}
	if _, err := f.NewOrder(t.Context(), NewOrder{Account: first, Identifiers: []acme.Identifier{parse(t, acme.IdentifierDNS, "a.example")}}); problemType(err) != acme.Unauthorized {
		t.Errorf("an order of a deactivated account: %v", err)
	}
}

// RFC 8555 §7.3.3: terms must be agreed to, and agreed to again when they
// change.
func TestTermsOfService(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Directories[0].TermsOfService = "https://ca.example/terms-1" })
	if _, _, err := f.NewAccount(t.Context(), NewAccount{Directory: "default", Key: newKey(t)}); problemType(err) != acme.UserActionRequired {
		t.Errorf("an account without agreement: %v", err)
	}
	account, _, err := f.NewAccount(t.Context(), NewAccount{Directory: "default", Key: newKey(t), TermsOfServiceAgreed: true})
	if err != nil {
		t.Fatal(err)
	}
	f.order(t, account, "a.example")

	changed := f.directories["default"]
	changed.TermsOfService = "https://ca.example/terms-2"
	f.directories["default"] = changed
	request := NewOrder{Account: account, Identifiers: []acme.Identifier{parse(t, acme.IdentifierDNS, "a.example")}}
	if _, err := f.NewOrder(t.Context(), request); problemType(err) != acme.UserActionRequired {
		t.Errorf("an order under changed terms: %v", err)
	}
	request.Account, err = f.UpdateAccount(t.Context(), UpdateAccount{Account: account, TermsOfServiceAgreed: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.NewOrder(t.Context(), request); err != nil {
		t.Errorf("an order after agreeing: %v", err)
	}
}

func TestKeyChangeConflict(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	one, two := f.account(t), f.account(t)
	_, err := f.ChangeKey(t.Context(), ChangeKey{Account: one.ID, OldKey: one.Key, NewKey: two.Key})
	p, _ := err.(*acme.Problem)
	if p == nil || p.HTTPStatus() != 409 || p.Account != two.ID {
		t.Errorf("a key in use: %v", err)
	}
	fresh := newKey(t)
	if changed, err := f.ChangeKey(t.Context(), ChangeKey{Account: one.ID, OldKey: one.Key, NewKey: fresh}); err != nil || changed.Key.Thumbprint() != fresh.Thumbprint() {
		t.Errorf("a fresh key: %v", err)
	}
	if _, err := f.ChangeKey(t.Context(), ChangeKey{Account: one.ID, OldKey: one.Key, NewKey: newKey(t)}); problemType(err) != acme.Malformed {
		t.Errorf("a change from a key that is not current: %v", err)
	}
}

func TestValidationDecidesTheOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	account := f.account(t)
	order := f.order(t, account, "a.example", "*.a.example")
	if order.Status != acme.OrderPending || len(order.Authorizations) != 2 {
		t.Fatalf("new order: %+v", order)
	}
	if _, err := f.FinalizeOrder(t.Context(), FinalizeOrder{Account: account, Order: order.ID}); problemType(err) != acme.OrderNotReady {
		t.Errorf("finalizing a pending order: %v", err)
	}
	for _, id := range order.Authorizations {
		authz, err := f.Store.Authorization(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		method := acme.HTTP01
		if authz.Wildcard {
			if len(authz.Offered) != 1 || authz.Offered[0] != acme.DNS01 {
				t.Errorf("a wildcard is offered %v", authz.Offered)
			}
			method = acme.DNS01
		}
		f.va.results <- f.proven()
		if after := f.respond(t, account, id, method); after.Status != acme.AuthorizationValid {
			t.Fatalf("after a proof: %+v", after)
		}
	}
	ready, err := f.Store.Order(t.Context(), order.ID)
	if err != nil || ready.Status != acme.OrderReady {
		t.Fatalf("after both proofs: %s, %v", ready.Status, err)
	}
	finalized, err := f.FinalizeOrder(t.Context(), FinalizeOrder{Account: account, Order: order.ID, CSR: []byte("csr")})
	if err != nil || finalized.Status != acme.OrderProcessing || len(f.ca.asked) != 1 {
		t.Errorf("finalize: %+v, %v", finalized, err)
	}
	if _, err := f.FinalizeOrder(t.Context(), FinalizeOrder{Account: account, Order: order.ID}); problemType(err) != acme.OrderNotReady {
		t.Errorf("finalizing again: %v", err)
	}
	if other := f.account(t); true {
		if _, err := f.FinalizeOrder(t.Context(), FinalizeOrder{Account: other, Order: order.ID}); problemType(err) != acme.Unauthorized {
			t.Errorf("finalizing another account's order: %v", err)
		}
	}
}

func TestFailedValidationEndsTheOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	account := f.account(t)
	order := f.order(t, account, "a.example")
	f.va.results <- va.Result{Problem: acme.NewProblem(acme.Unauthorized, "wrong answer")}
	authz := f.respond(t, account, order.Authorizations[0], acme.HTTP01)
	challenge, _ := authz.Challenge(acme.HTTP01)
	if authz.Status != acme.AuthorizationInvalid || challenge.Status != acme.ChallengeInvalid || challenge.Error == nil {
		t.Errorf("after a wrong answer: %+v", authz)
	}
	// The same response again changes nothing and runs nothing.
	if again := f.respond(t, account, order.Authorizations[0], acme.HTTP01); again.Status != acme.AuthorizationInvalid || len(f.va.asked) != 1 {
		t.Errorf("a response to an invalid challenge: %+v after %d validations", again, len(f.va.asked))
	}
	if ended, err := f.Store.Order(t.Context(), order.ID); err != nil || ended.Status != acme.OrderInvalid {
		t.Errorf("the order is %s, %v", ended.Status, err)
	}
}

// RFC 8555 §8.2: what may heal is tried again; the challenge stays processing
// and shows what went wrong.
func TestRetry(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	account := f.account(t)
	order := f.order(t, account, "a.example")
	unreachable := va.Result{Problem: acme.NewProblem(acme.Connection, "refused"), MayHeal: true}
	f.va.results <- unreachable
	authz := f.respond(t, account, order.Authorizations[0], acme.HTTP01)
	challenge, _ := authz.Challenge(acme.HTTP01)
	if challenge.Status != acme.ChallengeProcessing || challenge.Error == nil || !challenge.RetryAfter.Equal(f.clock.Now().Add(5*time.Second)) {
		t.Fatalf("after a failed try: %+v", challenge)
	}
	// Not before its time.
	if err := f.claim(t.Context()); err != nil || len(f.va.asked) != 1 {
		t.Fatalf("claimed early: %d validations, %v", len(f.va.asked), err)
	}
	f.clock.advance(5 * time.Second)
	f.va.results <- unreachable
	if err := f.claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.work.Wait()
	f.clock.advance(10 * time.Second) // the second wait is twice as long
	f.va.results <- f.proven()
	if err := f.claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.work.Wait()
	if after, err := f.Store.Authorization(t.Context(), authz.ID); err != nil || after.Status != acme.AuthorizationValid || len(f.va.asked) != 3 {
		t.Errorf("after it healed: %+v, %v, %d validations", after, err, len(f.va.asked))
	}
}

func TestRetriesEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Directories[0].Retries = 1 })
	account := f.account(t)
	order := f.order(t, account, "a.example")
	unreachable := va.Result{Problem: acme.NewProblem(acme.Connection, "refused"), MayHeal: true}
	f.va.results <- unreachable
	f.respond(t, account, order.Authorizations[0], acme.HTTP01)
	f.clock.advance(time.Minute)
	f.va.results <- unreachable
	if err := f.claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.work.Wait()
	if after, err := f.Store.Authorization(t.Context(), order.Authorizations[0]); err != nil || after.Status != acme.AuthorizationInvalid {
		t.Errorf("after the last retry: %+v, %v", after, err)
	}
}

// A validation that a dead process had begun is finished by another one, once
// its lease has lapsed and not before.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	dead := newFixture(t, func(c *Config) { c.AnswerWait = 0 })
	account := dead.account(t)
	order := dead.order(t, account, "a.example")
	dead.respond(t, account, order.Authorizations[0], acme.HTTP01)
	dead.stop() // its validation ends without a result, as at kill -9
	dead.work.Wait()

	heir, err := New(dead.Config)
	if err != nil {
		t.Fatal(err)
	}
	if err := heir.claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	heir.work.Wait()
	if n := len(dead.va.asked); n != 1 {
		t.Fatalf("%d validations while the lease holds", n)
	}
	dead.clock.advance(time.Minute)
	dead.va.results <- dead.proven()
	if err := heir.claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	heir.work.Wait()
	if after, err := heir.Store.Authorization(t.Context(), order.Authorizations[0]); err != nil || after.Status != acme.AuthorizationValid {
		t.Errorf("after the take-over: %+v, %v", after, err)
	}
}

func TestReuse(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	account := f.account(t)
	first := f.order(t, account, "a.example")
	// Pending ones are shared too.
	if second := f.order(t, account, "a.example"); second.Authorizations[0] != first.Authorizations[0] {
		t.Errorf("a second order has an authorization of its own")
	}
	f.va.results <- f.proven()
	f.respond(t, account, first.Authorizations[0], acme.HTTP01)
	if third := f.order(t, account, "a.example"); third.Status != acme.OrderReady {
		t.Errorf("an order for a proven name is %s", third.Status)
	}
	if wild := f.order(t, account, "*.a.example"); wild.Status != acme.OrderPending {
		t.Errorf("a wildcard rides on the authorization of its base name")
	}
	if other := f.order(t, f.account(t), "a.example"); other.Status != acme.OrderPending {
		t.Errorf("another account rides on the authorization")
	}
	if _, err := f.DeactivateAuthorization(t.Context(), account.ID, first.Authorizations[0]); err != nil {
		t.Fatal(err)
	}
	if fourth := f.order(t, account, "a.example"); fourth.Status != acme.OrderPending {
		t.Errorf("an order rides on a deactivated authorization")
	}
}

// Baseline Requirements §4.2.2.1: CAA is checked again when the check is older
// than eight hours, and a refusal then stops the issuance.
func TestCAARecheck(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	account := f.account(t)
	first := f.order(t, account, "a.example")
	f.va.results <- f.proven()
	f.respond(t, account, first.Authorizations[0], acme.HTTP01)

	f.clock.advance(9 * time.Hour)
	late := f.order(t, account, "a.example")
	if late.Status != acme.OrderReady {
		t.Fatalf("the order is %s", late.Status)
	}
	f.va.caa <- va.CAAResult{Problem: acme.NewProblem(acme.CAA, "forbidden")}
	if _, err := f.FinalizeOrder(t.Context(), FinalizeOrder{Account: account, Order: late.ID}); problemType(err) != acme.CAA || len(f.ca.asked) != 0 {
		t.Fatalf("finalize against CAA: %v, %d issuances", err, len(f.ca.asked))
	}
	f.va.caa <- va.CAAResult{Evidence: acme.CAAEvidence{CheckedAt: f.clock.Now()}}
	if _, err := f.FinalizeOrder(t.Context(), FinalizeOrder{Account: account, Order: late.ID}); err != nil {
		t.Fatal(err)
	}
	// The recheck is remembered: this finalize asks for none.
	again := f.order(t, account, "a.example")
	if _, err := f.FinalizeOrder(t.Context(), FinalizeOrder{Account: account, Order: again.ID}); err != nil {
		t.Errorf("finalize after a fresh recheck: %v", err)
	}
}

func TestDirectoryOfAnAccountIsGone(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	account := f.account(t)
	account.Directory = "removed"
	if _, err := f.NewOrder(t.Context(), NewOrder{Account: account}); problemType(err) != acme.Unauthorized {
		t.Errorf("got %v", err)
	}
}

func TestUnknownProfile(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	_, err := f.NewOrder(t.Context(), NewOrder{Account: f.account(t), Profile: "nonesuch", Identifiers: []acme.Identifier{parse(t, acme.IdentifierDNS, "a.example")}})
	if problemType(err) != acme.InvalidProfile {
		t.Errorf("got %v", err)
	}
}
