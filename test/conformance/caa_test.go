package conformance

import (
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/responder"
	"github.com/cairn-ca/cairn/test/harness"
)

// RFC 8659 and RFC 8657: which CAA records let this CA issue.
func TestCAA(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	identities, _ := c.Directory.Meta["caaIdentities"].([]any)
	if len(identities) == 0 {
		t.Fatalf("the directory names no caaIdentities: %v", c.Directory.Meta)
	}
	us := identities[0].(string)
	tests := []struct {
		name, label, kind string
		records           []string
		ok                bool
	}{
		{"us", "", "http-01", []string{`0 issue "` + us + `"`}, true},
		{"nobody", "", "http-01", []string{`0 issue ";"`}, false},
		{"us among others", "", "http-01", []string{`0 issue "other.example"`, `0 issue "` + us + `"`}, true},
		{"this account", "", "http-01", []string{`0 issue "` + us + `; accounturi=` + c.KID + `"`}, true},
		{"another account", "", "http-01", []string{`0 issue "` + us + `; accounturi=` + c.KID + `x"`}, false},
		{"two accounts in one record", "", "http-01", []string{`0 issue "` + us + `; accounturi=` + c.KID + `; accounturi=` + c.KID + `"`}, false},
		{"this method", "", "http-01", []string{`0 issue "` + us + `; validationmethods=dns-01,http-01"`}, true},
		{"another method", "", "http-01", []string{`0 issue "` + us + `; validationmethods=dns-01"`}, false},
		{"the method of the DNS", "", "dns-01", []string{`0 issue "` + us + `; validationmethods=dns-01"`}, true},
		{"wildcards for others", "*.", "dns-01", []string{`0 issue "` + us + `"`, `0 issuewild ";"`}, false},
		{"wildcards for us", "*.", "dns-01", []string{`0 issue ";"`, `0 issuewild "` + us + `"`}, true},
		{"issuewild is not for names", "", "http-01", []string{`0 issuewild ";"`}, true},
		{"critical and unknown", "", "http-01", []string{`0 issue "` + us + `"`, `128 tbs "x"`}, false},
		{"unknown", "", "http-01", []string{`0 tbs "x"`}, true},
		{"malformed", "", "http-01", []string{`0 issue "` + us + ` x"`}, false},
		{"in any case", "", "http-01", []string{`0 ISSUE "` + strings.ToUpper(us) + `"`}, true},
		{"iodef alone", "", "http-01", []string{`0 iodef "mailto:security@example.com"`}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			name := harness.NewName("caa")
			if err := s.Names.SetCAA(name, test.records...); err != nil {
				t.Fatal(err)
			}
			order := c.NewOrder(t, test.label+name)
			authz := s.Authorize(t, c, order.Authorizations[0], test.kind)
			if (authz.Status == "valid") != test.ok {
				t.Fatalf("with %q the authorization is %s: %+v", test.records, authz.Status, authz.Challenges)
			}
			if !test.ok {
				checkProblem(t, *authz.Challenge(t, test.kind).Error, "caa")
			}
		})
	}
	t.Run("records of an alias", func(t *testing.T) {
		name, target := harness.NewName("caa"), harness.NewName("target")
		s.Names.SetCNAME(name, target)
		if err := s.Names.SetCAA(target, `0 issue ";"`); err != nil {
			t.Fatal(err)
		}
		order := c.NewOrder(t, name)
		authz := s.Authorize(t, c, order.Authorizations[0], "http-01")
		checkProblem(t, *authz.Challenge(t, "http-01").Error, "caa")
	})
	// RFC 8659 §3: not knowing is not permission.
	t.Run("no answer", func(t *testing.T) {
		name := harness.NewName("caa")
		s.Names.SetFailure(name, dns.TypeCAA, responder.Failure{Rcode: dns.RcodeServerFailure})
		order := c.NewOrder(t, "www."+name)
		authz := s.Authorize(t, c, order.Authorizations[0], "http-01")
		if authz.Status != "invalid" {
			t.Errorf("without an answer the authorization is %s", authz.Status)
		}
		checkProblem(t, *authz.Challenge(t, "http-01").Error, "dns")
	})
	t.Run("records of a parent", func(t *testing.T) {
		parent := harness.NewName("caa")
		if err := s.Names.SetCAA(parent, `0 issue ";"`); err != nil {
			t.Fatal(err)
		}
		order := c.NewOrder(t, "a.b."+parent)
		if authz := s.Authorize(t, c, order.Authorizations[0], "http-01"); authz.Status != "invalid" {
			t.Errorf("the authorization is %s", authz.Status)
		}
	})
}
