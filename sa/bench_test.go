package sa_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/pgtest"
	"github.com/cairn-ca/cairn/sa"
)

// bench is a store with an account, and what one issuance asks of it.
type bench struct {
	testing.TB
	*sa.DB
	registry *prometheus.Registry
	account  acme.Account
	tbs      []byte
	serial   atomic.Uint64
}

// commits counts the commits that SQLite made.
func (s *bench) commits() float64 {
	families, err := s.registry.Gather()
	s.check(err)
	for _, f := range families {
		if f.GetName() == "cairn_store_group_size" {
			return float64(f.GetMetric()[0].GetHistogram().GetSampleCount())
		}
	}
	return 0
}

func newBench(b *testing.B, url string) *bench {
	registry := prometheus.NewRegistry()
	store, err := sa.Open(b.Context(), sa.Config{URL: url, Migrate: true, Metrics: registry})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	s := &bench{TB: b, DB: store, registry: registry, tbs: make([]byte, 700)}
	account := acme.Account{ID: s.id(), Directory: "default", Status: acme.AccountValid, Key: newKey(b), CreatedAt: time.Now()}
	if s.account, _, err = store.CreateAccount(b.Context(), account); err != nil {
		b.Fatal(err)
	}
	return s
}

func newKey(tb testing.TB) acme.AccountKey {
	tb.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	point, err := private.PublicKey.Bytes() // 4, X, Y
	if err != nil {
		tb.Fatal(err)
	}
	x, y := base64.RawURLEncoding.EncodeToString(point[1:33]), base64.RawURLEncoding.EncodeToString(point[33:])
	key, err := acme.ParseAccountKey(fmt.Appendf(nil, `{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, x, y))
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func (s *bench) check(err error) {
	if err != nil {
		s.Error(err) // also from other goroutines than the benchmark's
		runtime.Goexit()
	}
}

func (s *bench) id() acme.ID {
	id, err := acme.NewID(time.Now(), rand.Reader)
	s.check(err)
	return id
}

func (s *bench) newOrder() sa.NewOrder {
	now := time.Now()
	name, err := acme.ParseIdentifier(acme.IdentifierDNS, fmt.Sprintf("host-%d.example.com", s.serial.Add(1)))
	s.check(err)
	authz := acme.Authorization{
		ID: s.id(), Account: s.account.ID, Identifier: name, Status: acme.AuthorizationPending, Expires: now.Add(24 * time.Hour), CreatedAt: now,
		Offered: []acme.ChallengeType{acme.HTTP01, acme.DNS01, acme.TLSALPN01},
	}
	return sa.NewOrder{
		Order: acme.Order{
			ID: s.id(), Account: s.account.ID, Profile: "default", Identifiers: []acme.Identifier{name}, Authorizations: []acme.ID{authz.ID},
			Expires: now.Add(24 * time.Hour), CreatedAt: now,
		},
		Authorizations: []acme.Authorization{authz},
	}
}

func (s *bench) begin(n sa.NewOrder) {
	_, err := s.BeginValidation(s.Context(), sa.BeginValidation{
		Authorization: n.Authorizations[0].ID, Type: acme.HTTP01, KeyThumbprint: s.account.Key.Thumbprint(), Owner: "bench", LeaseUntil: time.Now().Add(time.Minute),
	})
	s.check(err)
}

func (s *bench) complete(n sa.NewOrder) {
	now := time.Now()
	_, err := s.CompleteValidation(s.Context(), sa.ValidationResult{
		Authorization: n.Authorizations[0].ID, Owner: "bench", Validated: now, Expires: now.Add(30 * 24 * time.Hour),
		Evidence: acme.Evidence{
			Method: acme.HTTP01, DomainName: "host.example.com", At: now,
			Steps: []string{"host.example.com A 127.0.0.1", "GET http://host.example.com/.well-known/acme-challenge/Zm9vYmFyYmF6", "200, 87 octets"},
			CAA:   &acme.CAAEvidence{CheckedAt: now},
		},
	})
	s.check(err)
}

func (s *bench) issuance(n sa.NewOrder) sa.Issuance {
	now := time.Now()
	serial, err := acme.NewSerial(now, rand.Reader)
	s.check(err)
	return sa.Issuance{
		Certificate: acme.Certificate{
			Serial: serial, Issuer: acme.IssuerID{1}, Account: s.account.ID, Order: n.Order.ID, Profile: "default",
			TBS: s.tbs, NotBefore: now, NotAfter: now.Add(90 * 24 * time.Hour), RecordedAt: now,
		},
		Owner: "bench", LeaseUntil: now.Add(time.Minute),
	}
}

func (s *bench) record(i sa.Issuance) { s.check(s.RecordIssuance(s.Context(), i)) }

func (s *bench) sign(i sa.Issuance) {
	s.check(s.CompleteIssuance(s.Context(), i.Certificate.Serial, make([]byte, 900)))
}

// issue is what one issuance asks of the store: five transactions and the
// reads of the requests around them.
func (s *bench) issue(reads bool) {
	n := s.newOrder()
	read := func(ok func() error) {
		if reads {
			s.check(ok())
		}
	}
	account := func() error { _, err := s.Account(s.Context(), s.account.ID); return err }
	order := func() error { _, err := s.Order(s.Context(), n.Order.ID); return err }
	authorization := func() error { _, err := s.Authorization(s.Context(), n.Authorizations[0].ID); return err }

	read(account)
	s.check(s.CreateOrder(s.Context(), n))
	read(authorization)
	s.begin(n)
	s.complete(n)
	read(authorization)
	read(order)
	i := s.issuance(n)
	s.record(i)
	s.sign(i)
	read(order)
	read(func() error { _, err := s.Certificate(s.Context(), i.Certificate.Serial); return err })
}

// cpu reports, for each operation of a benchmark, the CPU time of the process,
// the kernel's included, and the commits.
func (s *bench) cpu(b *testing.B, run func()) {
	b.Helper()
	b.ReportAllocs()
	before, commits := cpuTime(b), s.commits()
	b.ResetTimer()
	run()
	b.StopTimer()
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric((s.commits()-commits)/float64(b.N), "commits/op")
}

func cpuTime(tb testing.TB) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func BenchmarkIssuance(b *testing.B) {
	for _, store := range []struct {
		name string
		url  func() string
	}{
		{"sqlite", func() string { return "sqlite:" + filepath.Join(b.TempDir(), "cairn.db") }},
		{"postgres", func() string { return pgtest.Database(b) }},
	} {
		for _, reads := range []bool{false, true} {
			what := "writes"
			if reads {
				what = "all"
			}
			b.Run(store.name+"/"+what+"/serial", func(b *testing.B) {
				s := newBench(b, store.url())
				s.cpu(b, func() {
					for range b.N {
						s.issue(reads)
					}
				})
			})
			b.Run(store.name+"/"+what+"/parallel8", func(b *testing.B) {
				s := newBench(b, store.url())
				b.SetParallelism((8 + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
				s.cpu(b, func() {
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							s.issue(reads)
						}
					})
				})
			})
		}
	}
}

// BenchmarkSteps times each transaction and each read by itself.
func BenchmarkSteps(b *testing.B) {
	s := newBench(b, "sqlite:"+filepath.Join(b.TempDir(), "cairn.db"))
	var orders []sa.NewOrder
	var issuances []sa.Issuance
	grow := func(n int) {
		for len(orders) < n {
			o := s.newOrder()
			s.check(s.CreateOrder(b.Context(), o))
			s.begin(o)
			s.complete(o)
			i := s.issuance(o)
			s.record(i)
			s.sign(i)
			orders, issuances = append(orders, o), append(issuances, i)
		}
	}
	grow(1000)
	at := func(i int) int { return i * 7919 % len(orders) }
	for name, read := range map[string]func(i int) error{
		"Account": func(int) error { _, err := s.Account(b.Context(), s.account.ID); return err },
		"Order":   func(i int) error { _, err := s.Order(b.Context(), orders[at(i)].Order.ID); return err },
		"Authorization": func(i int) error {
			_, err := s.Authorization(b.Context(), orders[at(i)].Authorizations[0].ID)
			return err
		},
		"Certificate": func(i int) error {
			_, err := s.Certificate(b.Context(), issuances[at(i)].Certificate.Serial)
			return err
		},
		"ReusableAuthorizations": func(i int) error {
			_, err := s.ReusableAuthorizations(b.Context(), sa.ReuseQuery{Account: s.account.ID, Identifiers: orders[at(i)].Order.Identifiers})
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			s.cpu(b, func() {
				for i := range b.N {
					s.check(read(i))
				}
			})
		})
	}
	step := func(name string, prepare func(n sa.NewOrder) func()) {
		b.Run(name, func(b *testing.B) {
			run := make([]func(), b.N)
			for i := range run {
				run[i] = prepare(s.newOrder())
			}
			s.cpu(b, func() {
				for _, run := range run {
					run()
				}
			})
		})
	}
	step("CreateOrder", func(n sa.NewOrder) func() { return func() { s.check(s.CreateOrder(b.Context(), n)) } })
	step("BeginValidation", func(n sa.NewOrder) func() {
		s.check(s.CreateOrder(b.Context(), n))
		return func() { s.begin(n) }
	})
	step("CompleteValidation", func(n sa.NewOrder) func() {
		s.check(s.CreateOrder(b.Context(), n))
		s.begin(n)
		return func() { s.complete(n) }
	})
	ready := func(n sa.NewOrder) sa.Issuance {
		s.check(s.CreateOrder(b.Context(), n))
		s.begin(n)
		s.complete(n)
		return s.issuance(n)
	}
	step("RecordIssuance", func(n sa.NewOrder) func() { i := ready(n); return func() { s.record(i) } })
	step("CompleteIssuance", func(n sa.NewOrder) func() { i := ready(n); s.record(i); return func() { s.sign(i) } })
}
