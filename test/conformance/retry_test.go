package conformance

import (
	"net/http"
	"net/netip"
	"strconv"
	"testing"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// RFC 8555 §8.2: a validation that may heal is tried again. Until it has
// succeeded the challenge stays processing, shows its last error, and the
// answer says when to look again; the client need not do anything.
func TestValidationRetries(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Options{Configure: func(config map[string]any) {
		config["validation"] = map[string]any{"retries": 8, "retry_wait": "1s"}
	}})
	c := s.Account(t)
	name := harness.NewName("retry")
	s.Names.SetAddresses(name, netip.MustParseAddr("127.0.0.254")) // nobody listens there
	order := c.NewOrder(t, name)
	authz := c.Authorization(t, order.Authorizations[0])
	challenge := authz.Challenge(t, "http-01")
	s.Answer(c, authz, challenge)

	seen := func(resp *rawacme.Response) {
		t.Helper()
		resp.Want(t, http.StatusOK)
		var got rawacme.Challenge
		resp.JSON(t, &got)
		if got.Status != "processing" || got.Error == nil {
			t.Fatalf("after a failed try the challenge is %+v", got)
		}
		checkProblem(t, *got.Error, "connection")
		if after, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || after < 1 {
			t.Errorf("Retry-After is %q", resp.Header.Get("Retry-After"))
		}
	}
	seen(c.Post(t, challenge.URL, map[string]any{}))
	seen(c.Get(t, challenge.URL))
	if authz = c.Authorization(t, authz.URL); authz.Status != "pending" {
		t.Errorf("between two tries the authorization is %s", authz.Status)
	}
	// Asking again in between changes nothing.
	seen(c.Post(t, challenge.URL, map[string]any{}))

	s.Names.SetAddresses(name, netip.MustParseAddr("127.0.0.1"))
	if authz = c.Decided(t, authz.URL); authz.Status != "valid" {
		t.Fatalf("once it healed the authorization is %s: %+v", authz.Status, authz.Challenges)
	}
	if got := authz.Challenge(t, "http-01"); got.Status != "valid" || got.Error != nil {
		t.Errorf("the challenge is %+v", got)
	}
}

// What an account responds to beyond its places waits, and is validated all
// the same.
func TestValidationPlaces(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Options{Configure: func(config map[string]any) {
		config["va"].(map[string]any)["max_per_account"] = 1
		config["answer_wait"] = "0s"
	}})
	c := s.Account(t)
	names := make([]string, 6)
	for i := range names {
		names[i] = harness.NewName("place")
	}
	order := c.NewOrder(t, names...)
	for _, url := range order.Authorizations {
		authz := c.Authorization(t, url)
		challenge := authz.Challenge(t, "http-01")
		s.Answer(c, authz, challenge)
		if answered := c.Respond(t, challenge); answered.Status != "processing" && answered.Status != "valid" {
			t.Errorf("the challenge is %s", answered.Status)
		}
	}
	for _, url := range order.Authorizations {
		if authz := c.Decided(t, url); authz.Status != "valid" {
			t.Errorf("the authorization is %s: %+v", authz.Status, authz.Challenges)
		}
	}
}
