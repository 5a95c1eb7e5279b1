package storetest

import (
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

var lifeTests = map[string]func(*suite){
	"SurvivesReopening": func(s *suite) {
		a := s.account()
		pending := s.order(a.ID, "pending.example.com")
		begun := s.order(a.ID, "begun.example.com")
		s.begin(begun.Authorizations[0])
		recorded := s.record(s.ready(a.ID, "recorded.example.com"))
		issued := s.issued(a.ID)
		s.must(s.Revoke(s.ctx, s.revocationOf(issued, acme.ReasonSuperseded)))
		s.lease("crl", "one", time.Hour, true)
		authz := s.authorizationStatus(begun.Authorizations[0], acme.AuthorizationPending)

		s.reopen()
		got, err := s.Account(s.ctx, a.ID)
		s.must(err)
		s.equal(got, a)
		s.equal(s.orderStatus(pending.ID, acme.OrderPending), pending)
		s.equal(s.authorizationStatus(begun.Authorizations[0], acme.AuthorizationPending), authz)
		cert, err := s.Certificate(s.ctx, issued.Serial)
		s.must(err)
		s.equal(cert.DER, issued.DER)
		if cert.Revocation == nil {
			s.Fatal("the revocation is lost")
		}
		s.lease("crl", "two", time.Hour, false)

		// The work that was left is found.
		s.clock.advance(2 * time.Minute)
		s.equal(s.claims(1), []acme.Authorization{authz})
		s.equal(s.claimsIssuances(1), []acme.Certificate{recorded})
	},
	"ClosedStoreRefuses": func(s *suite) {
		a := s.account()
		s.must(s.Store.Close())
		if _, err := s.Account(s.ctx, a.ID); err == nil {
			s.Fatal("a closed store was read")
		}
		if err := s.CreateOrder(s.ctx, s.newOrder(a.ID, "example.com")); err == nil {
			s.Fatal("a closed store was written")
		}
		s.must(s.Store.Close()) // twice does no harm
	},
	"CloseFinishesWhatItAccepted": func(s *suite) {
		a := s.account()
		orders := make([]sa.NewOrder, 32)
		for i := range orders {
			orders[i] = s.newOrder(a.ID, "example.com")
		}
		errs := make([]error, len(orders))
		var started, done sync.WaitGroup
		started.Add(len(orders))
		for i := range orders {
			done.Go(func() {
				started.Done()
				errs[i] = s.CreateOrder(s.ctx, orders[i])
			})
		}
		started.Wait()
		store := s.Store
		s.must(store.Close())
		done.Wait()
		s.Store = s.open(s.T, s.clock.Now)
		for i, n := range orders {
			if errs[i] != nil {
				continue // refused, or, over a network, not known
			}
			if _, err := s.Order(s.ctx, n.Order.ID); err != nil {
				s.Fatalf("an order that was answered: %v", err)
			}
		}
	},
	"WholeIssuancesInParallel": func(s *suite) {
		var done sync.WaitGroup
		for range 8 {
			done.Go(func() {
				a := s.account()
				for range 4 {
					c := s.issued(a.ID)
					if o, err := s.Order(s.ctx, c.Order); err != nil || o.Status != acme.OrderValid {
						s.Errorf("%s order, %v", o.Status, err)
					}
				}
			})
		}
		done.Wait()
	},
}
