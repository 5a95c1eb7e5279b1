package ra

import (
	"crypto/ed25519"
	"crypto/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/va"
)

var onionTypes = []acme.ChallengeType{acme.HTTP01, acme.DNS01, acme.TLSALPN01, acme.DNSAccount01, acme.DNSPersist01, acme.OnionCSR01}

func onionService(t *testing.T) (acme.Identifier, ed25519.PrivateKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return acme.OnionIdentifier(public), private
}

// Which challenges are offered for onion names, and where such names are
// refused (RFC 9799 §3).
func TestOnionOffered(t *testing.T) {
	t.Parallel()
	service, _ := onionService(t)
	with, without := testDirectory, testDirectory
	with.Challenges = onionTypes
	without.Challenges = onionTypes[:5]
	for _, name := range []string{service.Value(), "*." + service.Value(), "a." + service.Value(), "*.a." + service.Value()} {
		id := parse(t, acme.IdentifierDNS, name)
		if got := with.offered(id); !slices.Equal(got, []acme.ChallengeType{acme.OnionCSR01}) {
			t.Errorf("%s: offered %v", name, got)
		}
		for _, policy := range []NamePolicy{{}, {PublicNamesOnly: true}, {Allow: []string{"onion"}}, {Allow: []string{service.Value()}}} {
			with.Policy, without.Policy = policy, policy
			if _, err := checkIdentifiers(with, testProfile, []acme.Identifier{id}); err != nil {
				t.Errorf("%s under %+v: %v", name, policy, err)
			}
			if _, err := checkIdentifiers(without, testProfile, []acme.Identifier{id}); problemType(err) != acme.RejectedIdentifier || !strings.Contains(err.Error(), "onion-csr-01") {
				t.Errorf("%s without onion-csr-01: %v", name, err)
			}
		}
		with.Policy = NamePolicy{Deny: []string{"onion"}}
		if _, err := checkIdentifiers(with, testProfile, []acme.Identifier{id}); problemType(err) != acme.RejectedIdentifier {
			t.Errorf("%s where .onion is denied: %v", name, err)
		}
	}
	for _, name := range []string{"example.com", "onion.example"} {
		if got := with.offered(parse(t, acme.IdentifierDNS, name)); slices.Contains(got, acme.OnionCSR01) || len(got) != 5 {
			t.Errorf("%s: offered %v", name, got)
		}
	}
	// RFC 9444: what proves control below an onion service does not below
	// other names.
	with.Policy, with.Subdomains = NamePolicy{}, true
	with.Challenges = []acme.ChallengeType{acme.HTTP01, acme.OnionCSR01}
	for name, want := range map[string]acme.ProblemType{"example.com": acme.RejectedIdentifier, service.Value(): ""} {
		id, ancestor := parse(t, acme.IdentifierDNS, "a."+name), parse(t, acme.IdentifierDNS, name)
		if _, err := checkAncestors(with, []acme.Identifier{id}, map[acme.Identifier]acme.Identifier{id: ancestor}); problemType(err) != want {
			t.Errorf("the ancestor %s: %v", name, err)
		}
	}
}

// The nonce lives as long as the authorization is pending, and at most 30 days
// (RFC 9799 §3.2).
func TestOnionNonceLifetime(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	cfg := f.Config
	cfg.Metrics = nil
	for days, ok := range map[int]bool{30: true, 31: false} {
		dir := cfg.Directories[0]
		dir.Challenges, dir.PendingLifetime = onionTypes, time.Duration(days)*24*time.Hour
		cfg.Directories = []Directory{dir}
		if _, err := New(cfg); (err == nil) != ok {
			t.Errorf("%d days: %v", days, err)
		}
	}
}

// The record set reaches the validation authority for each onion name, each
// time, and what it decided is kept with the authorization.
func TestOnionCAAAtFinalize(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Directories[0].Challenges = onionTypes })
	// CAA of onion names is decided without a network.
	v, err := va.New(va.Config{Resolvers: []string{"127.0.0.1:1"}, CAAIdentities: []string{"ca.example"}, Now: f.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	service, key := onionService(t)
	account := f.account(t)
	order := f.order(t, account, service.Value(), "a."+service.Value())
	for _, id := range order.Authorizations {
		f.va.results <- va.Result{Evidence: acme.Evidence{Method: acme.OnionCSR01}}
		if authz := f.respond(t, account, id, acme.OnionCSR01); authz.Status != acme.AuthorizationValid {
			t.Fatalf("the authorization is %s", authz.Status)
		}
	}
	f.VA = v
	finalize := func(sets ...acme.OnionCAA) error {
		_, err := f.FinalizeOrder(t.Context(), FinalizeOrder{Account: account, Order: order.ID, OnionCAA: sets})
		return err
	}
	records := `caa 0 issue "ca.example"`
	set := acme.OnionCAA{Service: service, CAA: &records, Expiry: f.clock.Now().Add(time.Hour)}
	set.Sign(key)
	other, otherKey := onionService(t)
	others := acme.OnionCAA{Service: other, Expiry: set.Expiry}
	others.Sign(otherKey)
	for name, sets := range map[string][]acme.OnionCAA{"none": nil, "another service's": {others}} {
		if err := finalize(sets...); problemType(err) != acme.OnionCAARequired {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(f.ca.asked) != 0 {
		t.Fatal("a certificate was asked for")
	}
	if err := finalize(others, set); err != nil {
		t.Fatal(err)
	}
	for _, id := range order.Authorizations {
		authz, err := f.Store.Authorization(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if caa := authz.Attempt.Evidence.CAA; caa == nil || caa.FoundAt != service.Value() || len(caa.Records) != 1 || !caa.CheckedAt.Equal(f.clock.Now()) {
			t.Errorf("the evidence with %s is %+v", authz.Identifier, caa)
		}
	}
}

// Certificates of onion services don't renew by themselves: nobody would give
// their CAA records.
func TestOnionNoAutoRenewal(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) {
		c.Directories[0].Challenges = onionTypes
		c.Directories[0].AutoRenewal = &AutoRenewalPolicy{MinLifetime: time.Hour, MaxDuration: 240 * time.Hour}
	})
	service, _ := onionService(t)
	renewal := &acme.AutoRenewal{End: f.clock.Now().Add(100 * time.Hour), Lifetime: 10 * time.Hour}
	for name, want := range map[string]acme.ProblemType{"example.com": "", service.Value(): acme.Malformed} {
		_, err := f.NewOrder(t.Context(), NewOrder{Account: f.account(t), AutoRenewal: renewal, Identifiers: []acme.Identifier{parse(t, acme.IdentifierDNS, name)}})
		if problemType(err) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Challenges of type onion-csr-01 have a nonce and no token; it is the token
// that the validation authority gets, in another base64.
func TestOnionNonce(t *testing.T) {
	t.Parallel()
	service, _ := onionService(t)
	authz := acme.Authorization{Identifier: service, Status: acme.AuthorizationPending, Offered: []acme.ChallengeType{acme.OnionCSR01}, Seed: acme.TokenSeed{1}}
	c, ok := authz.Challenge(acme.OnionCSR01)
	if !ok || c.Token != "" || len(c.Nonce) != 44 || strings.TrimSuffix(strings.NewReplacer("+", "-", "/", "_").Replace(c.Nonce), "=") != authz.Seed.Token(acme.OnionCSR01) {
		t.Errorf("%+v, token %s", c, authz.Seed.Token(acme.OnionCSR01))
	}
}
