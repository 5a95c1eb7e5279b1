package storetest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

var inventoryTests = map[string]func(*suite){
	"Certificates": func(s *suite) {
		one, other := s.account(), s.account()
		var want []acme.Certificate
		for range 2 {
			want = append(want, s.issued(one.ID), s.issued(other.ID))
		}
		unsigned := s.record(s.ready(one.ID, "example.com"))
		want = append(want, unsigned)
		revoked := s.revocationOf(want[1], acme.ReasonSuperseded)
		s.must(s.Revoke(s.ctx, revoked))
		want[1].Revocation = &revoked
		bySerial := func(a, b acme.Certificate) int { return strings.Compare(a.Serial.String(), b.Serial.String()) }
		slices.SortFunc(want, bySerial)

		var got []acme.Certificate
		page := sa.CertificatePage{ExpiresAfter: s.in(0), Limit: 2}
		for {
			list, err := s.Certificates(s.ctx, page)
			s.must(err)
			got = append(got, list...)
			if len(list) < page.Limit {
				break
			}
			page.After = list[len(list)-1].Serial
		}
		s.equal(got, want)

		mine, err := s.Certificates(s.ctx, sa.CertificatePage{Account: other.ID, ExpiresAfter: s.in(0), Limit: 10})
		s.must(err)
		s.equal(mine, slices.DeleteFunc(slices.Clone(want), func(c acme.Certificate) bool { return c.Account != other.ID }))
		none, err := s.Certificates(s.ctx, sa.CertificatePage{ExpiresAfter: want[0].NotAfter, Limit: 10})
		s.must(err)
		s.equal(none, []acme.Certificate{})
	},
	"KeySweeps": func(s *suite) {
		keys := func(before time.Duration, limit int) []sa.BlockedKey {
			s.Helper()
			list, err := s.KeysToSweep(s.ctx, s.in(before), limit)
			s.must(err)
			return list
		}
		first := sa.BlockedKey{SPKISHA256: [32]byte{2}, At: s.in(0), By: "operator x", Comment: "leaked"}
		second := sa.BlockedKey{SPKISHA256: [32]byte{1}, At: s.in(time.Minute), By: "certificate key", Comment: "revoked"}
		s.must(s.BlockKey(s.ctx, second))
		s.must(s.BlockKey(s.ctx, first))
		s.equal(keys(0, 9), []sa.BlockedKey{}) // none before it was blocked
		s.equal(keys(time.Minute, 9), []sa.BlockedKey{first})
		s.equal(keys(time.Hour, 9), []sa.BlockedKey{first, second})
		s.equal(keys(time.Hour, 1), []sa.BlockedKey{first})

		sweep := sa.KeySweep{SPKISHA256: first.SPKISHA256, At: s.in(time.Hour), Found: 3, Revoked: 2}
		s.must(s.RecordKeySweep(s.ctx, sweep))
		s.equal(keys(time.Hour, 9), []sa.BlockedKey{second})
		s.wantErr(s.RecordKeySweep(s.ctx, sweep), sa.ErrConflict)
		s.wantErr(s.RecordKeySweep(s.ctx, sa.KeySweep{SPKISHA256: [32]byte{9}, At: s.in(0)}), sa.ErrConflict)
	},
}

// Issue stores n signed certificates of one account and returns them in the
// order of their serials.
func Issue(t *testing.T, store sa.Store, now func() time.Time, n int) []acme.Certificate {
	t.Helper()
	s := &suite{T: t, Store: store, ctx: t.Context(), clock: &clock{now: now()}}
	account := s.account().ID
	var certs []acme.Certificate
	for range n {
		certs = append(certs, s.issued(account))
	}
	slices.SortFunc(certs, func(a, b acme.Certificate) int { return strings.Compare(a.Serial.String(), b.Serial.String()) })
	return certs
}
