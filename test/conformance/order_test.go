package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// RFC 8555 §7.4 and §7.1.3: a new order.
func TestNewOrder(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	name := harness.NewName("order")
	resp := c.Post(t, c.Directory.NewOrder, map[string]any{"identifiers": rawacme.DNS(name)})
	wantOK(t, c, resp, http.StatusCreated)
	var order rawacme.Order
	resp.JSON(t, &order)
	if order.Status != "pending" || !slices.Equal(order.Identifiers, rawacme.DNS(name)) {
		t.Errorf("the order is %s", resp.Body)
	}
	expires, err := time.Parse("2006-01-02T15:04:05Z", order.Expires) // whole seconds, UTC: clients parse it
	if err != nil || time.Until(expires) < time.Hour {
		t.Errorf("expires is %q", order.Expires)
	}
	for _, url := range append(order.Authorizations, order.Finalize, resp.Location()) {
		if !strings.HasPrefix(url, "https://") {
			t.Errorf("%q is no URL of the server", url)
		}
	}
	if len(order.Authorizations) != 1 || order.Certificate != "" || order.Error != nil {
		t.Errorf("the order is %s", resp.Body)
	}
	again := c.Get(t, resp.Location())
	wantOK(t, c, again, http.StatusOK)
	if string(again.Body) != string(resp.Body) {
		t.Errorf("POST-as-GET of the order answers %s, newOrder answered %s", again.Body, resp.Body)
	}
}

// RFC 8555 §7.1.3: several names, a wildcard among them, each with its
// authorization (§7.1.4).
func TestOrderNames(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	a, b := harness.NewName("a"), harness.NewName("b")
	order := c.NewOrder(t, b, "*."+a, a, strings.ToUpper(b), a)
	var values []string
	for _, id := range order.Identifiers {
		values = append(values, id.Value)
	}
	slices.Sort(values)
	want := []string{"*." + a, a, b}
	if slices.Sort(want); !slices.Equal(values, want) {
		t.Errorf("the identifiers are %q, want %q: lower case, each once", values, want)
	}
	if len(order.Authorizations) != 3 {
		t.Fatalf("%d authorizations, want 3", len(order.Authorizations))
	}
	wildcards := 0
	for _, url := range order.Authorizations {
		authz := c.Authorization(t, url)
		if authz.Wildcard == nil {
			if len(authz.Challenges) != 3 {
				t.Errorf("%s has the challenges %+v", authz.Identifier.Value, authz.Challenges)
			}
			continue
		}
		wildcards++
		if !*authz.Wildcard || authz.Identifier.Value != a {
			t.Errorf("a wildcard's authorization is %+v; its identifier stands without \"*.\" (RFC 8555 §7.1.4)", authz)
		}
		// http-01 and tls-alpn-01 prove nothing about other names
		// (Baseline Requirements §3.2.2.4.19 and .20).
		if len(authz.Challenges) != 1 || authz.Challenges[0].Type != "dns-01" {
			t.Errorf("a wildcard offers %+v, want dns-01 alone", authz.Challenges)
		}
	}
	if wildcards != 1 {
		t.Errorf("%d authorizations have wildcard, want 1", wildcards)
	}
}

// RFC 8555 §7.4 and §7.1.4: identifiers that can't be ordered.
func TestBadIdentifiers(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	long := strings.Repeat("a", 63)
	var many []rawacme.Identifier
	for i := range 101 {
		many = append(many, rawacme.DNS(fmt.Sprintf("n%d.%s", i, harness.Zone))...)
	}
	for _, test := range []struct {
		name string
		ids  any
		kind string
	}{
		{"none", []any{}, "malformed"},
		{"missing", nil, "malformed"},
		{"empty object", []any{map[string]any{}}, "malformed"},
		{"no type", []any{map[string]any{"value": "a.test"}}, "malformed"},
		{"unknown type", []rawacme.Identifier{{Type: "email", Value: "a@example.org"}}, "unsupportedIdentifier"},
		{"unknown types", []rawacme.Identifier{{Type: "email", Value: "a@b.test"}, {Type: "TNAuthList", Value: "AA"}}, "unsupportedIdentifier"},
		{"type in upper case", []rawacme.Identifier{{Type: "DNS", Value: "a.test"}}, "unsupportedIdentifier"},
		{"too many", many, "malformed"},
		{"empty name", rawacme.DNS(""), "malformed"},
		{"trailing dot", rawacme.DNS("a.cairn.test."), "malformed"},
		{"leading dot", rawacme.DNS(".cairn.test"), "malformed"},
		{"empty label", rawacme.DNS("a..cairn.test"), "malformed"},
		{"space", rawacme.DNS("a b.cairn.test"), "malformed"},
		{"NUL", rawacme.DNS("a\x00.cairn.test"), "malformed"},
		{"underscore", rawacme.DNS("a_b.cairn.test"), "malformed"},
		{"U-label", rawacme.DNS("bücher.cairn.test"), "malformed"},
		{"false A-label", rawacme.DNS("xn--a.cairn.test"), "malformed"},
		{"reserved label", rawacme.DNS("ab--c.cairn.test"), "malformed"},
		{"Kelvin sign", rawacme.DNS("\u212a.cairn.test"), "malformed"},
		{"hyphen first", rawacme.DNS("-a.cairn.test"), "malformed"},
		{"hyphen last", rawacme.DNS("a-.cairn.test"), "malformed"},
		{"label too long", rawacme.DNS(long + "a.cairn.test"), "malformed"},
		{"name too long", rawacme.DNS(strings.Repeat(long+".", 4) + "test"), "malformed"},
		{"address as name", rawacme.DNS("127.0.0.1"), "malformed"},
		{"IPv6 as name", rawacme.DNS("::1"), "malformed"},
		{"numeric end", rawacme.DNS("a.cairn.123"), "malformed"},
		{"wildcard inside", rawacme.DNS("a.*.cairn.test"), "malformed"},
		{"wildcard twice", rawacme.DNS("*.*.cairn.test"), "malformed"},
		{"part of a label", rawacme.DNS("a*.cairn.test"), "malformed"},
		{"wildcard alone", rawacme.DNS("*"), "malformed"},
		{"URL", rawacme.DNS("https://cairn.test/"), "malformed"},
		{"port", rawacme.DNS("cairn.test:443"), "malformed"},
		{"wildcard of a public suffix", rawacme.DNS("*.com"), "rejectedIdentifier"},
	} {
		t.Run(test.name, func(t *testing.T) {
			resp := c.Post(t, c.Directory.NewOrder, map[string]any{"identifiers": test.ids})
			checkPOST(t, c, resp)
			problem(t, resp, test.kind, http.StatusBadRequest, http.StatusForbidden)
		})
	}
}

// RFC 8555 §6.7.1: several bad identifiers are told in one answer.
func TestSubproblems(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	resp := c.Post(t, c.Directory.NewOrder, map[string]any{"identifiers": []rawacme.Identifier{
		{Type: "dns", Value: "*.com"}, {Type: "dns", Value: harness.NewName("good")}, {Type: "dns", Value: "*.co.uk"},
	}})
	p := wantProblem(t, c, resp, http.StatusForbidden, "rejectedIdentifier")
	var named []string
	for _, sub := range p.Subproblems {
		checkProblem(t, sub, "rejectedIdentifier")
		if sub.Identifier == nil {
			t.Errorf("a subproblem names no identifier: %+v", sub)
			continue
		}
		named = append(named, sub.Identifier.Value)
	}
	slices.Sort(named)
	if !slices.Equal(named, []string{"*.co.uk", "*.com"}) {
		t.Errorf("the subproblems are about %q", named)
	}
}

// RFC 8555 §7.4: notBefore and notAfter are met to the second or refused.
func TestOrderValidity(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	now := time.Now().UTC().Truncate(time.Second)
	day := 24 * time.Hour
	order := func(notBefore, notAfter time.Time) map[string]any {
		payload := map[string]any{"identifiers": rawacme.DNS(harness.NewName("validity"))}
		if !notBefore.IsZero() {
			payload["notBefore"] = notBefore.Format(time.RFC3339)
		}
		if !notAfter.IsZero() {
			payload["notAfter"] = notAfter.Format(time.RFC3339)
		}
		return payload
	}
	for name, payload := range map[string]map[string]any{
		"too long":              order(time.Time{}, now.Add(5000*day)),
		"ends in the past":      order(time.Time{}, now.Add(-day)),
		"begins in the past":    order(now.Add(-30*day), now.Add(day)),
		"begins far ahead":      order(now.Add(60*day), now.Add(70*day)),
		"ends before it begins": order(now.Add(3*time.Hour), now.Add(time.Hour)),
	} {
		t.Run(name, func(t *testing.T) {
			resp := c.Post(t, c.Directory.NewOrder, payload)
			wantProblem(t, c, resp, http.StatusBadRequest, "malformed")
		})
	}
	t.Run("met", func(t *testing.T) {
		notBefore, notAfter := now.Add(-10*time.Minute), now.Add(3*day)
		o := c.NewOrderFor(t, order(notBefore, notAfter))
		if o.NotBefore != notBefore.Format(time.RFC3339) || o.NotAfter != notAfter.Format(time.RFC3339) {
			t.Errorf("the order shows %q to %q", o.NotBefore, o.NotAfter)
		}
		s.Authorize(t, c, o.Authorizations[0], "http-01")
		chain := c.Finalize(t, o, rawacme.CSR(t, rawacme.NewKey(t), []string{o.Identifiers[0].Value}))
		if !chain[0].NotBefore.Equal(notBefore) || !chain[0].NotAfter.Equal(notAfter) {
			t.Errorf("the certificate is valid from %v to %v, want %v to %v", chain[0].NotBefore, chain[0].NotAfter, notBefore, notAfter)
		}
	})
}

// draft-ietf-acme-profiles: profiles are advertised, chosen and shown.
func TestProfiles(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	profiles, _ := c.Directory.Meta["profiles"].(map[string]any)
	if len(profiles) == 0 {
		t.Fatalf("the directory's meta has no profiles: %v", c.Directory.Meta)
	}
	for profile := range profiles {
		order := c.NewOrderFor(t, map[string]any{"identifiers": rawacme.DNS(harness.NewName("profile")), "profile": profile})
		if order.Profile != profile {
			t.Errorf("an order for the profile %q shows %q", profile, order.Profile)
		}
	}
	resp := c.Post(t, c.Directory.NewOrder, map[string]any{"identifiers": rawacme.DNS(harness.NewName("profile")), "profile": "no-such-profile"})
	wantProblem(t, c, resp, http.StatusBadRequest, "invalidProfile")
	if order := c.NewOrder(t, harness.NewName("profile")); profiles[order.Profile] == nil {
		t.Errorf("an order without a profile shows %q, want the default's name", order.Profile)
	}
}

// RFC 8555 §10.5: an account sees no other's orders, authorizations,
// challenges and certificates, and learns nothing about those that do not
// exist.
func TestForeignResources(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	owner, other := s.Account(t), s.Account(t)
	name := harness.NewName("foreign")
	issued := s.Issue(t, owner, "http-01", name)
	pending := owner.NewOrder(t, harness.NewName("foreign"))
	authz := owner.Authorization(t, pending.Authorizations[0])
	csr := map[string]any{"csr": rawacme.B64(rawacme.CSR(t, rawacme.NewKey(t), []string{name}))}
	for what, resp := range map[string]*rawacme.Response{
		"order":         other.Get(t, pending.URL),
		"authorization": other.Get(t, authz.URL),
		"challenge":     other.Get(t, authz.Challenges[0].URL),
		"respond":       other.Post(t, authz.Challenges[0].URL, map[string]any{}),
		"deactivate":    other.Post(t, authz.URL, map[string]any{"status": "deactivated"}),
		"finalize":      other.Post(t, pending.Finalize, csr),
		"certificate":   other.Get(t, issued.Order.Certificate),
	} {
		t.Run(what, func(t *testing.T) { wantProblem(t, other, resp, http.StatusForbidden, "unauthorized") })
	}
	swap := func(url string) string { // another identifier of the same form
		i := strings.LastIndexByte(url, '/') + 1
		return url[:i] + "A" + url[i+1:]
	}
	for what, url := range map[string]string{
		"order": swap(pending.URL), "authorization": swap(authz.URL), "certificate": issued.Order.Certificate + "00",
	} {
		t.Run("unknown "+what, func(t *testing.T) {
			resp := other.Get(t, url)
			checkPOST(t, other, resp)
			if resp.Status != http.StatusNotFound && resp.Status != http.StatusForbidden {
				t.Errorf("status %d: %s", resp.Status, resp.Body)
			}
		})
	}
	if owner.Order(t, pending.URL).Status != "pending" {
		t.Error("another account's requests changed the order")
	}
}
