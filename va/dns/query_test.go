package dns

import (
	"crypto/rand"
	"strings"
	"testing"

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
