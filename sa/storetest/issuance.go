package storetest

import (
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

var issuanceTests = map[string]func(*suite){
	"IssuanceOfAnOrder": func(s *suite) {
		o := s.ready(s.account().ID, "a.example.com", "b.example.com")
		want := s.record(o)
		got, err := s.Certificate(s.ctx, want.Serial)
		s.must(err)
		s.equal(got, want)
		if o := s.orderStatus(o.ID, acme.OrderProcessing); o.Certificate != want.Serial {
			s.Fatalf("the order names certificate %s, want %s", o.Certificate, want.Serial)
		}

		der := []byte("signed")
		s.must(s.CompleteIssuance(s.ctx, want.Serial, der))
		want.TBS, want.DER = nil, der
		got, err = s.Certificate(s.ctx, want.Serial)
		s.must(err)
		s.equal(got, want)
		if o := s.orderStatus(o.ID, acme.OrderValid); o.Certificate != want.Serial {
			s.Fatalf("the order names certificate %s, want %s", o.Certificate, want.Serial)
		}
		s.clock.advance(365 * 24 * time.Hour)
		s.orderStatus(o.ID, acme.OrderValid)
	},
	"IssuanceWithoutAnOrder": func(s *suite) {
		want := s.record(acme.Order{})
		got, err := s.Certificate(s.ctx, want.Serial)
		s.must(err)
		s.equal(got, want)
		s.must(s.CompleteIssuance(s.ctx, want.Serial, []byte("signed")))
		failing := s.record(acme.Order{})
		s.must(s.FailIssuance(s.ctx, failing.Serial, acme.NewProblem(acme.ServerInternal, "no")))
	},
	"CertificateNotFound": func(s *suite) {
		_, err := s.Certificate(s.ctx, s.serial())
		s.wantErr(err, sa.ErrNotFound)
		s.wantErr(s.CompleteIssuance(s.ctx, s.serial(), []byte("signed")), sa.ErrNotFound)
		s.wantErr(s.FailIssuance(s.ctx, s.serial(), acme.NewProblem(acme.ServerInternal, "no")), sa.ErrNotFound)
	},
	"ShortSerials": func(s *suite) {
		i := s.issuanceOf(acme.Order{})
		var err error
		i.Certificate.Serial, err = acme.ParseSerial("01")
		s.must(err)
		s.must(s.RecordIssuance(s.ctx, i))
		got, err := s.Certificate(s.ctx, i.Certificate.Serial)
		s.must(err)
		s.equal(got, i.Certificate)
	},
	"RecordIssuanceNeedsAReadyOrder": func(s *suite) {
		a := s.account()
		for name, order := range map[string]func() acme.Order{
			"pending":   func() acme.Order { return s.order(a.ID, "example.com") },
			"attempted": func() acme.Order { o := s.order(a.ID, "example.com"); s.begin(o.Authorizations[0]); return o },
			"half valid": func() acme.Order {
				o := s.order(a.ID, "a.example.com", "b.example.com")
				s.validate(o.Authorizations[0])
				return o
			},
			"failed": func() acme.Order {
				o := s.order(a.ID, "example.com")
				s.begin(o.Authorizations[0])
				s.complete(s.invalidOf(o.Authorizations[0]))
				return o
			},
			"deactivated authorization": func() acme.Order {
				o := s.ready(a.ID, "example.com")
				_, err := s.DeactivateAuthorization(s.ctx, o.Authorizations[0])
				s.must(err)
				return o
			},
			"expired order": func() acme.Order { o := s.ready(a.ID, "example.com"); s.clock.advance(24 * time.Hour); return o },
			"expired authorization": func() acme.Order {
				n := s.newOrder(a.ID, "example.com")
				n.Order.Expires = s.in(60 * 24 * time.Hour)
				s.must(s.CreateOrder(s.ctx, n))
				s.validate(n.Order.Authorizations[0])
				s.clock.advance(30 * 24 * time.Hour)
				return n.Order
			},
			"processing": func() acme.Order { o := s.ready(a.ID, "example.com"); s.record(o); return o },
			"valid": func() acme.Order {
				o := s.ready(a.ID, "example.com")
				s.must(s.CompleteIssuance(s.ctx, s.record(o).Serial, []byte("signed")))
				return o
			},
			"given up": func() acme.Order {
				o := s.ready(a.ID, "example.com")
				s.must(s.FailIssuance(s.ctx, s.record(o).Serial, acme.NewProblem(acme.ServerInternal, "no")))
				return o
			},
			"deactivated account": func() acme.Order { b := s.account(); o := s.ready(b.ID, "example.com"); s.deactivate(b.ID); return o },
			"another account's":   func() acme.Order { o := s.ready(a.ID, "example.com"); o.Account = s.account().ID; return o },
			"unknown":             func() acme.Order { return acme.Order{ID: s.id(), Account: a.ID} },
		} {
			o := order()
			before, _ := s.Order(s.ctx, o.ID)
			i := s.issuanceOf(o)
			err := s.RecordIssuance(s.ctx, i)
			if err == nil {
				s.Fatalf("%s: recorded", name)
			}
			s.wantErr(err, sa.ErrConflict)
			_, err = s.Certificate(s.ctx, i.Certificate.Serial)
			s.wantErr(err, sa.ErrNotFound)
			after, _ := s.Order(s.ctx, o.ID)
			s.equal(after, before)
		}
	},
	"RecordIssuanceRefusesASerialTwice": func(s *suite) {
		a := s.account()
		first := s.record(s.ready(a.ID, "a.example.com"))
		o := s.ready(a.ID, "b.example.com")
		i := s.issuanceOf(o)
		i.Certificate.Serial = first.Serial
		if s.RecordIssuance(s.ctx, i) == nil {
			s.Fatal("one serial was recorded twice")
		}
		s.orderStatus(o.ID, acme.OrderReady) // it can still be finalized
		got, err := s.Certificate(s.ctx, first.Serial)
		s.must(err)
		s.equal(got, first)
		s.record(o)
	},
	"CompleteIssuanceOnce": func(s *suite) {
		c := s.issued(s.account().ID)
		s.wantErr(s.CompleteIssuance(s.ctx, c.Serial, []byte("another signature")), sa.ErrConflict)
		s.wantErr(s.FailIssuance(s.ctx, c.Serial, acme.NewProblem(acme.ServerInternal, "no")), sa.ErrConflict)
		got, err := s.Certificate(s.ctx, c.Serial)
		s.must(err)
		s.equal(got, c)
		s.orderStatus(c.Order, acme.OrderValid)
	},
	"FailIssuance": func(s *suite) {
		o := s.ready(s.account().ID, "example.com")
		want := s.record(o)
		problem := acme.NewProblem(acme.ServerInternal, "the key is gone").WithStatus(503)
		s.must(s.FailIssuance(s.ctx, want.Serial, problem))
		got := s.orderStatus(o.ID, acme.OrderInvalid)
		s.equal(got.Error, problem)
		if !got.Certificate.IsZero() {
			s.Fatal("the order still names the certificate")
		}
		s.wantErr(s.CompleteIssuance(s.ctx, want.Serial, []byte("signed")), sa.ErrConflict)
		s.wantErr(s.FailIssuance(s.ctx, want.Serial, problem), sa.ErrConflict)
		s.clock.advance(time.Hour)
		s.claimsIssuances(0)
		record, err := s.Certificate(s.ctx, want.Serial) // what was recorded stays on record
		s.must(err)
		s.equal(record, want)
	},
	"ClaimIssuances": func(s *suite) {
		a := s.account()
		s.claimsIssuances(0)
		var want []acme.Certificate
		for _, o := range []acme.Order{s.ready(a.ID, "a.example.com"), s.ready(a.ID, "b.example.com"), {}} {
			want = append(want, s.record(o))
			s.clock.advance(time.Second)
		}
		signed := s.issued(a.ID)
		s.clock.advance(57*time.Second - time.Microsecond)
		s.claimsIssuances(0)
		s.clock.advance(time.Hour)
		got, err := s.ClaimIssuances(s.ctx, sa.Claim{Owner: "process 2", LeaseUntil: s.in(time.Minute), Limit: 2})
		s.must(err)
		s.equal(got, want[:2])
		s.equal(s.claimsIssuances(1), want[2:])
		s.claimsIssuances(0)
		s.must(s.CompleteIssuance(s.ctx, want[0].Serial, []byte("signed")))
		s.clock.advance(time.Hour)
		s.equal(s.claimsIssuances(2), want[1:])
		_ = signed
	},
}

func (s *suite) claimsIssuances(n int) []acme.Certificate {
	s.Helper()
	claimed, err := s.ClaimIssuances(s.ctx, sa.Claim{Owner: "process 2", LeaseUntil: s.in(time.Minute), Limit: 100})
	s.must(err)
	if len(claimed) != n {
		s.Fatalf("claimed %d issuances, want %d", len(claimed), n)
	}
	return claimed
}
