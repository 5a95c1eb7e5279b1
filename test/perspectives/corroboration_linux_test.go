// Package perspectives tests multi-perspective corroboration (Baseline
// Requirements §3.2.2.9) as it happens: a CA and four remote perspectives,
// each a process in a network namespace of its own, with its own DNS, web and
// TLS servers to look at.
package perspectives

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

func TestCorroboration(t *testing.T) {
	for _, w := range []harness.Wiring{{}, {Roles: true}} {
		t.Run(w.String(), func(t *testing.T) {
			l := newLab(t, w)
			t.Run("validation", l.testValidation)
			t.Run("CAA", l.testCAA)
			t.Run("CAA at finalize", l.testFinalizeCAA)
			t.Run("shadow", l.testShadow)
			if !w.Roles {
				t.Run("evidence", l.testEvidence)
				t.Run("metrics", l.testMetrics)
			}
			t.Run("down", l.testDown) // last: it takes perspectives away
		})
	}
}

func (l *lab) testValidation(t *testing.T) {
	c := l.account(t, "default")
	for _, test := range []struct {
		name     string
		hijacked []string
		valid    bool
		says     []string // in the problem
	}{
		{"everybody sees the same", nil, true, nil},
		{"one of four sees a hijacked answer", []string{"fra"}, true, nil},
		{"two of four", []string{"fra", "ams"}, false, []string{
			"2 of its 4 remote perspectives", "fra (RIPE): unauthorized", "attacker.fra", "ams (RIPE): unauthorized", "attacker.ams",
		}},
		{"all of them", []string{"fra", "ams", "waw", "iad"}, false, []string{"iad (ARIN): unauthorized"}},
		// Three of four corroborate, but all in one region.
		{"the only one of its region", []string{"iad"}, false, []string{"are in 1 region, and 2 are needed", "iad (ARIN): unauthorized", "attacker.iad"}},
	} {
		for _, kind := range []string{"http-01", "dns-01", "tls-alpn-01"} {
			t.Run(test.name+"/"+kind, func(t *testing.T) {
				name := harness.NewName("mpic")
				order := c.NewOrder(t, name)
				challenge := l.authorize(t, c, order, kind, test.hijacked...)
				if (challenge.Status == "valid") != test.valid {
					t.Fatalf("the challenge is %s: %+v", challenge.Status, challenge.Error)
				}
				if test.valid {
					c.Finalize(t, c.Order(t, order.URL), rawacme.CSR(t, rawacme.NewKey(t), []string{name}))
					return
				}
				if !strings.HasSuffix(challenge.Error.Type, ":unauthorized") {
					t.Errorf("the type is %s", challenge.Error.Type)
				}
				for _, says := range test.says {
					// What tls-alpn-01 finds is a digest, not the text.
					if kind != "http-01" && strings.HasPrefix(says, "attacker") {
						continue
					}
					if !strings.Contains(challenge.Error.Detail, says) {
						t.Errorf("the detail does not say %q: %s", says, challenge.Error.Detail)
					}
				}
				if order := c.Order(t, order.URL); order.Status != "invalid" {
					t.Errorf("the order is %s", order.Status)
				}
			})
		}
	}
}

// forbid has some places see CAA records that permit nobody.
func (l *lab) forbid(t *testing.T, name string, where ...string) {
	t.Helper()
	for _, place := range where {
		if err := l.place(place).view.SetCAA(name, `0 issue ";"`); err != nil {
			t.Fatal(err)
		}
	}
}

func (l *lab) testCAA(t *testing.T) {
	c := l.account(t, "default")
	for _, test := range []struct {
		name  string
		where []string
		valid bool
	}{
		{"forbidden as seen from one", []string{"waw"}, true},
		{"forbidden as seen from two", []string{"waw", "ams"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			name := harness.NewName("caa")
			l.forbid(t, name, test.where...)
			challenge := l.authorize(t, c, c.NewOrder(t, name), "http-01")
			if (challenge.Status == "valid") != test.valid {
				t.Fatalf("the challenge is %s: %+v", challenge.Status, challenge.Error)
			}
			if !test.valid && (!strings.HasSuffix(challenge.Error.Type, ":caa") || !strings.Contains(challenge.Error.Detail, "waw (RIPE): caa")) {
				t.Errorf("the problem is %+v", challenge.Error)
			}
		})
	}
}

// CAA is checked by itself when a certificate is issued for a name below the
// one that was authorized, by all perspectives too.
func (l *lab) testFinalizeCAA(t *testing.T) {
	c := l.account(t, "below")
	for _, test := range []struct {
		name  string
		where []string
		valid bool
	}{
		{"permitted", nil, true},
		{"forbidden as seen from one", []string{"fra"}, true},
		{"forbidden as seen from two", []string{"fra", "waw"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			ancestor := harness.NewName("above")
			name := "www." + ancestor
			l.forbid(t, name, test.where...)
			order := c.NewOrderFor(t, map[string]any{"identifiers": []map[string]any{
				{"type": "dns", "value": name, "ancestorDomain": ancestor},
			}})
			if challenge := l.authorize(t, c, order, "dns-01"); challenge.Status != "valid" {
				t.Fatalf("the challenge is %s: %+v", challenge.Status, challenge.Error)
			}
			csr := rawacme.CSR(t, rawacme.NewKey(t), []string{name})
			if test.valid {
				c.Finalize(t, c.Order(t, order.URL), csr)
				return
			}
			resp := c.Post(t, c.Order(t, order.URL).Finalize, map[string]any{"csr": rawacme.B64(csr)})
			resp.Want(t, http.StatusForbidden)
			if body := string(resp.Body); !strings.Contains(body, ":caa") || !strings.Contains(body, "fra (RIPE): caa") || !strings.Contains(body, "waw (RIPE): caa") {
				t.Errorf("the problem is %s", body)
			}
		})
	}
}

// In shadow mode nothing is refused.
func (l *lab) testShadow(t *testing.T) {
	c := l.account(t, "shadow")
	name := harness.NewName("shadow")
	l.forbid(t, name, "waw")
	order := c.NewOrder(t, name)
	if challenge := l.authorize(t, c, order, "http-01", "fra", "ams", "iad"); challenge.Status != "valid" {
		t.Fatalf("the challenge is %s: %+v", challenge.Status, challenge.Error)
	}
	c.Finalize(t, c.Order(t, order.URL), rawacme.CSR(t, rawacme.NewKey(t), []string{name}))
}

// What each perspective saw is kept with the authorization and audited.
func (l *lab) testEvidence(t *testing.T) {
	for _, test := range []struct {
		directory string
		hijacked  []string
		quorum    string
		reached   bool
	}{
		{"default", nil, "4/4", true},
		{"default", []string{"waw"}, "3/4", true},
		{"default", []string{"waw", "fra"}, "2/4", false},
		{"shadow", []string{"waw", "fra", "ams", "iad"}, "0/4", false},
	} {
		c := l.account(t, test.directory)
		name := harness.NewName("evidence")
		l.authorize(t, c, c.NewOrder(t, name), "http-01", test.hijacked...)
		var polls, completed []auditRecord
		rawacme.Poll(t, "the audit records about "+name, func() bool {
			polls, completed = l.audit(t, "corroboration", name), l.audit(t, "validation completed", name)
			return len(completed) > 0
		})
		if len(polls) != 1 || len(completed) != 1 {
			t.Fatalf("the audit log has %d polls and %d results for %s", len(polls), len(completed), name)
		}
		if poll := polls[0]; poll.Quorum != test.quorum || poll.Reached != test.reached || poll.Check != "validation" {
			t.Errorf("%v hijacked: %+v", test.hijacked, poll)
		}
		evidence := completed[0].Evidence
		if evidence.Quorum != test.quorum || len(evidence.Perspectives) != len(names) {
			t.Fatalf("%v hijacked: the evidence is %+v", test.hijacked, evidence)
		}
		for i, p := range evidence.Perspectives {
			hijacked := strings.Contains(strings.Join(test.hijacked, " "), p.Name)
			if p.Name != names[i] || p.Region != regions[p.Name] || (p.Problem != nil) != hijacked {
				t.Errorf("%v hijacked: %+v", test.hijacked, p)
			}
			if hijacked && (p.Problem.Type != "unauthorized" || !strings.Contains(p.Problem.Detail, "attacker."+p.Name)) {
				t.Errorf("%v hijacked: %+v", test.hijacked, p.Problem)
			}
		}
	}
}

func (l *lab) testMetrics(t *testing.T) {
	resp, err := l.HTTP(t).Get(l.AdminURL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`cairn_va_perspective_results_total{check="validation",perspective="fra",region="RIPE",result="corroborated"}`,
		`cairn_va_perspective_results_total{check="validation",perspective="iad",region="ARIN",result="unauthorized"}`,
		`cairn_va_perspective_results_total{check="caa",perspective="waw",region="RIPE",result="caa"}`,
		`cairn_va_perspective_seconds_count{check="validation",perspective="iad"}`,
		`cairn_va_corroborations_total{check="validation",mode="required",result="lost"}`,
		`cairn_va_corroborations_total{check="validation",mode="shadow",result="lost"}`,
		`cairn_va_corroborations_total{check="caa",mode="required",result="lost"}`,
	} {
		if !strings.Contains(string(body), line) {
			t.Errorf("/metrics does not have %s", line)
		}
	}
}

// A perspective that is down has not corroborated.
func (l *lab) testDown(t *testing.T) {
	c := l.account(t, "default")
	attempt := func(hijacked ...string) rawacme.Challenge {
		return l.authorize(t, c, c.NewOrder(t, harness.NewName("down")), "http-01", hijacked...)
	}
	l.place("ams").kill(t)
	if challenge := attempt(); challenge.Status != "valid" {
		t.Fatalf("with one of four down the challenge is %s: %+v", challenge.Status, challenge.Error)
	}
	challenge := attempt("waw")
	if challenge.Status != "invalid" || !strings.HasSuffix(challenge.Error.Type, ":unauthorized") ||
		!strings.Contains(challenge.Error.Detail, "ams (RIPE): serverInternal: it could not be asked") || !strings.Contains(challenge.Error.Detail, "waw (RIPE): unauthorized") {
		t.Fatalf("with one down and one hijacked the challenge is %s: %+v", challenge.Status, challenge.Error)
	}
	if strings.Contains(challenge.Error.Detail, l.place("ams").place.addr) {
		t.Errorf("the client is told where perspectives are: %s", challenge.Error.Detail)
	}
	l.place("waw").kill(t)
	challenge = attempt()
	if challenge.Status != "invalid" || !strings.HasSuffix(challenge.Error.Type, ":serverInternal") {
		t.Fatalf("with two of four down the challenge is %s: %+v", challenge.Status, challenge.Error)
	}
	// They come back, and count again.
	for _, name := range []string{"ams", "waw"} {
		l.place(name).start(t)
		l.place(name).awaitReady(t)
	}
	rawacme.Poll(t, "a validation after the perspectives are back", func() bool { return attempt().Status == "valid" })
}
