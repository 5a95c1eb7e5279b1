package storetest

import (
	"bytes"
	"context"
	"io"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

var serviceTests = map[string]func(*suite){
	"PublishCRL": func(s *suite) {
		_, err := s.CRL(s.ctx, issuerID, 0)
		s.wantErr(err, sa.ErrNotFound)
		crl := sa.CRL{Issuer: issuerID, Shard: 0, Number: 5, ThisUpdate: s.in(0), NextUpdate: s.in(time.Hour), DER: bytes.Repeat([]byte("crl"), 100_000), Size: 300_000}
		s.must(s.PublishCRL(s.ctx, crl))
		got, err := s.CRL(s.ctx, issuerID, 0)
		s.must(err)
		s.equal(got, crl)
		for _, number := range []int64{5, 4} {
			again := crl
			again.Number, again.DER, again.Size = number, []byte("older"), 5
			s.wantErr(s.PublishCRL(s.ctx, again), sa.ErrConflict)
		}
		got, err = s.CRL(s.ctx, issuerID, 0)
		s.must(err)
		s.equal(got, crl)
		crl.Number, crl.DER, crl.Size, crl.ThisUpdate = 1<<62, []byte("newer"), 5, s.in(time.Minute)
		s.must(s.PublishCRL(s.ctx, crl))
		got, err = s.CRL(s.ctx, issuerID, 0)
		s.must(err)
		s.equal(got, crl)
		other := crl
		other.Shard, other.Number = 1, 1 // each shard counts for itself
		s.must(s.PublishCRL(s.ctx, other))
	},
	"CRL in parts": func(s *suite) {
		whole := func(number int64, size int) (sa.CRL, []byte) {
			der := make([]byte, size)
			for i := range der {
				der[i] = byte(i>>16) ^ byte(i) ^ byte(number)
			}
			crl := sa.CRL{Issuer: issuerID, Shard: 3, Number: number, ThisUpdate: s.in(0), NextUpdate: s.in(time.Hour), DER: der, Size: int64(size)}
			if size > sa.CRLPartSize {
				crl.DER = der[:sa.CRLPartSize]
			}
			return crl, der
		}
		put := func(crl sa.CRL, der []byte) {
			for part, rest := 1, der[len(crl.DER):]; len(rest) > 0; part++ {
				n := min(len(rest), sa.CRLPartSize)
				s.must(s.PutCRLPart(s.ctx, sa.CRLPart{Issuer: crl.Issuer, Shard: crl.Shard, Number: crl.Number, Part: part, DER: rest[:n]}))
				rest = rest[n:]
			}
		}
		first, der := whole(1, 2*sa.CRLPartSize+1234)
		if err := s.PublishCRL(s.ctx, first); err == nil {
			s.Errorf("published without its parts")
		}
		put(first, der)
		put(first, der) // a repeated call
		s.must(s.PublishCRL(s.ctx, first))
		got, err := s.CRL(s.ctx, issuerID, 3)
		s.must(err)
		s.equal(got, first)
		reader := sa.OpenCRL(s.ctx, s, got)
		read, err := io.ReadAll(reader)
		s.must(err)
		if !bytes.Equal(read, der) {
			s.Errorf("%d bytes, others than the %d that were put", len(read), len(der))
		}
		across := make([]byte, 20)
		_, err = reader.ReadAt(across, 2*sa.CRLPartSize-10)
		s.must(err)
		s.equal(across, der[2*sa.CRLPartSize-10:][:20])

		// One that is being read survives a successor, not two.
		second, der := whole(2, sa.CRLPartSize+1)
		put(second, der)
		s.must(s.PublishCRL(s.ctx, second))
		_, err = s.CRLPart(s.ctx, sa.CRLPart{Issuer: issuerID, Shard: 3, Number: 1, Part: 2})
		s.must(err)
		third, der := whole(3, 99)
		put(third, der)
		s.must(s.PublishCRL(s.ctx, third))
		_, err = s.CRLPart(s.ctx, sa.CRLPart{Issuer: issuerID, Shard: 3, Number: 1, Part: 2})
		s.wantErr(err, sa.ErrNotFound)
		_, err = s.CRLPart(s.ctx, sa.CRLPart{Issuer: issuerID, Shard: 3, Number: 2, Part: 1})
		s.must(err)

		low := third
		low.Shard = 1
		s.must(s.PublishCRL(s.ctx, low))
		list, err := s.CRLs(s.ctx, sa.CRLPage{Issuer: issuerID, Limit: 10})
		s.must(err)
		low.DER, third.DER = nil, nil
		s.equal(list, []sa.CRL{low, third})
		list, err = s.CRLs(s.ctx, sa.CRLPage{Issuer: issuerID, From: 2, Limit: 10})
		s.must(err)
		s.equal(list, []sa.CRL{third})
	},
	"Issuers": func(s *suite) {
		list, err := s.Issuers(s.ctx)
		s.must(err)
		s.equal(list, []acme.Issuer{})
		_, err = s.Issuer(s.ctx, issuerID)
		s.wantErr(err, sa.ErrNotFound)

		a := acme.Issuer{ID: acme.IssuerID{1}, Chains: [][][]byte{{[]byte("a"), []byte("root")}, {[]byte("a"), []byte("cross"), []byte("other root")}}, Responder: []byte("responder")}
		b := acme.Issuer{ID: acme.IssuerID{2}, Chains: [][][]byte{{[]byte("b")}}}
		bare := acme.Issuer{ID: acme.IssuerID{3}}
		for _, issuer := range []acme.Issuer{bare, b, a} {
			s.must(s.PutIssuer(s.ctx, issuer))
			got, err := s.Issuer(s.ctx, issuer.ID)
			s.must(err)
			s.equal(got, issuer)
		}
		list, err = s.Issuers(s.ctx)
		s.must(err)
		s.equal(list, []acme.Issuer{a, b, bare})

		a.Chains, a.Responder = [][][]byte{{[]byte("a2")}}, nil
		s.must(s.PutIssuer(s.ctx, a))
		got, err := s.Issuer(s.ctx, a.ID)
		s.must(err)
		s.equal(got, a)
	},
	"BlockedKeys": func(s *suite) {
		key := sa.BlockedKey{SPKISHA256: [32]byte{1}, At: s.in(0), By: "operator x", Comment: "leaked"}
		s.keyBlocked(key.SPKISHA256, false)
		s.must(s.BlockKey(s.ctx, key))
		s.keyBlocked(key.SPKISHA256, true)
		s.keyBlocked([32]byte{2}, false)
		s.must(s.BlockKey(s.ctx, key))
		s.keyBlocked(key.SPKISHA256, true)
	},
	"Lease": func(s *suite) {
		s.lease("crl", "one", time.Minute, true)
		s.lease("crl", "two", time.Minute, false)
		s.lease("ocsp", "two", time.Minute, true) // another lease
		s.clock.advance(30 * time.Second)
		s.lease("crl", "one", time.Minute, true) // renewed
		s.clock.advance(time.Minute - time.Microsecond)
		s.lease("crl", "two", time.Minute, false)
		s.clock.advance(time.Microsecond)
		s.lease("crl", "two", time.Minute, true) // it lapsed
		s.lease("crl", "one", time.Minute, false)
		s.lease("crl", "two", 0, true) // given back
		s.lease("crl", "one", time.Minute, true)
	},
	"Ping": func(s *suite) { s.must(s.Store.Ping(s.ctx)) },
	"CanceledContext": func(s *suite) {
		a := s.account()
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		n := s.newOrder(a.ID, "example.com")
		if s.CreateOrder(ctx, n) == nil {
			s.Fatal("written for a caller that had left")
		}
		if _, err := s.Account(ctx, a.ID); err == nil {
			s.Fatal("read for a caller that had left")
		}
		_, err := s.Order(s.ctx, n.Order.ID)
		s.wantErr(err, sa.ErrNotFound)
		s.must(s.CreateOrder(s.ctx, n)) // and the store goes on
	},
}

func (s *suite) keyBlocked(spki [32]byte, want bool) {
	s.Helper()
	got, err := s.KeyBlocked(s.ctx, spki)
	s.must(err)
	if got != want {
		s.Fatalf("blocked: %v, want %v", got, want)
	}
}

func (s *suite) lease(name, owner string, d time.Duration, want bool) {
	s.Helper()
	got, err := s.Lease(s.ctx, sa.Lease{Name: name, Owner: owner, Until: s.in(d)})
	s.must(err)
	if got != want {
		s.Fatalf("lease %s for %s: %v, want %v", name, owner, got, want)
	}
}
