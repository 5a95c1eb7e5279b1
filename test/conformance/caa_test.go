package conformance

import (
	"testing"

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
