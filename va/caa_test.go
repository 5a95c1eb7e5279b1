package va_test

import (
	"slices"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/responder"
	"github.com/cairn-ca/cairn/va"
	"github.com/cairn-ca/cairn/va/dns"
)

func TestCAA(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	set := func(name string, records ...string) {
		t.Helper()
		if err := l.SetCAA(name, records...); err != nil {
			t.Fatal(err)
		}
	}
	const ours, theirs = `0 issue "ca.example"`, `0 issue "other.example"`
	set("ours.test", ours)
	set("theirs.test", theirs)
	set("case.test", `0 ISSUE "CA.Example"`)
	set("both.test", theirs, ours)
	set("nobody.test", `0 issue ";"`)
	set("empty.test", `0 issue ""`)
	set("malformed.test", `0 issue "ca.example x"`)
	set("malformed-too.test", `0 issue "%%%%%"`, ours)
	set("prefix.test", `0 issue "xca.example"`)
	set("sub.ours.test", theirs)
	set("good.theirs.test", ours)
	set("iodef.test", `0 iodef "mailto:a@b"`, `128 contactemail "a@b"`, `128 issuemail ";"`)
	set("unknown.test", `0 tbs "x"`)
	set("critical.test", `128 tbs "x"`, ours)
	set("critical1.test", `1 tbs "x"`, ours)
	set("critical-issue.test", `128 issue "ca.example"`)
	set("wild.test", ours, `0 issuewild ";"`)
	set("only-wild.test", `0 issuewild ";"`)
	set("wild-ours.test", `0 issue ";"`, `0 issuewild "ca.example"`)
	set("account.test", `0 issue "ca.example; accounturi=`+account+`"`)
	set("account2.test", `0 issue "ca.example; accounturi=`+account+`0"`)
	set("account-case.test", `0 issue "ca.example; AccountURI=`+account+`0"`)
	set("accounts.test", `0 issue "ca.example; accounturi=`+account+`;accounturi=`+account+`"`)
	set("either.test", `0 issue "ca.example; accounturi=x"`, `0 issue "ca.example;accounturi=`+account+`"`)
	set("method.test", `0 issue "ca.example; validationmethods=dns-01,http-01"`)
	set("method2.test", `0 issue "ca.example; validationmethods=dns-01"`)
	set("method-none.test", `0 issue "ca.example; validationmethods="`)
	set("method-bad.test", `0 issue "ca.example; validationmethods=http-01,"`)
	set("methods.test", `0 issue "ca.example; validationmethods=http-01; validationmethods=http-01"`)
	set("parameter.test", `0 issue "ca.example; policy=ev"`)
	set("target.test", theirs)
	l.SetCNAME("alias.test", "target.test")
	l.SetCNAME("alias-deep.test", "deep.target.test")
	l.SetFailure("broken.test", mdns.TypeCAA, responder.Failure{Rcode: mdns.RcodeServerFailure, ExtendedCode: 6, ExtendedError: "bogus"})
	set("under.broken.test", ours)
	set("a.b.c.d.e.f.g.h.i.deep.test", theirs)

	for _, c := range []struct {
		name     string
		wildcard bool
		want     acme.ProblemType
		foundAt  string
		words    string
	}{
		{"plain.test", false, valid, "", ""},
		{"absent.example", false, valid, "", ""},
		{"localhost", false, valid, "", ""},
		{"ours.test", false, valid, "ours.test", ""},
		{"www.ours.test", false, valid, "ours.test", ""},
		{"theirs.test", false, acme.CAA, "theirs.test", `0 issue "other.example" permits another CA. To permit this CA, add a record such as 0 issue "ca.example"`},
		{"a.b.theirs.test", false, acme.CAA, "theirs.test", "CAA records of theirs.test"},
		{"case.test", false, valid, "case.test", ""},
		{"both.test", false, valid, "both.test", ""},
		{"nobody.test", false, acme.CAA, "nobody.test", "permits nobody"},
		{"empty.test", false, acme.CAA, "empty.test", "permits nobody"},
		{"malformed.test", false, acme.CAA, "malformed.test", "malformed"},
		{"malformed-too.test", false, valid, "malformed-too.test", ""},
		{"prefix.test", false, acme.CAA, "prefix.test", "another CA"},
		{"x.sub.ours.test", false, acme.CAA, "sub.ours.test", ""},
		{"x.good.theirs.test", false, valid, "good.theirs.test", ""},
		{"iodef.test", false, valid, "iodef.test", ""},
		{"unknown.test", false, valid, "unknown.test", ""},
		{"critical.test", false, acme.CAA, "critical.test", `128 tbs "x"`},
		{"critical1.test", false, acme.CAA, "critical1.test", `1 tbs "x"`},
		{"critical-issue.test", false, valid, "critical-issue.test", ""},
		{"wild.test", false, valid, "wild.test", ""},
		{"wild.test", true, acme.CAA, "wild.test", `0 issuewild ";" permits nobody`},
		{"only-wild.test", false, valid, "only-wild.test", ""},
		{"only-wild.test", true, acme.CAA, "only-wild.test", ""},
		{"wild-ours.test", false, acme.CAA, "wild-ours.test", ""},
		{"wild-ours.test", true, valid, "wild-ours.test", ""},
		{"ours.test", true, valid, "ours.test", ""},
		{"account.test", false, valid, "account.test", ""},
		{"account2.test", false, acme.CAA, "account2.test", "for another account than \"" + account + `"`},
		{"account-case.test", false, acme.CAA, "account-case.test", "another account"},
		{"accounts.test", false, acme.CAA, "accounts.test", "several accounturi"},
		{"either.test", false, valid, "either.test", ""},
		{"method.test", false, valid, "method.test", ""},
		{"method2.test", false, acme.CAA, "method2.test", `other validation methods than "http-01"`},
		{"method-none.test", false, acme.CAA, "method-none.test", "other validation methods"},
		{"method-bad.test", false, acme.CAA, "method-bad.test", "can't be understood"},
		{"methods.test", false, acme.CAA, "methods.test", "can't be understood"},
		{"parameter.test", false, valid, "parameter.test", ""},
		{"alias.test", false, acme.CAA, "alias.test", ""},
		// The climb is that of the name, not of what it is an alias of.
		{"alias-deep.test", false, valid, "", ""},
		{"broken.test", false, acme.DNS, "", "EDE 6 DNSSEC Bogus: bogus"},
		{"www.broken.test", false, acme.DNS, "", "EDE 6"},
		// What is closer decides, whatever is above it.
		{"under.broken.test", false, valid, "under.broken.test", ""},
		{"a.b.c.d.e.f.g.h.i.deep.test", false, acme.CAA, "a.b.c.d.e.f.g.h.i.deep.test", ""},
		{"1.2.3.4.5.6.7.8.9.theirs.test", false, acme.CAA, "theirs.test", ""},
	} {
		result, err := l.CheckCAA(t.Context(), va.CAARequest{
			Identifier: dnsName(t, c.name), Wildcard: c.wildcard, Method: acme.HTTP01, AccountURL: account,
		})
		if err != nil {
			t.Fatal(err)
		}
		expect(t, va.Result{Problem: result.Problem, MayHeal: result.MayHeal}, c.want, c.want == acme.DNS, c.words)
		if result.Evidence.FoundAt != c.foundAt || result.Evidence.CheckedAt.IsZero() || (c.foundAt != "") != (len(result.Evidence.Records) > 0) {
			t.Errorf("%s: evidence %+v, want it found at %q", c.name, result.Evidence, c.foundAt)
		}
	}
}

// TestValidationNeedsCAA: control alone is not enough, and a failure of
// control is told before one of CAA.
func TestValidationNeedsCAA(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	if err := l.SetCAA("test", `0 issue "other.example"`); err != nil {
		t.Fatal(err)
	}
	req := request(dnsName(t, "a.test"), acme.HTTP01)
	expect(t, l.validate(t, req), acme.Unauthorized, false, "404")
	l.SetHTTP01(token, keyAuth)
	result := l.validate(t, req)
	expect(t, result, acme.CAA, false)
	if e := result.Evidence.CAA; e == nil || e.FoundAt != "test" || !slices.Equal(e.Records, []string{`0 issue "other.example"`}) {
		t.Errorf("evidence %+v", e)
	}
	l.SetFailure("a.test", mdns.TypeCAA, responder.Failure{Rcode: mdns.RcodeServerFailure})
	expect(t, l.validate(t, req), acme.DNS, true, "CAA records of a.test")
}

// TestCAAWithoutIdentity: a CA without a name is in no record.
func TestCAAWithoutIdentity(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(c *va.Config) { c.CAAIdentities = nil })
	if err := l.SetCAA("a.test", `0 issue "ca.example"`); err != nil {
		t.Fatal(err)
	}
	result, err := l.CheckCAA(t.Context(), va.CAARequest{Identifier: dnsName(t, "a.test"), Method: acme.HTTP01, AccountURL: account})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, va.Result{Problem: result.Problem}, acme.CAA, false, "another CA")
}

// TestCAAIdentityOfDirectory: a directory with identities of its own has no
// other.
func TestCAAIdentityOfDirectory(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(c *va.Config) { c.DirectoryCAAIdentities = map[string][]string{"lab": {"lab.example"}} })
	if err := l.SetCAA("ours.test", `0 issue "ca.example"`); err != nil {
		t.Fatal(err)
	}
	if err := l.SetCAA("lab.test", `0 issue "lab.example"`); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		directory, name string
		want            acme.ProblemType
	}{
		{"default", "ours.test", valid}, {"default", "lab.test", acme.CAA}, {"lab", "lab.test", valid}, {"lab", "ours.test", acme.CAA},
	} {
		result, err := l.CheckCAA(t.Context(), va.CAARequest{Directory: c.directory, Identifier: dnsName(t, c.name), Method: acme.HTTP01, AccountURL: account})
		if err != nil {
			t.Fatal(err)
		}
		expect(t, va.Result{Problem: result.Problem}, c.want, false)
	}
}

// TestCAASteps: the decision explains itself.
func TestCAASteps(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	if err := l.SetCAA("test", `0 issue "other.example"`, `0 issue "ca.example; validationmethods=dns-01"`, "0 issue \"a\x1bb\""); err != nil {
		t.Fatal(err)
	}
	resolver, err := dns.New(dns.Config{Upstreams: []string{l.DNSAddr()}})
	if err != nil {
		t.Fatal(err)
	}
	checker := va.CAAChecker{Resolver: resolver, Identities: []string{identity}}
	d := checker.Check(t.Context(), va.CAARequest{Identifier: dnsName(t, "a.test"), Method: acme.DNS01, AccountURL: account})
	got := strings.ReplaceAll(strings.Join(d.Steps, "\n"), " at "+l.DNSAddr(), "")
	const want = `a.test CAA: nodata
test CAA: 0 issue "other.example", 0 issue "ca.example; validationmethods=dns-01", 0 issue "a\027b"
0 issue "other.example": permits another CA
0 issue "ca.example; validationmethods=dns-01": permits`
	if got != want || d.Problem != nil {
		t.Errorf("got %v\n%s\nwant\n%s", d.Problem, got, want)
	}
}
