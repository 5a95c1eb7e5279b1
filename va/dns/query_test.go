package dns

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestPrepareRandomises(t *testing.T) {
	t.Parallel()
	q := &query{current: Question{"a-rather-long-name.example.com", dns.TypeA}}
	ids, names := map[uint16]bool{}, map[string]bool{}
	for range 50 {
		if err := q.prepare(rand.Reader, form{mixCase: true}); err != nil {
			t.Fatal(err)
		}
		ids[q.id], names[q.wire] = true, true
		if strings.ToLower(q.wire) != "a-rather-long-name.example.com." {
			t.Fatalf("the name became %q", q.wire)
		}
	}
	if len(ids) < 45 || len(names) < 45 {
		t.Errorf("50 queries have %d IDs and %d letter cases", len(ids), len(names))
	}
}

// TestPick: whoever just failed is not asked again while there is another, and
// whoever rests is asked when nobody else is left, or once after the rest.
func TestPick(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	r, err := New(Config{Upstreams: []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := r.upstreams[0], r.upstreams[1], r.upstreams[2]
	picked := func(failed *upstream) map[*upstream]int {
		all := map[*upstream]int{}
		for range 9 {
			all[r.pick(failed, false)]++
		}
		return all
	}
	same := func(what string, got map[*upstream]int, want ...*upstream) {
		t.Helper()
		for _, u := range want {
			if got[u] == 0 || len(got) != len(want) {
				t.Errorf("%s: picked %d upstreams, want %d, with %s", what, len(got), len(want), u.name)
			}
		}
	}
	same("all well", picked(nil), a, b, c)
	same("one failed", picked(a), b, c)
	for range failuresToRest - 1 {
		b.failed(now)
	}
	same("one failed less often than it may", picked(nil), a, b, c)
	for range 20 { // more than it takes: those that were open
		b.failed(now)
	}
	same("one rests", picked(nil), a, c)
	same("one rests, one failed", picked(a), c)
	for _, u := range []*upstream{a, c} {
		for range failuresToRest {
			u.failed(now)
		}
	}
	same("all but the failed rest", picked(a), b, c)
	a.answered()
	same("one answered", picked(nil), a)
	c.answered()

	for _, rest := range []time.Duration{10, 20, 40, 80, 160, 300, 300} {
		now = now.Add(rest*time.Second - 1)
		same("just before the rest's end", picked(nil), a, c)
		now = now.Add(1)
		if got := picked(nil); got[b] != 1 {
			t.Errorf("after a rest of %d s it was picked %d times, want once", rest, got[b])
		}
		b.failed(now) // the trial
		same("after the trial", picked(nil), a, c)
	}
	now = now.Add(300 * time.Second)
	if got := picked(nil); got[b] != 1 {
		t.Errorf("picked %d times for a trial", got[b])
	}
	now = now.Add(trialTime)
	if got := picked(nil); got[b] != 1 {
		t.Errorf("after an undecided trial, picked %d times", got[b])
	}
	b.answered()
	same("after a good trial", picked(nil), a, b, c)
	for range failuresToRest {
		b.failed(now)
	}
	now = now.Add(shortestRest)
	same("the first rest is short again", picked(nil), a, b, c)
}

// TestMissingRecords: a message with fewer records than it announces must not
// pass for one that says that there are none.
func TestMissingRecords(t *testing.T) {
	t.Parallel()
	const name = "a.example."
	m := new(dns.Msg)
	m.SetQuestion(name, dns.TypeCAA)
	m.Id, m.Response = 0x1234, true
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		section int // the offset of its count in the header
		tcp     bool
		want    verdict
	}{{6, false, useTCP}, {6, true, retry}, {8, true, retry}, {10, true, retry}} {
		msg := bytes.Clone(packed)
		msg[c.section+1] = 1
		q := &query{current: Question{name, dns.TypeCAA}, id: 0x1234, wire: name, exact: true}
		if v := q.accept(msg, c.tcp); v != c.want || q.answer.Outcome != Malformed {
			t.Errorf("section at %d: verdict %d, outcome %s", c.section, v, q.answer.Outcome)
		}
	}
}

// FuzzAnswer feeds the resolver messages that nobody should send. Whatever
// comes, it must not crash, and believe only what repeats the question.
func FuzzAnswer(f *testing.F) {
	const name = "aLias.Example."
	seed := func(change func(m *dns.Msg)) {
		m := new(dns.Msg)
		m.SetQuestion(name, dns.TypeTXT)
		m.Id, m.Response = 0x1234, true
		m.SetEdns0(ednsSize, false)
		change(m)
		packed, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed, false)
		f.Add(packed, true)
		f.Add(packed[:len(packed)-3], false)
	}
	rr := func(s string) dns.RR {
		rr, err := dns.NewRR(s)
		if err != nil {
			f.Fatal(err)
		}
		return rr
	}
	seed(func(m *dns.Msg) { m.Answer = []dns.RR{rr(name + ` 1 IN TXT "a" "b\000\"\\"`)} })
	seed(func(m *dns.Msg) { m.Answer = []dns.RR{rr(name + " CNAME b.example."), rr(`b.example. TXT "x"`)} })
	seed(func(m *dns.Msg) { m.Answer = []dns.RR{rr(name + " CNAME " + name)} })
	seed(func(m *dns.Msg) { m.Rcode = dns.RcodeNameError; m.Ns = []dns.RR{rr("example. SOA a. b. 1 2 3 4 5")} })
	seed(func(m *dns.Msg) {
		m.Rcode = dns.RcodeBadVers
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EDE{InfoCode: 6, ExtraText: "\x00\xff\""}}
	})
	seed(func(m *dns.Msg) {
		m.Rcode = dns.RcodeServerFailure
		for range 5 {
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_EDE{InfoCode: 9999, ExtraText: strings.Repeat("x", 300)})
		}
	})
	seed(func(m *dns.Msg) { // signed, with denial of existence
		m.AuthenticatedData = true
		m.Ns = []dns.RR{
			rr("example. SOA a. b. 1 2 3 4 5"), rr("example. NSEC b.example. A NS SOA RRSIG NSEC DNSKEY"),
			rr("example. RRSIG NSEC 13 1 300 20300101000000 20200101000000 1 example. AAAA"),
			rr("abcdefghijklmnopqrstuv0123456789.example. NSEC3 1 1 0 - BBCDEFGHIJKLMNOPQRSTUV0123456789 A RRSIG"),
		}
	})
	seed(func(m *dns.Msg) {
		m.Answer = []dns.RR{rr("example. DNAME test."), rr(name + " CNAME alias.test."), rr(`alias.test. TXT "x"`)}
	})
	seed(func(m *dns.Msg) { m.Truncated = true })
	seed(func(m *dns.Msg) { m.Question = nil; m.Rcode = dns.RcodeServerFailure })
	seed(func(m *dns.Msg) { m.Ns = []dns.RR{rr("example. NS ns.example.")} })
	f.Add([]byte{0x12, 0x34}, false)
	f.Fuzz(func(t *testing.T, msg []byte, tcp bool) {
		q := &query{asked: Question{name, dns.TypeTXT}, current: Question{name, dns.TypeTXT}, id: 0x1234, wire: name, exact: true}
		v := q.accept(msg, tcp)
		if tcp && v == useTCP {
			t.Error("asks for TCP over TCP")
		}
		answer := q.finish()
		if answer.Outcome == Found && v == settled && q.dangles == "" {
			if len(answer.Records) == 0 {
				t.Error("found, without records")
			}
			if len(msg) < 12 || msg[0] != 0x12 || msg[1] != 0x34 || msg[2]&0x80 == 0 {
				t.Error("believes a message that is no answer to the query")
			}
		}
		if len(q.aliases) > maxLinks {
			t.Errorf("followed %d aliases", len(q.aliases))
		}
		for _, s := range append(answer.Texts(), answer.String(), answer.Problem())[len(answer.Texts()):] {
			if len(s) > 9000 || strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
				t.Errorf("not a bounded printable line: %q", s)
			}
		}
	})
}
