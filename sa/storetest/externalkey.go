package storetest

import (
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// externalKey stores a key of the directory that the suite's accounts are of.
func (s *suite) externalKey(id string, reusable bool) sa.ExternalKey {
	s.Helper()
	k := sa.ExternalKey{ID: id, Directory: "default", MAC: []byte("secret of " + id), Reusable: reusable, CreatedAt: s.in(0)}
	s.must(s.CreateExternalKey(s.ctx, k))
	return k
}

// boundAccount is an account, not stored yet, that a key binds.
func (s *suite) boundAccount(key string) acme.Account {
	s.Helper()
	a := s.newAccount()
	a.ExternalKeyID, a.ExternalAccountBinding = key, `{"protected":"..."}`
	return a
}

// refusesAccount checks that the account isn't created.
func (s *suite) refusesAccount(a acme.Account) {
	s.Helper()
	_, created, err := s.CreateAccount(s.ctx, a)
	s.wantErr(err, sa.ErrConflict)
	if created {
		s.Fatal("created, with an error")
	}
	_, err = s.Account(s.ctx, a.ID)
	s.wantErr(err, sa.ErrNotFound)
}

func (s *suite) externalKeyIs(want sa.ExternalKey) {
	s.Helper()
	got, err := s.ExternalKey(s.ctx, want.Directory, want.ID)
	s.must(err)
	s.equal(got, want)
}

var externalKeyTests = map[string]func(*suite){
	"ExternalKeyRoundTrip": func(s *suite) {
		full := sa.ExternalKey{
			ID: "kid-1", Directory: "default", MAC: []byte{0, 1, 2, 0xff}, Comment: "the mail team", Reusable: true, CreatedAt: s.in(0),
		}
		bare := sa.ExternalKey{ID: "kid-1", Directory: "another", MAC: []byte{3}, CreatedAt: s.in(0)}
		for _, want := range []sa.ExternalKey{full, bare} {
			s.must(s.CreateExternalKey(s.ctx, want))
			s.externalKeyIs(want)
		}
		again := full
		again.MAC = []byte("another")
		s.wantErr(s.CreateExternalKey(s.ctx, again), sa.ErrConflict)
		s.externalKeyIs(full)
	},
	"ExternalKeyNeedsAMAC": func(s *suite) {
		if s.CreateExternalKey(s.ctx, sa.ExternalKey{ID: "kid", Directory: "default", CreatedAt: s.in(0)}) == nil {
			s.Fatal("a key without a MAC was stored: anyone could use it")
		}
		if s.CreateExternalKey(s.ctx, sa.ExternalKey{MAC: []byte{1}, Directory: "default", CreatedAt: s.in(0)}) == nil {
			s.Fatal("a key without an identifier was stored")
		}
	},
	"ExternalKeyNotFound": func(s *suite) {
		s.externalKey("kid-1", false)
		for _, k := range []sa.ExternalKey{{Directory: "default", ID: "kid-2"}, {Directory: "another", ID: "kid-1"}} {
			_, err := s.ExternalKey(s.ctx, k.Directory, k.ID)
			s.wantErr(err, sa.ErrNotFound)
			s.wantErr(s.RevokeExternalKey(s.ctx, k.Directory, k.ID, s.in(0)), sa.ErrNotFound)
		}
	},
	"ExternalKeysAreListedWithoutSecrets": func(s *suite) {
		list, err := s.ExternalKeys(s.ctx, "default")
		s.must(err)
		s.equal(list, []sa.ExternalKey{})
		var want []sa.ExternalKey
		for _, id := range []string{"c", "a", "b"} {
			k := s.externalKey(id, id == "a")
			k.MAC = nil
			want = append(want, k)
			s.clock.advance(time.Second)
		}
		s.must(s.CreateExternalKey(s.ctx, sa.ExternalKey{ID: "d", Directory: "another", MAC: []byte{1}, CreatedAt: s.in(0)}))
		want[2].RevokedAt = s.in(0)
		s.must(s.RevokeExternalKey(s.ctx, "default", "b", s.in(0)))
		list, err = s.ExternalKeys(s.ctx, "default")
		s.must(err)
		s.equal(list, want)
	},
	"RevokeExternalKeyOnce": func(s *suite) {
		k := s.externalKey("kid", true)
		k.RevokedAt = s.in(0)
		s.must(s.RevokeExternalKey(s.ctx, "default", "kid", s.in(0)))
		s.wantErr(s.RevokeExternalKey(s.ctx, "default", "kid", s.in(time.Hour)), sa.ErrConflict)
		s.externalKeyIs(k)
	},
	"ExternalKeyBindsOneAccount": func(s *suite) {
		k := s.externalKey("kid", false)
		a, created, err := s.CreateAccount(s.ctx, s.boundAccount("kid"))
		s.must(err)
		if !created || a.ExternalKeyID != "kid" {
			s.Fatalf("created: %v, by key %q", created, a.ExternalKeyID)
		}
		k.Account = a.ID
		s.externalKeyIs(k)
		s.refusesAccount(s.boundAccount("kid"))
		s.externalKeyIs(k)

		// Asked again, the account is there, and needs no key.
		again := s.boundAccount("kid")
		again.Key = a.Key
		got, created, err := s.CreateAccount(s.ctx, again)
		s.must(err)
		if created {
			s.Fatal("created twice")
		}
		s.equal(got, a)
	},
	"ExternalKeyIsNotUsedByAnAccountThatIsThere": func(s *suite) {
		k := s.externalKey("kid", false)
		again := s.boundAccount("kid")
		again.Key = s.account().Key
		_, created, err := s.CreateAccount(s.ctx, again)
		s.must(err)
		if created {
			s.Fatal("created twice")
		}
		s.externalKeyIs(k)
	},
	"ReusableExternalKey": func(s *suite) {
		k := s.externalKey("kid", true)
		for range 3 {
			a, _, err := s.CreateAccount(s.ctx, s.boundAccount("kid"))
			s.must(err)
			k.Account = a.ID
			s.externalKeyIs(k)
		}
		s.must(s.RevokeExternalKey(s.ctx, "default", "kid", s.in(0)))
		s.refusesAccount(s.boundAccount("kid"))
	},
	"ExternalKeyMustBeUsable": func(s *suite) {
		s.externalKey("revoked", false)
		s.must(s.RevokeExternalKey(s.ctx, "default", "revoked", s.in(0)))
		s.refusesAccount(s.boundAccount("revoked"))
		s.refusesAccount(s.boundAccount("unknown"))
		s.must(s.CreateExternalKey(s.ctx, sa.ExternalKey{ID: "kid", Directory: "another", MAC: []byte{1}, CreatedAt: s.in(0)}))
		s.refusesAccount(s.boundAccount("kid"))
	},
}
