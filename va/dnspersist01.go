package va

import (
	"context"
	"slices"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/va/dns"
)

// DNSPersist is how a directory validates dns-persist-01.
type DNSPersist struct {
	// IssuerDomainNames are the names that mean this CA in records, as the
	// directory's challenges have them: lower case, without a trailing dot.
	IssuerDomainNames []string
	// AccountHashPrefixes are what hashed account URIs may begin with: the
	// directory's accountHashPrefix, then those that it had before.
	AccountHashPrefixes []string
	// AccountURLs accepts records that name an account by its URL, as before
	// draft-ietf-acme-dns-persist-02.
	AccountURLs bool
	// Subdomains accepts a record with policy=wildcard of a name above, up to
	// the one right below a public suffix (Baseline Requirements §3.2.2.4: an
	// authorization domain name may be pruned).
	Subdomains bool
}

// dnsPersist01 is draft-ietf-acme-dns-persist-02.
type dnsPersist01 struct{ *VA }

func (dnsPersist01) unfit(id acme.Identifier, _ bool) string {
	if id.Type() != acme.IdentifierDNS {
		return "dns-persist-01 proves control of DNS names only"
	}
	return ""
}

func (m dnsPersist01) prove(ctx context.Context, t *try) *failure {
	settings, ok := m.DNSPersist[t.Directory]
	switch {
	case !ok || len(settings.IssuerDomainNames) == 0 || len(settings.AccountHashPrefixes) == 0:
		return wrong(acme.Malformed, "this directory does not validate dns-persist-01; respond to another challenge")
	case t.AccountURL == "" || len(t.AccountThumbprints) == 0:
		return wrong(acme.Unauthorized, "the account is not valid any more, and no record can name it")
	}
	s := persistSearch{try: t, settings: settings, now: m.Now()}
	own := t.Identifier.Value()
	if fail, found := s.look(m.resolver.Lookup(ctx, s.question(own))[0], own); found || fail != nil {
		return fail
	}
	for names := range slices.Chunk(s.above(own), climbTogether) {
		questions := make([]dns.Question, len(names))
		for i, name := range names {
			questions[i] = s.question(name)
		}
		for i, answer := range m.resolver.Lookup(ctx, questions...) {
			if fail, found := s.look(answer, names[i]); found || fail != nil {
				return fail
			}
		}
	}
	return s.failure()
}
