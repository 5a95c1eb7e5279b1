package ra

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// NewAccount implements Authority.
func (r *RA) NewAccount(ctx context.Context, req NewAccount) (acme.Account, bool, error) {
	dir, err := r.directory(req.Directory)
	if err != nil {
		return acme.Account{}, false, err
	}
	existing, err := r.Store.AccountByKey(ctx, req.Directory, req.Key.Thumbprint())
	switch {
	case err == nil:
		found, err := usable(existing)
		return found, false, err
	case !errors.Is(err, sa.ErrNotFound):
		return acme.Account{}, false, fmt.Errorf("looking for an account by its key: %w", err)
	case req.OnlyReturnExisting:
		return acme.Account{}, false, acme.NewProblem(acme.AccountDoesNotExist, "no account has this key; create one with newAccount without onlyReturnExisting")
	}

	if dir.TermsOfService != "" && !req.TermsOfServiceAgreed {
		return acme.Account{}, false, termsRequired(dir)
	}
	if err := checkContacts(req.Contacts); err != nil {
		return acme.Account{}, false, err
	}
	if err := r.verifyBinding(ctx, dir, req.Binding); err != nil {
		return acme.Account{}, false, err
	}
	if err := r.limited(r.limits.newAccount(req.Client)); err != nil {
		return acme.Account{}, false, err
	}

	id, err := acme.NewID(r.Now(), r.Random)
	if err != nil {
		return acme.Account{}, false, err
	}
	account := acme.Account{
		ID: id, Directory: req.Directory, Status: acme.AccountValid,
		Key: req.Key, Contacts: req.Contacts, CreatedAt: r.Now(),
	}
	if req.TermsOfServiceAgreed {
		account.TermsOfService = dir.TermsOfService
	}
	if req.Binding != nil {
		account.ExternalAccountBinding, account.ExternalKeyID = req.Binding.Document, req.Binding.KeyID
	}
	stored, created, err := r.Store.CreateAccount(ctx, account)
	if errors.Is(err, sa.ErrConflict) {
		return acme.Account{}, false, acme.NewProblem(acme.Unauthorized, "the external account key was used or revoked by another request")
	}
	if err != nil {
		return acme.Account{}, false, fmt.Errorf("storing an account: %w", err)
	}
	if created {
		r.Audit.LogAttrs(ctx, slog.LevelInfo, "account created", accountAttrs(stored, slog.String("client", req.Client.String()), slog.String("externalKey", stored.ExternalKeyID))...)
	}
	stored, err = usable(stored)
	return stored, created, err
}

// usable refuses an account that its key can no longer act for. RFC 8555
// §7.3.6: a deactivated account never comes back, nor does its key.
func usable(account acme.Account) (acme.Account, error) {
	if account.Status != acme.AccountValid {
		return acme.Account{}, acme.NewProblem(acme.Unauthorized, "the account with this key is %s; use a new key for a new account", account.Status).WithStatus(401)
	}
	return account, nil
}

func termsRequired(dir Directory) error {
	p := acme.NewProblem(acme.UserActionRequired, "agree to the terms of service at %s with termsOfServiceAgreed", dir.TermsOfService)
	p.Instance = dir.TermsOfService
	return p
}

// UpdateAccount implements Authority (RFC 8555 §7.3.2, and §7.3.3 for changed
// terms).
func (r *RA) UpdateAccount(ctx context.Context, req UpdateAccount) (acme.Account, error) {
	dir, err := r.directory(req.Account.Directory)
	if err != nil {
		return acme.Account{}, err
	}
	change := sa.AccountChange{Account: req.Account.ID, Contacts: req.Contacts}
	if req.Contacts != nil {
		if err := checkContacts(*req.Contacts); err != nil {
			return acme.Account{}, err
		}
	}
	if req.TermsOfServiceAgreed && req.Account.TermsOfService != dir.TermsOfService {
		change.TermsOfService = &dir.TermsOfService
	}
	if change.Contacts == nil && change.TermsOfService == nil {
		return req.Account, nil
	}
	return r.changeAccount(ctx, change, "account updated")
}

// DeactivateAccount implements Authority (RFC 8555 §7.3.6). The account's
// pending orders end with it: nothing is issued for an account that is not
// valid.
func (r *RA) DeactivateAccount(ctx context.Context, account acme.ID) (acme.Account, error) {
	status := acme.AccountDeactivated
	return r.changeAccount(ctx, sa.AccountChange{Account: account, Status: &status}, "account deactivated")
}

func (r *RA) changeAccount(ctx context.Context, change sa.AccountChange, decision string) (acme.Account, error) {
	account, err := r.Store.UpdateAccount(ctx, change)
	if errors.Is(err, sa.ErrConflict) {
		return acme.Account{}, acme.NewProblem(acme.Unauthorized, "the account is not valid any more").WithStatus(401)
	}
	if err != nil {
		return acme.Account{}, fmt.Errorf("changing account %s: %w", change.Account, err)
	}
	r.Audit.LogAttrs(ctx, slog.LevelInfo, decision, accountAttrs(account)...)
	return account, nil
}

// ChangeKey implements Authority.
func (r *RA) ChangeKey(ctx context.Context, req ChangeKey) (acme.Account, error) {
	switch keys, err := r.Store.AccountKeys(ctx, req.Account); {
	case err != nil:
		return acme.Account{}, fmt.Errorf("reading the keys of account %s: %w", req.Account, err)
	case len(keys) >= maxAccountKeys:
		return acme.Account{}, acme.NewProblem(acme.Unauthorized, "this account has had %d keys, which is the most that one can have; create a new account", len(keys))
	}
	account, err := r.Store.ChangeAccountKey(ctx, sa.KeyChange{
		Account: req.Account, OldThumbprint: req.OldKey.Thumbprint(), NewKey: req.NewKey,
	})
	var inUse sa.KeyInUseError
	switch {
	case errors.As(err, &inUse):
		p := acme.NewProblem(acme.Malformed, "the new key belongs to an account already; use a key that never had one").WithStatus(409)
		p.Account = inUse.Account
		return acme.Account{}, p
	case errors.Is(err, sa.ErrConflict):
		return acme.Account{}, acme.NewProblem(acme.Malformed, "the account's key was changed by another request; oldKey is no longer current").WithStatus(409)
	case err != nil:
		return acme.Account{}, fmt.Errorf("changing the key of account %s: %w", req.Account, err)
	}
	r.Audit.LogAttrs(ctx, slog.LevelInfo, "account key changed", accountAttrs(account, slog.String("oldThumbprint", req.OldKey.Thumbprint()))...)
	return account, nil
}

func accountAttrs(account acme.Account, more ...slog.Attr) []slog.Attr {
	return append([]slog.Attr{
		slog.String("account", account.ID.String()),
		slog.String("directory", account.Directory),
		slog.String("thumbprint", account.Key.Thumbprint()),
		slog.Any("contacts", account.Contacts),
	}, more...)
}
