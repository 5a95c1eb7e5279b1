package va_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/va"
)

// The CAA records of onion services (RFC 9799 §6), with the rules of those in
// the DNS.
func TestOnionCAA(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	l := newLab(t, silentNetwork, func(c *va.Config) { c.Now = func() time.Time { return now } })
	key, other := onionKey("service"), onionKey("another")
	service := onionName(key)
	const ours, theirs = `caa 0 issue "ca.example"`, `caa 0 issue "other.example"`
	text := func(lines ...string) *string { s := strings.Join(lines, "\n"); return &s }
	expires := func(in time.Duration) func(*acme.OnionCAA) {
		return func(set *acme.OnionCAA) { set.Expiry = now.Add(in); set.Sign(key) }
	}
	for _, test := range []struct {
		name     string
		caa      *string
		wildcard bool
		change   func(*acme.OnionCAA)
		want     acme.ProblemType
		words    string
	}{
		{"null", nil, false, nil, valid, ""},
		{"empty", text(""), false, nil, valid, ""},
		{"us", text(ours), false, nil, valid, ""},
		{"with a last line end", text(ours, ""), false, nil, valid, ""},
		{"us for wildcards", text(ours), true, nil, valid, ""},
		{"others", text(theirs), false, nil, acme.CAA, "permits another CA"},
		{"us among others", text(theirs, ours), false, nil, valid, ""},
		{"nobody", text(`caa 0 issue ";"`), false, nil, acme.CAA, "permits nobody"},
		{"no wildcards", text(ours, `caa 0 issuewild ";"`), true, nil, acme.CAA, "permits nobody"},
		{"no wildcards, but this is none", text(ours, `caa 0 issuewild ";"`), false, nil, valid, ""},
		{"iodef alone", text(`caa 0 iodef "mailto:a@b.example"`), false, nil, valid, ""},
		{"critical and unknown", text(ours, `caa 128 tbs "x"`), false, nil, acme.CAA, "critical"},
		{"this account", text(`caa 0 issue "ca.example; accounturi=` + account + `"`), false, nil, valid, ""},
		{"another account", text(`caa 0 issue "ca.example; accounturi=` + account + `1"`), false, nil, acme.CAA, "another account"},
		{"this method", text(`caa 128 issue "ca.example; validationmethods=onion-csr-01"`), false, nil, valid, ""},
		{"another method", text(`caa 0 issue "ca.example; validationmethods=http-01"`), false, nil, acme.CAA, "other validation methods"},
		{"without quotes", text(`caa 0 issue ca.example`), false, nil, valid, ""},
		{"a semicolon without quotes is no comment", text(`caa 0 issue ca.example;validationmethods=http-01`), false, nil, acme.CAA, "other validation methods"},
		{"escapes", text(`caa 0 issue "\099a.\e\120ample"`), false, nil, valid, ""},
		{"a tag in another case", text(`caa 0 ISSUE "other.example"`), false, nil, acme.CAA, "another CA"},
		{"a line of the DNS", text(`0 issue "ca.example"`), false, nil, acme.CAA, "line 1"},
		{"a bad line behind a good one", text(ours, `caa issue "ca.example"`), false, nil, acme.CAA, "line 2"},
		{"another line of the descriptor", text(ours, "caa-critical"), false, nil, acme.CAA, "line 2"},
		{"a comment", text(ours + " ; ours"), false, nil, acme.CAA, "double quotes"},
		{"flags out of range", text(`caa 256 issue "ca.example"`), false, nil, acme.CAA, "0 to 255"},
		{"flags with a zero before them", text(`caa 00 issue "ca.example"`), false, nil, acme.CAA, "0 to 255"},
		{"flags with a sign", text(`caa +0 issue "ca.example"`), false, nil, acme.CAA, "0 to 255"},
		{"no tag", text(`caa 0  "ca.example"`), false, nil, acme.CAA, "letters and digits"},
		{"an open quote", text(`caa 0 issue "ca.example`), false, nil, acme.CAA, "double quotes"},
		{"an escaped end", text(`caa 0 issue "ca.example\"`), false, nil, acme.CAA, "double quotes"},
		{"a quote in quotes", text(`caa 0 issue "ca".example"`), false, nil, acme.CAA, "double quotes"},
		{"an escape of 300", text(`caa 0 issue "\300"`), false, nil, acme.CAA, "double quotes"},
		{"a carriage return", text(ours+"\r", ""), false, nil, acme.CAA, "double quotes"},
		{"two spaces", text(`caa  0 issue "ca.example"`), false, nil, acme.CAA, "line 1"},
		{"101 records", text(slices.Repeat([]string{ours}, 101)...), false, nil, acme.CAA, "more than 100"},

		{"about to expire", text(ours), false, expires(time.Second), valid, ""},
		{"8 hours ahead", text(ours), false, expires(8 * time.Hour), valid, ""},
		{"8 hours ahead of a fast clock", text(ours), false, expires(9 * time.Hour), valid, ""},
		{"more than 8 hours ahead", text(ours), false, expires(9*time.Hour + time.Second), acme.OnionCAARequired, "8 hours ahead"},
		{"expired", text(ours), false, expires(0), acme.OnionCAARequired, "expired"},
		{"signed by another service", text(ours), false, func(set *acme.OnionCAA) { set.Sign(other) }, acme.Unauthorized, "does not verify"},
		{"other records than were signed", text(ours), false, func(set *acme.OnionCAA) { set.CAA = nil }, acme.Unauthorized, "does not verify"},
		{"another service's", text(ours), false, func(set *acme.OnionCAA) { set.Service = onionName(other); set.Sign(other) }, acme.OnionCAARequired, "onionCAA"},
	} {
		for _, name := range []acme.Identifier{service, dnsName(t, "a.b."+service.Value())} {
			set := acme.OnionCAA{Service: service, CAA: test.caa, Expiry: now.Add(time.Hour)}
			set.Sign(key)
			if test.change != nil {
				test.change(&set)
			}
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				result, err := l.CheckCAA(t.Context(), va.CAARequest{
					Directory: "default", Identifier: name, Wildcard: test.wildcard, Method: acme.OnionCSR01, AccountURL: account, OnionCAA: &set,
				})
				if err != nil {
					t.Fatal(err)
				}
				expect(t, va.Result{Problem: result.Problem, MayHeal: result.MayHeal}, test.want, false, test.words)
				if test.want == valid && test.caa != nil && *test.caa != "" && (result.Evidence.FoundAt != service.Value() || len(result.Evidence.Records) == 0) {
					t.Errorf("evidence %+v", result.Evidence)
				}
				if !result.Evidence.CheckedAt.Equal(now) {
					t.Errorf("checked at %v", result.Evidence.CheckedAt)
				}
			})
		}
	}
	t.Run("none", func(t *testing.T) {
		result, err := l.CheckCAA(t.Context(), va.CAARequest{Identifier: service, Method: acme.OnionCSR01, AccountURL: account})
		if err != nil {
			t.Fatal(err)
		}
		expect(t, va.Result{Problem: result.Problem}, acme.OnionCAARequired, false, service.Value())
	})
}
