package ra

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/va"
)

// failingCAA can't check CAA, as when its process is gone.
type failingCAA struct{ va.Authority }

func (failingCAA) CheckCAA(context.Context, va.CAARequest) (va.CAAResult, error) {
	return va.CAAResult{}, errors.New("the validation authority is gone")
}

// Baseline Requirements §4.2.2.1: a check is relied on for less than eight
// hours. From then on CAA is checked again at finalize, and what is not known
// to permit forbids.
func TestCAARecheckAge(t *testing.T) {
	t.Parallel()
	permitted := func(f fixture) va.CAAResult {
		return va.CAAResult{Evidence: acme.CAAEvidence{CheckedAt: f.clock.Now(), FoundAt: "example"}}
	}
	for _, c := range []struct {
		name   string
		age    time.Duration
		answer func(fixture) va.CAAResult // nil: none is asked for
		gone   bool
		want   acme.ProblemType
	}{
		{name: "fresh", age: time.Hour},
		{name: "just under eight hours", age: va.CAALifetime - time.Second},
		{name: "eight hours, permitted", age: va.CAALifetime, answer: permitted},
		{name: "a day, permitted", age: 24 * time.Hour, answer: permitted},
		{name: "eight hours, forbidden", age: va.CAALifetime, want: acme.CAA, answer: func(fixture) va.CAAResult {
			return va.CAAResult{Problem: acme.NewProblem(acme.CAA, "forbidden")}
		}},
		{name: "eight hours, look-up failed", age: va.CAALifetime, want: acme.DNS, answer: func(fixture) va.CAAResult {
			return va.CAAResult{Problem: acme.NewProblem(acme.DNS, "SERVFAIL"), MayHeal: true}
		}},
		{name: "eight hours, nobody to ask", age: va.CAALifetime, gone: true, want: acme.ServerInternal},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			account := f.account(t)
			order := f.order(t, account, "a.example")
			f.va.results <- f.proven()
			f.respond(t, account, order.Authorizations[0], acme.HTTP01)
			f.clock.advance(c.age)
			if c.age > 20*time.Hour { // the order itself is no longer pending
				order = f.order(t, account, "a.example")
			}
			if c.gone {
				f.VA = failingCAA{f.va}
			}
			if c.answer != nil {
				f.va.caa <- c.answer(f)
			}
			_, err := f.FinalizeOrder(t.Context(), FinalizeOrder{Account: account, Order: order.ID})
			got := problemType(err)
			if c.gone && err != nil && got == "" {
				got = acme.ServerInternal
			}
			if got != c.want || len(f.ca.asked) != map[bool]int{true: 1}[c.want == ""] {
				t.Errorf("finalize: %v, %d issuances", err, len(f.ca.asked))
			}
			if len(f.va.caa) != 0 {
				t.Error("CAA was not checked again")
			}
			if c.want != "" {
				// The order is not spent: it can be finalized once CAA permits.
				f.VA = f.va
				f.va.caa <- permitted(f)
				if _, err := f.FinalizeOrder(t.Context(), FinalizeOrder{Account: account, Order: order.ID}); err != nil {
					t.Errorf("finalize once CAA permits: %v", err)
				}
			} else if authz, err := f.Store.Authorization(t.Context(), order.Authorizations[0]); err != nil || c.answer != nil && authz.Attempt.Evidence.CAA.FoundAt != "example" {
				t.Errorf("the new check is not kept: %+v, %v", authz.Attempt, err)
			}
		})
	}
}
