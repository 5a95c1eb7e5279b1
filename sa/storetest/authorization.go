package storetest

import (
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

var authorizationTests = map[string]func(*suite){
	"AuthorizationNotFound": func(s *suite) {
		_, err := s.Authorization(s.ctx, s.id())
		s.wantErr(err, sa.ErrNotFound)
		_, err = s.DeactivateAuthorization(s.ctx, s.id())
		s.wantErr(err, sa.ErrNotFound)
	},
	"AuthorizationExpires": func(s *suite) {
		o := s.order(s.account().ID, "a.example.com", "b.example.com", "c.example.com")
		s.validate(o.Authorizations[1])
		s.begin(o.Authorizations[2])
		s.clock.advance(24*time.Hour - time.Microsecond)
		s.authorizationStatus(o.Authorizations[0], acme.AuthorizationPending)
		s.clock.advance(time.Microsecond)
		s.authorizationStatus(o.Authorizations[0], acme.AuthorizationInvalid)
		s.authorizationStatus(o.Authorizations[1], acme.AuthorizationValid)
		attempted := s.authorizationStatus(o.Authorizations[2], acme.AuthorizationInvalid)
		if c, _ := attempted.Challenge(acme.HTTP01); c.Status != acme.ChallengeInvalid {
			s.Fatalf("the challenge of an expired authorization is %s", c.Status)
		}
		s.clock.advance(29 * 24 * time.Hour)
		s.authorizationStatus(o.Authorizations[1], acme.AuthorizationExpired)
	},
	"DeactivateAuthorization": func(s *suite) {
		a := s.account()
		o := s.order(a.ID, "a.example.com", "b.example.com", "c.example.com", "d.example.com")
		s.validate(o.Authorizations[1])
		s.begin(o.Authorizations[2])
		s.begin(o.Authorizations[3])
		s.complete(s.invalidOf(o.Authorizations[3]))
		for _, id := range o.Authorizations[:3] {
			got, err := s.DeactivateAuthorization(s.ctx, id)
			s.must(err)
			if got.Status != acme.AuthorizationDeactivated || got.ID != id {
				s.Fatalf("%s authorization %s", got.Status, got.ID)
			}
			s.equal(s.authorizationStatus(id, acme.AuthorizationDeactivated), got)
			_, err = s.DeactivateAuthorization(s.ctx, id)
			s.wantErr(err, sa.ErrConflict)
		}
		_, err := s.DeactivateAuthorization(s.ctx, o.Authorizations[3])
		s.wantErr(err, sa.ErrConflict)
		// The work is over too.
		_, err = s.CompleteValidation(s.ctx, s.validOf(o.Authorizations[2]))
		s.wantErr(err, sa.ErrConflict)
		s.clock.advance(time.Hour)
		s.claims(0)

		expired := s.order(a.ID, "a.example.com")
		s.clock.advance(25 * time.Hour)
		_, err = s.DeactivateAuthorization(s.ctx, expired.Authorizations[0])
		s.wantErr(err, sa.ErrConflict)
	},
	"ReusableAuthorizations": func(s *suite) {
		a := s.account()
		o := s.order(a.ID, "valid.example.com", "pending.example.com", "invalid.example.com", "attempted.example.com", "*.wild.example.com")
		names := o.Identifiers
		authz := make(map[acme.Identifier]acme.ID)
		for i, id := range names {
			authz[id] = o.Authorizations[i]
		}
		valid := s.validate(authz[dns("valid.example.com")])
		wild := s.validate(authz[dns("*.wild.example.com")])
		s.begin(authz[dns("invalid.example.com")])
		s.complete(s.invalidOf(authz[dns("invalid.example.com")]))
		s.begin(authz[dns("attempted.example.com")])
		pending := s.authorizationStatus(authz[dns("pending.example.com")], acme.AuthorizationPending)
		all := append(names, dns("wild.example.com"), dns("*.valid.example.com"), dns("new.example.com"))
		s.order(s.account().ID, "new.example.com") // another account's

		day := 24 * time.Hour
		for name, c := range map[string]struct {
			query sa.ReuseQuery
			want  []acme.Authorization
		}{
			"valid ones":               {sa.ReuseQuery{ValidUntil: s.in(day)}, []acme.Authorization{valid, wild}},
			"exactly long enough":      {sa.ReuseQuery{ValidUntil: s.in(30 * day)}, []acme.Authorization{valid, wild}},
			"not long enough":          {sa.ReuseQuery{ValidUntil: s.in(30*day + time.Microsecond)}, nil},
			"validated recently":       {sa.ReuseQuery{ValidUntil: s.in(day), ValidatedBy: s.in(0)}, []acme.Authorization{valid, wild}},
			"validated too long ago":   {sa.ReuseQuery{ValidUntil: s.in(day), ValidatedBy: s.in(time.Microsecond)}, nil},
			"pending ones too":         {sa.ReuseQuery{ValidUntil: s.in(day), Pending: true, PendingUntil: s.in(day)}, []acme.Authorization{pending, valid, wild}},
			"pending not long enough":  {sa.ReuseQuery{ValidUntil: s.in(day), Pending: true, PendingUntil: s.in(day + time.Microsecond)}, []acme.Authorization{valid, wild}},
			"pending for want of both": {sa.ReuseQuery{ValidUntil: s.in(31 * day), Pending: true, PendingUntil: s.in(0)}, []acme.Authorization{pending}},
		} {
			c.query.Account, c.query.Identifiers = a.ID, all
			got, err := s.ReusableAuthorizations(s.ctx, c.query)
			s.must(err)
			if got, want := byName(got), byName(c.want); !sameAuthorizations(got, want) {
				s.Fatalf("%s: got %v, want %v", name, got, want)
			}
		}
		got, err := s.ReusableAuthorizations(s.ctx, sa.ReuseQuery{Account: a.ID, Identifiers: []acme.Identifier{dns("valid.example.com")}, ValidUntil: s.in(0)})
		s.must(err)
		s.equal(got, []acme.Authorization{valid})
		got, err = s.ReusableAuthorizations(s.ctx, sa.ReuseQuery{Account: a.ID, ValidUntil: s.in(0), Pending: true})
		s.must(err)
		s.equal(got, []acme.Authorization{})

		s.clock.advance(31 * day)
		got, err = s.ReusableAuthorizations(s.ctx, sa.ReuseQuery{Account: a.ID, Identifiers: all, Pending: true}) // both times long past
		s.must(err)
		s.equal(got, []acme.Authorization{})
	},
	"ReusableAuthorizationsChoosesOne": func(s *suite) {
		a := s.account()
		s.order(a.ID, "example.com")
		older := s.ready(a.ID, "example.com")
		s.clock.advance(time.Hour)
		newer := s.ready(a.ID, "example.com")
		s.order(a.ID, "example.com")
		_ = older
		got, err := s.ReusableAuthorizations(s.ctx, sa.ReuseQuery{
			Account: a.ID, Identifiers: []acme.Identifier{dns("example.com")}, ValidUntil: s.in(time.Hour), Pending: true, PendingUntil: s.in(time.Hour),
		})
		s.must(err)
		if len(got) != 1 || got[0].ID != newer.Authorizations[0] {
			s.Fatalf("got %v, want the valid one that lasts longest", byName(got))
		}
	},
	"ReusableAuthorizationsOfManyNames": func(s *suite) {
		a := s.account()
		o := s.order(a.ID, manyNames(150)...)
		got, err := s.ReusableAuthorizations(s.ctx, sa.ReuseQuery{Account: a.ID, Identifiers: o.Identifiers, Pending: true})
		s.must(err)
		if len(got) != 150 {
			s.Fatalf("%d authorizations, want 150", len(got))
		}
	},
	"RecordCAA": func(s *suite) {
		a := s.account()
		o := s.ready(a.ID, "a.example.com", "b.example.com")
		before := s.authorizationStatus(o.Authorizations[0], acme.AuthorizationValid)
		s.clock.advance(9 * time.Hour)
		fresh := acme.CAAEvidence{CheckedAt: s.in(0), FoundAt: "example.com", Records: []string{`0 issue "ca.example"`}}
		s.must(s.RecordCAA(s.ctx, map[acme.ID]acme.CAAEvidence{o.Authorizations[0]: fresh, o.Authorizations[1]: fresh}))
		for _, id := range o.Authorizations {
			s.equal(s.authorizationStatus(id, acme.AuthorizationValid).Attempt.Evidence.CAA, &fresh)
		}
		before.Attempt.Evidence.CAA = &fresh
		s.equal(s.authorizationStatus(o.Authorizations[0], acme.AuthorizationValid), before) // nothing else changed
		s.must(s.RecordCAA(s.ctx, nil))
	},
	"RecordCAANeedsValidAuthorizations": func(s *suite) {
		a := s.account()
		o, pending := s.ready(a.ID, "a.example.com"), s.order(a.ID, "b.example.com")
		before := s.authorizationStatus(o.Authorizations[0], acme.AuthorizationValid)
		fresh := acme.CAAEvidence{CheckedAt: s.in(time.Hour)}
		s.wantErr(s.RecordCAA(s.ctx, map[acme.ID]acme.CAAEvidence{o.Authorizations[0]: fresh, pending.Authorizations[0]: fresh}), sa.ErrConflict)
		s.equal(s.authorizationStatus(o.Authorizations[0], acme.AuthorizationValid), before) // all or none
	},
}

func byName(list []acme.Authorization) map[acme.Identifier]acme.ID {
	m := make(map[acme.Identifier]acme.ID, len(list))
	for _, a := range list {
		m[a.Names()] = a.ID
	}
	return m
}

func sameAuthorizations(a, b map[acme.Identifier]acme.ID) bool {
	for name, id := range a {
		if b[name] != id {
			return false
		}
	}
	return len(a) == len(b)
}

// claims claims validations and checks how many there are.
func (s *suite) claims(n int) []acme.Authorization {
	s.Helper()
	claimed, err := s.ClaimValidations(s.ctx, sa.Claim{Owner: "process 2", LeaseUntil: s.in(time.Minute), Limit: 100})
	s.must(err)
	if len(claimed) != n {
		s.Fatalf("claimed %d validations, want %d", len(claimed), n)
	}
	return claimed
}
