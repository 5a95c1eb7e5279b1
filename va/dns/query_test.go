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
		if err := q.prepare(rand.Reader); err != nil {
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
// whoever rests is asked when nobody else is left.
func TestPick(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	r, err := New(Config{Upstreams: []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := r.upstreams[0], r.upstreams[1], r.upstreams[2]
	picked := func(failed *upstream) map[*upstream]bool {
		all := map[*upstream]bool{}
		for range 9 {
			all[r.pick(failed)] = true
		}
		return all
	}
	same := func(what string, got map[*upstream]bool, want ...*upstream) {
		t.Helper()
		for _, u := range want {
			if !got[u] || len(got) != len(want) {
				t.Errorf("%s: picked %d upstreams, want %d, with %s", what, len(got), len(want), u.name)
			}
		}
	}
	same("all well", picked(nil), a, b, c)
	same("one failed", picked(a), b, c)
	for range failuresToRest {
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
	now = now.Add(rest)
	same("rested", picked(nil), a, b, c)
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
		q := &query{current: Question{name, dns.TypeCAA}, id: 0x1234, wire: name}
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
	seed(func(m *dns.Msg) { m.Truncated = true })
	seed(func(m *dns.Msg) { m.Question = nil; m.Rcode = dns.RcodeServerFailure })
	seed(func(m *dns.Msg) { m.Ns = []dns.RR{rr("example. NS ns.example.")} })
	f.Add([]byte{0x12, 0x34}, false)
	f.Fuzz(func(t *testing.T, msg []byte, tcp bool) {
		q := &query{asked: Question{name, dns.TypeTXT}, current: Question{name, dns.TypeTXT}, id: 0x1234, wire: name}
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
			if len(s) > 8000 || strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
				t.Errorf("not a bounded printable line: %q", s)
			}
		}
	})
}
