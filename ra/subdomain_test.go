package ra

import (
	"testing"

	"github.com/cairn-ca/cairn/internal/acme"
)

func TestCovering(t *testing.T) {
	t.Parallel()
	authz := func(name string, wildcard, subdomains bool) acme.Authorization {
		return acme.Authorization{Identifier: parse(t, acme.IdentifierDNS, name), Wildcard: wildcard, Subdomains: subdomains}
	}
	exact, wild := authz("a.example.org", false, false), authz("a.example.org", true, false)
	near, far := authz("example.org", false, true), authz("org", false, true)
	tests := []struct {
		name string
		held []acme.Authorization
		id   string
		want *acme.Authorization
	}{
		{"itself", []acme.Authorization{far, near, exact}, "a.example.org", &exact},
		{"its wildcard", []acme.Authorization{exact, wild}, "*.a.example.org", &wild},
		{"a name does not cover its wildcard", []acme.Authorization{exact}, "*.a.example.org", nil},
		{"a wildcard does not cover its name", []acme.Authorization{wild}, "a.example.org", nil},
		{"the nearest above", []acme.Authorization{far, near}, "x.y.example.org", &near},
		{"the name with its subdomains", []acme.Authorization{near}, "example.org", &near},
		{"a wildcard below", []acme.Authorization{near}, "*.example.org", &near},
		{"no label boundary", []acme.Authorization{near}, "notexample.org", nil},
		{"without subdomains, nothing below", []acme.Authorization{exact}, "b.a.example.org", nil},
	}
	for _, test := range tests {
		got, ok := covering(test.held, parse(t, acme.IdentifierDNS, test.id))
		if ok != (test.want != nil) || ok && got.Names() != test.want.Names() {
			t.Errorf("%s: %v, %v", test.name, got.Names(), ok)
		}
	}
}

func TestCheckAncestors(t *testing.T) {
	t.Parallel()
	with := testDirectory
	with.Subdomains = true
	onlyHTTP := with
	onlyHTTP.Challenges = []acme.ChallengeType{acme.HTTP01}
	tests := []struct {
		name     string
		dir      Directory
		id       string
		ancestor string
		want     acme.ProblemType
	}{
		{"parent", with, "a.example.com", "example.com", ""},
		{"itself", with, "a.example.com", "a.example.com", ""},
		{"of a wildcard", with, "*.a.example.com", "example.com", ""},
		{"another name", with, "a.example.com", "example.net", acme.Malformed},
		{"no label boundary", with, "a.myexample.com", "example.com", acme.Malformed},
		{"below", with, "example.com", "a.example.com", acme.Malformed},
		{"wildcard", with, "b.a.example.com", "*.a.example.com", acme.Malformed},
		{"public suffix", with, "example.com", "com", acme.RejectedIdentifier},
		{"no challenge in the DNS", onlyHTTP, "a.example.com", "example.com", acme.RejectedIdentifier},
		{"not on: ignored", testDirectory, "a.example.com", "example.net", ""},
	}
	for _, test := range tests {
		id := parse(t, acme.IdentifierDNS, test.id)
		_, err := checkAncestors(test.dir, []acme.Identifier{id}, map[acme.Identifier]acme.Identifier{id: parse(t, acme.IdentifierDNS, test.ancestor)})
		if problemType(err) != test.want || (err == nil) != (test.want == "") {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}
