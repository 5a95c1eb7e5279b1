package ra

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
	"github.com/cairn-ca/cairn/va"
)

const (
	// leaseMargin is how much longer than a try its lease lasts.
	leaseMargin = 5 * time.Second
	// claimEvery is how often Run looks for validations to take over.
	claimEvery = time.Second
	claimLimit = 256
)

// RespondToChallenge implements Authority. From the moment BeginValidation
// returns the validation is durable work: it is finished by this process or,
// should it die, by whichever claims it next.
func (r *RA) RespondToChallenge(ctx context.Context, req RespondToChallenge) (acme.Authorization, error) {
	authz, err := r.ownAuthorization(ctx, req.Account.ID, req.Authorization)
	if err != nil {
		return acme.Authorization{}, err
	}
	challenge, ok := authz.Challenge(req.Type)
	if !ok {
		return acme.Authorization{}, notYours("challenge")
	}
	if challenge.Status != acme.ChallengePending {
		return authz, nil // a response sent again changes nothing
	}
	switch {
	case authz.Status != acme.AuthorizationPending:
		return acme.Authorization{}, acme.NewProblem(acme.Malformed, "the authorization is %s, its challenges can't be fulfilled any more: create a new order", authz.Status)
	case authz.Attempt != nil:
		return acme.Authorization{}, acme.NewProblem(acme.Malformed, "the challenge %s of this authorization is being validated already; one result decides an authorization", authz.Attempt.Type)
	}
	if err := checkResponse(req); err != nil {
		return acme.Authorization{}, err
	}
	if err := r.limited(r.limits.mayValidate(authz.Account, authz.Identifier)); err != nil {
		return acme.Authorization{}, err
	}
	// Without a place the lease ends as it begins: the validation is claimed
	// when there is one.
	mayRun, leaseUntil := r.places.take(authz.Account), r.Now()
	if mayRun {
		leaseUntil = r.leaseEnd()
	}
	begun, err := r.Store.BeginValidation(ctx, sa.BeginValidation{
		Authorization: authz.ID, Type: req.Type, Response: req.Response,
		KeyThumbprint: req.Account.Key.Thumbprint(),
		Owner:         r.owner, LeaseUntil: leaseUntil,
	})
	if err != nil && mayRun {
		r.places.release(authz.Account)
	}
	if errors.Is(err, sa.ErrConflict) {
		return r.ownAuthorization(ctx, req.Account.ID, req.Authorization) // another request was first
	}
	if err != nil {
		return acme.Authorization{}, fmt.Errorf("beginning the validation of %s: %w", authz.ID, err)
	}
	if !mayRun {
		r.metrics.waits.Inc()
		return begun, nil
	}
	return r.await(r.startValidation(req.Account, begun), begun), nil
}

func (r *RA) leaseEnd() time.Time { return r.Now().Add(r.TryTimeout + leaseMargin) }

// await waits for a validation's result, AnswerWait at most.
func (r *RA) await(result <-chan acme.Authorization, begun acme.Authorization) acme.Authorization {
	if r.AnswerWait <= 0 {
		return begun
	}
	timer := time.NewTimer(r.AnswerWait)
	defer timer.Stop()
	select {
	case authz := <-result:
		return authz
	case <-timer.C:
		return begun
	}
}

// startValidation runs one try on a leased authorization, in a place that its
// account holds and that it gives back. The channel gets the authorization as
// it stands afterwards.
func (r *RA) startValidation(account acme.Account, authz acme.Authorization) <-chan acme.Authorization {
	result := make(chan acme.Authorization, 1)
	r.work.Add(1)
	go func() {
		defer r.work.Done()
		defer r.places.release(authz.Account)
		after, err := r.validate(r.base, account, authz)
		switch {
		case isBusy(err):
			// The try counts for nothing; the next one begins when the lease
			// has lapsed.
			r.metrics.validations.WithLabelValues(string(authz.Attempt.Type), "busy").Inc()
			after = authz
		case err != nil:
			// The lease lapses, and the work is claimed again.
			r.Logger.LogAttrs(r.base, slog.LevelError, "validation try came to no result",
				slog.String("authorization", authz.ID.String()), slog.Any("error", err))
			after = authz
		}
		result <- after
	}()
	return result
}

func (r *RA) validate(ctx context.Context, account acme.Account, authz acme.Authorization) (acme.Authorization, error) {
	attempt := authz.Attempt
	tryCtx, cancel := context.WithTimeout(ctx, r.TryTimeout)
	defer cancel()
	req, err := r.request(tryCtx, account, authz)
	if err != nil {
		return acme.Authorization{}, err
	}
	result, err := r.VA.Validate(tryCtx, req)
	if err != nil {
		return acme.Authorization{}, fmt.Errorf("validating %s for %s: %w", attempt.Type, authz.Names(), err)
	}
	dir, err := r.directory(account.Directory)
	if err != nil {
		return acme.Authorization{}, err
	}
	if result.Problem != nil && result.MayHeal && attempt.Tries < dir.Retries {
		return r.retryLater(ctx, dir, authz, result.Problem)
	}
	return r.complete(ctx, dir, authz, result)
}

// retryLater plans another try (RFC 8555 §8.2): the challenge stays
// processing and shows what went wrong.
func (r *RA) retryLater(ctx context.Context, dir Directory, authz acme.Authorization, problem *acme.Problem) (acme.Authorization, error) {
	next := r.Now().Add(dir.RetryWait << authz.Attempt.Tries)
	err := r.Store.RetryValidation(ctx, sa.RetryValidation{Authorization: authz.ID, Owner: r.owner, Error: problem, NextTry: next})
	if err != nil && !errors.Is(err, sa.ErrConflict) {
		return acme.Authorization{}, fmt.Errorf("planning another try: %w", err)
	}
	r.metrics.validations.WithLabelValues(string(authz.Attempt.Type), "retry").Inc()
	return r.Store.Authorization(ctx, authz.ID)
}

func (r *RA) complete(ctx context.Context, dir Directory, authz acme.Authorization, result va.Result) (acme.Authorization, error) {
	now := r.Now()
	after, err := r.Store.CompleteValidation(ctx, sa.ValidationResult{
		Authorization: authz.ID, Owner: r.owner, Problem: result.Problem,
		Validated: now, Expires: dir.validUntil(now, authz.Attempt.Type, result.Evidence), Evidence: result.Evidence,
	})
	if errors.Is(err, sa.ErrConflict) {
		// Deactivated in the meantime, or our lease lapsed and another
		// process has finished the work.
		return r.Store.Authorization(ctx, authz.ID)
	}
	if err != nil {
		return acme.Authorization{}, fmt.Errorf("storing the result: %w", err)
	}
	outcome := "valid"
	attrs := append(authorizationAttrs(after), slog.String("method", string(authz.Attempt.Type)), slog.Any("evidence", result.Evidence))
	if result.Problem != nil {
		outcome = "invalid"
		attrs = append(attrs, slog.String("problem", result.Problem.Error()))
		r.limits.failedValidation(authz.Account, authz.Identifier)
	}
	r.metrics.validations.WithLabelValues(string(authz.Attempt.Type), outcome).Inc()
	r.Audit.LogAttrs(ctx, slog.LevelInfo, "validation completed", attrs...)
	return after, nil
}

// Run takes over validations that a process left unfinished and those whose
// next try has come, until ctx ends; then it waits for the tries under way.
func (r *RA) Run(ctx context.Context) error {
	ticker := time.NewTicker(claimEvery)
	defer ticker.Stop()
	for {
		if err := r.claim(ctx); err != nil && ctx.Err() == nil {
			r.Logger.LogAttrs(ctx, slog.LevelError, "claiming validations", slog.Any("error", err))
		}
		if r.renewing() {
			if err := r.renew(ctx); err != nil && ctx.Err() == nil {
				r.Logger.LogAttrs(ctx, slog.LevelError, "renewing certificates", slog.Any("error", err))
			}
		}
		if err := r.sweepBlockedKeys(ctx); err != nil && ctx.Err() == nil {
			r.Logger.LogAttrs(ctx, slog.LevelError, "sweeping blocked keys", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			r.drain()
			return nil
		case <-ticker.C:
		}
	}
}

// renewing tells whether any directory has auto-renewal.
func (r *RA) renewing() bool {
	for _, d := range r.Directories {
		if d.AutoRenewal != nil {
			return true
		}
	}
	return false
}

// drain lets the tries under way end by themselves, each within its timeout.
func (r *RA) drain() {
	done := make(chan struct{})
	go func() { r.work.Wait(); close(done) }()
	timer := time.NewTimer(r.TryTimeout + leaseMargin)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
	r.stop()
}

func (r *RA) claim(ctx context.Context) error {
	accounts := make(map[acme.ID]acme.Account)
	for {
		limit, perAccount, full := r.places.free(claimLimit)
		if limit == 0 {
			return nil
		}
		claimed, err := r.Store.ClaimValidations(ctx, sa.Claim{
			Owner: r.owner, LeaseUntil: r.leaseEnd(), Limit: limit, PerAccount: perAccount, Except: full,
		})
		if err != nil {
			return err
		}
		if err := r.startClaimed(ctx, claimed, accounts); err != nil {
			return err
		}
		if len(claimed) < limit {
			return nil
		}
	}
}

// startClaimed starts what was claimed. accounts are those that were read.
func (r *RA) startClaimed(ctx context.Context, claimed []acme.Authorization, accounts map[acme.ID]acme.Account) error {
	for _, authz := range claimed {
		account, ok := accounts[authz.Account]
		if !ok {
			var err error
			if account, err = r.Store.Account(ctx, authz.Account); err != nil {
				return fmt.Errorf("reading account %s: %w", authz.Account, err)
			}
			accounts[authz.Account] = account
		}
		r.places.takeClaimed(authz.Account)
		r.startValidation(account, authz)
	}
	return nil
}

// isBusy tells that the validation authority had no place for a try in time.
func isBusy(err error) bool {
	var p *acme.Problem
	return errors.As(err, &p) && p.Type == acme.RateLimited
}
