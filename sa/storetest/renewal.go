package storetest

import (
	"errors"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// replacing is an order, not stored yet, that replaces a certificate.
func (s *suite) replacing(account acme.ID, certID string) sa.NewOrder {
	s.Helper()
	n := s.newOrder(account, "example.com")
	n.Order.Replaces = certID
	return n
}

const certID = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"

func (s *suite) wantReplaced(err error, by acme.ID) {
	s.Helper()
	var replaced sa.ReplacedError
	if !errors.As(err, &replaced) || replaced.Order != by {
		s.Fatalf("error %v, want that order %s replaces the certificate", err, by)
	}
}

func (s *suite) renewalOrder() sa.RenewalOrder {
	s.Helper()
	return sa.RenewalOrder{ID: s.id(), Start: s.in(time.Hour), End: s.in(2 * time.Hour), CreatedAt: s.in(0), By: "operator"}
}

func (s *suite) renewalOrderIs(cert acme.Certificate, want sa.RenewalOrder) {
	s.Helper()
	got, err := s.RenewalOrder(s.ctx, cert)
	s.must(err)
	s.equal(got, want)
}

var renewalTests = map[string]func(*suite){
	"RenewalOrderOfOneCertificate": func(s *suite) {
		cert := acme.Certificate{Serial: s.serial(), RecordedAt: s.in(0)}
		_, err := s.RenewalOrder(s.ctx, cert)
		s.wantErr(err, sa.ErrNotFound)
		want := s.renewalOrder()
		want.Serial, want.ExplanationURL = cert.Serial, "https://ca.example/incident"
		s.must(s.CreateRenewalOrder(s.ctx, want))
		s.renewalOrderIs(cert, want)
		_, err = s.RenewalOrder(s.ctx, acme.Certificate{Serial: s.serial(), RecordedAt: s.in(0)})
		s.wantErr(err, sa.ErrNotFound)
	},
	"RenewalOrderOfASpan": func(s *suite) {
		want := s.renewalOrder()
		want.IssuedFrom, want.IssuedBefore = s.in(-time.Hour), s.in(time.Hour)
		s.must(s.CreateRenewalOrder(s.ctx, want))
		for recorded, covered := range map[time.Duration]bool{
			-time.Hour - time.Microsecond: false, -time.Hour: true, 0: true, time.Hour - time.Microsecond: true, time.Hour: false,
		} {
			cert := acme.Certificate{Serial: s.serial(), RecordedAt: s.in(recorded)}
			got, err := s.RenewalOrder(s.ctx, cert)
			if !covered {
				s.wantErr(err, sa.ErrNotFound)
				continue
			}
			s.must(err)
			s.equal(got, want)
		}
		open := s.renewalOrder()
		open.IssuedBefore = s.in(-time.Hour) // from the first certificate on
		s.must(s.CreateRenewalOrder(s.ctx, open))
		s.renewalOrderIs(acme.Certificate{Serial: s.serial(), RecordedAt: s.in(-1000 * time.Hour)}, open)
	},
	"NewestRenewalOrderCounts": func(s *suite) {
		list, err := s.RenewalOrders(s.ctx)
		s.must(err)
		s.equal(list, []sa.RenewalOrder{})
		cert := acme.Certificate{Serial: s.serial(), RecordedAt: s.in(0)}
		var want []sa.RenewalOrder
		for i := range 4 {
			o := s.renewalOrder()
			if i%2 == 0 {
				o.Serial = cert.Serial
			} else {
				o.IssuedFrom, o.IssuedBefore = s.in(-time.Hour), s.in(time.Hour)
			}
			s.must(s.CreateRenewalOrder(s.ctx, o))
			s.renewalOrderIs(cert, o)
			want = append([]sa.RenewalOrder{o}, want...)
			s.clock.advance(time.Second)
		}
		list, err = s.RenewalOrders(s.ctx)
		s.must(err)
		s.equal(list, want)
	},
	"RenewalOrderMustMeanSomething": func(s *suite) {
		nothing := s.renewalOrder()
		empty := s.renewalOrder()
		empty.IssuedFrom, empty.IssuedBefore = s.in(0), s.in(0)
		backwards := s.renewalOrder()
		backwards.Serial, backwards.End = s.serial(), backwards.Start.Add(-time.Second)
		for _, o := range []sa.RenewalOrder{nothing, empty, backwards} {
			if s.CreateRenewalOrder(s.ctx, o) == nil {
				s.Fatalf("stored: %+v", o)
			}
		}
		list, err := s.RenewalOrders(s.ctx)
		s.must(err)
		s.equal(list, []sa.RenewalOrder{})
	},
	"OneOrderReplacesACertificate": func(s *suite) {
		a := s.account()
		first := s.replacing(a.ID, certID)
		s.must(s.CreateOrder(s.ctx, first))
		s.equal(s.orderStatus(first.Order.ID, acme.OrderPending), first.Order)
		refused := func() {
			s.Helper()
			second := s.replacing(s.account().ID, certID)
			s.wantReplaced(s.CreateOrder(s.ctx, second), first.Order.ID)
			_, err := s.Order(s.ctx, second.Order.ID)
			s.wantErr(err, sa.ErrNotFound)
			_, err = s.Authorization(s.ctx, second.Authorizations[0].ID)
			s.wantErr(err, sa.ErrNotFound)
		}
		refused() // pending
		s.validate(first.Order.Authorizations[0])
		refused() // ready
		c := s.record(first.Order)
		refused() // processing
		s.must(s.CompleteIssuance(s.ctx, c.Serial, []byte("signed")))
		refused() // valid
		s.clock.advance(1000 * 24 * time.Hour)
		refused()
		s.must(s.CreateOrder(s.ctx, s.replacing(a.ID, certID+"A")))
	},
	"InvalidOrderGivesWay": func(s *suite) {
		a := s.account()
		for name, spoil := range map[string]func(acme.Order){
			"expired": func(acme.Order) { s.clock.advance(24 * time.Hour) },
			"failed":  func(o acme.Order) { s.begin(o.Authorizations[0]); s.complete(s.invalidOf(o.Authorizations[0])) },
			"given up": func(o acme.Order) {
				s.validate(o.Authorizations[0])
				s.must(s.FailIssuance(s.ctx, s.record(o).Serial, acme.NewProblem(acme.ServerInternal, "no")))
			},
		} {
			first, second := s.replacing(a.ID, name), s.replacing(a.ID, name)
			s.must(s.CreateOrder(s.ctx, first))
			spoil(first.Order)
			second.Order.Expires = s.in(24 * time.Hour)
			second.Authorizations[0].Expires = s.in(24 * time.Hour)
			s.must(s.CreateOrder(s.ctx, second))
			s.orderStatus(first.Order.ID, acme.OrderInvalid)
			s.orderStatus(second.Order.ID, acme.OrderPending)
			s.wantReplaced(s.CreateOrder(s.ctx, s.replacing(a.ID, name)), second.Order.ID)
		}
	},
	"OrderThatIsRefusedReplacesNothing": func(s *suite) {
		a := s.account()
		refused := s.replacing(a.ID, certID)
		refused.Order.Authorizations = append(refused.Order.Authorizations, s.id())
		s.wantErr(s.CreateOrder(s.ctx, refused), sa.ErrConflict)
		b := s.account()
		s.deactivate(b.ID)
		s.wantErr(s.CreateOrder(s.ctx, s.replacing(b.ID, certID)), sa.ErrConflict)
		s.must(s.CreateOrder(s.ctx, s.replacing(a.ID, certID)))
	},
}
