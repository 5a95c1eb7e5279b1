package storetest

import (
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

var validationTests = map[string]func(*suite){
	"ValidationSucceeds": func(s *suite) {
		o := s.order(s.account().ID, "example.com")
		id := o.Authorizations[0]
		want := s.authorizationStatus(id, acme.AuthorizationPending)
		begin := s.beginOf(id)
		begin.Type, begin.Response = acme.DNS01, []byte(`{"proof":"\u0000"}`)
		got, err := s.BeginValidation(s.ctx, begin)
		s.must(err)
		want.Attempt = &acme.Attempt{Type: acme.DNS01, StartedAt: s.in(0), Response: begin.Response, KeyThumbprint: "thumbprint"}
		s.equal(got, want)
		s.equal(s.authorizationStatus(id, acme.AuthorizationPending), want)

		s.clock.advance(time.Second)
		result := s.validOf(id)
		result.Evidence = acme.Evidence{
			Method: acme.DNS01, DomainName: "example.com", At: s.in(0), Steps: []string{"TXT _acme-challenge.example.com", `answer "x"`},
			CAA: &acme.CAAEvidence{CheckedAt: s.in(0), FoundAt: "com", Records: []string{`0 issue "ca.example"`}},
			Perspectives: []acme.PerspectiveResult{
				{Name: "a", Region: "ARIN"}, {Name: "b", Region: "RIPE", Problem: wholeProblem(o.Account)},
			},
			Quorum: "1/2",
		}
		// Text in JSON is Unicode: what isn't comes back as U+FFFD.
		result.Evidence.Perspectives[1].Problem.Detail = "several problems"
		got, err = s.CompleteValidation(s.ctx, result)
		s.must(err)
		want.Status, want.Expires = acme.AuthorizationValid, result.Expires
		want.Attempt.Tries, want.Attempt.Validated, want.Attempt.Evidence = 1, result.Validated, result.Evidence
		s.equal(got, want)
		s.equal(s.authorizationStatus(id, acme.AuthorizationValid), want)
	},
	"ValidationFails": func(s *suite) {
		o := s.order(s.account().ID, "example.com")
		id := o.Authorizations[0]
		want := s.begin(id)
		result := s.invalidOf(id)
		result.Problem = wholeProblem(o.Account)
		result.Problem.Detail = "several problems"
		result.Evidence = acme.Evidence{Method: acme.HTTP01, At: s.in(0)}
		got := s.complete(result)
		want.Status = acme.AuthorizationInvalid
		want.Attempt.Tries, want.Attempt.Error, want.Attempt.Evidence = 1, result.Problem, result.Evidence
		s.equal(got, want)
		s.equal(s.authorizationStatus(id, acme.AuthorizationInvalid), want)
	},
	"ProblemWithAnyBytes": func(s *suite) {
		o := s.order(s.account().ID, "example.com")
		s.begin(o.Authorizations[0])
		result := s.invalidOf(o.Authorizations[0])
		result.Problem = wholeProblem(o.Account)
		s.complete(result)
		got := s.authorizationStatus(o.Authorizations[0], acme.AuthorizationInvalid)
		if got.Attempt.Error.Detail != "several \x00 \uFFFD problems" {
			s.Fatalf("%q", got.Attempt.Error.Detail)
		}
	},
	"BeginValidationConflicts": func(s *suite) {
		a := s.account()
		_, err := s.BeginValidation(s.ctx, s.beginOf(s.id()))
		s.wantErr(err, sa.ErrNotFound)

		o := s.order(a.ID, "a.example.com", "b.example.com", "c.example.com", "d.example.com")
		s.begin(o.Authorizations[0])
		s.validate(o.Authorizations[1])
		_, err = s.DeactivateAuthorization(s.ctx, o.Authorizations[2])
		s.must(err)
		for _, id := range o.Authorizations[:3] {
			_, err = s.BeginValidation(s.ctx, s.beginOf(id))
			s.wantErr(err, sa.ErrConflict)
		}
		s.clock.advance(24 * time.Hour)
		_, err = s.BeginValidation(s.ctx, s.beginOf(o.Authorizations[3]))
		s.wantErr(err, sa.ErrConflict) // expired

		last := s.order(a.ID, "a.example.com")
		s.deactivate(a.ID)
		_, err = s.BeginValidation(s.ctx, s.beginOf(last.Authorizations[0]))
		s.wantErr(err, sa.ErrConflict)
		if got := s.authorizationStatus(last.Authorizations[0], acme.AuthorizationPending); got.Attempt != nil {
			s.Fatal("a refused attempt was recorded")
		}
	},
	"CompleteValidationConflicts": func(s *suite) {
		a := s.account()
		_, err := s.CompleteValidation(s.ctx, s.validOf(s.id()))
		s.wantErr(err, sa.ErrNotFound)
		o := s.order(a.ID, "a.example.com", "b.example.com", "c.example.com")
		_, err = s.CompleteValidation(s.ctx, s.validOf(o.Authorizations[0]))
		s.wantErr(err, sa.ErrConflict) // not begun

		before := s.begin(o.Authorizations[0])
		foreign := s.validOf(o.Authorizations[0])
		foreign.Owner = "process 2"
		_, err = s.CompleteValidation(s.ctx, foreign)
		s.wantErr(err, sa.ErrConflict)
		s.equal(s.authorizationStatus(o.Authorizations[0], acme.AuthorizationPending), before)

		s.validate(o.Authorizations[1])
		_, err = s.CompleteValidation(s.ctx, s.invalidOf(o.Authorizations[1]))
		s.wantErr(err, sa.ErrConflict)

		s.begin(o.Authorizations[2])
		s.clock.advance(24 * time.Hour)
		_, err = s.CompleteValidation(s.ctx, s.validOf(o.Authorizations[2]))
		s.wantErr(err, sa.ErrConflict) // it reads as invalid already
		s.authorizationStatus(o.Authorizations[2], acme.AuthorizationInvalid)
	},
	"CompleteValidationAfterTheLeaseLapsed": func(s *suite) {
		o := s.order(s.account().ID, "a.example.com")
		s.begin(o.Authorizations[0])
		s.clock.advance(2 * time.Minute)
		s.complete(s.validOf(o.Authorizations[0])) // nobody took it over
	},
	"RetryValidation": func(s *suite) {
		o := s.order(s.account().ID, "example.com")
		id := o.Authorizations[0]
		want := s.begin(id)
		problem := acme.NewProblem(acme.Connection, "no answer")
		for try := 1; try <= 2; try++ {
			next := s.in(10 * time.Second)
			s.must(s.RetryValidation(s.ctx, sa.RetryValidation{Authorization: id, Owner: owner, Error: problem, NextTry: next}))
			want.Attempt.Tries, want.Attempt.Error, want.Attempt.NextTry = try, problem, next
			got := s.authorizationStatus(id, acme.AuthorizationPending)
			s.equal(got, want)
			if c, _ := got.Challenge(acme.HTTP01); c.Status != acme.ChallengeProcessing || !c.RetryAfter.Equal(next) {
				s.Fatalf("the challenge is %s, with another try at %s", c.Status, c.RetryAfter)
			}
			s.orderStatus(o.ID, acme.OrderPending)

			s.clock.advance(10*time.Second - time.Microsecond)
			s.claims(0)
			s.clock.advance(time.Microsecond)
			claimed, err := s.ClaimValidations(s.ctx, sa.Claim{Owner: owner, LeaseUntil: s.in(time.Minute), Limit: 10})
			s.must(err)
			want.Attempt.NextTry = time.Time{} // it is under way
			s.equal(claimed, []acme.Authorization{want})
		}
		got := s.complete(s.validOf(id))
		if got.Attempt.Tries != 3 || got.Attempt.Error != nil {
			s.Fatalf("%d tries, error %v", got.Attempt.Tries, got.Attempt.Error)
		}
	},
	"RetryValidationConflicts": func(s *suite) {
		o := s.order(s.account().ID, "a.example.com", "b.example.com")
		retry := sa.RetryValidation{Authorization: o.Authorizations[0], Owner: owner, Error: acme.NewProblem(acme.DNS, "no"), NextTry: s.in(time.Second)}
		s.wantErr(s.RetryValidation(s.ctx, retry), sa.ErrConflict)
		s.begin(o.Authorizations[0])
		foreign := retry
		foreign.Owner = "process 2"
		s.wantErr(s.RetryValidation(s.ctx, foreign), sa.ErrConflict)
		s.complete(s.validOf(o.Authorizations[0]))
		s.wantErr(s.RetryValidation(s.ctx, retry), sa.ErrConflict)
		retry.Authorization = s.id()
		s.wantErr(s.RetryValidation(s.ctx, retry), sa.ErrNotFound)
	},
	"ClaimValidationsTakesOverLapsedLeases": func(s *suite) {
		o := s.order(s.account().ID, "a.example.com", "b.example.com", "c.example.com", "d.example.com")
		s.claims(0)
		var want []acme.Authorization
		for _, id := range o.Authorizations[:3] {
			want = append(want, s.begin(id))
			s.clock.advance(time.Second)
		}
		s.clock.advance(57*time.Second - time.Microsecond)
		s.claims(0) // the first lease lapses now
		s.clock.advance(time.Hour)

		claim := sa.Claim{Owner: "process 2", LeaseUntil: s.in(time.Minute), Limit: 2}
		got, err := s.ClaimValidations(s.ctx, claim)
		s.must(err)
		s.equal(got, want[:2]) // oldest first, and no more than asked for
		s.equal(s.claims(1), want[2:])
		s.claims(0)

		// The old owner lost its lease, the new one has it.
		_, err = s.CompleteValidation(s.ctx, s.validOf(want[0].ID))
		s.wantErr(err, sa.ErrConflict)
		result := s.validOf(want[0].ID)
		result.Owner = "process 2"
		s.complete(result)
		s.clock.advance(time.Hour)
		s.claims(2)
	},
	"ClaimValidationsTakesTurns": func(s *suite) {
		busy, greedy, modest := s.account().ID, s.account().ID, s.account().ID
		begin := func(account acme.ID, names ...string) (begun []acme.Authorization) {
			for _, id := range s.order(account, names...).Authorizations {
				begun = append(begun, s.begin(id))
				s.clock.advance(time.Second)
			}
			return begun
		}
		excepted := begin(busy, "a.example.com")
		first := begin(greedy, "a.example.com", "b.example.com", "c.example.com", "d.example.com")
		second := begin(modest, "a.example.com", "b.example.com")
		s.clock.advance(time.Hour)
		claim := func(limit, perAccount int, except ...acme.ID) []acme.Authorization {
			got, err := s.ClaimValidations(s.ctx, sa.Claim{
				Owner: "process 2", LeaseUntil: s.in(time.Minute), Limit: limit, PerAccount: perAccount, Except: except,
			})
			s.must(err)
			return got
		}
		s.equal(claim(2, 0, busy), []acme.Authorization{first[0], second[0]}) // one each
		s.equal(claim(10, 2, busy), append(first[1:3:3], second[1]))
		s.equal(claim(10, 10, busy, greedy), []acme.Authorization(nil))
		s.equal(claim(10, 0), append(excepted, first[3]))
	},
	"ClaimValidationsLeavesWhatExpired": func(s *suite) {
		a := s.account()
		expiring := s.order(a.ID, "a.example.com")
		s.begin(expiring.Authorizations[0])
		s.clock.advance(12 * time.Hour)
		lasting := s.order(a.ID, "b.example.com")
		want := s.begin(lasting.Authorizations[0])
		s.clock.advance(12 * time.Hour)
		s.equal(s.claims(1), []acme.Authorization{want})
		s.authorizationStatus(expiring.Authorizations[0], acme.AuthorizationInvalid)
	},
}
