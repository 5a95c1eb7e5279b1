package conformance

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// RFC 8555 §7.3: an account is created, with 201 and its URL.
func TestNewAccount(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Client(t, rawacme.NewKey(t))
	contacts := []string{"mailto:admin@example.org", "mailto:second.admin@example.org"}
	resp := c.Post(t, c.Directory.NewAccount, map[string]any{"termsOfServiceAgreed": true, "contact": contacts})
	wantOK(t, c, resp, http.StatusCreated)
	if !strings.HasPrefix(resp.Location(), "https://") {
		t.Fatalf("Location is %q", resp.Location())
	}
	var account rawacme.Account
	resp.JSON(t, &account)
	if account.Status != "valid" || !slices.Equal(account.Contact, contacts) {
		t.Errorf("the new account is %s", resp.Body)
	}
	// §7.1.2: "orders" is required.
	if !strings.HasPrefix(account.Orders, "https://") {
		t.Errorf("orders is %q, want a URL", account.Orders)
	}
	// Nothing that belongs to the server's inside. Clients in the field know
	// "key" and "createdAt" from other servers.
	for member := range members(t, resp) {
		if !slices.Contains([]string{"status", "contact", "termsOfServiceAgreed", "externalAccountBinding", "orders", "key", "createdAt"}, member) {
			t.Errorf("the account has the member %q", member)
		}
	}
	c.KID = resp.Location()
	again := c.Get(t, c.KID)
	wantOK(t, c, again, http.StatusOK)
	if string(again.Body) != string(resp.Body) {
		t.Errorf("POST-as-GET of the account answers %s, newAccount answered %s", again.Body, resp.Body)
	}
}

// RFC 8555 §7.3.1: an existing key finds its account, which stays as it is.
func TestExistingAccount(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	key := rawacme.NewKey(t)
	first := s.Client(t, key)
	first.Register(t, "mailto:first@example.org")
	for _, payload := range []map[string]any{
		{"termsOfServiceAgreed": true, "contact": []string{"mailto:second@example.org"}},
		{"onlyReturnExisting": true},
		{"onlyReturnExisting": true, "contact": []string{"tel:+1"}},
		{},
	} {
		c := s.Client(t, key)
		resp := c.Post(t, c.Directory.NewAccount, payload)
		wantOK(t, c, resp, http.StatusOK)
		if resp.Location() != first.KID {
			t.Errorf("%v: Location is %q, want %q", payload, resp.Location(), first.KID)
		}
		var account rawacme.Account
		resp.JSON(t, &account)
		if !slices.Equal(account.Contact, []string{"mailto:first@example.org"}) {
			t.Errorf("%v: the contacts became %q", payload, account.Contact)
		}
	}
}

// RFC 8555 §7.3.1: onlyReturnExisting never makes an account.
func TestOnlyReturnExisting(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Client(t, rawacme.NewKey(t))
	for range 2 {
		resp := c.Post(t, c.Directory.NewAccount, map[string]any{"onlyReturnExisting": true, "termsOfServiceAgreed": true})
		wantProblem(t, c, resp, http.StatusBadRequest, "accountDoesNotExist")
	}
	resp := c.Post(t, c.Directory.NewAccount, map[string]any{"termsOfServiceAgreed": true})
	wantOK(t, c, resp, http.StatusCreated)
}

// RFC 8555 §7.3: newAccount is signed with the key that it shows.
func TestNewAccountWithKID(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	resp := c.Post(t, c.Directory.NewAccount, map[string]any{"termsOfServiceAgreed": true})
	wantProblem(t, c, resp, http.StatusBadRequest, "malformed")
}

// RFC 8555 §7.3: contacts that are not supported, or not valid.
func TestContacts(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	existing := s.Account(t)
	for _, test := range []struct {
		name    string
		contact []string
		kind    string
	}{
		{"telephone", []string{"tel:+12025551212"}, "unsupportedContact"},
		{"web", []string{"https://example.org/contact"}, "unsupportedContact"},
		{"two addresses in one URL", []string{"mailto:a@example.org,b@example.org"}, "invalidContact"},
		{"header fields", []string{"mailto:a@example.org?subject=hello"}, "invalidContact"},
		{"no address", []string{"mailto:"}, "invalidContact"},
		{"no domain", []string{"mailto:admin"}, "invalidContact"},
		{"not a URL", []string{"admin@example.org"}, "invalidContact"},
		{"empty", []string{""}, "invalidContact"},
		{"control characters", []string{"mailto:a%0d%0aBcc:b@example.org"}, "invalidContact"},
		{"one good, one bad", []string{"mailto:a@example.org", "tel:+1"}, "unsupportedContact"},
		{"two of a kind", []string{"tel:+1", "tel:+2"}, "unsupportedContact"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := s.Client(t, rawacme.NewKey(t))
			resp := c.Post(t, c.Directory.NewAccount, map[string]any{"termsOfServiceAgreed": true, "contact": test.contact})
			wantProblem(t, c, resp, http.StatusBadRequest, test.kind)
			resp = c.Post(t, c.Directory.NewAccount, map[string]any{"onlyReturnExisting": true})
			wantProblem(t, c, resp, http.StatusBadRequest, "accountDoesNotExist")
			// The same rules hold for an update (§7.3.2).
			resp = existing.Post(t, existing.KID, map[string]any{"contact": test.contact})
			wantProblem(t, existing, resp, http.StatusBadRequest, test.kind)
		})
	}
	t.Run("both kinds", func(t *testing.T) {
		c := s.Client(t, rawacme.NewKey(t))
		resp := c.Post(t, c.Directory.NewAccount, map[string]any{"contact": []string{"tel:+1", "mailto:"}})
		p := wantProblem(t, c, resp, http.StatusBadRequest, "compound")
		if len(p.Subproblems) != 2 {
			t.Errorf("%d subproblems, want 2 (RFC 8555 §6.7.1): %s", len(p.Subproblems), resp.Body)
		}
	})
}

// RFC 8555 §7.3.2: an update changes contacts and nothing else.
func TestUpdateAccount(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Client(t, rawacme.NewKey(t))
	before := c.Register(t, "mailto:old@example.org")

	resp := c.Post(t, c.KID, map[string]any{"contact": []string{"mailto:new@example.org"}})
	wantOK(t, c, resp, http.StatusOK)
	resp = c.Post(t, c.KID, map[string]any{"orders": "https://elsewhere.example/", "status": "revoked", "key": "x"})
	wantOK(t, c, resp, http.StatusOK)
	resp = c.Post(t, c.KID, map[string]any{})
	wantOK(t, c, resp, http.StatusOK)
	var account rawacme.Account
	c.Get(t, c.KID).JSON(t, &account)
	if account.Status != "valid" || account.Orders != before.Orders || !slices.Equal(account.Contact, []string{"mailto:new@example.org"}) {
		t.Errorf("after the updates the account is %+v", account)
	}

	resp = c.Post(t, c.KID, map[string]any{"contact": []string{}})
	wantOK(t, c, resp, http.StatusOK)
	account = rawacme.Account{}
	c.Get(t, c.KID).JSON(t, &account)
	if len(account.Contact) > 0 {
		t.Errorf("the contacts are %q after they were taken away", account.Contact)
	}
}

// RFC 8555 §7.3.6: a deactivated account can do nothing, and does not come
// back.
func TestDeactivateAccount(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	name := harness.NewName("deactivated")
	issued := s.Issue(t, c, "http-01", name)
	pending := c.NewOrder(t, harness.NewName("pending"))
	authz := c.Authorization(t, pending.Authorizations[0])
	ready := s.Ready(t, c, "http-01", harness.NewName("ready"))

	resp := c.Post(t, c.KID, map[string]any{"status": "deactivated"})
	wantOK(t, c, resp, http.StatusOK)
	var account rawacme.Account
	resp.JSON(t, &account)
	if account.Status != "deactivated" {
		t.Errorf("the account is %s", account.Status)
	}
	for what, resp := range map[string]*rawacme.Response{
		"reading the account":       c.Get(t, c.KID),
		"updating the account":      c.Post(t, c.KID, map[string]any{"contact": []string{"mailto:a@example.org"}}),
		"newOrder":                  c.Post(t, c.Directory.NewOrder, map[string]any{"identifiers": rawacme.DNS(name)}),
		"reading an order":          c.Get(t, pending.URL),
		"responding to a challenge": c.Post(t, authz.Challenges[0].URL, map[string]any{}),
		"finalizing":                c.Post(t, ready.Finalize, map[string]any{"csr": rawacme.B64(rawacme.CSR(t, rawacme.NewKey(t), []string{ready.Identifiers[0].Value}))}),
		"revoking":                  c.Revoke(t, issued.Leaf().Raw, 0),
		"newAccount, same key":      c.Post(t, c.Directory.NewAccount, map[string]any{"termsOfServiceAgreed": true}, rawacme.WithKey(c.Key)),
	} {
		t.Run(what, func(t *testing.T) {
			wantProblem(t, c, resp, http.StatusUnauthorized, "unauthorized")
		})
	}
	// Its certificates stay good.
	if answer := s.OCSP(t, issued.Certificate, http.MethodPost); answer.Status != 0 {
		t.Errorf("OCSP status %d for a certificate of a deactivated account, want good", answer.Status)
	}
}

// RFC 8555 §10.5 and §7.3: an account reads and changes only itself.
func TestForeignAccount(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	mine, theirs := s.Account(t), s.Account(t)
	resp := mine.Get(t, theirs.KID)
	wantProblem(t, mine, resp, http.StatusForbidden, "unauthorized")
	resp = mine.Post(t, theirs.KID, map[string]any{"status": "deactivated"})
	wantProblem(t, mine, resp, http.StatusForbidden, "unauthorized")
	// The other's kid with one's own signature.
	resp = mine.Get(t, theirs.KID, rawacme.Set("kid", theirs.KID))
	wantProblem(t, mine, resp, http.StatusBadRequest, "malformed")
	theirs.Get(t, theirs.KID).Want(t, http.StatusOK)
}

// RFC 8555 §7.1.2.1: the orders list.
func TestOrdersList(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Client(t, rawacme.NewKey(t))
	account := c.Register(t)
	type list struct {
		Orders []string `json:"orders"`
	}
	resp := c.Get(t, account.Orders)
	wantOK(t, c, resp, http.StatusOK)
	if orders, ok := members(t, resp)["orders"]; !ok || string(orders) == "null" {
		t.Errorf("an account without orders lists %s, want an empty array", resp.Body)
	}
	want := []string{c.NewOrder(t, harness.NewName("one")).URL, c.NewOrder(t, harness.NewName("two")).URL}
	var got list
	c.Get(t, account.Orders).JSON(t, &got)
	slices.Sort(want)
	slices.Sort(got.Orders)
	if !slices.Equal(got.Orders, want) {
		t.Errorf("the list is %q, want %q", got.Orders, want)
	}
	other := s.Account(t)
	wantProblem(t, other, other.Get(t, account.Orders), http.StatusForbidden, "unauthorized")
}
