package testmode

import (
	"context"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
	"github.com/cairn-ca/cairn/va"
	"github.com/cairn-ca/cairn/wfe"
)

// Validation wraps a validation authority as the knobs want it.
func Validation(next va.Authority, k Knobs, roll Roll, now func() time.Time) va.Authority {
	return validation{next: next, knobs: k, roll: roll, now: now}
}

type validation struct {
	next  va.Authority
	knobs Knobs
	roll  Roll
	now   func() time.Time
}

// Validate waits a random number of seconds first: clients must not rely on a
// quick answer.
func (v validation) Validate(ctx context.Context, req va.Request) (va.Result, error) {
	if v.knobs.SleepTime > 0 {
		timer := time.NewTimer(time.Duration(v.roll(v.knobs.SleepTime)) * time.Second)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return va.Result{}, context.Cause(ctx)
		}
	}
	if v.knobs.AlwaysValid {
		return va.Result{Evidence: acme.Evidence{
			Method: req.Type, DomainName: req.Identifier.Value(), At: v.now(),
			Steps: []string{"PEBBLE_VA_ALWAYS_VALID: nothing was checked"},
			CAA:   &acme.CAAEvidence{CheckedAt: v.now()},
		}}, nil
	}
	return v.next.Validate(ctx, req)
}

func (v validation) CheckCAA(ctx context.Context, req va.CAARequest) (va.CAAResult, error) {
	if v.knobs.AlwaysValid {
		return va.CAAResult{Evidence: acme.CAAEvidence{CheckedAt: v.now()}}, nil
	}
	return v.next.CheckCAA(ctx, req)
}

// Nonces wraps a nonce service: a part of the good nonces is refused, after
// they were redeemed.
func Nonces(next wfe.Nonces, k Knobs, roll Roll) wfe.Nonces {
	return nonces{next, k.NonceReject, roll}
}

type nonces struct {
	wfe.Nonces
	reject int
	roll   Roll
}

func (n nonces) Redeem(nonce string) bool {
	good := n.Nonces.Redeem(nonce)
	return good && !n.roll.happens(n.reject)
}

// Store wraps a store: a part of the authorizations that a new order could
// reuse is not found, and pending ones never are.
func Store(next sa.Store, k Knobs, roll Roll) sa.Store {
	return store{next, k.AuthorizationReuse, roll}
}

type store struct {
	sa.Store
	reuse int
	roll  Roll
}

func (s store) ReusableAuthorizations(ctx context.Context, query sa.ReuseQuery) ([]acme.Authorization, error) {
	query.Pending = false
	found, err := s.Store.ReusableAuthorizations(ctx, query)
	if err != nil {
		return nil, err
	}
	var reused []acme.Authorization
	for _, a := range found {
		if s.roll.happens(s.reuse) {
			reused = append(reused, a)
		}
	}
	return reused, nil
}
