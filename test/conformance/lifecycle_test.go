package conformance

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// RFC 8555 §7.1.2.1: a long list of orders comes in pages, joined by Link
// rel=next, each order once.
func TestOrdersPagination(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Client(t, rawacme.NewKey(t))
	account := c.Register(t)
	var want []string
	for range 120 {
		want = append(want, c.NewOrder(t, harness.NewName("page")).URL)
	}
	var got []string
	pages := 0
	for url := account.Orders; url != ""; pages++ {
		resp := c.Get(t, url)
		wantOK(t, c, resp, http.StatusOK)
		var list struct {
			Orders []string `json:"orders"`
		}
		resp.JSON(t, &list)
		got = append(got, list.Orders...)
		url = ""
		if next := resp.Links("next"); len(next) == 1 {
			url = next[0]
		}
		if pages > 10 {
			t.Fatal("the list does not end")
		}
	}
	if !slices.Equal(got, want) || pages < 2 {
		t.Errorf("%d orders in %d pages, want the %d in the order of their making", len(got), pages, len(want))
	}
	wantProblem(t, c, c.Get(t, account.Orders+"?cursor=nonsense"), http.StatusBadRequest, "malformed")
}

// RFC 8555 §7.3.3: when the terms change, the account agrees anew or gets
// nothing.
func TestChangedTerms(t *testing.T) {
	t.Parallel()
	const before, after = "https://ca.example/terms-1", "https://ca.example/terms-2"
	s := harness.Start(t, harness.Options{Configure: func(config map[string]any) { config["terms_of_service"] = before }})
	c := s.Client(t, rawacme.NewKey(t))
	wantProblem(t, c, c.Post(t, c.Directory.NewAccount, map[string]any{}), http.StatusForbidden, "userActionRequired")
	c.Register(t)
	order := s.Ready(t, c, "http-01", harness.NewName("terms"))

	s.Stop(t)
	files, err := filepath.Glob(filepath.Join(s.Dir, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, bytes.ReplaceAll(text, []byte(before), []byte(after)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.Up(t)
	c.Forget()
	name := harness.NewName("terms")
	for _, resp := range []*rawacme.Response{
		c.Post(t, c.Directory.NewOrder, map[string]any{"identifiers": rawacme.DNS(name)}),
		c.Post(t, order.Finalize, map[string]any{"csr": rawacme.B64(rawacme.CSR(t, rawacme.NewKey(t), []string{order.Identifiers[0].Value}))}),
	} {
		p := wantProblem(t, c, resp, http.StatusForbidden, "userActionRequired")
		if terms := resp.Links("terms-of-service"); len(terms) != 1 || terms[0] != after || p.Instance != after {
			t.Errorf("Link rel=terms-of-service %q, instance %q, want %s", terms, p.Instance, after)
		}
	}
	wantOK(t, c, c.Post(t, c.KID, map[string]any{"termsOfServiceAgreed": true}), http.StatusOK)
	s.Issue(t, c, "http-01", name)
}

// RFC 8555 §7.1.3 lets an order rely on authorizations that exist: where the
// directory says so, for the same account and name only.
func TestReuse(t *testing.T) {
	t.Parallel()
	for _, reuse := range []bool{true, false} {
		s := harness.Start(t, harness.Options{Configure: func(config map[string]any) {
			config["authorizations"] = map[string]any{"reuse": reuse}
		}})
		c, name := s.Account(t), harness.NewName("reuse")
		first := s.Ready(t, c, "dns-01", name)
		second := c.NewOrder(t, name)
		if got := second.Status == "ready" && slices.Equal(second.Authorizations, first.Authorizations); got != reuse {
			t.Errorf("reuse %v: a second order is %s with %q, the first had %q", reuse, second.Status, second.Authorizations, first.Authorizations)
		}
		if wildcard := c.NewOrder(t, "*."+name); wildcard.Status != "pending" {
			t.Errorf("reuse %v: a wildcard's order is %s", reuse, wildcard.Status)
		}
		if other := s.Account(t).NewOrder(t, name); other.Status != "pending" {
			t.Errorf("reuse %v: another account's order is %s", reuse, other.Status)
		}
	}
}

// RFC 8555 §7.1.6: what is not done in time ends.
func TestExpiry(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Options{Configure: func(config map[string]any) {
		config["orders"] = map[string]any{"lifetime": "2s"}
	}})
	c := s.Account(t)
	order := c.NewOrder(t, harness.NewName("late"))
	rawacme.Poll(t, "the end of an order", func() bool { return c.Order(t, order.URL).Status == "invalid" })
	authz := c.Authorization(t, order.Authorizations[0])
	if authz.Status != "invalid" {
		t.Errorf("a pending authorization past its time is %s", authz.Status)
	}
	resp := c.Post(t, authz.Challenges[0].URL, map[string]any{})
	wantProblem(t, c, resp, http.StatusBadRequest, "malformed")
	resp = c.Post(t, order.Finalize, map[string]any{"csr": rawacme.B64(rawacme.CSR(t, rawacme.NewKey(t), []string{order.Identifiers[0].Value}))})
	wantProblem(t, c, resp, http.StatusForbidden, "orderNotReady")

	valid := harness.Start(t, harness.Options{Configure: func(config map[string]any) {
		config["authorizations"] = map[string]any{"lifetime": "2s"}
	}})
	c = valid.Account(t)
	ready := valid.Ready(t, c, "http-01", harness.NewName("late"))
	rawacme.Poll(t, "the expiry of an authorization", func() bool {
		return c.Authorization(t, ready.Authorizations[0]).Status == "expired"
	})
	if ended := c.Order(t, ready.URL); ended.Status != "invalid" {
		t.Errorf("the order of an expired authorization is %s", ended.Status)
	}
}
