package storetest

import (
	"encoding/base64"
	"errors"
	"testing"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

var accountTests = map[string]func(*suite){
	"AccountRoundTrip": func(s *suite) {
		full := s.newAccount()
		full.Contacts = []string{"mailto:a@example.com", `mailto:"b,c"@example.com`}
		full.TermsOfService = "https://ca.example/terms/1"
		full.ExternalAccountBinding = `{"protected":"..."}`
		full.ExternalKeyID = "kid-1"
		s.externalKey("kid-1", false)
		bare := s.newAccount()
		for _, want := range []acme.Account{full, bare} {
			got, created, err := s.CreateAccount(s.ctx, want)
			s.must(err)
			if !created {
				s.Fatal("not created")
			}
			s.equal(got, want)
			got, err = s.Account(s.ctx, want.ID)
			s.must(err)
			s.equal(got, want)
			got, err = s.AccountByKey(s.ctx, want.Directory, want.Key.Thumbprint())
			s.must(err)
			s.equal(got, want)
		}
	},
	"AccountNotFound": func(s *suite) {
		_, err := s.Account(s.ctx, s.id())
		s.wantErr(err, sa.ErrNotFound)
		a := s.account()
		_, err = s.AccountByKey(s.ctx, a.Directory, s.key().Thumbprint())
		s.wantErr(err, sa.ErrNotFound)
		_, err = s.AccountByKey(s.ctx, "another", a.Key.Thumbprint())
		s.wantErr(err, sa.ErrNotFound)
		_, err = s.UpdateAccount(s.ctx, sa.AccountChange{Account: s.id()})
		s.wantErr(err, sa.ErrNotFound)
		_, err = s.ChangeAccountKey(s.ctx, sa.KeyChange{Account: s.id(), OldThumbprint: a.Key.Thumbprint(), NewKey: s.key()})
		s.wantErr(err, sa.ErrNotFound)
	},
	"AccountKeyIsTakenOncePerDirectory": func(s *suite) {
		first := s.account()
		again := s.newAccount()
		again.Key = first.Key
		again.Contacts = []string{"mailto:changed@example.com"}
		got, created, err := s.CreateAccount(s.ctx, again)
		s.must(err)
		if created {
			s.Fatal("a second account was created for a key")
		}
		s.equal(got, first)
		_, err = s.Account(s.ctx, again.ID)
		s.wantErr(err, sa.ErrNotFound)

		again.Directory = "another"
		_, created, err = s.CreateAccount(s.ctx, again)
		s.must(err)
		if !created {
			s.Fatal("a key is taken in another directory too")
		}
	},
	"CreateAccountReturnsDeactivatedAccount": func(s *suite) {
		first := s.account()
		s.deactivate(first.ID)
		again := s.newAccount()
		again.Key = first.Key
		got, created, err := s.CreateAccount(s.ctx, again)
		s.must(err)
		if created || got.ID != first.ID || got.Status != acme.AccountDeactivated {
			s.Fatalf("created %v, %s account %s", created, got.Status, got.ID)
		}
	},
	"UpdateAccountChangesWhatItNames": func(s *suite) {
		want := s.newAccount()
		want.Contacts = []string{"mailto:a@example.com"}
		want.TermsOfService = "terms 1"
		_, _, err := s.CreateAccount(s.ctx, want)
		s.must(err)

		contacts, none, terms := []string{"mailto:b@example.com", "mailto:c@example.com"}, []string{}, "terms 2"
		for _, step := range []struct {
			change sa.AccountChange
			apply  func(*acme.Account)
		}{
			{sa.AccountChange{}, func(*acme.Account) {}},
			{sa.AccountChange{Contacts: &contacts}, func(a *acme.Account) { a.Contacts = contacts }},
			{sa.AccountChange{TermsOfService: &terms}, func(a *acme.Account) { a.TermsOfService = terms }},
			{sa.AccountChange{Contacts: &none}, func(a *acme.Account) { a.Contacts = nil }},
		} {
			step.change.Account = want.ID
			step.apply(&want)
			got, err := s.UpdateAccount(s.ctx, step.change)
			s.must(err)
			s.equal(got, want)
			got, err = s.Account(s.ctx, want.ID)
			s.must(err)
			s.equal(got, want)
		}
	},
	"UpdateAccountEndsAnAccountOnce": func(s *suite) {
		for _, status := range []acme.AccountStatus{acme.AccountDeactivated, acme.AccountRevoked} {
			a := s.account()
			got, err := s.UpdateAccount(s.ctx, sa.AccountChange{Account: a.ID, Status: &status})
			s.must(err)
			if got.Status != status {
				s.Fatalf("the account is %s, want %s", got.Status, status)
			}
			valid, contacts := acme.AccountValid, []string{"mailto:b@example.com"}
			for _, change := range []sa.AccountChange{{Status: &status}, {Status: &valid}, {Contacts: &contacts}, {}} {
				change.Account = a.ID
				_, err = s.UpdateAccount(s.ctx, change)
				s.wantErr(err, sa.ErrConflict)
			}
			got, err = s.Account(s.ctx, a.ID)
			s.must(err)
			if got.Status != status || got.Contacts != nil {
				s.Fatalf("a refused change was made: %+v", got)
			}
		}
	},
	"ChangeAccountKey": func(s *suite) {
		a := s.account()
		old, key := a.Key, s.key()
		got, err := s.ChangeAccountKey(s.ctx, sa.KeyChange{Account: a.ID, OldThumbprint: old.Thumbprint(), NewKey: key})
		s.must(err)
		a.Key = key
		s.equal(got, a)
		got, err = s.AccountByKey(s.ctx, a.Directory, key.Thumbprint())
		s.must(err)
		s.equal(got, a)
		_, err = s.AccountByKey(s.ctx, a.Directory, old.Thumbprint())
		s.wantErr(err, sa.ErrNotFound)
		// The old key is free again.
		again := s.newAccount()
		again.Key = old
		_, created, err := s.CreateAccount(s.ctx, again)
		s.must(err)
		if !created {
			s.Fatal("the old key is still taken")
		}
	},
	"ChangeAccountKeyConflicts": func(s *suite) {
		a, other := s.account(), s.account()
		change := func(account acme.Account, key acme.AccountKey) error {
			_, err := s.ChangeAccountKey(s.ctx, sa.KeyChange{Account: account.ID, OldThumbprint: account.Key.Thumbprint(), NewKey: key})
			return err
		}
		s.wantKeyInUse(change(a, other.Key), other.ID)
		s.wantKeyInUse(change(a, a.Key), a.ID)
		stale := a
		stale.Key = s.key()
		s.wantErr(change(stale, s.key()), sa.ErrConflict)
		s.deactivate(other.ID)
		s.wantKeyInUse(change(a, other.Key), other.ID) // in whatever state
		s.wantErr(change(other, s.key()), sa.ErrConflict)
		got, err := s.Account(s.ctx, a.ID)
		s.must(err)
		s.equal(got, a)

		// A key of another directory is no obstacle.
		elsewhere := s.newAccount()
		elsewhere.Directory = "another"
		_, _, err = s.CreateAccount(s.ctx, elsewhere)
		s.must(err)
		s.must(change(a, elsewhere.Key))
	},
}

func (s *suite) deactivate(account acme.ID) {
	s.Helper()
	status := acme.AccountDeactivated
	_, err := s.UpdateAccount(s.ctx, sa.AccountChange{Account: account, Status: &status})
	s.must(err)
}

func (s *suite) wantKeyInUse(err error, account acme.ID) {
	s.Helper()
	wantKeyInUse(s.T, err, account)
}

func wantKeyInUse(t *testing.T, err error, account acme.ID) {
	t.Helper()
	var inUse sa.KeyInUseError
	if !errors.As(err, &inUse) || inUse.Account != account {
		t.Fatalf("error %v, want that the key belongs to account %s", err, account)
	}
}
