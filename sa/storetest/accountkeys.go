package storetest

import (
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

var accountKeyTests = map[string]func(*suite){
	"AccountKeys": func(s *suite) {
		first := s.newAccount()
		made := s.in(0)
		a, _, err := s.CreateAccount(s.ctx, first)
		s.must(err)
		want := []acme.UsedKey{{Thumbprint: first.Key.Thumbprint(), Since: made}}
		s.wantKeys(a.ID, want...)

		// A second newAccount with the key adds nothing.
		s.clock.advance(time.Hour)
		again := s.newAccount()
		again.Key = first.Key
		_, _, err = s.CreateAccount(s.ctx, again)
		s.must(err)
		s.wantKeys(a.ID, want...)

		// The current key comes first, then the newest.
		for range 3 {
			s.clock.advance(time.Hour)
			a = s.rollover(a, s.key())
			want = append([]acme.UsedKey{{Thumbprint: a.Key.Thumbprint(), Since: s.in(0)}}, want...)
			s.wantKeys(a.ID, want...)
		}

		// A key that comes back is there once, first, and since its first time.
		s.clock.advance(time.Hour)
		a = s.rollover(a, first.Key)
		want = append(want[3:4:4], want[:3]...)
		s.wantKeys(a.ID, want...)
		s.reopen()
		s.wantKeys(a.ID, want...)
	},
	"AccountKeysAreTheAccountsOwn": func(s *suite) {
		a := s.account()
		old := a.Key
		a = s.rollover(a, s.key())
		// Another account takes the key that was left: both have had it.
		b := s.newAccount()
		b.Key = old
		b, created, err := s.CreateAccount(s.ctx, b)
		s.must(err)
		if !created {
			s.Fatal("the old key is still taken")
		}
		s.wantThumbprints(a.ID, a.Key, old)
		s.wantThumbprints(b.ID, old)
		// What was refused leaves no trace.
		_, err = s.ChangeAccountKey(s.ctx, sa.KeyChange{Account: a.ID, OldThumbprint: a.Key.Thumbprint(), NewKey: old})
		s.wantKeyInUse(err, b.ID)
		_, err = s.ChangeAccountKey(s.ctx, sa.KeyChange{Account: b.ID, OldThumbprint: a.Key.Thumbprint(), NewKey: s.key()})
		s.wantErr(err, sa.ErrConflict)
		s.wantThumbprints(a.ID, a.Key, old)
		s.wantThumbprints(b.ID, old)
	},
	"AccountKeysEndWithTheAccount": func(s *suite) {
		_, err := s.AccountKeys(s.ctx, s.id())
		s.wantErr(err, sa.ErrNotFound)
		for _, status := range []acme.AccountStatus{acme.AccountDeactivated, acme.AccountRevoked} {
			a := s.rollover(s.account(), s.key())
			_, err := s.UpdateAccount(s.ctx, sa.AccountChange{Account: a.ID, Status: &status})
			s.must(err)
			s.wantKeys(a.ID)
		}
	},
	"ReuseExceptsMethods": func(s *suite) {
		account := s.account().ID
		s.ready(account, "a.example.com") // over http-01
		persisted := s.order(account, "a.example.com", "b.example.com")
		for _, id := range persisted.Authorizations {
			begin := s.beginOf(id)
			begin.Type = acme.DNSPersist01
			_, err := s.BeginValidation(s.ctx, begin)
			s.must(err)
			valid := s.validOf(id)
			valid.Expires = s.in(60 * 24 * time.Hour) // the better one, but for its method
			valid.Evidence.Method, valid.Evidence.AccountURI, valid.Evidence.PersistUntil = acme.DNSPersist01, "https://ca.example/x", s.in(0).Truncate(time.Second)
			got, err := s.CompleteValidation(s.ctx, valid)
			s.must(err)
			stored, err := s.Authorization(s.ctx, id)
			s.must(err)
			s.equal(stored.Attempt.Evidence, valid.Evidence)
			s.equal(got.Attempt.Evidence, valid.Evidence)
		}
		query := sa.ReuseQuery{Account: account, Identifiers: []acme.Identifier{dns("a.example.com"), dns("b.example.com")}}
		found, err := s.ReusableAuthorizations(s.ctx, query)
		s.must(err)
		if len(found) != 2 {
			s.Fatalf("%d authorizations, want 2", len(found))
		}
		query.Except = []acme.ChallengeType{acme.DNSPersist01}
		found, err = s.ReusableAuthorizations(s.ctx, query)
		s.must(err)
		if len(found) != 1 || found[0].Attempt.Type != acme.HTTP01 {
			s.Fatalf("without those of dns-persist-01: %+v", found)
		}
	},
}

// rollover gives an account another key.
func (s *suite) rollover(a acme.Account, key acme.AccountKey) acme.Account {
	s.Helper()
	a, err := s.ChangeAccountKey(s.ctx, sa.KeyChange{Account: a.ID, OldThumbprint: a.Key.Thumbprint(), NewKey: key})
	s.must(err)
	return a
}

func (s *suite) wantKeys(account acme.ID, want ...acme.UsedKey) {
	s.Helper()
	got, err := s.AccountKeys(s.ctx, account)
	s.must(err)
	s.equal(got, want)
}

func (s *suite) wantThumbprints(account acme.ID, want ...acme.AccountKey) {
	s.Helper()
	keys, err := s.AccountKeys(s.ctx, account)
	s.must(err)
	var got, thumbprints []string
	for _, k := range keys {
		got = append(got, k.Thumbprint)
	}
	for _, k := range want {
		thumbprints = append(thumbprints, k.Thumbprint())
	}
	s.equal(got, thumbprints)
}
