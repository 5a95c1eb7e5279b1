package storetest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

var extensionRaceTests = map[string]func(*suite){
	"RaceForAnExternalKey": func(s *suite) {
		for round := range rounds {
			k := s.externalKey(fmt.Sprint("kid-", round), false)
			accounts := make([]acme.Account, racers)
			for i := range accounts {
				accounts[i] = s.boundAccount(k.ID)
			}
			s.oneWins(func(i int) error {
				_, created, err := s.CreateAccount(s.ctx, accounts[i])
				if err == nil && !created {
					return errors.New("not created")
				}
				return err
			})
			for _, a := range accounts {
				if _, err := s.Account(s.ctx, a.ID); err == nil {
					k.Account = a.ID
				}
			}
			s.externalKeyIs(k)
		}
	},
	"RaceExternalKeyIsRevoked": func(s *suite) {
		for round := range rounds {
			k := s.externalKey(fmt.Sprint("kid-", round), true)
			accounts := make([]acme.Account, racers)
			for i := range accounts {
				accounts[i] = s.boundAccount(k.ID)
			}
			for i, err := range race(func(i int) error {
				if i == 0 {
					return s.RevokeExternalKey(s.ctx, k.Directory, k.ID, s.in(0))
				}
				_, _, err := s.CreateAccount(s.ctx, accounts[i])
				return err
			}) {
				if err != nil && (i == 0 || !errors.Is(err, sa.ErrConflict)) {
					s.Fatalf("racer %d: %v", i, err)
				}
			}
			s.refusesAccount(s.boundAccount(k.ID))
		}
	},
	"RaceReplace": func(s *suite) {
		a := s.account()
		for round := range rounds {
			name := fmt.Sprint(certID, round)
			for _, invalid := range []bool{false, true} {
				if invalid { // in the place of one that gives way
					s.clock.advance(25 * time.Hour)
				}
				orders := make([]sa.NewOrder, racers)
				for i := range orders {
					orders[i] = s.replacing(a.ID, name)
				}
				errs := race(func(i int) error { return s.CreateOrder(s.ctx, orders[i]) })
				var winner acme.ID
				for i, err := range errs {
					if err == nil {
						if !winner.IsZero() {
							s.Fatal("two orders replace one certificate")
						}
						winner = orders[i].Order.ID
					}
				}
				if winner.IsZero() {
					s.Fatalf("nobody won: %v", errs)
				}
				for _, err := range errs {
					if err != nil {
						s.wantReplaced(err, winner)
					}
				}
			}
		}
	},
	"RaceClaimRenewals": func(s *suite) {
		a := s.account()
		for range rounds {
			for range 6 {
				s.autoRenewing(a.ID)
			}
			s.clock.advance(3 * day)
			var mu sync.Mutex
			claims := make(map[acme.ID]int)
			for _, err := range race(func(i int) error {
				claimed, err := s.ClaimRenewals(s.ctx, sa.Claim{Owner: fmt.Sprint("process ", i), LeaseUntil: s.in(time.Minute), Limit: 4})
				mu.Lock()
				defer mu.Unlock()
				for _, o := range claimed {
					claims[o.ID]++
				}
				return err
			}) {
				s.must(err)
			}
			for id, n := range claims {
				if n != 1 {
					s.Fatalf("renewal %s was claimed %d times", id, n)
				}
			}
			if len(claims) == 0 {
				s.Fatal("nobody claimed anything")
			}
			s.clock.advance(30 * day) // the next round starts afresh
			s.claimRenewal(0)
		}
	},
	"RaceRecordRenewal": func(s *suite) {
		a := s.account()
		for range rounds {
			o := s.autoRenewing(a.ID)
			s.clock.advance(3 * day)
			s.claimRenewal(1)
			issuances := make([]sa.Issuance, racers)
			for i := range issuances {
				issuances[i] = s.renewalOf(o)
			}
			s.oneWins(func(i int) error { return s.RecordRenewal(s.ctx, issuances[i]) })
		}
	},
	"RaceCancelOrder": func(s *suite) {
		a := s.account()
		for range rounds {
			o := s.autoRenewing(a.ID)
			s.oneWins(func(int) error { _, err := s.CancelOrder(s.ctx, o.ID, s.in(0)); return err })
		}
	},
	"RaceCancelOrderAndRecordRenewal": func(s *suite) {
		a := s.account()
		for range rounds {
			o := s.autoRenewing(a.ID)
			s.clock.advance(3 * day)
			s.claimRenewal(1)
			i := s.renewalOf(o)
			i.NextRenewal = s.in(time.Hour)
			errs := race(func(n int) error {
				switch n {
				case 0:
					_, err := s.CancelOrder(s.ctx, o.ID, s.in(0))
					return err
				case 1:
					return s.RecordRenewal(s.ctx, i)
				}
				return nil
			})
			s.must(errs[0]) // a renewal is no reason not to cancel
			if errs[1] == nil {
				s.sign(i.Certificate.Serial)
			} else {
				s.wantErr(errs[1], sa.ErrConflict)
				_, err := s.Certificate(s.ctx, i.Certificate.Serial)
				s.wantErr(err, sa.ErrNotFound)
			}
			if o := s.orderStatus(o.ID, acme.OrderCanceled); !o.AutoRenewal.Next.IsZero() {
				s.Fatal("canceled, and due")
			}
			s.clock.advance(day)
			s.claimRenewal(0)
		}
	},
	"RaceFinishRenewal": func(s *suite) {
		a := s.account()
		for range rounds {
			o := s.autoRenewing(a.ID)
			s.clock.advance(3 * day)
			s.claimRenewal(1)
			i := s.renewalOf(o)
			s.must(s.RecordRenewal(s.ctx, i))
			s.oneWins(func(n int) error {
				if n%2 == 1 {
					return s.FailIssuance(s.ctx, i.Certificate.Serial, acme.NewProblem(acme.ServerInternal, "no"))
				}
				return s.CompleteIssuance(s.ctx, i.Certificate.Serial, fmt.Appendf(nil, "signature %d", n))
			})
			got := s.orderStatus(o.ID, acme.OrderValid)
			cert, err := s.Certificate(s.ctx, i.Certificate.Serial)
			s.must(err)
			if signed := cert.DER != nil; signed != (got.Certificate == cert.Serial) {
				s.Fatalf("signed: %v, but the order names %s", signed, got.Certificate)
			}
			s.clock.advance(30 * day)
			s.claimRenewal(0)
		}
	},
}
