package dns

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// Outcome is how a look-up ended.
type Outcome int

// The outcomes. Only the first three say something about the name; with the
// others nothing is known.
const (
	Found    Outcome = iota // there are records
	NoData                  // the name exists without records of the type
	NXDomain                // the name does not exist
	ServFail                // the resolver failed, as with a bogus signature
	Refused                 // the resolver refused or could not understand
	Timeout
	Network   // the resolver could not be reached
	Malformed // the answer, or the name asked for, makes no sense
	Canceled  // the context was cancelled
	// Unvalidated: no resolver has proven to validate, and the context asked
	// for one (RequireValidation).
	Unvalidated
)

var outcomeNames = [...]string{"found", "nodata", "nxdomain", "servfail", "refused", "timeout", "network", "malformed", "canceled", "unvalidated"}

// String is a short lower-case word.
func (o Outcome) String() string { return outcomeNames[o] }

// Answer is the result of one look-up.
type Answer struct {
	Question Question
	Outcome  Outcome
	// Records are those of the type asked for, at the end of the aliases.
	// Empty unless Outcome is Found.
	Records []dns.RR
	// Aliases are the targets of the CNAME records on the way, in order,
	// without trailing dots.
	Aliases []string
	// Authenticated tells that the resolver says to have verified the answer
	// with DNSSEC (RFC 4035 §3.2.3).
	Authenticated bool
	// Validated tells that the resolver has proven to verify with DNSSEC what
	// it answers (Resolver.Run). With it, an answer that is not Authenticated
	// is about a zone that is provably not signed; without it, Authenticated
	// means nothing.
	Validated bool
	// Upstream is the resolver that answered last.
	Upstream string
	// Detail says in a few words why the look-up failed; with the resolver's
	// extended error (RFC 8914), if it sent one.
	Detail string
}

// Failed tells that the look-up told nothing about the name.
func (a Answer) Failed() bool { return a.Outcome >= ServFail }

// Addrs are the addresses of an answer to an A or AAAA question.
func (a Answer) Addrs() []netip.Addr {
	var addrs []netip.Addr
	for _, rr := range a.Records {
		var addr netip.Addr
		switch rr := rr.(type) {
		case *dns.A:
			addr, _ = netip.AddrFromSlice(rr.A)
		case *dns.AAAA:
			addr, _ = netip.AddrFromSlice(rr.AAAA)
		}
		if addr = addr.Unmap(); addr.IsValid() {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// Texts are the values of an answer to a TXT question, the strings of each
// record joined, as they were on the wire.
func (a Answer) Texts() []string {
	var texts []string
	for _, rr := range a.Records {
		if txt, ok := rr.(*dns.TXT); ok {
			texts = append(texts, unescape(strings.Join(txt.Txt, "")))
		}
	}
	return texts
}

// Problem is a sentence about a look-up that found nothing, for a person.
func (a Answer) Problem() string {
	what := dns.TypeToString[a.Question.Type] + " records of " + strings.TrimSuffix(a.Question.Name, ".")
	var s string
	switch a.Outcome {
	case Found:
		return what + " were found"
	case NoData:
		s = "there are no " + what
	case NXDomain:
		s = "looking for " + what + ": the name does not exist (NXDOMAIN)"
	case ServFail:
		s = "looking for " + what + ": the DNS resolver could not answer (SERVFAIL); check the zone's name servers and its DNSSEC"
	case Refused:
		s = "looking for " + what + ": the DNS resolver refused the question"
	case Timeout:
		s = "looking for " + what + ": no answer in time; check that the zone's name servers respond"
	case Network:
		s = "looking for " + what + ": the DNS resolver could not be reached"
	case Malformed:
		s = "looking for " + what + ": the answer makes no sense"
	case Canceled:
		s = "looking for " + what + ": the look-up was cancelled"
	case Unvalidated:
		s = "looking for " + what + ": none of this CA's DNS resolvers has proven that it validates with DNSSEC, which is asked for here; its operator must mend that"
	}
	if a.Detail != "" {
		s += " [" + a.Detail + "]"
	}
	return s
}

// String is a line for the records of a validation.
func (a Answer) String() string {
	var b strings.Builder
	b.WriteString(strings.TrimSuffix(a.Question.Name, "."))
	b.WriteByte(' ')
	b.WriteString(dns.TypeToString[a.Question.Type])
	if a.Upstream != "" {
		b.WriteString(" at ")
		b.WriteString(a.Upstream)
	}
	for _, alias := range a.Aliases {
		b.WriteString(" -> ")
		b.WriteString(alias)
	}
	b.WriteString(": ")
	if a.Outcome != Found {
		b.WriteString(a.Outcome.String())
		if a.Detail != "" {
			b.WriteString(" [" + a.Detail + "]")
		}
		b.WriteString(a.security())
		return b.String()
	}
	const most = 5
	for i, rr := range a.Records[:min(len(a.Records), most)] {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(recordData(rr))
	}
	if more := len(a.Records) - most; more > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	b.WriteString(a.security())
	return b.String()
}

// security is the answer's state in the words of RFC 4035 §4.3, as far as it
// is known.
func (a Answer) security() string {
	switch {
	case !a.Validated || a.Failed():
		return ""
	case a.Authenticated:
		return " [secure]"
	}
	return " [insecure]"
}

// recordData is a record's data, printable and bounded.
func recordData(rr dns.RR) string {
	switch rr := rr.(type) {
	case *dns.A:
		return rr.A.String()
	case *dns.AAAA:
		return rr.AAAA.String()
	}
	return printable(strings.TrimPrefix(rr.String(), rr.Header().String()))
}

// printable cuts what came from the network to a length fit for a line, and
// escapes what is not printable ASCII. Escapes that are there already stay.
func printable(s string) string { return printableUpTo(200, s) }

func printableUpTo(most int, s string) string {
	end := ""
	if len(s) > most {
		s, end = s[:most], "..."
	}
	if strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0 {
		return s + end
	}
	var b strings.Builder
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			fmt.Fprintf(&b, `\x%02x`, s[i])
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String() + end
}

// unescape undoes the presentation form that the dns package gives to
// character strings: \DDD and \X.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			continue
		}
		if i+3 < len(s) && isDigit(s[i+1]) && isDigit(s[i+2]) && isDigit(s[i+3]) {
			b = append(b, (s[i+1]-'0')*100+(s[i+2]-'0')*10+(s[i+3]-'0'))
			i += 3
			continue
		}
		b = append(b, s[i+1])
		i++
	}
	return string(b)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
