package conformance

import (
	"net/http"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// Several directories in one server: each has its own policy, and accounts
// belong to one (RFC 8555 §7.1.1 speaks of one; nothing of it is shared).
func TestDirectories(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Options{Configure: func(config map[string]any) {
		config["directories"] = map[string]any{
			"default": map[string]any{"path": "/directory"},
			"internal": map[string]any{
				"profiles":   []string{"shortlived"},
				"challenges": []string{"dns-01"},
				"policy":     map[string]any{"allow": []string{"corp.test"}, "wildcards": false, "addresses": []string{"10.0.0.0/8"}},
				"website":    "https://internal.example",
			},
			"bound": map[string]any{"path": "/customers/directory", "eab": map[string]any{"required": true}, "terms_of_service": "https://ca.example/terms"},
		}
	}})
	base := strings.TrimSuffix(s.DirectoryURL, "/directory")
	key := rawacme.NewKey(t)
	client := func(path string, key any) *rawacme.Client {
		return rawacme.New(t, s.HTTP(t), base+path, key)
	}

	standard := client("/directory", key)
	standard.Register(t)
	internal := client("/internal/directory", key)
	internal.Register(t)
	if standard.KID == internal.KID {
		t.Fatalf("one account, %s, in two directories", standard.KID)
	}
	if internal.Directory.Meta["website"] != "https://internal.example" || standard.Directory.Meta["website"] != nil {
		t.Errorf("meta: %v and %v", standard.Directory.Meta, internal.Directory.Meta)
	}

	t.Run("accounts are the directory's own", func(t *testing.T) {
		foreign := client("/internal/directory", key)
		foreign.KID = standard.KID
		wantProblem(t, foreign, foreign.Post(t, foreign.Directory.NewOrder, map[string]any{"identifiers": rawacme.DNS("a.corp.test")}), http.StatusBadRequest, "accountDoesNotExist")
		// An order of one directory is not there in the other.
		order := standard.NewOrder(t, harness.NewName("separate"))
		path := strings.Replace(order.URL, "/acme/order/", "/internal/acme/order/", 1)
		wantProblem(t, internal, internal.Get(t, path), http.StatusForbidden, "unauthorized")
	})
	t.Run("profile", func(t *testing.T) {
		if order := internal.NewOrder(t, "a.corp.test"); order.Profile != "shortlived" {
			t.Errorf("the order has the profile %q", order.Profile)
		}
		resp := internal.Post(t, internal.Directory.NewOrder, map[string]any{"identifiers": rawacme.DNS("a.corp.test"), "profile": "default"})
		wantProblem(t, internal, resp, http.StatusBadRequest, "invalidProfile")
	})
	t.Run("challenges", func(t *testing.T) {
		order := internal.NewOrder(t, "b.corp.test")
		if authz := internal.Authorization(t, order.Authorizations[0]); len(authz.Challenges) != 1 || authz.Challenges[0].Type != "dns-01" {
			t.Errorf("offered: %+v", authz.Challenges)
		}
	})
	t.Run("name policy", func(t *testing.T) {
		for _, name := range []string{"example.com", "xcorp.test", "*.corp.test"} {
			resp := internal.Post(t, internal.Directory.NewOrder, map[string]any{"identifiers": rawacme.DNS(name)})
			wantProblem(t, internal, resp, http.StatusForbidden, "rejectedIdentifier")
		}
	})
	t.Run("external account and terms", func(t *testing.T) {
		bound := client("/customers/directory", key)
		if bound.Directory.Meta["externalAccountRequired"] != true || bound.Directory.Meta["termsOfService"] != "https://ca.example/terms" {
			t.Errorf("meta: %v", bound.Directory.Meta)
		}
		wantProblem(t, bound, bound.Post(t, bound.Directory.NewAccount, map[string]any{}), http.StatusForbidden, "userActionRequired")
		wantProblem(t, bound, bound.Post(t, bound.Directory.NewAccount, map[string]any{"termsOfServiceAgreed": true}), http.StatusForbidden, "externalAccountRequired")
		// A key of another directory binds nothing here.
		c := client("/customers/directory", rawacme.NewKey(t))
		post := func(key externalKey) *rawacme.Response {
			return c.Post(t, c.Directory.NewAccount, map[string]any{"termsOfServiceAgreed": true, "externalAccountBinding": binding(t, c, key, "HS256", nil)})
		}
		wantProblem(t, c, post(newExternalKey(t, s, "--directory", "internal")), http.StatusForbidden, "unauthorized")
		wantOK(t, c, post(newExternalKey(t, s, "--directory", "bound")), http.StatusCreated)
	})
}
