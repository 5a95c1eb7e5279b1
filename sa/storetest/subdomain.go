package storetest

import (
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// subdomains stores an authorization that reaches to subdomains.
func (s *suite) subdomains(account acme.ID, name string, valid bool) acme.Authorization {
	s.Helper()
	a := s.newAuthorization(account, dns(name))
	a.Subdomains = true
	s.must(s.CreateAuthorization(s.ctx, a))
	if valid {
		return s.validate(a.ID)
	}
	return a
}

var subdomainTests = map[string]func(*suite){
	"CreateAuthorization": func(s *suite) {
		a := s.account()
		plain := s.newAuthorization(a.ID, dns("example.com"))
		reaching := s.newAuthorization(a.ID, dns("example.org"))
		reaching.Subdomains = true
		wildcard := s.newAuthorization(a.ID, dns("*.example.net"))
		for _, want := range []acme.Authorization{plain, reaching, wildcard} {
			s.must(s.CreateAuthorization(s.ctx, want))
			s.equal(s.authorizationStatus(want.ID, acme.AuthorizationPending), want)
		}
		// What comes of it keeps it.
		if got := s.begin(reaching.ID); !got.Subdomains {
			s.Fatal("begun, it does not reach to subdomains")
		}
		if got := s.complete(s.validOf(reaching.ID)); !got.Subdomains {
			s.Fatal("valid, it does not reach to subdomains")
		}
		got, err := s.DeactivateAuthorization(s.ctx, reaching.ID)
		s.must(err)
		if !got.Subdomains {
			s.Fatal("deactivated, it does not reach to subdomains")
		}

		n := s.newOrder(a.ID, "sub.example.com")
		n.Authorizations[0].Subdomains = true
		s.must(s.CreateOrder(s.ctx, n))
		s.equal(s.authorizationStatus(n.Authorizations[0].ID, acme.AuthorizationPending), n.Authorizations[0])
	},
	"CreateAuthorizationNeedsAValidAccount": func(s *suite) {
		a := s.account()
		s.deactivate(a.ID)
		for _, account := range []acme.ID{a.ID, s.id()} {
			authz := s.newAuthorization(account, dns("example.com"))
			s.wantErr(s.CreateAuthorization(s.ctx, authz), sa.ErrConflict)
			_, err := s.Authorization(s.ctx, authz.ID)
			s.wantErr(err, sa.ErrNotFound)
		}
		attempted := s.newAuthorization(s.account().ID, dns("example.com"))
		attempted.Attempt = &acme.Attempt{Type: acme.HTTP01}
		if s.CreateAuthorization(s.ctx, attempted) == nil {
			s.Fatal("stored with an attempt")
		}
	},
	"PreauthorizationIsReused": func(s *suite) {
		a := s.account()
		authz := s.newAuthorization(a.ID, dns("example.com"))
		s.must(s.CreateAuthorization(s.ctx, authz))
		valid := s.validate(authz.ID)
		n := s.newOrder(a.ID)
		n.Order.Identifiers, n.Order.Authorizations = []acme.Identifier{dns("example.com")}, []acme.ID{valid.ID}
		s.must(s.CreateOrder(s.ctx, n))
		s.orderStatus(n.Order.ID, acme.OrderReady)
	},
	"ReusableSubdomainAuthorizations": func(s *suite) {
		a := s.account()
		s.subdomains(s.account().ID, "example.com", true) // another account's
		org := s.subdomains(a.ID, "example.org", true)
		far := s.subdomains(a.ID, "example.com", true)
		near := s.subdomains(a.ID, "b.example.com", true)
		pendingNear := s.subdomains(a.ID, "p.example.com", false)
		onlyPending := s.subdomains(a.ID, "example.net", false)
		s.validate(s.order(a.ID, "plain.example.info").Authorizations[0]) // reaches to nothing
		exact := s.validate(s.order(a.ID, "exact.b.example.com").Authorizations[0])
		exactWild := s.validate(s.order(a.ID, "*.wild.example.com").Authorizations[0])
		exactPending := s.order(a.ID, "soon.example.org")
		address, err := acme.ParseIdentifier(acme.IdentifierIP, "192.0.2.1")
		s.must(err)

		both := sa.ReuseQuery{Pending: true}
		for name, c := range map[string]struct {
			query sa.ReuseQuery
			ids   []acme.Identifier
			want  []acme.ID
		}{
			"below":                         {ids: []acme.Identifier{dns("www.example.org")}, want: []acme.ID{org.ID}},
			"far below":                     {ids: []acme.Identifier{dns("a.b.c.d.e.f.example.org")}, want: []acme.ID{org.ID}},
			"the name itself":               {ids: []acme.Identifier{dns("example.org")}, want: []acme.ID{org.ID}},
			"its wildcard":                  {ids: []acme.Identifier{dns("*.example.org")}, want: []acme.ID{org.ID}},
			"a wildcard below":              {ids: []acme.Identifier{dns("*.www.example.org")}, want: []acme.ID{org.ID}},
			"above":                         {ids: []acme.Identifier{dns("org")}},
			"another name that ends alike":  {ids: []acme.Identifier{dns("notexample.org")}},
			"an address":                    {ids: []acme.Identifier{address}},
			"not of another account":        {ids: []acme.Identifier{dns("www.example.com")}, want: []acme.ID{far.ID}},
			"below one without subdomains":  {ids: []acme.Identifier{dns("www.plain.example.info")}},
			"its wildcard, without":         {ids: []acme.Identifier{dns("*.plain.example.info")}},
			"the nearest":                   {ids: []acme.Identifier{dns("www.b.example.com")}, want: []acme.ID{near.ID}},
			"the exact one":                 {ids: []acme.Identifier{dns("exact.b.example.com")}, want: []acme.ID{exact.ID}},
			"the exact wildcard":            {ids: []acme.Identifier{dns("*.wild.example.com")}, want: []acme.ID{exactWild.ID}},
			"a wildcard has no reach":       {ids: []acme.Identifier{dns("a.wild.example.com")}, want: []acme.ID{far.ID}},
			"the exact one though pending":  {both, []acme.Identifier{dns("soon.example.org")}, []acme.ID{exactPending.Authorizations[0]}},
			"valid ones only":               {ids: []acme.Identifier{dns("soon.example.org")}, want: []acme.ID{org.ID}},
			"valid rather than pending":     {both, []acme.Identifier{dns("a.p.example.com")}, []acme.ID{far.ID}},
			"pending for want of valid":     {both, []acme.Identifier{dns("a.example.net")}, []acme.ID{onlyPending.ID}},
			"pending not asked for":         {ids: []acme.Identifier{dns("a.example.net")}},
			"not valid for long enough":     {query: sa.ReuseQuery{ValidUntil: s.in(31 * 24 * time.Hour)}, ids: []acme.Identifier{dns("www.example.org")}},
			"validated too long ago":        {query: sa.ReuseQuery{ValidatedBy: s.in(time.Hour)}, ids: []acme.Identifier{dns("www.example.org")}},
			"one for several":               {ids: []acme.Identifier{dns("a.example.org"), dns("b.example.org"), dns("example.org")}, want: []acme.ID{org.ID}},
			"several, each by what is best": {ids: []acme.Identifier{dns("exact.b.example.com"), dns("x.b.example.com"), dns("x.example.com"), address}, want: []acme.ID{exact.ID, near.ID, far.ID}},
		} {
			c.query.Account, c.query.Identifiers = a.ID, c.ids
			got, err := s.ReusableAuthorizations(s.ctx, c.query)
			s.must(err)
			ids := make([]acme.ID, len(got))
			for i := range got {
				ids[i] = got[i].ID
			}
			if len(ids) != len(c.want) {
				s.Fatalf("%s: %d authorizations, want %d", name, len(ids), len(c.want))
			}
			for i := range ids {
				if ids[i] != c.want[i] {
					s.Fatalf("%s: authorization %d is for %s", name, i, got[i].Identifier)
				}
			}
		}
		_ = pendingNear
	},
	"ReusableSubdomainAuthorizationsOfManyNames": func(s *suite) {
		a := s.account()
		want := s.subdomains(a.ID, "example.com", true)
		var ids []acme.Identifier
		for _, name := range manyNames(150) {
			ids = append(ids, dns(name), dns("*.a.b.c."+name))
		}
		got, err := s.ReusableAuthorizations(s.ctx, sa.ReuseQuery{Account: a.ID, Identifiers: ids})
		s.must(err)
		s.equal(got, []acme.Authorization{want})
	},
}
