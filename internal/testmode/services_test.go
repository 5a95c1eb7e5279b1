package testmode

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
	"github.com/cairn-ca/cairn/va"
)

// refusing is a validation authority that proves nothing.
type refusing struct{}

var errNoProof = acme.NewProblem(acme.Unauthorized, "no")

func (refusing) Validate(context.Context, va.Request) (va.Result, error) {
	return va.Result{Problem: errNoProof}, nil
}

func (refusing) CheckCAA(context.Context, va.CAARequest) (va.CAAResult, error) {
	return va.CAAResult{Problem: errNoProof}, nil
}

func TestValidationSleeps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked int
		v := Validation(refusing{}, Knobs{SleepTime: 7}, func(n int) int { asked = n; return 6 }, time.Now)
		start := time.Now()
		result, err := v.Validate(t.Context(), va.Request{})
		if err != nil || result.Problem != errNoProof {
			t.Errorf("got %+v, %v", result, err)
		}
		if slept := time.Since(start); asked != 7 || slept != 6*time.Second {
			t.Errorf("it slept %v of %d s at most", slept, asked)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := v.Validate(ctx, va.Request{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("past its deadline: %v", err)
		}
	})
}

func TestValidationAlwaysValid(t *testing.T) {
	t.Parallel()
	now := func() time.Time { return time.Unix(1_800_000_000, 0) }
	v := Validation(refusing{}, Knobs{AlwaysValid: true}, Random, now)
	result, err := v.Validate(t.Context(), va.Request{Type: acme.HTTP01})
	if err != nil || result.Problem != nil || result.Evidence.Method != acme.HTTP01 || !result.Evidence.CAA.CheckedAt.Equal(now()) {
		t.Errorf("got %+v, %v", result, err)
	}
	caa, err := v.CheckCAA(t.Context(), va.CAARequest{})
	if err != nil || caa.Problem != nil || !caa.Evidence.CheckedAt.Equal(now()) {
		t.Errorf("got %+v, %v", caa, err)
	}
	v = Validation(refusing{}, Knobs{}, Random, now)
	if caa, err := v.CheckCAA(t.Context(), va.CAARequest{}); err != nil || caa.Problem != errNoProof {
		t.Errorf("without the knob: %+v, %v", caa, err)
	}
}

// once takes each nonce once.
type once map[string]bool

func (once) Next() (string, error) { return "next", nil }

func (o once) Redeem(nonce string) bool {
	if !o[nonce] {
		return false
	}
	o[nonce] = false
	return true
}

func TestNonces(t *testing.T) {
	t.Parallel()
	good := once{"a": true, "b": true}
	rolled := 29
	n := Nonces(good, Knobs{NonceReject: 30}, func(int) int { return rolled })
	if n.Redeem("a") {
		t.Error("a nonce that was to be refused is taken")
	}
	rolled = 30
	if n.Redeem("a") {
		t.Error("a nonce that was refused is taken")
	}
	if n.Redeem("x") || !n.Redeem("b") || n.Redeem("b") {
		t.Error("good and bad nonces are mixed up")
	}
	if next, err := n.Next(); next != "next" || err != nil {
		t.Errorf("Next: %q, %v", next, err)
	}
}

type holding struct {
	sa.Store
	query sa.ReuseQuery
	found []acme.Authorization
}

func (h *holding) ReusableAuthorizations(_ context.Context, query sa.ReuseQuery) ([]acme.Authorization, error) {
	h.query = query
	return h.found, nil
}

func TestStore(t *testing.T) {
	t.Parallel()
	h := &holding{found: []acme.Authorization{{Wildcard: true}, {Subdomains: true}}}
	rolls := []int{50, 49}
	s := Store(h, Knobs{AuthorizationReuse: 50}, func(int) int { r := rolls[0]; rolls = rolls[1:]; return r })
	found, err := s.ReusableAuthorizations(t.Context(), sa.ReuseQuery{Pending: true})
	if err != nil || len(found) != 1 || !found[0].Subdomains {
		t.Errorf("got %+v, %v", found, err)
	}
	if h.query.Pending {
		t.Error("pending authorizations are looked for")
	}
	if !slices.Equal(rolls, nil) {
		t.Errorf("rolls are left: %v", rolls)
	}
}
