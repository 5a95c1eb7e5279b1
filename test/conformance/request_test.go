package conformance

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// RFC 8555 §6.2: requests have the media type application/jose+json.
func TestContentType(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	for _, media := range []string{"", "application/json", "text/plain", "application/x-www-form-urlencoded", "application/jose", "application/jose+jsonx", "multipart/form-data; boundary=x"} {
		t.Run(media, func(t *testing.T) {
			resp := c.Get(t, c.KID, rawacme.Before(func(m *rawacme.Message) { m.ContentType = media }))
			wantProblem(t, c, resp, http.StatusUnsupportedMediaType, "malformed")
		})
	}
	for _, media := range []string{"application/jose+json", "Application/JOSE+JSON", "application/jose+json; charset=utf-8"} {
		t.Run(media, func(t *testing.T) {
			resp := c.Get(t, c.KID, rawacme.Before(func(m *rawacme.Message) { m.ContentType = media }))
			wantOK(t, c, resp, http.StatusOK)
		})
	}
}

// RFC 8555 §6.3 and RFC 9110 §15.5.6: other methods get 405 with Allow.
func TestMethodNotAllowed(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	order := c.NewOrder(t, harness.NewName("method"))
	authz := c.Authorization(t, order.Authorizations[0])
	var account rawacme.Account
	c.Get(t, c.KID).JSON(t, &account)

	type resource struct{ name, url, allowed string }
	resources := []resource{
		{"newAccount", c.Directory.NewAccount, "POST"},
		{"newOrder", c.Directory.NewOrder, "POST"},
		{"revokeCert", c.Directory.RevokeCert, "POST"},
		{"keyChange", c.Directory.KeyChange, "POST"},
		{"account", c.KID, "POST"},
		{"order", order.URL, "POST"},
		{"finalize", order.Finalize, "POST"},
		{"authorization", authz.URL, "POST"},
		{"challenge", authz.Challenges[0].URL, "POST"},
	}
	if account.Orders != "" {
		resources = append(resources, resource{"orders", account.Orders, "POST"})
	}
	for _, r := range resources {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodPatch} {
			t.Run(method+" "+r.name, func(t *testing.T) {
				resp := c.Do(t, method, r.url, nil, nil)
				checkMethodNotAllowed(t, c, method, resp, r.allowed)
			})
		}
	}
	for _, r := range []resource{{"directory", s.DirectoryURL, "GET"}, {"newNonce", c.Directory.NewNonce, "GET"}} {
		for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPatch} {
			t.Run(method+" "+r.name, func(t *testing.T) {
				resp := c.Do(t, method, r.url, nil, nil)
				checkMethodNotAllowed(t, c, method, resp, r.allowed)
			})
		}
	}
}

func checkMethodNotAllowed(t *testing.T, c *rawacme.Client, method string, resp *rawacme.Response, allowed string) {
	t.Helper()
	if resp.Status != http.StatusMethodNotAllowed || !slices.Contains(allow(resp), allowed) {
		t.Errorf("status %d with Allow %q, want 405 with %s in it", resp.Status, allow(resp), allowed)
	}
	if method != http.MethodHead {
		problem(t, resp, "malformed", http.StatusMethodNotAllowed)
	}
}

// RFC 9457: paths that are no resource get a problem document too.
func TestNotFound(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	base := strings.TrimSuffix(s.DirectoryURL, "/directory")
	for _, path := range []string{"/nothing", "/acme/", "/acme/nothing", "/acme/acct/", "/acme/order/x/y/z", "/directory/", "/acme/acct/../new-order", "/acme//new-order"} {
		t.Run(path, func(t *testing.T) {
			// Sent as a plain GET and as a signed POST.
			resp := c.Do(t, http.MethodGet, base+path, nil, nil)
			if resp.Status < 400 || resp.Status >= 500 {
				t.Errorf("GET: status %d: %s", resp.Status, resp.Body)
			}
			problem(t, resp, "malformed", resp.Status)
			resp = c.Post(t, base+path, map[string]any{})
			if resp.Status < 400 || resp.Status >= 500 {
				t.Errorf("POST: status %d: %s", resp.Status, resp.Body)
			}
			if media := mediaType(resp); media != "application/problem+json" {
				t.Errorf("POST: Content-Type %q", media)
			}
		})
	}
}

// Requests over 64 KiB are refused before they are parsed, and the server
// reads no more of them than it must.
func TestOversizedRequest(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	for _, size := range []int{64<<10 + 1, 1 << 20, 16 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			resp := c.Post(t, c.KID, map[string]any{}, rawacme.After(func(m *rawacme.Message) {
				m.Body = append(encode(t, m.Members), bytes.Repeat([]byte{' '}, size)...)[:size]
			}))
			problem(t, resp, "malformed", http.StatusBadRequest, http.StatusRequestEntityTooLarge)
		})
	}
	resp := c.Post(t, c.KID, map[string]any{}, rawacme.After(func(m *rawacme.Message) {
		body := encode(t, m.Members)
		m.Body = append(body, bytes.Repeat([]byte{' '}, 32<<10-len(body))...)
	}))
	wantOK(t, c, resp, http.StatusOK)
}

// RFC 8555 §6.3: POST-as-GET has an empty payload; "{}" is another request.
func TestPostAsGet(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	order := c.NewOrder(t, harness.NewName("pag"))
	for _, url := range []string{order.URL, order.Authorizations[0], c.KID} {
		resp := c.Get(t, url)
		wantOK(t, c, resp, http.StatusOK)
	}
	// Neither an order nor a certificate can be changed by a POST, so a
	// payload there is a mistake of the client's.
	resp := c.Post(t, order.URL, map[string]any{})
	wantProblem(t, c, resp, http.StatusBadRequest, "malformed")
	// An empty payload to a resource that needs one.
	for _, url := range []string{c.Directory.NewOrder, order.Finalize, c.Directory.RevokeCert} {
		resp := c.Get(t, url)
		wantProblem(t, c, resp, http.StatusBadRequest, "malformed")
	}
}

// Payloads with duplicate members, trailing data or of the wrong type are
// malformed and change nothing.
func TestBadPayloads(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	order := c.NewOrder(t, harness.NewName("payload"))
	name := harness.NewName("never")
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	for _, test := range []struct{ name, url, payload string }{
		{"not JSON", c.Directory.NewOrder, `hello`},
		{"array", c.Directory.NewOrder, `[]`},
		{"null", c.Directory.NewOrder, `null`},
		{"string", c.Directory.NewOrder, `"x"`},
		{"trailing data", c.Directory.NewOrder, `{"identifiers":[{"type":"dns","value":"` + name + `"}]}{}`},
		{"duplicate member", c.Directory.NewOrder, `{"identifiers":[],"identifiers":[{"type":"dns","value":"` + name + `"}]}`},
		{"duplicate nested member", c.Directory.NewOrder, `{"identifiers":[{"type":"dns","value":"` + name + `","value":"other.test"}]}`},
		{"identifiers an object", c.Directory.NewOrder, `{"identifiers":{"type":"dns","value":"` + name + `"}}`},
		{"identifier a string", c.Directory.NewOrder, `{"identifiers":["` + name + `"]}`},
		{"value a number", c.Directory.NewOrder, `{"identifiers":[{"type":"dns","value":7}]}`},
		{"invalid UTF-8", c.Directory.NewOrder, "{\"identifiers\":[{\"type\":\"dns\",\"value\":\"\xff.test\"}]}"},
		{"deep nesting", c.Directory.NewOrder, `{"identifiers":` + deep + `}`},
		{"deep unknown member", c.Directory.NewOrder, `{"x":` + deep + `,"identifiers":[]}`},
		{"notBefore a number", c.Directory.NewOrder, `{"identifiers":[{"type":"dns","value":"` + name + `"}],"notBefore":1}`},
		{"notBefore no date", c.Directory.NewOrder, `{"identifiers":[{"type":"dns","value":"` + name + `"}],"notBefore":"tomorrow"}`},
		{"contact a string", c.KID, `{"contact":"mailto:a@example.com"}`},
		{"status a number", c.KID, `{"status":1}`},
		{"csr a number", order.Finalize, `{"csr":1}`},
		{"certificate a number", c.Directory.RevokeCert, `{"certificate":1}`},
		{"reason a string", c.Directory.RevokeCert, `{"certificate":"AAAA","reason":"keyCompromise"}`},
		{"reason a fraction", c.Directory.RevokeCert, `{"certificate":"AAAA","reason":1.5}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			resp := c.Post(t, test.url, []byte(test.payload))
			wantProblem(t, c, resp, http.StatusBadRequest, "malformed")
		})
	}
}

// RFC 8555 §7.1 and others: members that a server does not know are ignored.
func TestUnknownPayloadMembers(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	resp := c.Post(t, c.Directory.NewOrder, map[string]any{
		"identifiers": rawacme.DNS(harness.NewName("extra")), "resource": "new-order", "x-unknown": map[string]any{"a": []int{1}},
	})
	wantOK(t, c, resp, http.StatusCreated)
	for member := range members(t, resp) {
		if strings.HasPrefix(member, "x-") || member == "resource" {
			t.Errorf("the order echoes the unknown member %q", member)
		}
	}
}
