package va_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/responder"
	"github.com/cairn-ca/cairn/va"
)

const (
	hashPrefix = "https://ca.example/account-hash/"
	oldPrefix  = "https://old.example/h/"
	oldKey     = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	persist    = "_validation-persist."
)

var persistNow = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func newPersistLab(t *testing.T, change func(*va.DNSPersist)) *lab {
	t.Helper()
	return newLab(t, func(c *va.Config) {
		settings := va.DNSPersist{
			IssuerDomainNames:   []string{"ca.example", "second.example"},
			AccountHashPrefixes: []string{hashPrefix, oldPrefix},
		}
		if change != nil {
			change(&settings)
		}
		c.DNSPersist = map[string]va.DNSPersist{"default": settings}
		c.Now = func() time.Time { return persistNow }
	})
}

func persistRequest(t *testing.T, name string) va.Request {
	req := request(dnsName(t, strings.TrimPrefix(name, "*.")), acme.DNSPersist01)
	req.Wildcard = strings.HasPrefix(name, "*.")
	req.Token, req.AccountThumbprints = "", []string{thumbprint, oldKey}
	return req
}

func hashed(domain, key string) string {
	return acme.HashedAccountURI(hashPrefix, domain, key, account)
}

func issue(uri string, more ...string) string {
	return strings.Join(append([]string{"ca.example; accounturi=" + uri}, more...), "; ")
}

func until(d time.Duration) string { return fmt.Sprintf("persistUntil=%d", persistNow.Add(d).Unix()) }

func TestDNSPersist01(t *testing.T) {
	t.Parallel()
	l := newPersistLab(t, nil)
	own := hashed("a.test", thumbprint)
	for i, c := range []struct {
		records  []string
		name     string // NAME.test stands for the records' own
		want     acme.ProblemType
		mayHeal  bool
		words    []string
		evidence string // accounturi
	}{
		{records: []string{issue(own)}, want: valid, evidence: own},
		{records: []string{issue(hashed("*", thumbprint))}, want: valid, evidence: hashed("*", thumbprint)},
		{records: []string{issue(hashed("a.test", oldKey))}, want: valid},
		{records: []string{issue(hashed("*", oldKey))}, want: valid},
		{records: []string{issue(acme.HashedAccountURI(oldPrefix, "a.test", thumbprint, account))}, want: valid},
		{records: []string{"second.example; accounturi=" + own}, want: valid},
		{records: []string{"SECOND.example ;ACCOUNTURI = " + own + "; unknown=parameter"}, want: valid},
		{records: []string{issue(own, "policy=wildcard")}, want: valid},
		{records: []string{issue(own, "policy=other")}, want: valid},
		{records: []string{issue(own, until(time.Second))}, want: valid},
		{records: []string{"v=spf1 -all", "other.example; x", issue(own)}, want: valid},
		{records: []string{"ca.example; broken", issue("https://x.example/another"), issue(own)}, want: valid},
		{records: []string{issue(own, until(-time.Hour)), issue(own)}, want: valid},

		{records: []string{issue(own, "policy=WildCard")}, name: "*.a.test", want: valid},
		{records: []string{issue(own)}, name: "*.a.test", want: acme.Unauthorized, words: []string{"policy=wildcard", "*.a.test", "create a TXT record of _validation-persist.a.test"}},
		{records: []string{issue(own, "policy=x")}, name: "*.a.test", want: acme.Unauthorized},
		{records: []string{issue(own), issue(hashed("*", thumbprint), "policy=wildcard")}, name: "*.a.test", want: valid, evidence: hashed("*", thumbprint)},

		{records: nil, want: acme.DNS, mayHeal: true, words: []string{persist + "a.test", `"ca.example; accounturi=` + own + `"`}},
		{records: nil, name: "*.a.test", want: acme.DNS, mayHeal: true, words: []string{own + `; policy=wildcard"`}},
		{records: []string{"other.example; accounturi=" + own}, want: acme.Unauthorized, words: []string{"names this CA", own}},
		{records: []string{"ca.example.org; accounturi=" + own}, want: acme.Unauthorized},
		{records: []string{issue(account)}, want: acme.Unauthorized, words: []string{"by its URL", account}},
		{records: []string{issue(hashed("b.test", thumbprint))}, want: acme.Unauthorized, words: []string{"another account"}},
		{records: []string{issue(acme.HashedAccountURI("https://x.example/", "a.test", thumbprint, account))}, want: acme.Unauthorized},
		{records: []string{issue(acme.HashedAccountURI(hashPrefix, "a.test", thumbprint, account+"0"))}, want: acme.Unauthorized},
		{records: []string{issue(strings.ToUpper(own))}, want: acme.Unauthorized},
		{records: []string{issue(own + "/")}, want: acme.Unauthorized},
		{records: []string{issue(strings.Replace(own, "sha-256", "sha-512", 1))}, want: acme.Unauthorized},
		{records: []string{issue(own, until(0))}, want: acme.Unauthorized, words: []string{"ended at 2026-11-24T12:00:00Z"}},
		{records: []string{issue(own, until(-time.Hour), "policy=wildcard")}, name: "*.a.test", want: acme.Unauthorized},
		{records: []string{"ca.example"}, want: acme.Malformed, words: []string{"no accounturi"}},
		{records: []string{issue(own, "accounturi="+own)}, want: acme.Malformed, words: []string{"twice"}},
		{records: []string{issue(own, "persistUntil=soon")}, want: acme.Malformed, words: []string{"persistUntil"}},
		{records: []string{issue(own, until(time.Hour), until(2*time.Hour))}, want: acme.Malformed},
		{records: []string{issue("https://x.example/another"), "ca.example; accounturi=x y"}, want: acme.Malformed, words: []string{"another account", "syntax"}},
	} {
		domain := "a.test"
		l.SetTXT(persist+domain, c.records...)
		name := c.name
		if name == "" {
			name = domain
		}
		result := l.validate(t, persistRequest(t, name))
		expect(t, result, c.want, c.mayHeal, c.words...)
		switch {
		case c.want != valid && result.Evidence.AccountURI != "":
			t.Errorf("case %d: a failure has the evidence %q", i, result.Evidence.AccountURI)
		case c.want == valid && result.Evidence.AccountURI == "", c.evidence != "" && result.Evidence.AccountURI != c.evidence:
			t.Errorf("case %d: the evidence names %q, want %q", i, result.Evidence.AccountURI, c.evidence)
		case c.want == valid && result.Evidence.DomainName != domain:
			t.Errorf("case %d: the authorization domain name is %q", i, result.Evidence.DomainName)
		}
	}
}

// The record may be split into strings, and be another name's (a CNAME never
// changes the authorization domain name).
func TestDNSPersist01Records(t *testing.T) {
	t.Parallel()
	l := newPersistLab(t, nil)
	record := issue(hashed("split.test", thumbprint))
	l.SetRecords(persist+"split.test", mdns.TypeTXT, &mdns.TXT{
		Hdr: mdns.RR_Header{Rrtype: mdns.TypeTXT, Class: mdns.ClassINET}, Txt: []string{record[:11], record[11:]},
	})
	expect(t, l.validate(t, persistRequest(t, "split.test")), valid, false)

	l.SetCNAME(persist+"alias.test", "records.test")
	l.SetTXT("records.test", issue(hashed("alias.test", thumbprint)))
	result := l.validate(t, persistRequest(t, "alias.test"))
	expect(t, result, valid, false)
	if result.Evidence.DomainName != "alias.test" {
		t.Errorf("the authorization domain name is %s", result.Evidence.DomainName)
	}

	var flood []string
	for i := range 300 {
		flood = append(flood, fmt.Sprintf("ca.example; x%d", i))
	}
	l.SetTXT(persist+"flood.test", flood...)
	result = l.validate(t, persistRequest(t, "flood.test"))
	expect(t, result, acme.Malformed, false, "and 297 more")
	if len(result.Evidence.Steps) > 20 {
		t.Errorf("%d steps", len(result.Evidence.Steps))
	}

	l.SetFailure(persist+"bogus.test", mdns.TypeTXT, responder.Failure{Rcode: mdns.RcodeServerFailure, ExtendedCode: 6, ExtendedError: "signature"})
	l.SetTXT(persist+"bogus.test", issue(hashed("bogus.test", thumbprint)))
	expect(t, l.validate(t, persistRequest(t, "bogus.test")), acme.DNS, true, "DNSSEC Bogus", "signature")
}

// Which of several records counts does not depend on their order; it is the
// current key's, and of those the one that lasts.
func TestDNSPersist01Choice(t *testing.T) {
	t.Parallel()
	l := newPersistLab(t, nil)
	current := hashed("a.test", thumbprint)
	records := []string{
		issue(hashed("a.test", oldKey)), issue(hashed("*", thumbprint)),
		issue(current, until(time.Hour)), issue(current, until(2*time.Hour)), issue(current, until(-time.Hour)),
	}
	for range len(records) {
		records = append(records[1:], records[0])
		for _, order := range [][]string{records, reversed(records)} {
			l.SetTXT(persist+"a.test", order...)
			result := l.validate(t, persistRequest(t, "a.test"))
			expect(t, result, valid, false)
			if e := result.Evidence; e.AccountURI != current || !e.PersistUntil.Equal(persistNow.Add(2*time.Hour)) {
				t.Errorf("in the order %q: %s until %s", order, e.AccountURI, e.PersistUntil)
			}
		}
	}
	l.SetTXT(persist+"a.test", issue(current), issue(current, until(time.Hour)))
	if e := l.validate(t, persistRequest(t, "a.test")).Evidence; !e.PersistUntil.IsZero() {
		t.Errorf("a record without an end is there, and the end is %s", e.PersistUntil)
	}
}

func reversed(s []string) []string {
	s = slices.Clone(s)
	slices.Reverse(s)
	return s
}

// Account URLs are accepted where the directory says so; an account that is not
// valid has no keys and matches nothing, nor does a directory without settings.
func TestDNSPersist01Settings(t *testing.T) {
	t.Parallel()
	l := newPersistLab(t, func(c *va.DNSPersist) { c.AccountURLs = true })
	l.SetTXT(persist+"a.test", issue(account), issue(account, "policy=wildcard"))
	result := l.validate(t, persistRequest(t, "a.test"))
	expect(t, result, valid, false)
	if result.Evidence.AccountURI != account {
		t.Errorf("the evidence names %q", result.Evidence.AccountURI)
	}
	expect(t, l.validate(t, persistRequest(t, "*.a.test")), valid, false)
	other := persistRequest(t, "a.test")
	other.AccountURL += "/"
	expect(t, l.validate(t, other), acme.Unauthorized, false, "another account")
	for _, change := range []func(*va.Request){
		func(r *va.Request) { r.AccountThumbprints = nil },
		func(r *va.Request) { r.AccountURL = "" },
	} {
		req := persistRequest(t, "a.test")
		change(&req)
		expect(t, l.validate(t, req), acme.Unauthorized, false, "not valid any more")
	}
	elsewhere := persistRequest(t, "a.test")
	elsewhere.Directory = "another"
	expect(t, l.validate(t, elsewhere), acme.Malformed, false, "does not validate dns-persist-01")
}

// Names below the record's: policy=wildcard, and a directory that lets
// authorizations reach there.
func TestDNSPersist01Subdomains(t *testing.T) {
	t.Parallel()
	narrow, wide := newPersistLab(t, nil), newPersistLab(t, func(c *va.DNSPersist) { c.Subdomains = true })
	for _, l := range []*lab{narrow, wide} {
		l.SetTXT(persist+"apex.test", issue(hashed("apex.test", thumbprint), "policy=wildcard"))
		l.SetTXT(persist+"plain.test", issue(hashed("plain.test", thumbprint)))
		l.SetTXT(persist+"test", issue(hashed("*", thumbprint), "policy=wildcard"))
		l.SetTXT(persist+"co.uk", issue(hashed("*", thumbprint), "policy=wildcard"))
	}
	for _, c := range []struct {
		name         string
		subdomains   bool // asked for (RFC 9444)
		narrow, wide acme.ProblemType
		heals        bool
		domain       string
		wideHeals    bool
	}{
		{name: "apex.test", subdomains: true, narrow: valid, wide: valid, domain: "apex.test"},
		{name: "plain.test", subdomains: true, narrow: acme.Unauthorized, wide: acme.Unauthorized},
		{name: "www.apex.test", narrow: acme.DNS, heals: true, wide: valid, domain: "apex.test"},
		{name: "a.b.c.d.e.f.g.h.i.j.apex.test", narrow: acme.DNS, heals: true, wide: valid, domain: "apex.test"},
		{name: "*.www.apex.test", narrow: acme.DNS, heals: true, wide: valid, domain: "apex.test"},
		{name: "www.plain.test", narrow: acme.DNS, heals: true, wide: acme.Unauthorized},
		// Never from a public suffix, nor from a top-level domain.
		{name: "www.other.test", narrow: acme.DNS, heals: true, wide: acme.DNS, wideHeals: true},
		{name: "www.example.co.uk", narrow: acme.DNS, heals: true, wide: acme.DNS, wideHeals: true},
	} {
		req := persistRequest(t, c.name)
		req.Subdomains = c.subdomains
		expect(t, narrow.validate(t, req), c.narrow, c.heals)
		result := wide.validate(t, req)
		expect(t, result, c.wide, c.wideHeals)
		if c.domain != "" && result.Evidence.DomainName != c.domain {
			t.Errorf("%s: the authorization domain name is %s, want %s", c.name, result.Evidence.DomainName, c.domain)
		}
	}
	// The hash is that of the record's own domain.
	wide.SetTXT(persist+"apex.test", issue(hashed("www.apex.test", thumbprint), "policy=wildcard"))
	expect(t, wide.validate(t, persistRequest(t, "www.apex.test")), acme.Unauthorized, false, "another account")
	// A look-up that fails on the way is no proof of absence.
	wide.SetTXT(persist+"apex.test", issue(hashed("apex.test", thumbprint), "policy=wildcard"))
	wide.SetFailure(persist+"b.apex.test", mdns.TypeTXT, responder.Failure{Rcode: mdns.RcodeServerFailure})
	expect(t, wide.validate(t, persistRequest(t, "a.b.apex.test")), acme.DNS, true, persist+"b.apex.test")
}

// RFC 8657 §4: validationmethods has the type's name as its label.
func TestDNSPersist01CAA(t *testing.T) {
	t.Parallel()
	l := newPersistLab(t, nil)
	for methods, want := range map[string]acme.ProblemType{"dns-persist-01": valid, "http-01,dns-persist-01": valid, "dns-01": acme.CAA} {
		must(t, l.SetCAA("a.test", `0 issue "ca.example; validationmethods=`+methods+`"`))
		l.SetTXT(persist+"a.test", issue(hashed("*", thumbprint)))
		expect(t, l.validate(t, persistRequest(t, "a.test")), want, false)
	}
}
