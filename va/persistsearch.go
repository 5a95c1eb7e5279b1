package va

import (
	"fmt"
	"slices"
	"strings"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/weppos/publicsuffix-go/publicsuffix"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/va/dns"
)

// persistSearch looks for a record that lets the account have the identifier.
type persistSearch struct {
	*try
	settings DNSPersist
	now      time.Time
	absent   string   // what the look-up of the identifier's own name said, when it has no records
	refused  []misfit // records for this CA that don't serve
	foreign  []string // records of the identifier's own name that name other CAs, or are something else
}

// maxMisfits is how many records that don't serve are kept as evidence.
const maxMisfits = 10

// misfit is why a record does not serve.
type misfit struct {
	malformed bool
	text      string
}

// persistName is where the records for a domain are.
func persistName(domain string) string { return "_validation-persist." + domain }

func (s *persistSearch) question(domain string) dns.Question {
	return dns.Question{Name: persistName(domain), Type: mdns.TypeTXT}
}

// above are the names above a name whose records may serve for it.
func (s *persistSearch) above(name string) []string {
	if !s.settings.Subdomains {
		return nil
	}
	base, err := publicsuffix.DomainFromListWithOptions(publicsuffix.DefaultList, name,
		&publicsuffix.FindOptions{IgnorePrivate: true, DefaultRule: publicsuffix.DefaultRule})
	if err != nil {
		return nil // the name is a public suffix itself
	}
	var names []string
	for name != base {
		var ok bool
		if _, name, ok = strings.Cut(name, "."); !ok {
			return nil
		}
		names = append(names, name)
	}
	return names
}

// look judges the records for a domain. It tells whether one of them serves; a
// failure ends the search.
func (s *persistSearch) look(answer dns.Answer, domain string) (fail *failure, found bool) {
	s.step("%s", answer)
	if answer.Failed() {
		// A bogus signature is among these: it is no proof of absence either.
		return unreached(acme.DNS, "%s", answer.Problem()), false
	}
	own := domain == s.Identifier.Value()
	if answer.Outcome != dns.Found {
		if own {
			s.absent = answer.Problem()
		}
		return nil, false
	}
	var best *persisted
	var ranks map[string]int // of the URIs that name the account
	rank := 0
	for _, text := range answer.Texts() {
		r, ours, malformed := parsePersistRecord(text, s.settings.IssuerDomainNames)
		switch {
		case !ours:
			if own {
				s.foreign = append(s.foreign, text)
			}
			continue
		case malformed != "":
			s.refuse(misfit{true, fmt.Sprintf("%s at %s is malformed: %s", quote(text), persistName(domain), malformed)})
			continue
		}
		if ranks == nil {
			ranks = s.accountURIs(domain)
		}
		at, names := ranks[r.accountURI]
		if reason := s.misfit(r, names, own); reason != "" {
			s.refuse(misfit{false, fmt.Sprintf("%s at %s %s", quote(text), persistName(domain), reason)})
			continue
		}
		// Which of several records is relied on must not depend on their
		// order: every perspective is to name the same accounturi. The current
		// key's come first.
		if best == nil || at < rank || at == rank && later(r.until, best.until) {
			best, rank = &persisted{domain, r.accountURI, r.until}, at
		}
	}
	if best == nil {
		return nil, false
	}
	s.step("the record at %s with accounturi %s proves control", persistName(domain), best.accountURI)
	s.persisted = best
	return nil, true
}

// accountURIs are the URIs that name the account in a record for a domain,
// with their rank.
func (s *persistSearch) accountURIs(domain string) map[string]int {
	ranks := make(map[string]int)
	add := func(uri string) {
		if _, there := ranks[uri]; !there {
			ranks[uri] = len(ranks)
		}
	}
	for _, thumbprint := range s.AccountThumbprints {
		for _, prefix := range s.settings.AccountHashPrefixes {
			add(acme.HashedAccountURI(prefix, domain, thumbprint, s.AccountURL))
			add(acme.HashedAccountURI(prefix, acme.AnyDomain, thumbprint, s.AccountURL))
		}
	}
	if s.settings.AccountURLs {
		add(s.AccountURL)
	}
	return ranks
}

// misfit says why a record does not serve; empty: it does. names tells that it
// names the account, own that it is of the identifier's own name.
func (s *persistSearch) misfit(r persistRecord, names, own bool) string {
	switch {
	case !names && r.accountURI == s.AccountURL:
		return "names the account by its URL, which is not accepted here; write its hashed URI"
	case !names:
		return "names another account"
	case !r.until.IsZero() && !r.until.After(s.now):
		return "ended at " + r.until.Format(time.RFC3339) + " (persistUntil)"
	case !r.wildcard && s.Wildcard:
		return "has no policy=wildcard, which wildcard names need"
	case !r.wildcard && (s.Subdomains || !own):
		return "has no policy=wildcard, which the names below need"
	}
	return ""
}

func (s *persistSearch) refuse(r misfit) {
	if len(s.refused) < maxMisfits {
		s.step("%s", r.text)
	}
	s.refused = append(s.refused, r)
}

// failure says why no record serves. What is malformed comes first: its owner
// meant it for this CA and can mend it.
func (s *persistSearch) failure() *failure {
	domain := s.Identifier.Value()
	hint := fmt.Sprintf("create a TXT record of %s with the value %q", persistName(domain), s.example(domain))
	if len(s.refused) == 0 {
		if s.absent != "" {
			return unreached(acme.DNS, "%s; %s", s.absent, hint)
		}
		return wrong(acme.Unauthorized, "none of the TXT records of %s names this CA: found %s; %s", persistName(domain), listed(s.foreign), hint)
	}
	kind := acme.Unauthorized
	slices.SortStableFunc(s.refused, func(a, b misfit) int {
		switch {
		case a.malformed == b.malformed:
			return 0
		case a.malformed:
			return -1
		}
		return 1
	})
	if s.refused[0].malformed {
		kind = acme.Malformed
	}
	const most = 3
	var texts []string
	for _, r := range s.refused[:min(len(s.refused), most)] {
		texts = append(texts, r.text)
	}
	list := strings.Join(texts, "; ")
	if more := len(s.refused) - most; more > 0 {
		list += fmt.Sprintf("; and %d more", more)
	}
	return wrong(kind, "no record lets the account %s have %s: %s; %s", s.AccountURL, named(s.Identifier, s.Wildcard), list, hint)
}

// example is the value of a record that would serve.
func (s *persistSearch) example(domain string) string {
	value := s.settings.IssuerDomainNames[0] + "; accounturi=" + acme.HashedAccountURI(s.settings.AccountHashPrefixes[0], domain, s.AccountThumbprints[0], s.AccountURL)
	if s.Wildcard || s.Subdomains {
		value += "; policy=wildcard"
	}
	return value
}

// later tells whether a record that ends at a lasts longer than one that ends
// at b; the zero time is no end.
func later(a, b time.Time) bool {
	return !b.IsZero() && (a.IsZero() || a.After(b))
}

// persisted is the record that a try relied on.
type persisted struct {
	domain     string // it is for, the authorization domain name
	accountURI string
	until      time.Time // zero: no end
}

// record adds the record to the evidence; nil adds nothing.
func (p *persisted) record(e *acme.Evidence) {
	if p != nil {
		e.DomainName, e.AccountURI, e.PersistUntil = p.domain, p.accountURI, p.until
	}
}
