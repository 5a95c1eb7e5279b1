package conformance

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

var token = regexp.MustCompile(`^[A-Za-z0-9_-]{22,}$`) // RFC 8555 §8.1: 128 bits at least

// RFC 8555 §7.1.4 and §7.5: a new authorization and its challenges.
func TestAuthorization(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	name := harness.NewName("authz")
	order := c.NewOrder(t, name)
	resp := c.Get(t, order.Authorizations[0])
	wantOK(t, c, resp, http.StatusOK)
	if _, ok := members(t, resp)["wildcard"]; ok {
		t.Error("an authorization that is no wildcard's has the member wildcard (RFC 8555 §7.1.4)")
	}
	authz := c.Authorization(t, order.Authorizations[0])
	if authz.Status != "pending" || authz.Identifier != rawacme.DNS(name)[0] {
		t.Errorf("the authorization is %s", resp.Body)
	}
	if _, err := time.Parse("2006-01-02T15:04:05Z", authz.Expires); err != nil {
		t.Errorf("expires is %q", authz.Expires)
	}
	tokens := make(map[string]bool)
	for _, kind := range []string{"http-01", "dns-01", "tls-alpn-01"} {
		challenge := authz.Challenge(t, kind)
		if challenge.Status != "pending" || !token.MatchString(challenge.Token) || tokens[challenge.Token] {
			t.Errorf("the challenge is %+v", challenge)
		}
		tokens[challenge.Token] = true
		resp := c.Get(t, challenge.URL)
		wantOK(t, c, resp, http.StatusOK)
		if up := resp.Links("up"); len(up) != 1 || up[0] != authz.URL {
			t.Errorf("%s: Link rel=up is %q, want the authorization (RFC 8555 §7.5.1)", kind, up)
		}
		var got rawacme.Challenge
		if resp.JSON(t, &got); got != challenge {
			t.Errorf("POST-as-GET of the challenge answers %+v, the authorization shows %+v", got, challenge)
		}
	}
}

// RFC 8555 §7.5.2: a client gives an authorization up.
func TestDeactivateAuthorization(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	for _, state := range []string{"pending", "valid"} {
		t.Run(state, func(t *testing.T) {
			name := harness.NewName(state)
			order := c.NewOrder(t, name)
			url := order.Authorizations[0]
			if state == "valid" {
				s.Authorize(t, c, url, "http-01")
			}
			resp := c.Post(t, url, map[string]any{"status": "deactivated"})
			wantOK(t, c, resp, http.StatusOK)
			var authz rawacme.Authorization
			if resp.JSON(t, &authz); authz.Status != "deactivated" {
				t.Errorf("the authorization is %s", resp.Body)
			}
			// §7.1.6: it never serves an order again.
			if order = c.Order(t, order.URL); order.Status != "invalid" {
				t.Errorf("the order is %s, want invalid", order.Status)
			}
			resp = c.Post(t, order.Finalize, map[string]any{"csr": rawacme.B64(rawacme.CSR(t, rawacme.NewKey(t), []string{name}))})
			wantProblem(t, c, resp, http.StatusForbidden, "orderNotReady")
			authz = c.Authorization(t, url)
			if authz.Status != "deactivated" {
				t.Errorf("the authorization is %s", authz.Status)
			}
			if len(authz.Challenges) > 0 {
				resp = c.Post(t, authz.Challenges[0].URL, map[string]any{})
				checkPOST(t, c, resp)
				if resp.Status == http.StatusOK {
					var challenge rawacme.Challenge
					if resp.JSON(t, &challenge); challenge.Status == "processing" || state == "pending" && challenge.Status == "valid" {
						t.Errorf("a deactivated authorization's challenge became %s", challenge.Status)
					}
				}
			}
			if again := c.NewOrder(t, name); again.Authorizations[0] == url {
				t.Error("a new order relies on the deactivated authorization")
			}
		})
	}
	t.Run("other statuses", func(t *testing.T) {
		order := c.NewOrder(t, harness.NewName("other"))
		for _, status := range []string{"valid", "revoked", "pending", ""} {
			resp := c.Post(t, order.Authorizations[0], map[string]any{"status": status})
			wantProblem(t, c, resp, http.StatusBadRequest, "malformed")
		}
		if authz := c.Authorization(t, order.Authorizations[0]); authz.Status != "pending" {
			t.Errorf("the authorization is %s", authz.Status)
		}
	})
}

// RFC 8555 §7.1.6: states after success, and after the order is invalid.
func TestAuthorizationStates(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	order := c.NewOrder(t, harness.NewName("states"), harness.NewName("states"))
	authz := s.Authorize(t, c, order.Authorizations[0], "http-01")
	if authz.Status != "valid" {
		t.Fatalf("the authorization is %+v", authz)
	}
	if expires, err := time.Parse(time.RFC3339, authz.Expires); err != nil || time.Until(expires) < time.Minute {
		t.Errorf("a valid authorization expires at %q (RFC 8555 §7.1.4: required)", authz.Expires)
	}
	challenge := authz.Challenge(t, "http-01")
	if at, err := time.Parse(time.RFC3339, challenge.Validated); challenge.Status != "valid" || err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("the challenge is %+v", challenge)
	}
	for _, other := range authz.Challenges {
		if other.Type != "http-01" && other.Status == "valid" {
			t.Errorf("a challenge that was not answered is %+v", other)
		}
	}
	// One of two: the order waits.
	if order = c.Order(t, order.URL); order.Status != "pending" {
		t.Errorf("with one of two authorizations valid the order is %s", order.Status)
	}
	// Responding again to what is decided starts nothing.
	resp := c.Post(t, challenge.URL, map[string]any{})
	checkPOST(t, c, resp)
	if after := c.Authorization(t, authz.URL); after.Status != "valid" || after.Challenge(t, "http-01").Validated != challenge.Validated {
		t.Errorf("after a second response the authorization is %+v", after)
	}
	// The other fails: the order is invalid and says so.
	failed := c.Authorization(t, order.Authorizations[1])
	c.Respond(t, failed.Challenge(t, "dns-01"))
	if failed = c.Decided(t, failed.URL); failed.Status != "invalid" {
		t.Fatalf("the authorization is %s", failed.Status)
	}
	if order = c.Order(t, order.URL); order.Status != "invalid" {
		t.Errorf("with an invalid authorization the order is %s", order.Status)
	}
	// An invalid order does not undo the valid authorization.
	if authz = c.Authorization(t, authz.URL); authz.Status != "valid" {
		t.Errorf("the first authorization became %s", authz.Status)
	}
}

// RFC 8555 §7.5.1: what is no response object is refused and starts nothing.
func TestBadChallengeResponse(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	order := c.NewOrder(t, harness.NewName("response"))
	authz := c.Authorization(t, order.Authorizations[0])
	challenge := authz.Challenge(t, "http-01")
	for _, payload := range []string{"[]", "null", `"x"`, "{", "{}{}", `{"a":1,"a":2}`} {
		resp := c.Post(t, challenge.URL, []byte(payload))
		wantProblem(t, c, resp, http.StatusBadRequest, "malformed")
	}
	if authz = c.Authorization(t, authz.URL); authz.Challenge(t, "http-01").Status != "pending" {
		t.Errorf("bad responses started the challenge: %+v", authz)
	}
	// No such challenge.
	i := strings.LastIndexByte(challenge.URL, '/')
	for _, kind := range []string{"sms-01", "device-attest-01", "HTTP-01"} {
		resp := c.Post(t, challenge.URL[:i+1]+kind, map[string]any{})
		checkPOST(t, c, resp)
		if resp.Status != http.StatusNotFound && resp.Status != http.StatusForbidden && resp.Status != http.StatusBadRequest {
			t.Errorf("a challenge of type %s: status %d: %s", kind, resp.Status, resp.Body)
		}
	}
	// Members that the type does not use are ignored, as older clients send
	// keyAuthorization.
	s.Answer(c, authz, challenge)
	resp := c.Post(t, challenge.URL, map[string]any{"keyAuthorization": "x", "type": "http-01"})
	wantOK(t, c, resp, http.StatusOK)
	if authz = c.Decided(t, authz.URL); authz.Status != "valid" {
		t.Errorf("the authorization is %+v", authz)
	}
}
