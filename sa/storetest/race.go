package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

const (
	racers = 4
	rounds = 5
)

// race lets racers run at once and returns what each came to.
func race(run func(i int) error) []error {
	errs := make([]error, racers)
	start := make(chan struct{})
	var done sync.WaitGroup
	for i := range racers {
		done.Go(func() {
			<-start
			errs[i] = run(i)
		})
	}
	close(start)
	done.Wait()
	return errs
}

// oneWins checks that one racer won and the others were told that they lost.
func (s *suite) oneWins(run func(i int) error) {
	s.Helper()
	wins := 0
	for i, err := range race(run) {
		switch {
		case err == nil:
			wins++
		case !errors.Is(err, sa.ErrConflict):
			s.Fatalf("racer %d: %v", i, err)
		}
	}
	if wins != 1 {
		s.Fatalf("%d racers won", wins)
	}
}

var raceTests = map[string]func(*suite){
	"RaceCreateAccount": func(s *suite) {
		for range rounds {
			key := s.key()
			var created atomic.Int32
			ids := make([]acme.ID, racers)
			for _, err := range race(func(i int) error {
				a := s.newAccount()
				a.Key = key
				got, isNew, err := s.CreateAccount(s.ctx, a)
				if isNew {
					created.Add(1)
				}
				ids[i] = got.ID
				return err
			}) {
				s.must(err)
			}
			if created.Load() != 1 {
				s.Fatalf("%d accounts were created for a key", created.Load())
			}
			for _, id := range ids {
				if id != ids[0] {
					s.Fatal("racers were told of different accounts")
				}
			}
		}
	},
	"RaceChangeAccountKey": func(s *suite) {
		for range rounds {
			a := s.account()
			s.oneWins(func(int) error {
				_, err := s.ChangeAccountKey(s.ctx, sa.KeyChange{Account: a.ID, OldThumbprint: a.Key.Thumbprint(), NewKey: newKey(s.T)})
				return err
			})
		}
	},
	"RaceForOneKey": func(s *suite) {
		for range rounds {
			accounts := make([]acme.Account, racers)
			for i := range accounts {
				accounts[i] = s.account()
			}
			key := s.key()
			var winner acme.ID
			errs := race(func(i int) error {
				_, err := s.ChangeAccountKey(s.ctx, sa.KeyChange{Account: accounts[i].ID, OldThumbprint: accounts[i].Key.Thumbprint(), NewKey: key})
				return err
			})
			for i, err := range errs {
				if err == nil {
					if !winner.IsZero() {
						s.Fatal("two accounts have one key")
					}
					winner = accounts[i].ID
				}
			}
			for _, err := range errs {
				if err != nil {
					s.wantKeyInUse(err, winner)
				}
			}
		}
	},
	"RaceUpdateAccount": func(s *suite) {
		for range rounds {
			a := s.account()
			status := acme.AccountDeactivated
			s.oneWins(func(int) error {
				_, err := s.UpdateAccount(s.ctx, sa.AccountChange{Account: a.ID, Status: &status})
				return err
			})
		}
	},
	"RaceBeginValidation": func(s *suite) {
		a := s.account()
		for range rounds {
			id := s.order(a.ID, "example.com").Authorizations[0]
			s.oneWins(func(i int) error {
				begin := s.beginOf(id)
				begin.Owner = fmt.Sprint("process ", i)
				got, err := s.BeginValidation(s.ctx, begin)
				if err == nil && got.Attempt == nil {
					return errors.New("no attempt")
				}
				return err
			})
		}
	},
	"RaceCompleteValidation": func(s *suite) {
		a := s.account()
		for range rounds {
			id := s.order(a.ID, "example.com").Authorizations[0]
			s.begin(id)
			s.oneWins(func(i int) error {
				result := s.validOf(id)
				if i%2 == 1 {
					result = s.invalidOf(id)
				}
				_, err := s.CompleteValidation(s.ctx, result)
				return err
			})
		}
	},
	"RaceDeactivateAuthorization": func(s *suite) {
		a := s.account()
		for range rounds {
			id := s.order(a.ID, "example.com").Authorizations[0]
			s.begin(id)
			s.oneWins(func(i int) error {
				if i%2 == 1 {
					_, err := s.DeactivateAuthorization(s.ctx, id)
					return err
				}
				_, err := s.CompleteValidation(s.ctx, s.invalidOf(id)) // which can't be deactivated
				return err
			})
		}
	},
	"RaceRecordIssuance": func(s *suite) {
		a := s.account()
		for range rounds {
			o := s.ready(a.ID, "example.com")
			issuances := make([]sa.Issuance, racers)
			for i := range issuances {
				issuances[i] = s.issuanceOf(o)
			}
			s.oneWins(func(i int) error { return s.RecordIssuance(s.ctx, issuances[i]) })
			o = s.orderStatus(o.ID, acme.OrderProcessing)
			recorded := 0
			for _, i := range issuances {
				c, err := s.Certificate(s.ctx, i.Certificate.Serial)
				if err == nil {
					recorded++
					if o.Certificate != c.Serial {
						s.Fatal("the order names another certificate than the one recorded")
					}
				}
			}
			if recorded != 1 {
				s.Fatalf("%d certificates were recorded for an order", recorded)
			}
		}
	},
	"RaceCompleteIssuance": func(s *suite) {
		a := s.account()
		for range rounds {
			c := s.record(s.ready(a.ID, "example.com"))
			var mu sync.Mutex
			var won []byte
			s.oneWins(func(i int) error {
				if i == racers-1 {
					return s.FailIssuance(s.ctx, c.Serial, acme.NewProblem(acme.ServerInternal, "no"))
				}
				der := fmt.Appendf(nil, "signature %d", i)
				err := s.CompleteIssuance(s.ctx, c.Serial, der)
				if err == nil {
					mu.Lock()
					won = der
					mu.Unlock()
				}
				return err
			})
			got, err := s.Certificate(s.ctx, c.Serial)
			s.must(err)
			s.equal(got.DER, won)
		}
	},
	"RaceClaims": func(s *suite) {
		a := s.account()
		for range rounds {
			o := s.order(a.ID, manyNames(12)...)
			for _, id := range o.Authorizations {
				s.begin(id)
			}
			s.record(acme.Order{})
			s.clock.advance(2 * time.Minute)
			var mu sync.Mutex
			validations, issuances := make(map[acme.ID]int), make(map[acme.Serial]int)
			for _, err := range race(func(i int) error {
				claim := sa.Claim{Owner: fmt.Sprint("process ", i), LeaseUntil: s.in(time.Minute), Limit: 7}
				authorizations, err := s.ClaimValidations(s.ctx, claim)
				if err != nil {
					return err
				}
				certificates, err := s.ClaimIssuances(s.ctx, claim)
				mu.Lock()
				defer mu.Unlock()
				for _, a := range authorizations {
					validations[a.ID]++
				}
				for _, c := range certificates {
					issuances[c.Serial]++
				}
				return err
			}) {
				s.must(err)
			}
			for id, n := range validations {
				if n != 1 {
					s.Fatalf("validation %s was claimed %d times", id, n)
				}
			}
			for serial, n := range issuances {
				if n != 1 {
					s.Fatalf("issuance %s was claimed %d times", serial, n)
				}
			}
			s.clock.advance(48 * time.Hour) // the next round starts afresh
		}
	},
	"RaceRevoke": func(s *suite) {
		a := s.account()
		for range rounds {
			c := s.issued(a.ID)
			s.oneWins(func(int) error { return s.Revoke(s.ctx, s.revocationOf(c, acme.ReasonSuperseded)) })
		}
	},
	"RacePublishCRL": func(s *suite) {
		for number := range int64(rounds) {
			s.oneWins(func(i int) error {
				return s.PublishCRL(s.ctx, sa.CRL{Issuer: issuerID, Number: number, ThisUpdate: s.in(0), NextUpdate: s.in(time.Hour), DER: []byte{byte(i)}})
			})
		}
	},
	"RaceLease": func(s *suite) {
		for round := range rounds {
			s.oneWins(func(i int) error {
				held, err := s.Lease(s.ctx, sa.Lease{Name: fmt.Sprint(round), Owner: fmt.Sprint(i), Until: s.in(time.Minute)})
				if err == nil && !held {
					err = sa.ErrConflict
				}
				return err
			})
		}
	},
}
