package ra

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

var testProfile = Profile{Name: "default", MaxNames: 3, Validity: 90 * 24 * time.Hour,
	Identifiers: []acme.IdentifierType{acme.IdentifierDNS, acme.IdentifierIP}}

var testDirectory = Directory{Name: "default", Profiles: []Profile{testProfile},
	Challenges: []acme.ChallengeType{acme.HTTP01, acme.DNS01, acme.TLSALPN01}}

func parse(t *testing.T, kind acme.IdentifierType, value string) acme.Identifier {
	t.Helper()
	id, err := acme.ParseIdentifier(kind, value)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func problemType(err error) acme.ProblemType {
	var p *acme.Problem
	if errors.As(err, &p) {
		return p.Type
	}
	return ""
}

func TestCheckIdentifiers(t *testing.T) {
	t.Parallel()
	noWildcards := testDirectory
	noWildcards.Policy.NoWildcards = true
	onlyHTTP := testDirectory
	onlyHTTP.Challenges = []acme.ChallengeType{acme.HTTP01}
	onlyDNS := testDirectory
	onlyDNS.Challenges = []acme.ChallengeType{acme.DNS01}
	tests := []struct {
		name  string
		dir   Directory
		names []string
		want  acme.ProblemType
	}{
		{"one", testDirectory, []string{"example.com"}, ""},
		{"private name", testDirectory, []string{"printer.corp"}, ""},
		{"single label", testDirectory, []string{"localhost"}, ""},
		{"wildcard", testDirectory, []string{"*.example.com"}, ""},
		{"wildcard below a private suffix", testDirectory, []string{"*.github.io"}, ""},
		{"wildcard of a private top level", testDirectory, []string{"*.corp"}, ""},
		{"wildcard below com", testDirectory, []string{"*.com"}, acme.RejectedIdentifier},
		{"wildcard below co.uk", testDirectory, []string{"*.co.uk"}, acme.RejectedIdentifier},
		{"wildcard below a wildcard rule", testDirectory, []string{"*.foo.ck"}, acme.RejectedIdentifier},
		{"wildcard below an exception", testDirectory, []string{"*.www.ck"}, ""},
		{"wildcards off", noWildcards, []string{"*.example.com"}, acme.RejectedIdentifier},
		{"no challenge for a wildcard", onlyHTTP, []string{"*.example.com"}, acme.RejectedIdentifier},
		{"none", testDirectory, nil, acme.Malformed},
		{"too many", testDirectory, []string{"a.example", "b.example", "c.example", "d.example"}, acme.Malformed},
		{"repeated ones count once", testDirectory, []string{"a.example", "a.example", "b.example", "c.example"}, ""},
		{"two refused", testDirectory, []string{"*.com", "*.net"}, acme.RejectedIdentifier},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var ids []acme.Identifier
			for _, name := range test.names {
				ids = append(ids, parse(t, acme.IdentifierDNS, name))
			}
			if _, err := checkIdentifiers(test.dir, testProfile, ids); problemType(err) != test.want || (err == nil) != (test.want == "") {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	// RFC 8738 §7: no proof in the DNS for an address.
	if _, err := checkIdentifiers(onlyDNS, testProfile, []acme.Identifier{parse(t, acme.IdentifierIP, "192.0.2.1")}); problemType(err) != acme.RejectedIdentifier {
		t.Errorf("an address with dns-01 alone: %v", err)
	}
}

func TestSubproblemsNameTheirIdentifier(t *testing.T) {
	t.Parallel()
	bad := parse(t, acme.IdentifierDNS, "*.com")
	_, err := checkIdentifiers(testDirectory, testProfile, []acme.Identifier{parse(t, acme.IdentifierDNS, "example.com"), bad})
	var p *acme.Problem
	if !errors.As(err, &p) || p.Identifier != nil || len(p.Subproblems) != 1 || *p.Subproblems[0].Identifier != bad {
		t.Errorf("got %+v, want one subproblem about %s", p, bad)
	}
}

func TestCheckValidity(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	at := func(d time.Duration) time.Time { return now.Add(d) }
	tests := []struct {
		name                string
		notBefore, notAfter time.Time
		ok                  bool
	}{
		{"neither", time.Time{}, time.Time{}, true},
		{"a short life", time.Time{}, at(7 * day), true},
		{"the longest life", time.Time{}, at(90 * day), true},
		{"too long", time.Time{}, at(90*day + time.Second), false},
		{"over before it begins", at(2 * time.Hour), at(time.Hour), false},
		{"in the past", time.Time{}, at(-time.Second), false},
		{"a little ahead", at(time.Hour), at(2 * day), true},
		{"far ahead", at(3 * day), time.Time{}, false},
		{"backdated", at(-2 * time.Hour), time.Time{}, false},
		{"long for its late start", at(20 * time.Hour), at(90*day + 20*time.Hour), true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := checkValidity(testProfile, NewOrder{NotBefore: test.notBefore, NotAfter: test.notAfter}, now)
			if (err == nil) != test.ok {
				t.Errorf("got %v, want ok %v", err, test.ok)
			}
		})
	}
}

func TestNamePolicy(t *testing.T) {
	t.Parallel()
	public := NamePolicy{PublicNamesOnly: true}
	listed := NamePolicy{Allow: []string{"corp.example"}, Deny: []string{"secret.corp.example"}, AllowNames: []string{"www.example.org", "*.apps.example.org"}}
	loose := NamePolicy{WildcardsBelowPublicSuffixes: true}
	ranges := NamePolicy{Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}, DenyAddresses: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}
	tests := []struct {
		name   string
		policy NamePolicy
		kind   acme.IdentifierType
		value  string
		ok     bool
	}{
		{"public", public, acme.IdentifierDNS, "www.example.com", true},
		{"private top level", public, acme.IdentifierDNS, "printer.corp", false},
		{"single label", public, acme.IdentifierDNS, "localhost", false},
		{"the suffix itself", public, acme.IdentifierDNS, "co.uk", false},
		{"reverse name", public, acme.IdentifierDNS, "1.2.0.192.in-addr.arpa", false},
		{"allowed suffix itself", listed, acme.IdentifierDNS, "corp.example", true},
		{"below the allowed suffix", listed, acme.IdentifierDNS, "a.b.corp.example", true},
		{"wildcard below it", listed, acme.IdentifierDNS, "*.b.corp.example", true},
		{"no label boundary", listed, acme.IdentifierDNS, "evilcorp.example", false},
		{"denied within the allowed", listed, acme.IdentifierDNS, "x.secret.corp.example", false},
		{"exact name", listed, acme.IdentifierDNS, "www.example.org", true},
		{"below an exact name", listed, acme.IdentifierDNS, "a.www.example.org", false},
		{"exact wildcard", listed, acme.IdentifierDNS, "*.apps.example.org", true},
		{"name under an exact wildcard", listed, acme.IdentifierDNS, "apps.example.org", false},
		{"other name", listed, acme.IdentifierDNS, "example.net", false},
		{"wildcard below com, rule off", loose, acme.IdentifierDNS, "*.com", true},
		{"address in range", ranges, acme.IdentifierIP, "10.2.3.4", true},
		{"IPv6 in range", ranges, acme.IdentifierIP, "fd12::1", true},
		{"address out of range", ranges, acme.IdentifierIP, "192.0.2.1", false},
		{"denied range", ranges, acme.IdentifierIP, "10.1.2.3", false},
		{"any address by default", NamePolicy{}, acme.IdentifierIP, "192.0.2.1", true},
	}
	for _, test := range tests {
		p := test.policy.check(parse(t, test.kind, test.value), testProfile)
		if (p == nil) != test.ok || p != nil && p.Type != acme.RejectedIdentifier {
			t.Errorf("%s: %v, want allowed %v", test.name, p, test.ok)
		}
	}
}
