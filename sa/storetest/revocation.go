package storetest

import (
	"bytes"
	"slices"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

var revocationTests = map[string]func(*suite){
	"Revoke": func(s *suite) {
		c := s.issued(s.account().ID)
		want := s.revocationOf(c, acme.ReasonSuperseded)
		s.must(s.Revoke(s.ctx, want))
		got, err := s.Certificate(s.ctx, c.Serial)
		s.must(err)
		c.Revocation = &want
		s.equal(got, c)
		s.equal(s.revocations(c), []acme.Revocation{want})
	},
	"RevokeNeedsASignedCertificate": func(s *suite) {
		unknown := s.revocationOf(acme.Certificate{Serial: s.serial(), Issuer: issuerID, CRLShard: 3}, acme.ReasonUnspecified)
		s.wantErr(s.Revoke(s.ctx, unknown), sa.ErrNotFound)
		unsigned := s.record(s.ready(s.account().ID, "example.com"))
		s.wantErr(s.Revoke(s.ctx, s.revocationOf(unsigned, acme.ReasonUnspecified)), sa.ErrNotFound)
		s.equal(s.revocations(unsigned), []acme.Revocation{})
		s.must(s.CompleteIssuance(s.ctx, unsigned.Serial, []byte("signed")))
		s.must(s.Revoke(s.ctx, s.revocationOf(unsigned, acme.ReasonUnspecified)))
	},
	"RevokeTwice": func(s *suite) {
		c := s.issued(s.account().ID)
		want := s.revocationOf(c, acme.ReasonUnspecified)
		s.must(s.Revoke(s.ctx, want))
		s.clock.advance(time.Hour)
		for _, reason := range []acme.RevocationReason{acme.ReasonUnspecified, acme.ReasonSuperseded} {
			s.wantErr(s.Revoke(s.ctx, s.revocationOf(c, reason)), sa.ErrConflict)
		}
		s.equal(s.revocations(c), []acme.Revocation{want})

		// keyCompromise replaces any other reason, once, and nothing replaces it.
		compromise := s.revocationOf(c, acme.ReasonKeyCompromise)
		compromise.By = "certificate key"
		s.must(s.Revoke(s.ctx, compromise))
		want.Reason = acme.ReasonKeyCompromise
		s.equal(s.revocations(c), []acme.Revocation{want})
		for _, reason := range []acme.RevocationReason{acme.ReasonKeyCompromise, acme.ReasonSuperseded} {
			s.wantErr(s.Revoke(s.ctx, s.revocationOf(c, reason)), sa.ErrConflict)
		}
	},
	"RevocationsPages": func(s *suite) {
		a := s.account()
		var want []acme.Revocation
		for range 5 {
			c := s.issued(a.ID)
			r := s.revocationOf(c, acme.ReasonSuperseded)
			s.must(s.Revoke(s.ctx, r))
			want = append(want, r)
		}
		slices.SortFunc(want, func(a, b acme.Revocation) int { return bytes.Compare(a.Serial.Bytes(), b.Serial.Bytes()) })

		// Not of this shard, not of this issuer, expired too early.
		for _, other := range []func(*acme.Certificate){
			func(c *acme.Certificate) { c.CRLShard = 4 },
			func(c *acme.Certificate) { c.Issuer = acme.IssuerID{9} },
			func(c *acme.Certificate) { c.NotAfter = s.in(time.Hour) },
		} {
			i := s.issuanceOf(acme.Order{})
			other(&i.Certificate)
			s.must(s.RecordIssuance(s.ctx, i))
			s.must(s.CompleteIssuance(s.ctx, i.Certificate.Serial, []byte("signed")))
			s.must(s.Revoke(s.ctx, s.revocationOf(i.Certificate, acme.ReasonSuperseded)))
		}

		page := sa.RevocationPage{Issuer: issuerID, Shard: 3, ExpiresAfter: s.in(time.Hour), Limit: 2}
		var got []acme.Revocation
		for _, length := range []int{2, 2, 1, 0} {
			list, err := s.Revocations(s.ctx, page)
			s.must(err)
			if len(list) != length {
				s.Fatalf("a page of %d revocations, want %d", len(list), length)
			}
			got = append(got, list...)
			page.After = got[len(got)-1].Serial
		}
		s.equal(got, want)

		all, err := s.Revocations(s.ctx, sa.RevocationPage{Issuer: issuerID, Shard: 3, ExpiresAfter: s.in(time.Hour - time.Microsecond), Limit: 10})
		s.must(err)
		if len(all) != 6 {
			s.Fatalf("%d revocations, want the one that expires in an hour too", len(all))
		}
	},
	"LatestRevocation": func(s *suite) {
		a := s.account()
		s.latestRevocation(3, time.Time{})
		first, second := s.issued(a.ID), s.issued(a.ID)
		s.must(s.Revoke(s.ctx, s.revocationOf(first, acme.ReasonSuperseded)))
		s.latestRevocation(3, s.in(0))
		s.latestRevocation(4, time.Time{})
		s.clock.advance(time.Minute)
		late := s.revocationOf(second, acme.ReasonSuperseded)
		late.At = s.in(-time.Hour) // a date in the past: what counts is when it was recorded
		s.must(s.Revoke(s.ctx, late))
		s.latestRevocation(3, s.in(0))
		s.clock.advance(time.Minute)
		s.must(s.Revoke(s.ctx, s.revocationOf(first, acme.ReasonKeyCompromise))) // so that the next CRL has it
		s.latestRevocation(3, s.in(0))
	},
}

func (s *suite) revocationOf(c acme.Certificate, reason acme.RevocationReason) acme.Revocation {
	return acme.Revocation{Serial: c.Serial, Issuer: c.Issuer, CRLShard: c.CRLShard, At: s.in(0), Reason: reason, NotAfter: c.NotAfter, By: "account " + c.Account.String()}
}

// revocations lists the revocations in the certificate's shard.
func (s *suite) revocations(c acme.Certificate) []acme.Revocation {
	s.Helper()
	list, err := s.Revocations(s.ctx, sa.RevocationPage{Issuer: c.Issuer, Shard: c.CRLShard, ExpiresAfter: s.in(0), Limit: 100})
	s.must(err)
	return list
}

func (s *suite) latestRevocation(shard int, want time.Time) {
	s.Helper()
	got, err := s.LatestRevocation(s.ctx, issuerID, shard)
	s.must(err)
	if !got.Equal(want) {
		s.Fatalf("the latest revocation of shard %d was recorded at %s, want %s", shard, got, want)
	}
}
