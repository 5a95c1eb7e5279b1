package ra

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/va"
)

// What is particular to dns-persist-01: its record stays, so that each order
// can be validated anew at no cost to the client, and its holder says in the
// record how long it may be relied on.

// maxPersistLifetime is how long a validation by dns-persist-01 may be relied
// on (Baseline Requirements §3.2.2.4.22).
const maxPersistLifetime = 10 * 24 * time.Hour

// maxAccountKeys bounds the keys that an account can have had: each of them
// names the account in dns-persist-01 records.
const maxAccountKeys = 1000

// validatedAnew are the challenge types whose validations serve one order
// only.
var validatedAnew = []acme.ChallengeType{acme.DNSPersist01}

// validUntil is how long a validation that succeeded now is relied on.
func (d Directory) validUntil(now time.Time, method acme.ChallengeType, evidence acme.Evidence) time.Time {
	until := now.Add(d.ValidLifetime)
	if method != acme.DNSPersist01 {
		return until
	}
	if most := now.Add(maxPersistLifetime); until.After(most) {
		until = most
	}
	// draft-ietf-acme-dns-persist-02: the authorization ends with the record,
	// and nothing is issued on it afterwards.
	if end := evidence.PersistUntil; !end.IsZero() && until.After(end) {
		until = end
	}
	return until
}

// request is what is asked of the validation authority for an authorization
// whose challenge was responded to.
func (r *RA) request(ctx context.Context, account acme.Account, authz acme.Authorization) (va.Request, error) {
	attempt := authz.Attempt
	req := va.Request{
		Directory: account.Directory, Identifier: authz.Identifier, Wildcard: authz.Wildcard, Subdomains: authz.Subdomains,
		Type: attempt.Type, Token: authz.Seed.Token(attempt.Type), KeyThumbprint: attempt.KeyThumbprint,
		AccountURL: r.AccountURL(account.Directory, account.ID), Response: attempt.Response,
	}
	if attempt.Type != acme.DNSPersist01 {
		return req, nil
	}
	// Read at each try, so that an account that was deactivated meanwhile has
	// none.
	keys, err := r.Store.AccountKeys(ctx, account.ID)
	if err != nil {
		return va.Request{}, fmt.Errorf("reading the keys of account %s: %w", account.ID, err)
	}
	for _, key := range keys {
		req.AccountThumbprints = append(req.AccountThumbprints, key.Thumbprint)
	}
	return req, nil
}

// proveAgain validates, before a certificate renews itself, what dns-persist-01
// proved and is not to be relied on any more. Other proofs would need the
// client, which auto-renewal does without (RFC 8739 §1).
func (r *RA) proveAgain(ctx context.Context, account acme.Account, order acme.Order) error {
	var problems []*acme.Problem
	for _, id := range order.Authorizations {
		authz, err := r.Store.Authorization(ctx, id)
		if err != nil {
			return fmt.Errorf("reading authorization %s: %w", id, err)
		}
		if authz.Attempt == nil || !slices.Contains(validatedAnew, authz.Attempt.Type) || authz.Status == acme.AuthorizationValid {
			continue
		}
		req, err := r.request(ctx, account, authz)
		if err != nil {
			return err
		}
		tryCtx, cancel := context.WithTimeout(ctx, r.TryTimeout)
		result, err := r.VA.Validate(tryCtx, req)
		cancel()
		if err != nil {
			return fmt.Errorf("validating %s again for %s: %w", req.Type, authz.Names(), err)
		}
		attrs := append(authorizationAttrs(authz), slog.String("order", order.ID.String()), slog.String("method", string(req.Type)), slog.Any("evidence", result.Evidence))
		if result.Problem != nil {
			attrs = append(attrs, slog.String("problem", result.Problem.Error()))
			problems = append(problems, result.Problem.For(authz.Names()))
		}
		r.Audit.LogAttrs(ctx, slog.LevelInfo, "validated again for a renewal", attrs...)
	}
	if p := acme.Combine(problems); p != nil {
		return p
	}
	return nil
}
