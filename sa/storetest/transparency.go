package storetest

import (
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

var transparencyTests = map[string]func(*suite){
	"Precertificate": func(s *suite) {
		o := s.ready(s.account().ID, "example.com")
		want := s.record(o)
		s.wantErr(s.RecordSCTs(s.ctx, want.Serial, []byte("with SCTs")), sa.ErrConflict)
		s.wantErr(s.Revoke(s.ctx, acme.Revocation{Serial: want.Serial, At: s.in(0), By: "operator x"}), sa.ErrNotFound)

		s.must(s.RecordPrecertificate(s.ctx, want.Serial, []byte("signed with poison")))
		want.TBS, want.Precertificate = nil, []byte("signed with poison")
		s.certificateIs(want)
		s.orderStatus(o.ID, acme.OrderProcessing)
		s.wantErr(s.RecordPrecertificate(s.ctx, want.Serial, []byte("another")), sa.ErrConflict)
		s.wantErr(s.CompleteIssuance(s.ctx, want.Serial, []byte("signed without SCTs")), sa.ErrConflict)
		s.certificateIs(want)

		s.clock.advance(2 * time.Minute)
		s.equal(s.claim(), []acme.Certificate{want})

		s.must(s.RecordSCTs(s.ctx, want.Serial, []byte("with SCTs")))
		want.TBS = []byte("with SCTs")
		s.certificateIs(want)
		s.wantErr(s.RecordSCTs(s.ctx, want.Serial, []byte("with other SCTs")), sa.ErrConflict)
		s.wantErr(s.RecordPrecertificate(s.ctx, want.Serial, []byte("another")), sa.ErrConflict)
		s.equal(s.submissions(), []acme.Certificate(nil))

		s.must(s.CompleteIssuance(s.ctx, want.Serial, []byte("signed")))
		want.TBS, want.DER = nil, []byte("signed")
		s.certificateIs(want)
		s.orderStatus(o.ID, acme.OrderValid)
		s.wantErr(s.RecordPrecertificate(s.ctx, want.Serial, []byte("another")), sa.ErrConflict)
		s.wantErr(s.RecordSCTs(s.ctx, want.Serial, []byte("with other SCTs")), sa.ErrConflict)

		s.equal(s.submissions(), []acme.Certificate{want})
		s.equal(s.submissions(), []acme.Certificate(nil)) // put off
		s.clock.advance(2 * time.Minute)
		s.equal(s.submissions(), []acme.Certificate{want})
		s.must(s.CompleteSubmission(s.ctx, want.Serial))
		s.must(s.CompleteSubmission(s.ctx, want.Serial))
		s.clock.advance(2 * time.Minute)
		s.equal(s.submissions(), []acme.Certificate(nil))
	},
	"PrecertificateGivenUp": func(s *suite) {
		o := s.ready(s.account().ID, "example.com")
		want := s.record(o)
		s.must(s.RecordPrecertificate(s.ctx, want.Serial, []byte("signed with poison")))
		s.must(s.FailIssuance(s.ctx, want.Serial, acme.NewProblem(acme.ServerInternal, "no log answered")))
		s.orderStatus(o.ID, acme.OrderInvalid)
		want.TBS, want.Precertificate = nil, []byte("signed with poison")
		s.certificateIs(want)
		s.wantErr(s.RecordSCTs(s.ctx, want.Serial, []byte("with SCTs")), sa.ErrConflict)
		s.wantErr(s.CompleteIssuance(s.ctx, want.Serial, []byte("signed")), sa.ErrConflict)
		// It binds the CA all the same.
		s.must(s.Revoke(s.ctx, acme.Revocation{Serial: want.Serial, At: s.in(0), Reason: acme.ReasonSuperseded, By: "operator x"}))
		list, err := s.Revocations(s.ctx, sa.RevocationPage{Issuer: want.Issuer, Shard: want.CRLShard, Limit: 10})
		s.must(err)
		if len(list) != 1 || list[0].Serial != want.Serial {
			s.Fatalf("revoked are %+v", list)
		}
	},
	"PrecertificateNotFound": func(s *suite) {
		s.wantErr(s.RecordPrecertificate(s.ctx, s.serial(), []byte("signed")), sa.ErrNotFound)
		s.wantErr(s.RecordSCTs(s.ctx, s.serial(), []byte("with SCTs")), sa.ErrNotFound)
		s.wantErr(s.CompleteSubmission(s.ctx, s.serial()), sa.ErrNotFound)
		given := s.record(acme.Order{})
		s.must(s.FailIssuance(s.ctx, given.Serial, acme.NewProblem(acme.ServerInternal, "no")))
		s.wantErr(s.RecordPrecertificate(s.ctx, given.Serial, []byte("signed")), sa.ErrConflict)
	},
	"NothingToSubmitWithoutAPrecertificate": func(s *suite) {
		s.issued(s.account().ID)
		s.equal(s.submissions(), []acme.Certificate(nil))
	},
	// Of several processes one precertificate is ever stored, and one set of
	// SCTs.
	"RacePrecertificate": func(s *suite) {
		c := s.record(s.ready(s.account().ID, "example.com"))
		s.raceOnce(func(der []byte) error { return s.RecordPrecertificate(s.ctx, c.Serial, der) })
		s.raceOnce(func(tbs []byte) error { return s.RecordSCTs(s.ctx, c.Serial, tbs) })
	},
}

// raceOnce runs a step in several goroutines: exactly one wins.
func (s *suite) raceOnce(step func([]byte) error) {
	s.Helper()
	const racers = 8
	errs := make([]error, racers)
	var racing sync.WaitGroup
	for n := range racers {
		racing.Go(func() { errs[n] = step([]byte{byte(n + 1)}) })
	}
	racing.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			s.wantErr(err, sa.ErrConflict)
		}
	}
	if won != 1 {
		s.Fatalf("%d of %d won", won, racers)
	}
}

func (s *suite) certificateIs(want acme.Certificate) {
	s.Helper()
	got, err := s.Certificate(s.ctx, want.Serial)
	s.must(err)
	s.equal(got, want)
}

func (s *suite) claim() []acme.Certificate {
	s.Helper()
	list, err := s.ClaimIssuances(s.ctx, sa.Claim{Owner: "process 2", LeaseUntil: s.in(time.Minute), Limit: 10})
	s.must(err)
	return list
}

func (s *suite) submissions() []acme.Certificate {
	s.Helper()
	list, err := s.ClaimSubmissions(s.ctx, sa.Claim{Owner: "process 2", LeaseUntil: s.in(time.Minute), Limit: 10})
	s.must(err)
	if len(list) == 0 {
		return nil
	}
	return list
}
