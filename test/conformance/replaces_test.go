package conformance

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// RFC 9773 §5: an order that replaces a certificate.
func TestReplaces(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	name := harness.NewName("replaced")
	old := s.Issue(t, c, "http-01", name)
	id := certID(t, old.Leaf())
	order := func(c *rawacme.Client, replaces string, names ...string) *rawacme.Response {
		return c.Post(t, c.Directory.NewOrder, map[string]any{"identifiers": rawacme.DNS(names...), "replaces": replaces})
	}

	t.Run("refused", func(t *testing.T) {
		parts := strings.Split(id, ".")
		for _, test := range []struct {
			name, replaces string
			status         int
			kind           string
		}{
			{"not a certID", "nonsense", 400, "malformed"},
			{"unknown serial", parts[0] + ".AQID", 404, "malformed"},
			{"another issuer", "AQID." + parts[1], 404, "malformed"},
		} {
			t.Run(test.name, func(t *testing.T) { wantProblem(t, c, order(c, test.replaces, name), test.status, test.kind) })
		}
		other := s.Account(t)
		wantProblem(t, other, order(other, id, name), http.StatusForbidden, "unauthorized")
		wantProblem(t, c, order(c, id, harness.NewName("unrelated")), http.StatusBadRequest, "malformed")
	})

	resp := order(c, id, name, harness.NewName("more"))
	wantOK(t, c, resp, http.StatusCreated)
	url := resp.Location()
	for _, body := range []*rawacme.Response{resp, c.Get(t, url)} {
		if got := string(members(t, body)["replaces"]); got != `"`+id+`"` {
			t.Errorf("the order shows replaces %s", got)
		}
	}
	wantProblem(t, c, order(c, id, name), http.StatusConflict, "alreadyReplaced")

	// When the replacing order ends without a certificate, another may try.
	created := c.Order(t, url)
	for _, authz := range created.Authorizations {
		if c.Authorization(t, authz).Status == "pending" {
			wantOK(t, c, c.Post(t, authz, map[string]any{"status": "deactivated"}), http.StatusOK)
		}
	}
	if ended := c.Order(t, url); ended.Status != "invalid" {
		t.Fatalf("the order is %s", ended.Status)
	}
	wantOK(t, c, order(c, id, name), http.StatusCreated)
}

// RFC 9773 §4.2: an operator moves the windows of certificates.
func TestRenewalOrder(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Options{})
	c := s.Account(t)
	issued := s.Issue(t, c, "http-01", harness.NewName("mass"))
	url := c.Directory.RenewalInfo + "/" + certID(t, issued.Leaf())
	ask := func() (info struct {
		renewalInfo
		ExplanationURL string `json:"explanationURL"`
	}) {
		resp := c.Do(t, http.MethodGet, url, nil, nil)
		resp.Want(t, http.StatusOK)
		resp.JSON(t, &info)
		return info
	}
	if before := ask(); !before.Window.Start.After(time.Now()) || before.ExplanationURL != "" {
		t.Fatalf("before any order: %+v", before)
	}
	s.Admin(t, "renew", "--issued-from", time.Now().Add(-time.Hour).UTC().Format(time.RFC3339),
		"--issued-before", time.Now().Add(time.Hour).UTC().Format(time.RFC3339), "--explanation", "https://ca.example/incident")
	if after := ask(); !after.Window.End.Before(time.Now()) || after.ExplanationURL != "https://ca.example/incident" {
		t.Errorf("after the operator's order: %+v", after)
	}
}
