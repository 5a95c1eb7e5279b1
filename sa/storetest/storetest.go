// Package storetest is the conformance suite of sa.Store: what each method
// promises, each error that it documents, and who wins a race. It uses nothing
// but the interface, so that it holds every implementation and every way to
// reach one to the same contract.
package storetest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// Open opens a store that goes by the given clock. For one t it is the same
// store each time, empty at first; the suite closes it before it opens it
// again, and at its end.
type Open func(t *testing.T, now func() time.Time) sa.Store

// Run runs the suite; each of its tests has a store of its own.
func Run(t *testing.T, open Open) {
	for _, group := range []map[string]func(*suite){
		accountTests, accountKeyTests, externalKeyTests, orderTests, renewalTests, autoRenewalTests,
		authorizationTests, subdomainTests, validationTests, issuanceTests, transparencyTests, revocationTests, inventoryTests, serviceTests, raceTests, extensionRaceTests, lifeTests, machineTests,
	} {
		for name, test := range group {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(newSuite(t, open))
			})
		}
	}
}

// suite is one test's store, with what the tests say often.
type suite struct {
	*testing.T
	sa.Store
	ctx   context.Context
	clock *clock
	open  Open
}

func newSuite(t *testing.T, open Open) *suite {
	s := &suite{T: t, ctx: t.Context(), clock: &clock{now: time.Date(2026, 11, 20, 9, 30, 0, 123_456_789, time.UTC)}, open: open}
	s.Store = open(t, s.clock.Now)
	t.Cleanup(func() {
		if err := s.Store.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
	return s
}

// reopen closes the store and opens it again.
func (s *suite) reopen() {
	s.Helper()
	s.must(s.Store.Close())
	s.Store = s.open(s.T, s.clock.Now)
}

// clock is a clock that the test moves.
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

// in is the time that is d from now, as the store gives it back.
func (s *suite) in(d time.Duration) time.Time { return s.clock.Now().Add(d).Truncate(time.Microsecond) }

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *suite) wantErr(err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Fatalf("error %v, want %v", err, want)
	}
}

// comparer compares domain values: nil and empty lists are one.
var comparer = cmp.Options{
	cmpopts.EquateEmpty(),
	cmp.Comparer(func(a, b acme.Identifier) bool { return a == b }),
	cmp.Comparer(func(a, b acme.Serial) bool { return a == b }),
	cmp.Comparer(func(a, b acme.AccountKey) bool { return a.JSON() == b.JSON() && a.Thumbprint() == b.Thumbprint() }),
}

func (s *suite) equal(got, want any) {
	s.Helper()
	if diff := cmp.Diff(want, got, comparer); diff != "" {
		s.Fatalf("(-want +got)\n%s", diff)
	}
}

func (s *suite) id() acme.ID {
	s.Helper()
	id, err := acme.NewID(s.clock.Now(), rand.Reader)
	s.must(err)
	return id
}

func (s *suite) serial() acme.Serial {
	s.Helper()
	serial, err := acme.NewSerial(s.clock.Now(), rand.Reader)
	s.must(err)
	return serial
}

func (s *suite) key() acme.AccountKey {
	s.Helper()
	return newKey(s.T)
}

func newKey(t testing.TB) acme.AccountKey {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := private.PublicKey.Bytes() // 4, X, Y
	if err != nil {
		t.Fatal(err)
	}
	key, err := acme.ParseAccountKey(fmt.Appendf(nil, `{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, base64url(point[1:33]), base64url(point[33:])))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func dns(name string) acme.Identifier {
	id, err := acme.ParseIdentifier(acme.IdentifierDNS, name)
	if err != nil {
		panic(err)
	}
	return id
}

// newAccount is a valid account that isn't stored yet.
func (s *suite) newAccount() acme.Account {
	s.Helper()
	return acme.Account{ID: s.id(), Directory: "default", Status: acme.AccountValid, Key: s.key(), CreatedAt: s.in(0)}
}

func (s *suite) account() acme.Account {
	s.Helper()
	a, created, err := s.CreateAccount(s.ctx, s.newAccount())
	s.must(err)
	if !created {
		s.Fatal("an account with a new key was there already")
	}
	return a
}

func (s *suite) newAuthorization(account acme.ID, id acme.Identifier) acme.Authorization {
	s.Helper()
	seed, err := acme.NewTokenSeed(rand.Reader)
	s.must(err)
	return acme.Authorization{
		ID: s.id(), Account: account, Identifier: id.Base(), Wildcard: id.IsWildcard(), Status: acme.AuthorizationPending,
		Expires: s.in(24 * time.Hour), CreatedAt: s.in(0), Seed: seed, Offered: []acme.ChallengeType{acme.HTTP01, acme.DNS01},
	}
}

// newOrder is an order, not stored yet, with a new authorization a name.
func (s *suite) newOrder(account acme.ID, names ...string) sa.NewOrder {
	s.Helper()
	n := sa.NewOrder{Order: acme.Order{
		ID: s.id(), Account: account, Status: acme.OrderPending, Profile: "default", Expires: s.in(24 * time.Hour), CreatedAt: s.in(0),
	}}
	for _, name := range names {
		n.Order.Identifiers = append(n.Order.Identifiers, dns(name))
	}
	n.Order.Identifiers = acme.UniqueIdentifiers(n.Order.Identifiers)
	for _, id := range n.Order.Identifiers {
		authz := s.newAuthorization(account, id)
		n.Authorizations = append(n.Authorizations, authz)
		n.Order.Authorizations = append(n.Order.Authorizations, authz.ID)
	}
	return n
}

func (s *suite) order(account acme.ID, names ...string) acme.Order {
	s.Helper()
	n := s.newOrder(account, names...)
	s.must(s.CreateOrder(s.ctx, n))
	return n.Order
}

const owner = "process 1"

func (s *suite) beginOf(authz acme.ID) sa.BeginValidation {
	return sa.BeginValidation{Authorization: authz, Type: acme.HTTP01, KeyThumbprint: "thumbprint", Owner: owner, LeaseUntil: s.in(time.Minute)}
}

func (s *suite) begin(authz acme.ID) acme.Authorization {
	s.Helper()
	a, err := s.BeginValidation(s.ctx, s.beginOf(authz))
	s.must(err)
	return a
}

func (s *suite) validOf(authz acme.ID) sa.ValidationResult {
	return sa.ValidationResult{
		Authorization: authz, Owner: owner, Validated: s.in(0), Expires: s.in(30 * 24 * time.Hour),
		Evidence: acme.Evidence{Method: acme.HTTP01, At: s.in(0), CAA: &acme.CAAEvidence{CheckedAt: s.in(0)}},
	}
}

func (s *suite) invalidOf(authz acme.ID) sa.ValidationResult {
	return sa.ValidationResult{Authorization: authz, Owner: owner, Problem: acme.NewProblem(acme.Unauthorized, "the answer was wrong")}
}

// validate takes an authorization from pending to valid.
func (s *suite) validate(authz acme.ID) acme.Authorization {
	s.Helper()
	s.begin(authz)
	a, err := s.CompleteValidation(s.ctx, s.validOf(authz))
	s.must(err)
	return a
}

// ready is an order whose authorizations are valid.
func (s *suite) ready(account acme.ID, names ...string) acme.Order {
	s.Helper()
	o := s.order(account, names...)
	for _, id := range o.Authorizations {
		s.validate(id)
	}
	return o
}

var issuerID = acme.IssuerID{1, 2, 3}

func (s *suite) issuanceOf(order acme.Order) sa.Issuance {
	s.Helper()
	return sa.Issuance{
		Certificate: acme.Certificate{
			Serial: s.serial(), Issuer: issuerID, Account: order.Account, Order: order.ID, Profile: "default", CRLShard: 3,
			TBS: []byte("to be signed"), NotBefore: s.in(-time.Hour), NotAfter: s.in(90 * 24 * time.Hour), RecordedAt: s.in(0),
		},
		Owner: owner, LeaseUntil: s.in(time.Minute),
	}
}

func (s *suite) record(order acme.Order) acme.Certificate {
	s.Helper()
	i := s.issuanceOf(order)
	s.must(s.RecordIssuance(s.ctx, i))
	return i.Certificate
}

// issued is a certificate that was signed.
func (s *suite) issued(account acme.ID) acme.Certificate {
	s.Helper()
	c := s.record(s.ready(account, "example.com"))
	s.must(s.CompleteIssuance(s.ctx, c.Serial, []byte("signed "+c.Serial.String())))
	c.TBS, c.DER = nil, []byte("signed "+c.Serial.String())
	return c
}

func (s *suite) orderStatus(id acme.ID, want acme.OrderStatus) acme.Order {
	s.Helper()
	o, err := s.Order(s.ctx, id)
	s.must(err)
	if o.Status != want {
		s.Fatalf("the order is %s, want %s", o.Status, want)
	}
	return o
}

func (s *suite) authorizationStatus(id acme.ID, want acme.AuthorizationStatus) acme.Authorization {
	s.Helper()
	a, err := s.Authorization(s.ctx, id)
	s.must(err)
	if a.Status != want {
		s.Fatalf("the authorization is %s, want %s", a.Status, want)
	}
	return a
}

// wholeProblem has every field set.
func wholeProblem(account acme.ID) *acme.Problem {
	name := dns("*.example.com")
	return &acme.Problem{
		Type: acme.Compound, Detail: "several \x00 \xff problems", Status: 403, Identifier: &name,
		Subproblems: []acme.Problem{{Type: acme.CAA, Detail: "refused", Identifier: &name}},
		Instance:    "https://ca.example/why", Algorithms: []string{"ES256"}, RetryAfter: 90 * time.Second, Account: account,
	}
}
