package sa

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/cairn-ca/cairn/internal/acme"
)

const accountColumns = `id, directory, status, jwk, contacts, terms_of_service, external_account_binding, external_key_id, created_at`

const (
	selectAccount      = `SELECT ` + accountColumns + ` FROM accounts WHERE id = $1`
	selectAccountByKey = `SELECT ` + accountColumns + ` FROM accounts WHERE directory = $1 AND thumbprint = $2`

	insertAccount = `INSERT INTO accounts (` + accountColumns + `, thumbprint)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (directory, thumbprint) DO NOTHING`

	// A NULL argument leaves its column; an empty list of contacts is '[]'.
	updateAccount = `UPDATE accounts
SET contacts = coalesce($2, contacts), terms_of_service = coalesce($3, terms_of_service), status = coalesce($4, status)
WHERE id = $1 AND status = 'valid'
RETURNING ` + accountColumns

	changeAccountKey = `UPDATE accounts SET jwk = $3, thumbprint = $4
WHERE id = $1 AND thumbprint = $2 AND status = 'valid'
RETURNING ` + accountColumns
)

// account reads one account; ErrNotFound when the query has no row.
func (d *DB) account(ctx context.Context, s *session, query string, args ...any) (acme.Account, error) {
	var a acme.Account
	var jwk, contacts string
	err := s.one(ctx, query, args,
		(*scanID)(&a.ID), (*scanText)(&a.Directory), (*scanText)(&a.Status), (*scanText)(&jwk), (*scanText)(&contacts),
		(*scanText)(&a.TermsOfService), (*scanText)(&a.ExternalAccountBinding), (*scanText)(&a.ExternalKeyID), (*scanTime)(&a.CreatedAt))
	if errors.Is(err, sql.ErrNoRows) {
		return acme.Account{}, ErrNotFound
	}
	if err != nil {
		return acme.Account{}, fmt.Errorf("reading an account: %w", err)
	}
	if a.Key, err = d.keys.parse(jwk); err != nil {
		return acme.Account{}, fmt.Errorf("reading the key of account %s: %w", a.ID, err)
	}
	list, err := fromJSON[[]string](contacts)
	if err != nil {
		return acme.Account{}, fmt.Errorf("reading the contacts of account %s: %w", a.ID, err)
	}
	if list != nil && len(*list) > 0 {
		a.Contacts = *list
	}
	return a, nil
}

// Account implements Reader.
func (d *DB) Account(ctx context.Context, id acme.ID) (a acme.Account, err error) {
	err = d.read(ctx, opAccount, func(ctx context.Context, s *session) (err error) {
		a, err = d.account(ctx, s, selectAccount, id[:])
		return err
	})
	return a, err
}

// AccountByKey implements Reader.
func (d *DB) AccountByKey(ctx context.Context, directory, thumbprint string) (a acme.Account, err error) {
	err = d.read(ctx, opAccountByKey, func(ctx context.Context, s *session) (err error) {
		a, err = d.account(ctx, s, selectAccountByKey, directory, thumbprint)
		return err
	})
	return a, err
}

// CreateAccount implements AccountStore.
func (d *DB) CreateAccount(ctx context.Context, account acme.Account) (stored acme.Account, created bool, err error) {
	var contacts any
	if len(account.Contacts) > 0 {
		if contacts, err = jsonValue(&account.Contacts); err != nil {
			return acme.Account{}, false, err
		}
	}
	err = d.write(ctx, opCreateAccount, func(ctx context.Context, s *session) error {
		n, err := s.exec(ctx, insertAccount, account.ID[:], account.Directory, string(account.Status), account.Key.JSON(), contacts,
			textValue(account.TermsOfService), textValue(account.ExternalAccountBinding), textValue(account.ExternalKeyID),
			account.CreatedAt.UnixMicro(), account.Key.Thumbprint())
		if err != nil {
			return fmt.Errorf("inserting account %s: %w", account.ID, err)
		}
		created = n == 1
		if created && account.ExternalKeyID != "" {
			if err := bindExternalKey(ctx, s, &account); err != nil {
				return err
			}
		}
		if created {
			if err := d.recordAccountKey(ctx, s, account); err != nil {
				return err
			}
		}
		stored, err = d.account(ctx, s, selectAccountByKey, account.Directory, account.Key.Thumbprint())
		return err
	})
	if err != nil {
		return acme.Account{}, false, err
	}
	return stored, created, nil
}

// UpdateAccount implements AccountStore.
func (d *DB) UpdateAccount(ctx context.Context, change AccountChange) (a acme.Account, err error) {
	contacts, err := jsonValue(change.Contacts)
	if err != nil {
		return acme.Account{}, err
	}
	if change.Contacts != nil && len(*change.Contacts) == 0 {
		contacts = "[]"
	}
	var terms, status any
	if change.TermsOfService != nil {
		terms = *change.TermsOfService
	}
	if change.Status != nil {
		status = string(*change.Status)
	}
	err = d.write(ctx, opUpdateAccount, func(ctx context.Context, s *session) (err error) {
		a, err = d.account(ctx, s, updateAccount, change.Account[:], contacts, terms, status)
		return d.conflictIfThere(ctx, s, err, accountExists, change.Account[:])
	})
	return a, err
}

const accountExists = `SELECT 1 FROM accounts WHERE id = $1`

// ChangeAccountKey implements AccountStore.
func (d *DB) ChangeAccountKey(ctx context.Context, change KeyChange) (a acme.Account, err error) {
	swap := func(ctx context.Context, s *session) (err error) {
		old, err := d.account(ctx, s, selectAccount, change.Account[:])
		if err != nil {
			return err
		}
		if old.Status != acme.AccountValid || old.Key.Thumbprint() != change.OldThumbprint {
			return ErrConflict
		}
		switch holder, err := d.account(ctx, s, selectAccountByKey, old.Directory, change.NewKey.Thumbprint()); {
		case err == nil:
			return KeyInUseError{Account: holder.ID}
		case !errors.Is(err, ErrNotFound):
			return err
		}
		a, err = d.account(ctx, s, changeAccountKey, change.Account[:], change.OldThumbprint, change.NewKey.JSON(), change.NewKey.Thumbprint())
		if errors.Is(err, ErrNotFound) {
			return ErrConflict // changed since it was read above
		}
		if err != nil {
			return err
		}
		return d.recordAccountKey(ctx, s, a)
	}
	err = d.write(ctx, opChangeAccountKey, swap)
	if err != nil && d.isUniqueViolation(err) {
		// Another account got the key after it was looked for: that one is
		// found now.
		err = d.write(ctx, opChangeAccountKey, swap)
	}
	if err != nil {
		return acme.Account{}, err
	}
	return a, nil
}

// conflictIfThere makes ErrConflict of ErrNotFound when the query has a row:
// the thing is there, in another state than the statement changes.
func (d *DB) conflictIfThere(ctx context.Context, s *session, err error, exists string, args ...any) error {
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	there, err := s.has(ctx, exists, args...)
	switch {
	case err != nil:
		return fmt.Errorf("looking for what was to be changed: %w", err)
	case there:
		return ErrConflict
	}
	return ErrNotFound
}
