package storetest

import (
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

const day = 24 * time.Hour

// newAutoRenewal is an auto-renewal order that isn't stored yet.
func (s *suite) newAutoRenewal(account acme.ID) sa.NewOrder {
	s.Helper()
	n := s.newOrder(account, "example.com")
	n.Order.AutoRenewal = &acme.AutoRenewal{Start: s.in(0), End: s.in(20 * day), Lifetime: 4 * day, Adjust: time.Hour, AllowGet: true}
	return n
}

var csr = []byte("request")

// firstIssuanceOf finalizes an auto-renewal order; its renewal is due in 3
// days.
func (s *suite) firstIssuanceOf(o acme.Order) sa.Issuance {
	s.Helper()
	i := s.issuanceOf(o)
	i.AutoRenewalCSR, i.NextRenewal = csr, s.in(3*day)
	return i
}

func (s *suite) recordFirst(o acme.Order) acme.Serial {
	s.Helper()
	i := s.firstIssuanceOf(o)
	s.must(s.RecordIssuance(s.ctx, i))
	return i.Certificate.Serial
}

func (s *suite) sign(serial acme.Serial) {
	s.Helper()
	s.must(s.CompleteIssuance(s.ctx, serial, []byte("signed")))
}

func (s *suite) readyAutoRenewal(account acme.ID) acme.Order {
	s.Helper()
	n := s.newAutoRenewal(account)
	s.must(s.CreateOrder(s.ctx, n))
	s.validate(n.Order.Authorizations[0])
	return n.Order
}

// autoRenewing is a valid auto-renewal order.
func (s *suite) autoRenewing(account acme.ID) acme.Order {
	s.Helper()
	o := s.readyAutoRenewal(account)
	s.sign(s.recordFirst(o))
	return s.orderStatus(o.ID, acme.OrderValid)
}

// renewalOf is a further certificate, after which nothing is due.
func (s *suite) renewalOf(o acme.Order) sa.Issuance {
	s.Helper()
	i := s.issuanceOf(o)
	i.RenewalOwner = renewer
	return i
}

// renewer claims renewals; the certificates are signed by another process.
const renewer = "renewer 1"

func (s *suite) claimRenewal(n int) []acme.Order {
	s.Helper()
	claimed, err := s.ClaimRenewals(s.ctx, sa.Claim{Owner: renewer, LeaseUntil: s.in(time.Minute), Limit: 100})
	s.must(err)
	if len(claimed) != n {
		s.Fatalf("claimed %d renewals, want %d", len(claimed), n)
	}
	return claimed
}

// refusesRenewal checks that a further certificate can't be recorded.
func (s *suite) refusesRenewal(i sa.Issuance) {
	s.Helper()
	before, _ := s.Order(s.ctx, i.Certificate.Order)
	s.wantErr(s.RecordRenewal(s.ctx, i), sa.ErrConflict)
	_, err := s.Certificate(s.ctx, i.Certificate.Serial)
	s.wantErr(err, sa.ErrNotFound)
	after, _ := s.Order(s.ctx, i.Certificate.Order)
	s.equal(after, before)
}

var autoRenewalTests = map[string]func(*suite){
	"AutoRenewalRoundTrip": func(s *suite) {
		a := s.account()
		full, bare := s.newAutoRenewal(a.ID), s.newAutoRenewal(a.ID)
		bare.Order.AutoRenewal = &acme.AutoRenewal{End: s.in(day), Lifetime: time.Hour}
		for _, want := range []sa.NewOrder{full, bare} {
			s.must(s.CreateOrder(s.ctx, want))
			s.equal(s.orderStatus(want.Order.ID, acme.OrderPending), want.Order)
		}
		for _, spoil := range []func(*acme.AutoRenewal){
			func(r *acme.AutoRenewal) { r.End = time.Time{} },
			func(r *acme.AutoRenewal) { r.Lifetime = 0 },
			func(r *acme.AutoRenewal) { r.Next = s.in(0) },
		} {
			n := s.newAutoRenewal(a.ID)
			spoil(n.Order.AutoRenewal)
			if s.CreateOrder(s.ctx, n) == nil {
				s.Fatalf("stored: %+v", n.Order.AutoRenewal)
			}
		}
	},
	"AutoRenewal": func(s *suite) {
		a := s.account()
		o := s.readyAutoRenewal(a.ID)
		first := s.recordFirst(o)
		want := o
		want.Status, want.Certificate = acme.OrderProcessing, first
		renewal := *o.AutoRenewal
		renewal.CSR, renewal.Next = csr, s.in(3*day)
		want.AutoRenewal = &renewal
		s.equal(s.orderStatus(o.ID, acme.OrderProcessing), want)
		s.sign(first)
		want.Status = acme.OrderValid
		s.equal(s.orderStatus(o.ID, acme.OrderValid), want)

		s.clock.advance(3*day - time.Microsecond)
		s.claimRenewal(0)
		s.clock.advance(time.Microsecond)
		s.equal(s.claimRenewal(1), []acme.Order{want})
		s.claimRenewal(0) // it is leased

		second := s.renewalOf(o)
		second.NextRenewal = s.in(3 * day)
		s.must(s.RecordRenewal(s.ctx, second))
		renewal.Next = second.NextRenewal
		s.equal(s.orderStatus(o.ID, acme.OrderValid), want) // the latest signed one is still the first
		cert, err := s.Certificate(s.ctx, second.Certificate.Serial)
		s.must(err)
		s.equal(cert, second.Certificate)
		s.refusesRenewal(s.renewalOf(o)) // the lease is over
		s.sign(second.Certificate.Serial)
		want.Certificate = second.Certificate.Serial
		s.equal(s.orderStatus(o.ID, acme.OrderValid), want)
		s.wantErr(s.CompleteIssuance(s.ctx, second.Certificate.Serial, []byte("another signature")), sa.ErrConflict)
		s.claimRenewal(0)

		s.clock.advance(3 * day)
		s.claimRenewal(1)
		last := s.renewalOf(o)
		s.must(s.RecordRenewal(s.ctx, last))
		s.sign(last.Certificate.Serial)
		want.Certificate, renewal.Next = last.Certificate.Serial, time.Time{}
		s.equal(s.orderStatus(o.ID, acme.OrderValid), want)
		s.clock.advance(5 * day)
		s.claimRenewal(0)
	},
	"RenewalIsClaimedWhileTheCertificateIsSigned": func(s *suite) {
		o := s.readyAutoRenewal(s.account().ID)
		first := s.recordFirst(o)
		s.clock.advance(4 * day)
		s.claimRenewal(0) // not valid yet
		s.sign(first)
		s.claimRenewal(1)
		second := s.renewalOf(o)
		second.NextRenewal = s.in(time.Hour)
		s.must(s.RecordRenewal(s.ctx, second))
		s.clock.advance(day)
		s.claimRenewal(0)
		if claimed := s.claimsIssuances(1); claimed[0].Serial != second.Certificate.Serial {
			s.Fatalf("claimed certificate %s", claimed[0].Serial)
		}
		s.sign(second.Certificate.Serial)
		s.claimRenewal(1)
	},
	"RenewalLeaseLapses": func(s *suite) {
		o := s.autoRenewing(s.account().ID)
		s.clock.advance(3 * day)
		s.claimRenewal(1)
		i := s.renewalOf(o)
		i.RenewalOwner = "renewer 2"
		s.refusesRenewal(i) // it isn't that one's
		s.clock.advance(time.Minute)
		claimed, err := s.ClaimRenewals(s.ctx, sa.Claim{Owner: i.RenewalOwner, LeaseUntil: s.in(time.Minute), Limit: 1})
		s.must(err)
		s.equal(claimed, []acme.Order{s.orderStatus(o.ID, acme.OrderValid)})
		s.refusesRenewal(s.renewalOf(o))
		s.must(s.RecordRenewal(s.ctx, i))
	},
	"RenewalMustBeClaimed": func(s *suite) {
		a := s.account()
		o := s.autoRenewing(a.ID)
		s.refusesRenewal(s.renewalOf(o)) // not due
		s.refusesRenewal(s.renewalOf(s.readyAutoRenewal(a.ID)))
		s.refusesRenewal(s.renewalOf(s.ready(a.ID, "example.com")))
		s.refusesRenewal(s.renewalOf(acme.Order{ID: s.id(), Account: a.ID}))
		if s.RecordRenewal(s.ctx, s.issuanceOf(acme.Order{})) == nil {
			s.Fatal("renewed without an order")
		}
		s.clock.advance(3 * day)
		s.claimRenewal(1)
		foreign := o
		foreign.Account = s.account().ID
		s.refusesRenewal(s.renewalOf(foreign))
		used := s.renewalOf(o)
		used.Certificate.Serial = o.Certificate
		if s.RecordRenewal(s.ctx, used) == nil {
			s.Fatal("one serial was recorded twice")
		}
		s.must(s.RecordRenewal(s.ctx, s.renewalOf(o)))
	},
	"FailedRenewalGivesTheLeaseBack": func(s *suite) {
		o := s.autoRenewing(s.account().ID)
		s.clock.advance(3 * day)
		problem := acme.NewProblem(acme.ServerInternal, "no")
		for range 3 {
			claimed := s.claimRenewal(1)
			i := s.renewalOf(o)
			i.NextRenewal = s.in(3 * day)
			s.must(s.RecordRenewal(s.ctx, i))
			s.must(s.FailIssuance(s.ctx, i.Certificate.Serial, problem))
			s.equal(s.orderStatus(o.ID, acme.OrderValid), claimed[0])
			s.wantErr(s.FailIssuance(s.ctx, i.Certificate.Serial, problem), sa.ErrConflict)
			s.wantErr(s.CompleteIssuance(s.ctx, i.Certificate.Serial, []byte("signed")), sa.ErrConflict)
		}
		s.claimRenewal(1)
		i := s.renewalOf(o)
		s.must(s.RecordRenewal(s.ctx, i))
		s.sign(i.Certificate.Serial)
		if got := s.orderStatus(o.ID, acme.OrderValid); got.Certificate != i.Certificate.Serial {
			s.Fatalf("the order names certificate %s", got.Certificate)
		}
	},
	"FailedFirstCertificateOfAutoRenewal": func(s *suite) {
		o := s.readyAutoRenewal(s.account().ID)
		s.must(s.FailIssuance(s.ctx, s.recordFirst(o), acme.NewProblem(acme.ServerInternal, "no")))
		if got := s.orderStatus(o.ID, acme.OrderInvalid); !got.AutoRenewal.Next.IsZero() || !got.Certificate.IsZero() {
			s.Fatalf("it names certificate %s, and the next is due at %s", got.Certificate, got.AutoRenewal.Next)
		}
		s.clock.advance(4 * day)
		s.claimRenewal(0)
		_, err := s.CancelOrder(s.ctx, o.ID, s.in(0))
		s.wantErr(err, sa.ErrConflict)
	},
	"RecordIssuanceKnowsAutoRenewal": func(s *suite) {
		a := s.account()
		o := s.readyAutoRenewal(a.ID)
		s.wantErr(s.RecordIssuance(s.ctx, s.issuanceOf(o)), sa.ErrConflict) // it could not be renewed
		ordinary := s.ready(a.ID, "example.com")
		s.wantErr(s.RecordIssuance(s.ctx, s.firstIssuanceOf(ordinary)), sa.ErrConflict)
		if s.RecordIssuance(s.ctx, s.firstIssuanceOf(acme.Order{})) == nil {
			s.Fatal("recorded without an order")
		}
		s.orderStatus(o.ID, acme.OrderReady)
		s.orderStatus(ordinary.ID, acme.OrderReady)
		s.recordFirst(o)
		s.wantErr(s.RecordIssuance(s.ctx, s.firstIssuanceOf(o)), sa.ErrConflict)
	},
	"CancelOrder": func(s *suite) {
		a := s.account()
		o := s.autoRenewing(a.ID)
		s.clock.advance(3 * day)
		s.claimRenewal(1)
		got, err := s.CancelOrder(s.ctx, o.ID, s.in(0))
		s.must(err)
		want := o
		renewal := *o.AutoRenewal
		renewal.Next, renewal.CanceledAt = time.Time{}, s.in(0)
		want.Status, want.AutoRenewal = acme.OrderCanceled, &renewal
		s.equal(got, want)
		s.equal(s.orderStatus(o.ID, acme.OrderCanceled), want)
		_, err = s.CancelOrder(s.ctx, o.ID, s.in(time.Hour))
		s.wantErr(err, sa.ErrConflict)
		s.refusesRenewal(s.renewalOf(o))
		s.clock.advance(day)
		s.claimRenewal(0)
		ids, err := s.Orders(s.ctx, sa.OrderPage{Account: a.ID, Limit: 10})
		s.must(err)
		s.equal(ids, []acme.ID{o.ID})
	},
	"CancelOrderWhileItRenews": func(s *suite) {
		a := s.account()
		for _, finish := range []func(acme.Serial) error{
			func(serial acme.Serial) error { return s.CompleteIssuance(s.ctx, serial, []byte("signed")) },
			func(serial acme.Serial) error {
				return s.FailIssuance(s.ctx, serial, acme.NewProblem(acme.ServerInternal, "no"))
			},
		} {
			o := s.autoRenewing(a.ID)
			s.clock.advance(3 * day)
			s.claimRenewal(1)
			i := s.renewalOf(o)
			i.NextRenewal = s.in(day)
			s.must(s.RecordRenewal(s.ctx, i))
			_, err := s.CancelOrder(s.ctx, o.ID, s.in(0))
			s.must(err)
			s.must(finish(i.Certificate.Serial)) // what is recorded is finished
			if got := s.orderStatus(o.ID, acme.OrderCanceled); !got.AutoRenewal.Next.IsZero() {
				s.Fatalf("canceled, and due at %s", got.AutoRenewal.Next)
			}
			s.clock.advance(2 * day)
			s.claimRenewal(0)
		}
	},
	"CancelOrderNeedsAValidAutoRenewal": func(s *suite) {
		a := s.account()
		processing := s.readyAutoRenewal(a.ID)
		s.recordFirst(processing)
		ordinary := s.issued(a.ID).Order
		for _, id := range []acme.ID{s.readyAutoRenewal(a.ID).ID, processing.ID, ordinary} {
			before, err := s.Order(s.ctx, id)
			s.must(err)
			_, err = s.CancelOrder(s.ctx, id, s.in(0))
			s.wantErr(err, sa.ErrConflict)
			after, err := s.Order(s.ctx, id)
			s.must(err)
			s.equal(after, before)
		}
		_, err := s.CancelOrder(s.ctx, s.id(), s.in(0))
		s.wantErr(err, sa.ErrNotFound)
	},
	"RenewalsEnd": func(s *suite) {
		a, leaver := s.account(), s.account()
		late := s.autoRenewing(a.ID)
		left := s.autoRenewing(leaver.ID)
		s.clock.advance(3 * day)
		s.claimRenewal(2)
		s.deactivate(leaver.ID)
		s.refusesRenewal(s.renewalOf(left))
		s.clock.advance(time.Minute)
		if claimed := s.claimRenewal(1); claimed[0].ID != late.ID {
			s.Fatal("claimed the order of an account that is not valid")
		}
		s.clock.advance(17*day - time.Minute)
		s.refusesRenewal(s.renewalOf(late)) // past its end
		s.claimRenewal(0)
		for _, id := range []acme.ID{late.ID, left.ID} {
			if o := s.orderStatus(id, acme.OrderValid); !o.AutoRenewal.Next.IsZero() {
				s.Fatalf("nothing can be renewed, and something is due at %s", o.AutoRenewal.Next)
			}
		}
	},
	"ClaimRenewalsInOrder": func(s *suite) {
		a := s.account()
		s.claimRenewal(0)
		var want []acme.ID
		for range 3 {
			want = append(want, s.autoRenewing(a.ID).ID)
			s.clock.advance(time.Second)
		}
		s.autoRenewing(a.ID)
		s.clock.advance(3*day - time.Second)
		for _, limit := range []int{2, 1, 0} {
			claimed, err := s.ClaimRenewals(s.ctx, sa.Claim{Owner: owner, LeaseUntil: s.in(time.Minute), Limit: 2})
			s.must(err)
			if len(claimed) != limit {
				s.Fatalf("claimed %d, want %d", len(claimed), limit)
			}
			for _, o := range claimed {
				if o.ID != want[0] {
					s.Fatal("not the oldest")
				}
				want = want[1:]
			}
		}
	},
}
