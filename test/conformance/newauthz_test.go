package conformance

import (
	"net/http"
	"testing"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

func preAuthorizing(t *testing.T) *harness.Server {
	t.Helper()
	return harness.Start(t, harness.Options{Configure: func(config map[string]any) {
		config["pre_authorization"] = true
		config["subdomains"] = true
	}})
}

func newAuthz(t *testing.T, c *rawacme.Client, identifier map[string]any) *rawacme.Response {
	t.Helper()
	return c.Post(t, c.Directory.NewAuthz, map[string]any{"identifier": identifier})
}

// RFC 8555 §7.4.1: pre-authorization.
func TestPreAuthorization(t *testing.T) {
	t.Parallel()
	s := preAuthorizing(t)
	c := s.Account(t)
	name := harness.NewName("preauthorized")
	resp := newAuthz(t, c, map[string]any{"type": "dns", "value": name})
	wantOK(t, c, resp, http.StatusCreated)
	url := resp.Location()
	if authz := c.Authorization(t, url); authz.Status != "pending" || authz.Identifier.Value != name {
		t.Fatalf("a new authorization is %+v", authz)
	}
	// The same again is the same authorization.
	again := newAuthz(t, c, map[string]any{"type": "dns", "value": name})
	wantOK(t, c, again, http.StatusOK)
	if again.Location() != url {
		t.Errorf("a second authorization, %s beside %s", again.Location(), url)
	}
	if authz := s.Authorize(t, c, url, "http-01"); authz.Status != "valid" {
		t.Fatalf("the authorization is %+v", authz)
	}
	// An order for the name has nothing left to prove.
	order := c.NewOrder(t, name)
	if order.Status != "ready" || len(order.Authorizations) != 1 || order.Authorizations[0] != url {
		t.Errorf("an order for an authorized name: %+v", order)
	}

	for _, test := range []struct {
		name       string
		identifier map[string]any
		status     int
		kind       string
	}{
		{"wildcard", map[string]any{"type": "dns", "value": "*.example.com"}, 400, "malformed"},
		{"unknown type", map[string]any{"type": "phone", "value": "1"}, 400, "unsupportedIdentifier"},
		{"not a name", map[string]any{"type": "dns", "value": "a..b"}, 400, "malformed"},
		{"none", map[string]any{}, 400, "malformed"},
		{"subdomains of an address", map[string]any{"type": "ip", "value": "127.0.0.1", "subdomainAuthAllowed": true}, 403, "rejectedIdentifier"},
	} {
		t.Run(test.name, func(t *testing.T) {
			wantProblem(t, c, newAuthz(t, c, test.identifier), test.status, test.kind)
		})
	}
}

// RFC 9444: one authorization for a name and those below it.
func TestSubdomainAuthorization(t *testing.T) {
	t.Parallel()
	s := preAuthorizing(t)
	c := s.Account(t)
	if c.Directory.Meta["subdomainAuthAllowed"] != true {
		t.Errorf("the directory does not say subdomainAuthAllowed: %v", c.Directory.Meta)
	}
	type subdomainAuthz struct {
		Subdomains bool `json:"subdomainAuthAllowed"`
	}
	parent := harness.NewName("parent")
	below := []string{"a." + parent, "b.a." + parent, "*.c." + parent}

	t.Run("pre-authorization", func(t *testing.T) { // §4.1
		resp := newAuthz(t, c, map[string]any{"type": "dns", "value": parent, "subdomainAuthAllowed": true})
		wantOK(t, c, resp, http.StatusCreated)
		var shown subdomainAuthz
		resp.JSON(t, &shown)
		if !shown.Subdomains {
			t.Errorf("the authorization does not show subdomainAuthAllowed: %s", resp.Body)
		}
		authz := c.Authorization(t, resp.Location())
		for _, challenge := range authz.Challenges {
			// Baseline Requirements §3.2.2.4.18 to .20: these prove one name.
			if challenge.Type == "http-01" || challenge.Type == "tls-alpn-01" {
				t.Errorf("%s is offered for the names below another", challenge.Type)
			}
		}
		if authz := s.Authorize(t, c, resp.Location(), "dns-01"); authz.Status != "valid" {
			t.Fatalf("the authorization is %+v", authz)
		}
		issued := s.Issue(t, c, "dns-01", below...)
		s.Verify(t, issued.Certificate, below...)
		if len(issued.Order.Authorizations) != 1 {
			t.Errorf("three names below one authorization have %d", len(issued.Order.Authorizations))
		}
	})
	t.Run("ancestorDomain", func(t *testing.T) { // §4.2
		ancestor := harness.NewName("ancestor")
		order := c.NewOrderFor(t, map[string]any{"identifiers": []map[string]any{
			{"type": "dns", "value": "x." + ancestor, "ancestorDomain": ancestor},
			{"type": "dns", "value": "y." + ancestor, "ancestorDomain": ancestor},
		}})
		if len(order.Authorizations) != 1 {
			t.Fatalf("two names with one ancestor have %d authorizations", len(order.Authorizations))
		}
		authz := s.Authorize(t, c, order.Authorizations[0], "dns-01")
		if authz.Status != "valid" || authz.Identifier.Value != ancestor {
			t.Errorf("the ancestor's authorization is %+v", authz)
		}
		if order = c.Order(t, order.URL); order.Status != "ready" {
			t.Errorf("the order is %s", order.Status)
		}
		for _, bad := range []string{"other." + ancestor, "x" + ancestor, "deeper.x." + ancestor} {
			resp := c.Post(t, c.Directory.NewOrder, map[string]any{"identifiers": []map[string]any{{"type": "dns", "value": "x." + ancestor, "ancestorDomain": bad}}})
			wantProblem(t, c, resp, http.StatusBadRequest, "malformed")
		}
	})
	t.Run("CAA of the name itself forbids", func(t *testing.T) {
		forbidden := "forbidden." + parent
		s.Names.SetCAA(forbidden, `0 issue "other-ca.example"`)
		order := c.NewOrder(t, forbidden)
		if order.Status != "ready" {
			t.Fatalf("the order is %s", order.Status)
		}
		resp := c.Post(t, order.Finalize, map[string]any{"csr": rawacme.B64(rawacme.CSR(t, rawacme.NewKey(t), []string{forbidden}))})
		wantProblem(t, c, resp, http.StatusForbidden, "caa")
	})
	t.Run("another account has nothing of it", func(t *testing.T) {
		if order := s.Account(t).NewOrder(t, "a."+parent); order.Status != "pending" {
			t.Errorf("its order is %s", order.Status)
		}
	})
}
