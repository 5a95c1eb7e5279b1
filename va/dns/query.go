package dns

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/miekg/dns"
)

// ednsSize is the UDP payload that is asked for: no path in use fragments it
// (DNS flag day 2020).
const ednsSize = 1232

// query is the state of one question on its way to an answer.
type query struct {
	asked   Question
	current Question // differs from asked once an alias was followed by hand
	aliases []string
	answer  Answer
	done    bool
	dangles string // the alias target that the resolver did not follow
	tcp     bool   // UDP will not do
	refused int    // how many times a resolver answered with an error
	// unchecked asks for the answer even if its signatures are wrong (the CD
	// bit, RFC 4035 §3.2.2).
	unchecked bool
	// insecure and unproven tell that one of the aliases followed by hand was
	// not authenticated, or came from an upstream not proven to validate.
	insecure, unproven bool

	id    uint16
	wire  string // the name with its letter case as sent, with trailing dot
	exact bool   // the answer must repeat the letter case
	msg   []byte
}

// form is how a query is written for an upstream.
type form struct {
	mixCase bool // in random letter case
	zeroID  bool // with ID 0, where the transport tells the answers apart
}

// prepare gives the query a fresh ID and letter case.
func (q *query) prepare(random io.Reader, f form) error {
	name := dns.Fqdn(q.current.Name)
	bits := make([]byte, 2+(len(name)+7)/8)
	if _, err := io.ReadFull(random, bits); err != nil {
		return fmt.Errorf("reading random bits: %w", err)
	}
	q.id, bits = binary.BigEndian.Uint16(bits), bits[2:]
	if f.zeroID {
		q.id = 0
	}
	letters := []byte(name)
	for i, c := range letters {
		if f.mixCase && (c|0x20) >= 'a' && (c|0x20) <= 'z' && bits[i/8]>>(i%8)&1 == 1 {
			letters[i] = c ^ 0x20
		}
	}
	q.wire, q.exact = string(letters), f.mixCase
	// With the AD bit in the query a resolver says whether it has verified
	// the answer, without sending the signatures along (RFC 6840 §5.7).
	m := dns.Msg{
		MsgHdr:   dns.MsgHdr{Id: q.id, RecursionDesired: true, AuthenticatedData: true, CheckingDisabled: q.unchecked},
		Question: []dns.Question{{Name: q.wire, Qtype: q.current.Type, Qclass: dns.ClassINET}},
	}
	m.SetEdns0(ednsSize, false)
	var err error
	q.msg, err = m.PackBuffer(q.msg)
	return err
}

// verdict is what a message means to a query.
type verdict int

const (
	stranger verdict = iota // no answer to this query: keep waiting
	useTCP                  // truncated, garbled, or written in another case: UDP won't do
	settled                 // the answer
	retry                   // the resolver failed: ask again
)

// accept judges a message that came in for the query, and sets its answer.
// Whatever does not repeat the question is a stranger's; what repeats it but
// is unsound is asked for again over TCP, which a forger off the path can't
// join.
func (q *query) accept(msg []byte, tcp bool) verdict {
	if len(msg) < 12 || binary.BigEndian.Uint16(msg) != q.id {
		return stranger
	}
	unsound := useTCP
	if tcp {
		unsound = retry
	}
	m := new(dns.Msg)
	err := m.Unpack(msg)
	switch {
	case !m.Response || m.Opcode != dns.OpcodeQuery:
		return stranger
	case err == nil && len(m.Question) == 0 && m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		// Some resolvers send errors without the question.
		if !tcp {
			return useTCP
		}
		return q.refuse(m)
	case len(m.Question) != 1 || !q.repeats(m.Question[0]):
		return stranger
	case q.exact && m.Question[0].Name != q.wire && !tcp:
		return useTCP
	case m.Truncated && !tcp:
		return useTCP
	case m.Truncated:
		q.fail(Malformed, "it is truncated over TCP")
		return retry
	case err != nil || !countsAgree(m, msg):
		q.fail(Malformed, "it is cut short")
		return unsound
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
		return q.refuse(m)
	}
	return q.settle(m)
}

// repeats tells whether a question is the one that was sent, in any case.
func (q *query) repeats(got dns.Question) bool {
	return got.Qtype == q.current.Type && got.Qclass == dns.ClassINET && strings.EqualFold(got.Name, q.wire)
}

// countsAgree tells whether each section has as many records as the header
// says: the dns package passes over records that are missing.
func countsAgree(m *dns.Msg, msg []byte) bool {
	return int(binary.BigEndian.Uint16(msg[6:])) == len(m.Answer) &&
		int(binary.BigEndian.Uint16(msg[8:])) == len(m.Ns) &&
		int(binary.BigEndian.Uint16(msg[10:])) == len(m.Extra)
}

// refuse notes an error of the resolver.
func (q *query) refuse(m *dns.Msg) verdict {
	detail := extendedError(m)
	if m.Rcode == dns.RcodeServerFailure {
		if q.answer.Outcome == ServFail && len(q.answer.Detail) > len(detail) {
			detail = q.answer.Detail // resolvers explain a failure less when they have it in their cache
		}
		q.fail(ServFail, detail)
	} else {
		rcode := dns.RcodeToString[m.Rcode]
		if rcode == "" {
			rcode = fmt.Sprintf("RCODE %d", m.Rcode)
		}
		q.fail(Refused, strings.TrimSuffix(rcode+"; "+detail, "; "))
	}
	q.refused++
	if q.refused == 2 {
		return settled
	}
	return retry
}

// fail notes why there is no answer yet. A server failure is not forgotten for
// a later timeout, which says less.
func (q *query) fail(outcome Outcome, detail string) {
	if outcome == Timeout && q.answer.Outcome != Found {
		return
	}
	q.answer.Outcome, q.answer.Detail, q.answer.Records, q.answer.Authenticated = outcome, detail, nil, false
}

// settle reads an answer that says NOERROR or NXDOMAIN.
func (q *query) settle(m *dns.Msg) verdict {
	name := q.wire
	for {
		records, target := owned(m.Answer, name, q.current.Type)
		if len(records) > 0 {
			q.answer.Outcome, q.answer.Detail, q.answer.Records = Found, "", records
			q.answer.Authenticated = m.AuthenticatedData
			return settled
		}
		if target == "" {
			break
		}
		if len(q.aliases) == maxLinks {
			q.fail(Malformed, fmt.Sprintf("there are more than %d CNAME records in a row", maxLinks))
			return settled
		}
		name = target
		q.aliases = append(q.aliases, printable(strings.TrimSuffix(target, ".")))
	}
	q.answer.Authenticated = m.AuthenticatedData
	soa, ns := authority(m)
	switch {
	case m.Rcode == dns.RcodeNameError:
		q.answer.Outcome, q.answer.Detail = NXDomain, extendedError(m)
	case name != q.wire && !soa:
		q.dangles = name
	case ns && !soa && !m.Authoritative && !m.RecursionAvailable:
		// A referral: this is not a recursive resolver, and nothing is known.
		q.fail(Refused, "it is no recursive resolver: it answered with a referral")
		return retry
	default:
		q.answer.Outcome, q.answer.Detail = NoData, extendedError(m)
	}
	return settled
}

// owned are the records of one type that a name has in an answer, and where
// the name is an alias, its target.
func owned(rrs []dns.RR, name string, qtype uint16) (records []dns.RR, target string) {
	for _, rr := range rrs {
		header := rr.Header()
		if header.Class != dns.ClassINET || !strings.EqualFold(header.Name, name) {
			continue
		}
		switch rr := rr.(type) {
		case *dns.CNAME:
			target = rr.Target
		default:
			if header.Rrtype == qtype {
				records = append(records, rr)
			}
		}
	}
	return records, target
}

func authority(m *dns.Msg) (soa, ns bool) {
	for _, rr := range m.Ns {
		switch rr.Header().Rrtype {
		case dns.TypeSOA:
			soa = true
		case dns.TypeNS:
			ns = true
		}
	}
	return soa, ns
}

// unfollowed are the queries whose answer was an alias and no more, set to
// ask for its target.
func unfollowed(queries []*query) []*query {
	var open []*query
	for _, q := range queries {
		if q.dangles != "" {
			q.current.Name, q.dangles = q.dangles, ""
			q.insecure = q.insecure || !q.answer.Authenticated
			q.unproven = q.unproven || !q.answer.Validated
			if answer, ok := onion(q.current); ok {
				q.answer, q.done = answer, true
				continue
			}
			q.done, q.tcp, q.refused = false, false, 0
			open = append(open, q)
		}
	}
	return open
}

// finish is the answer as the caller sees it.
func (q *query) finish() Answer {
	q.answer.Question = q.asked
	q.answer.Aliases = q.aliases
	q.answer.Authenticated = q.answer.Authenticated && !q.insecure
	q.answer.Validated = q.answer.Validated && !q.unproven
	return q.answer
}
