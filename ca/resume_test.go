package ca

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// What must not be signed any more is given up, and its order says so; what
// another process may sign is left.
func TestResumeGivesUp(t *testing.T) {
	t.Parallel()
	elsewhere, lost := acme.IssuerID{1}, acme.IssuerID{2}
	for name, test := range map[string]struct {
		change func(*acme.Certificate)
		skip   time.Duration
		block  bool   // the key, meanwhile
		want   string // in the problem; empty: it is not given up
		signed bool
	}{
		"soon":                             {skip: time.Minute, signed: true},
		"just in time":                     {skip: 46 * time.Hour, signed: true},
		"notBefore too long ago":           {skip: 48 * time.Hour, want: "notBefore"},
		"expired":                          {change: func(c *acme.Certificate) { c.NotAfter = c.RecordedAt.Add(time.Hour) }, skip: 2 * time.Hour, want: "validity"},
		"key blocked":                      {block: true, skip: time.Minute, want: "key was blocked"},
		"issuer elsewhere":                 {change: func(c *acme.Certificate) { c.Issuer = elsewhere }, skip: time.Hour},
		"issuer elsewhere, for too long":   {change: func(c *acme.Certificate) { c.Issuer = elsewhere }, skip: 50 * time.Hour, want: "notBefore"},
		"issuer that no process has known": {change: func(c *acme.Certificate) { c.Issuer = lost }, skip: time.Minute, want: "issuer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			if err := f.store.PutIssuer(t.Context(), acme.Issuer{ID: elsewhere, Chains: f.chains()}); err != nil {
				t.Fatal(err)
			}
			ids := names(t, "a.example")
			order := f.ready(t, ids)
			p := f.profiles["default"]
			r, err := parseCSR(csrFor(t, newKey(t), "", ids), ids)
			if err != nil {
				t.Fatal(err)
			}
			now := f.Now()
			cert, err := f.build(t.Context(), p, p.templates[0], leaf{notBefore: now.Add(-p.Backdate), notAfter: now.Add(p.Validity - p.Backdate - time.Second), identifiers: ids, public: r.public, spki: r.spki})
			if err != nil {
				t.Fatal(err)
			}
			cert.Account, cert.Order = order.Account, order.ID
			if test.change != nil {
				test.change(&cert)
			}
			if err := f.store.RecordIssuance(t.Context(), sa.Issuance{Certificate: cert, Owner: "dead", LeaseUntil: now.Add(leaseFor)}); err != nil {
				t.Fatal(err)
			}
			if test.block {
				if err := f.store.BlockKey(t.Context(), sa.BlockedKey{SPKISHA256: sha256Of(r.spki), At: now, By: "operator x"}); err != nil {
					t.Fatal(err)
				}
			}
			f.skip(test.skip)
			for range 2 { // once more changes nothing
				if err := f.resume(t.Context()); err != nil {
					t.Fatal(err)
				}
				f.skip(2 * leaseFor)
			}
			stored, err := f.store.Certificate(t.Context(), cert.Serial)
			if err != nil {
				t.Fatal(err)
			}
			if signed := stored.DER != nil; signed != test.signed {
				t.Errorf("signed: %v", signed)
			}
			got, err := f.store.Order(t.Context(), order.ID)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case test.want != "":
				if got.Status != acme.OrderInvalid || got.Error == nil || !strings.Contains(got.Error.Detail, test.want) || !strings.Contains(got.Error.Detail, "new order") {
					t.Errorf("the order is %s, %+v", got.Status, got.Error)
				}
				if left, err := f.store.ClaimIssuances(t.Context(), sa.Claim{Owner: "x", LeaseUntil: f.Now(), Limit: 10}); err != nil || len(left) != 0 {
					t.Errorf("it is still to be signed: %d, %v", len(left), err)
				}
				if err := f.store.CompleteIssuance(t.Context(), cert.Serial, []byte{1}); !errors.Is(err, sa.ErrConflict) {
					t.Errorf("it can still be completed: %v", err)
				}
			case test.signed:
				if got.Status != acme.OrderValid {
					t.Errorf("the order is %s", got.Status)
				}
			default:
				if got.Status != acme.OrderProcessing {
					t.Errorf("the order is %s, %+v", got.Status, got.Error)
				}
			}
		})
	}
}

func (f fixture) chains() [][][]byte { return f.issuers[0].chains }

// The work of a slow signer is its own for longer.
func TestLeases(t *testing.T) {
	t.Parallel()
	for _, slow := range []bool{false, true} {
		f := newFixture(t, func(c *Config) {
			c.Issuers = slices.Clone(c.Issuers)
			c.Issuers[0].Slow = slow
		})
		ids := names(t, "a.example")
		work, err := f.record(t.Context(), f.request(f.ready(t, ids), csrFor(t, newKey(t), "", ids)))
		if err != nil {
			t.Fatal(err)
		}
		f.skip(leaseFor + time.Second)
		for _, want := range []bool{!slow, true} {
			if err := f.resume(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, err := f.store.Certificate(t.Context(), work.certificate.Serial); err != nil || (got.DER != nil) != want {
				t.Errorf("slow %v: signed %v, want %v, %v", slow, got.DER != nil, want, err)
			}
			f.skip(slowLeaseFor)
		}
	}
}
