package storetest

import (
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

var orderTests = map[string]func(*suite){
	"OrderRoundTrip": func(s *suite) {
		a := s.account()
		bare := s.newOrder(a.ID, "example.com")
		full := s.newOrder(a.ID, "b.example.com", "*.example.com", "a.example.com")
		full.Order.NotBefore, full.Order.NotAfter = s.in(time.Hour), s.in(48*time.Hour)
		full.Order.Replaces = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
		full.Order.Profile = "shortlived"
		ip, err := acme.ParseIdentifier(acme.IdentifierIP, "2001:db8::1")
		s.must(err)
		addresses := s.newOrder(a.ID)
		addresses.Order.Identifiers = []acme.Identifier{ip}
		authz := s.newAuthorization(a.ID, ip)
		authz.Offered = []acme.ChallengeType{acme.TLSALPN01}
		addresses.Authorizations, addresses.Order.Authorizations = []acme.Authorization{authz}, []acme.ID{authz.ID}
		for _, want := range []sa.NewOrder{bare, full, addresses} {
			s.must(s.CreateOrder(s.ctx, want))
			got, err := s.Order(s.ctx, want.Order.ID)
			s.must(err)
			s.equal(got, want.Order)
			for _, authz := range want.Authorizations {
				got, err := s.Authorization(s.ctx, authz.ID)
				s.must(err)
				s.equal(got, authz)
			}
		}
	},
	"OrderOfManyNames": func(s *suite) {
		want := s.newOrder(s.account().ID, manyNames(200)...)
		s.must(s.CreateOrder(s.ctx, want))
		s.equal(s.orderStatus(want.Order.ID, acme.OrderPending), want.Order)
	},
	"OrderNotFound": func(s *suite) {
		_, err := s.Order(s.ctx, s.id())
		s.wantErr(err, sa.ErrNotFound)
	},
	"CreateOrderNeedsAValidAccount": func(s *suite) {
		a := s.account()
		s.deactivate(a.ID)
		for _, account := range []acme.ID{a.ID, s.id()} {
			n := s.newOrder(account, "example.com")
			s.wantErr(s.CreateOrder(s.ctx, n), sa.ErrConflict)
			_, err := s.Order(s.ctx, n.Order.ID)
			s.wantErr(err, sa.ErrNotFound)
			_, err = s.Authorization(s.ctx, n.Authorizations[0].ID)
			s.wantErr(err, sa.ErrNotFound)
		}
	},
	"CreateOrderNeedsAuthorizations": func(s *suite) {
		n := s.newOrder(s.account().ID, "example.com")
		n.Authorizations, n.Order.Authorizations = nil, nil
		if s.CreateOrder(s.ctx, n) == nil {
			s.Fatal("an order without authorizations was stored: it would be ready at once")
		}
	},
	"CreateOrderIsAtomic": func(s *suite) {
		a := s.account()
		first := s.newOrder(a.ID, "example.com")
		s.must(s.CreateOrder(s.ctx, first))
		second := s.newOrder(a.ID, "a.example.com", "b.example.com")
		second.Authorizations[1].ID = first.Authorizations[0].ID // can't be stored twice
		second.Order.Authorizations[1] = first.Authorizations[0].ID
		if s.CreateOrder(s.ctx, second) == nil {
			s.Fatal("an authorization was stored twice")
		}
		_, err := s.Order(s.ctx, second.Order.ID)
		s.wantErr(err, sa.ErrNotFound)
		_, err = s.Authorization(s.ctx, second.Authorizations[0].ID)
		s.wantErr(err, sa.ErrNotFound)
	},
	"CreateOrderReusesAuthorizations": func(s *suite) {
		a := s.account()
		held := s.newOrder(a.ID, "pending.example.com", "valid.example.com")
		s.must(s.CreateOrder(s.ctx, held))
		s.validate(held.Order.Authorizations[1])

		n := s.newOrder(a.ID, "new.example.com")
		n.Order.Authorizations = append(n.Order.Authorizations, held.Order.Authorizations...)
		s.must(s.CreateOrder(s.ctx, n))
		s.equal(s.orderStatus(n.Order.ID, acme.OrderPending).Authorizations, n.Order.Authorizations)

		onlyValid := s.newOrder(a.ID)
		onlyValid.Order.Authorizations = held.Order.Authorizations[1:]
		s.must(s.CreateOrder(s.ctx, onlyValid))
		s.orderStatus(onlyValid.Order.ID, acme.OrderReady)
	},
	"CreateOrderRefusesUnusableAuthorizations": func(s *suite) {
		a := s.account()
		for name, spoil := range map[string]func(authz acme.ID){
			"pending and expired": func(acme.ID) { s.clock.advance(25 * time.Hour) },
			"valid and expired":   func(id acme.ID) { s.validate(id); s.clock.advance(31 * 24 * time.Hour) },
			"invalid":             func(id acme.ID) { s.begin(id); s.complete(s.invalidOf(id)) },
			"deactivated": func(id acme.ID) {
				_, err := s.DeactivateAuthorization(s.ctx, id)
				s.must(err)
			},
		} {
			held := s.order(a.ID, "example.com")
			spoil(held.Authorizations[0])
			n := s.newOrder(a.ID, "new.example.com")
			n.Order.Authorizations = append(n.Order.Authorizations, held.Authorizations...)
			if err := s.CreateOrder(s.ctx, n); err == nil {
				s.Fatalf("%s: reused", name)
			} else {
				s.wantErr(err, sa.ErrConflict)
			}
			_, err := s.Order(s.ctx, n.Order.ID)
			s.wantErr(err, sa.ErrNotFound)
		}
		foreign := s.newOrder(s.account().ID, "new.example.com")
		foreign.Order.Authorizations = append(foreign.Order.Authorizations, s.order(a.ID, "example.com").Authorizations...)
		s.wantErr(s.CreateOrder(s.ctx, foreign), sa.ErrConflict)
		unknown := s.newOrder(a.ID, "new.example.com")
		unknown.Order.Authorizations = append(unknown.Order.Authorizations, s.id())
		s.wantErr(s.CreateOrder(s.ctx, unknown), sa.ErrConflict)
	},
	"OrderStatusFollowsItsAuthorizations": func(s *suite) {
		a := s.account()
		o := s.order(a.ID, "a.example.com", "b.example.com")
		s.orderStatus(o.ID, acme.OrderPending)
		s.begin(o.Authorizations[0])
		s.orderStatus(o.ID, acme.OrderPending)
		s.complete(s.validOf(o.Authorizations[0]))
		s.orderStatus(o.ID, acme.OrderPending)
		s.validate(o.Authorizations[1])
		s.orderStatus(o.ID, acme.OrderReady)

		failed := s.order(a.ID, "a.example.com", "b.example.com")
		s.validate(failed.Authorizations[0])
		s.begin(failed.Authorizations[1])
		s.complete(s.invalidOf(failed.Authorizations[1]))
		s.orderStatus(failed.ID, acme.OrderInvalid)

		deactivated := s.ready(a.ID, "example.com")
		_, err := s.DeactivateAuthorization(s.ctx, deactivated.Authorizations[0])
		s.must(err)
		s.orderStatus(deactivated.ID, acme.OrderInvalid)
	},
	"OrderExpires": func(s *suite) {
		a := s.account()
		pending, ready := s.order(a.ID, "example.com"), s.ready(a.ID, "example.com")
		finalized := s.ready(a.ID, "example.com")
		s.record(finalized)
		s.clock.advance(24*time.Hour - time.Microsecond)
		s.orderStatus(pending.ID, acme.OrderPending)
		s.orderStatus(ready.ID, acme.OrderReady)
		s.clock.advance(time.Microsecond)
		s.orderStatus(pending.ID, acme.OrderInvalid)
		s.orderStatus(ready.ID, acme.OrderInvalid)
		s.orderStatus(finalized.ID, acme.OrderProcessing) // what is accepted is finished
	},
	"OrderFallsWithAnExpiredAuthorization": func(s *suite) {
		n := s.newOrder(s.account().ID, "a.example.com", "b.example.com")
		n.Authorizations[0].Expires = s.in(time.Hour)
		s.must(s.CreateOrder(s.ctx, n))
		s.clock.advance(time.Hour)
		s.orderStatus(n.Order.ID, acme.OrderInvalid)
	},
	"OrdersListsWhatIsNotInvalid": func(s *suite) {
		a, other := s.account(), s.account()
		ids, err := s.Orders(s.ctx, sa.OrderPage{Account: a.ID, Limit: 10})
		s.must(err)
		s.equal(ids, []acme.ID{})

		var want []acme.ID
		keep := func(o acme.Order) { want = append(want, o.ID); s.clock.advance(time.Millisecond) }
		keep(s.order(a.ID, "example.com"))
		keep(s.ready(a.ID, "example.com"))
		processing := s.ready(a.ID, "example.com")
		s.record(processing)
		keep(processing)
		issued := s.ready(a.ID, "example.com")
		s.must(s.CompleteIssuance(s.ctx, s.record(issued).Serial, []byte("signed")))
		keep(issued)

		failed := s.order(a.ID, "example.com")
		s.begin(failed.Authorizations[0])
		s.complete(s.invalidOf(failed.Authorizations[0]))
		givenUp := s.ready(a.ID, "example.com")
		s.must(s.FailIssuance(s.ctx, s.record(givenUp).Serial, acme.NewProblem(acme.ServerInternal, "no")))
		deactivated := s.order(a.ID, "example.com")
		_, err = s.DeactivateAuthorization(s.ctx, deactivated.Authorizations[0])
		s.must(err)
		s.order(other.ID, "example.com")

		ids, err = s.Orders(s.ctx, sa.OrderPage{Account: a.ID, Limit: 10})
		s.must(err)
		s.equal(ids, want)
		s.clock.advance(25 * time.Hour)
		ids, err = s.Orders(s.ctx, sa.OrderPage{Account: a.ID, Limit: 10})
		s.must(err)
		s.equal(ids, want[2:]) // the first two expired
	},
	"OrdersPages": func(s *suite) {
		a := s.account()
		var want, got []acme.ID
		for range 7 {
			want = append(want, s.order(a.ID, "example.com").ID)
			s.clock.advance(time.Millisecond)
		}
		page := sa.OrderPage{Account: a.ID, Limit: 3}
		for _, length := range []int{3, 3, 1, 0} {
			ids, err := s.Orders(s.ctx, page)
			s.must(err)
			if len(ids) != length {
				s.Fatalf("a page of %d orders, want %d", len(ids), length)
			}
			got = append(got, ids...)
			page.After = got[len(got)-1]
		}
		s.equal(got, want)
	},
}

func manyNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = "n" + string(rune('a'+i/26/26%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i%26)) + ".example.com"
	}
	return names
}

func (s *suite) complete(result sa.ValidationResult) acme.Authorization {
	s.Helper()
	a, err := s.CompleteValidation(s.ctx, result)
	s.must(err)
	return a
}
