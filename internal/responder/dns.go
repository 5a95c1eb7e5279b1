package responder

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

const (
	recordTTL  = 1       // seconds: what is set counts at once
	udpBuffer  = 4096    // octets, the largest query that is read
	socketSize = 4 << 20 // octets, so that a burst is not dropped
	maxChain   = 16      // CNAME records followed in one answer
)

// Failure is how the DNS server misbehaves for a name.
type Failure struct {
	// Rcode is the response code, such as dns.RcodeServerFailure.
	Rcode int
	// Silent sends no answer at all.
	Silent bool
	// Truncated sets TC on answers over UDP and leaves the records out; over
	// TCP the answer is whole.
	Truncated bool
	// ExtendedError is the text of an extended DNS error (RFC 8914) that goes
	// with the answer; ExtendedCode its code.
	ExtendedError string
	ExtendedCode  uint16
	// Answer makes the answer; nil: no hook. It may change m, which is the
	// honest answer, or return nil for silence.
	Answer func(m *dns.Msg, tcp bool) *dns.Msg
}

type question struct {
	name  string
	qtype uint16
}

type zone struct {
	mu       sync.RWMutex
	records  map[string]map[uint16][]dns.RR
	failures map[question]Failure
}

// SetAddresses sets the A and AAAA records of a name; none removes both, also
// the default ones.
func (r *Responder) SetAddresses(name string, addrs ...netip.Addr) {
	a, aaaa := []dns.RR{}, []dns.RR{}
	for _, addr := range addrs {
		if addr.Is4() {
			a = append(a, &dns.A{Hdr: header(name, dns.TypeA), A: addr.AsSlice()})
		} else {
			aaaa = append(aaaa, &dns.AAAA{Hdr: header(name, dns.TypeAAAA), AAAA: addr.AsSlice()})
		}
	}
	r.zone.set(name, dns.TypeA, a)
	r.zone.set(name, dns.TypeAAAA, aaaa)
}

// SetTXT sets the TXT records of a name, one for each value; none removes
// them. A value over 255 octets becomes several strings of one record.
func (r *Responder) SetTXT(name string, values ...string) {
	var rrs []dns.RR
	for _, value := range values {
		rrs = append(rrs, &dns.TXT{Hdr: header(name, dns.TypeTXT), Txt: characterStrings(value)})
	}
	r.zone.set(name, dns.TypeTXT, rrs)
}

// AddTXT adds a TXT record to those of a name.
func (r *Responder) AddTXT(name, value string) {
	r.zone.mu.Lock()
	defer r.zone.mu.Unlock()
	name = canonical(name)
	types := r.zone.types(name)
	types[dns.TypeTXT] = append(types[dns.TypeTXT][:len(types[dns.TypeTXT]):len(types[dns.TypeTXT])],
		&dns.TXT{Hdr: header(name, dns.TypeTXT), Txt: characterStrings(value)})
}

// SetCAA sets the CAA records of a name, each in presentation form, such as
// `0 issue "ca.example"`; none removes them.
func (r *Responder) SetCAA(name string, records ...string) error {
	var rrs []dns.RR
	for _, record := range records {
		rr, err := dns.NewRR(canonical(name) + " 1 IN CAA " + record)
		if err != nil {
			return fmt.Errorf("CAA record %q: %w", record, err)
		}
		rrs = append(rrs, rr)
	}
	r.zone.set(name, dns.TypeCAA, rrs)
	return nil
}

// SetCNAME makes a name an alias; an empty target makes it none.
func (r *Responder) SetCNAME(name, target string) {
	var rrs []dns.RR
	if target != "" {
		rrs = append(rrs, &dns.CNAME{Hdr: header(name, dns.TypeCNAME), Target: canonical(target)})
	}
	r.zone.set(name, dns.TypeCNAME, rrs)
}

// SetRecords sets the records of one type of a name, whatever they are; none
// removes them.
func (r *Responder) SetRecords(name string, qtype uint16, rrs ...dns.RR) {
	r.zone.set(name, qtype, rrs)
}

// SetFailure makes the server misbehave for questions of one type about a
// name; dns.TypeANY: of every type.
func (r *Responder) SetFailure(name string, qtype uint16, failure Failure) {
	r.zone.mu.Lock()
	defer r.zone.mu.Unlock()
	r.zone.failures[question{canonical(name), qtype}] = failure
}

// ClearFailure ends what SetFailure began.
func (r *Responder) ClearFailure(name string, qtype uint16) {
	r.zone.mu.Lock()
	defer r.zone.mu.Unlock()
	delete(r.zone.failures, question{canonical(name), qtype})
}

// set replaces the records of one type; nil removes the entry, an empty slice
// says that there are none.
func (z *zone) set(name string, qtype uint16, rrs []dns.RR) {
	z.mu.Lock()
	defer z.mu.Unlock()
	name = canonical(name)
	types := z.types(name)
	if rrs == nil {
		delete(types, qtype)
	} else {
		types[qtype] = rrs
	}
	if len(types) == 0 {
		delete(z.records, name)
	}
}

func (z *zone) types(name string) map[uint16][]dns.RR {
	types := z.records[name]
	if types == nil {
		types = map[uint16][]dns.RR{}
		z.records[name] = types
	}
	return types
}

func (z *zone) failure(name string, qtype uint16) Failure {
	if len(z.failures) == 0 {
		return Failure{}
	}
	if f, ok := z.failures[question{name, qtype}]; ok {
		return f
	}
	return z.failures[question{name, dns.TypeANY}]
}

func (r *Responder) startDNS() error {
	address := or(r.config.DNSAddr, "127.0.0.1:0")
	var tcp net.Listener
	// The port that the system picks for one protocol may be taken in the
	// other.
	for try := 0; ; try++ {
		pc, err := net.ListenPacket("udp", address)
		if err != nil {
			return err
		}
		if tcp, err = net.Listen("tcp", pc.LocalAddr().String()); err == nil {
			r.udp = pc.(*net.UDPConn)
			break
		}
		_ = pc.Close()
		if try == 10 || !strings.HasSuffix(address, ":0") {
			return err
		}
	}
	_ = r.udp.SetReadBuffer(socketSize)
	r.dnsAddr = r.udp.LocalAddr().String()
	r.tcp = &dns.Server{Listener: tcp, Handler: dns.HandlerFunc(r.serveTCP)}
	r.serving.Go(func() { _ = r.tcp.ActivateAndServe() })
	r.serving.Go(r.serveUDP)
	return nil
}

func (r *Responder) serveUDP() {
	in, out := make([]byte, udpBuffer), make([]byte, dns.MaxMsgSize)
	for {
		n, from, err := r.udp.ReadFromUDPAddrPort(in)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error about an earlier answer
		}
		query := new(dns.Msg)
		if err := query.Unpack(in[:n]); err != nil {
			continue
		}
		answer := r.answer(query, false)
		if answer == nil {
			continue
		}
		size := dns.MinMsgSize
		if opt := query.IsEdns0(); opt != nil {
			size = max(size, int(opt.UDPSize()))
		}
		packed, err := answer.PackBuffer(out)
		if err == nil && len(packed) > size {
			answer.Truncate(size)
			packed, err = answer.PackBuffer(out)
		}
		if err == nil {
			_, _ = r.udp.WriteToUDPAddrPort(packed, from)
		}
	}
}

func (r *Responder) serveTCP(w dns.ResponseWriter, query *dns.Msg) {
	if answer := r.answer(query, true); answer != nil {
		_ = w.WriteMsg(answer)
	} else {
		_ = w.Close()
	}
}

// answer is the answer to a query, nil for silence.
func (r *Responder) answer(query *dns.Msg, tcp bool) *dns.Msg {
	if query.Response || len(query.Question) != 1 {
		return nil
	}
	q := query.Question[0]
	if r.config.OnQuery != nil {
		r.config.OnQuery(Query{Name: q.Name, Type: q.Qtype, TCP: tcp})
	}
	m := new(dns.Msg)
	m.SetReply(query)
	m.RecursionAvailable = true
	m.Compress = true
	if opt := query.IsEdns0(); opt != nil {
		m.SetEdns0(udpBuffer, opt.Do())
	}
	name := strings.ToLower(q.Name)

	r.zone.mu.RLock()
	failure := r.zone.failure(name, q.Qtype)
	m.Rcode = r.resolve(m, q.Name, name, q.Qtype)
	r.zone.mu.RUnlock()

	switch {
	case failure.Silent:
		return nil
	case failure.Rcode != dns.RcodeSuccess:
		m.Rcode, m.Answer = failure.Rcode, nil
	case failure.Truncated && !tcp:
		m.Truncated, m.Answer = true, nil
	}
	if failure.ExtendedError != "" {
		if opt := m.IsEdns0(); opt != nil {
			opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: failure.ExtendedCode, ExtraText: failure.ExtendedError})
		}
	}
	if failure.Answer != nil {
		return failure.Answer(m, tcp)
	}
	return m
}

// resolve appends the records to m, following aliases as a recursive resolver
// does, and returns the response code. asked is name as the query wrote it.
func (r *Responder) resolve(m *dns.Msg, asked, name string, qtype uint16) int {
	for range maxChain {
		types, exists := r.zone.records[name]
		if cname := types[dns.TypeCNAME]; len(cname) > 0 && qtype != dns.TypeCNAME {
			m.Answer = append(m.Answer, owned(cname[0], asked))
			name = cname[0].(*dns.CNAME).Target
			asked = name
			continue
		}
		rrs, set := types[qtype]
		for _, rr := range rrs {
			m.Answer = append(m.Answer, owned(rr, asked))
		}
		under := r.underSuffix(name)
		if !set && under {
			r.addDefaults(m, asked, qtype)
		}
		if exists || under {
			return dns.RcodeSuccess
		}
		return dns.RcodeNameError
	}
	return dns.RcodeServerFailure
}

func (r *Responder) addDefaults(m *dns.Msg, asked string, qtype uint16) {
	for _, addr := range r.config.DefaultAddresses {
		switch {
		case qtype == dns.TypeA && addr.Is4():
			m.Answer = append(m.Answer, &dns.A{Hdr: header(asked, qtype), A: addr.AsSlice()})
		case qtype == dns.TypeAAAA && addr.Is6():
			m.Answer = append(m.Answer, &dns.AAAA{Hdr: header(asked, qtype), AAAA: addr.AsSlice()})
		}
	}
}

func (r *Responder) underSuffix(name string) bool {
	for _, suffix := range r.suffixes {
		if suffix == "." || name == suffix || len(name) > len(suffix) && strings.HasSuffix(name, suffix) && name[len(name)-len(suffix)-1] == '.' {
			return true
		}
	}
	return false
}

// owned is a record with the owner name written as in the question: resolvers
// that randomise its case compare it.
func owned(rr dns.RR, name string) dns.RR {
	rr = dns.Copy(rr)
	rr.Header().Name = name
	return rr
}

func header(name string, qtype uint16) dns.RR_Header {
	return dns.RR_Header{Name: dns.Fqdn(name), Rrtype: qtype, Class: dns.ClassINET, Ttl: recordTTL}
}

// characterStrings cuts a value into strings that a TXT record can hold, in
// the escaped form that the dns package packs.
func characterStrings(value string) []string {
	const most = 255
	var parts []string
	for len(value) > most {
		parts = append(parts, escape(value[:most]))
		value = value[most:]
	}
	return append(parts, escape(value))
}

func escape(s string) string { return strings.ReplaceAll(s, `\`, `\\`) }
