// Package conformance holds a real server to RFC 8555, RFC 8737, RFC 6960 and
// RFC 5280 at the level of single messages. Each test names the section that
// it asserts.
package conformance

import (
	"encoding/json"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

func TestMain(m *testing.M) { harness.Main(m) }

const urn = "urn:ietf:params:acme:error:"

// accountWith is a client with a new account that has the given key.
func accountWith(t *testing.T, s *harness.Server, key any) *rawacme.Client {
	t.Helper()
	c := s.Client(t, key)
	c.Register(t)
	return c
}

var base64url = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// checkPOST asserts what every answer to a POST has: a nonce (RFC 8555 §6.5),
// the index link (§7.1) and the CORS header (§6.1).
func checkPOST(t *testing.T, c *rawacme.Client, resp *rawacme.Response) {
	t.Helper()
	if nonce := resp.Header.Get("Replay-Nonce"); !base64url.MatchString(nonce) {
		t.Errorf("status %d: Replay-Nonce %q is not base64url (RFC 8555 §6.5.1)", resp.Status, nonce)
	}
	checkCommon(t, c, resp)
}

// checkCommon asserts what every answer but the directory's has.
func checkCommon(t *testing.T, c *rawacme.Client, resp *rawacme.Response) {
	t.Helper()
	if links := resp.Links("index"); !slices.Equal(links, []string{c.DirectoryURL}) {
		t.Errorf("status %d: Link rel=index is %q, want the directory's URL (RFC 8555 §7.1)", resp.Status, links)
	}
	if origin := resp.Header.Get("Access-Control-Allow-Origin"); origin != "*" {
		t.Errorf("status %d: Access-Control-Allow-Origin is %q, want * (RFC 8555 §6.1)", resp.Status, origin)
	}
}

// wantProblem asserts a problem document answered to a POST.
func wantProblem(t *testing.T, c *rawacme.Client, resp *rawacme.Response, status int, kind string) rawacme.Problem {
	t.Helper()
	checkPOST(t, c, resp)
	return problem(t, resp, kind, status)
}

// problem asserts a problem document of a type with one of the statuses
// (RFC 8555 §6.7, RFC 9457 §3).
func problem(t *testing.T, resp *rawacme.Response, kind string, statuses ...int) rawacme.Problem {
	t.Helper()
	if !slices.Contains(statuses, resp.Status) {
		t.Errorf("status %d, want one of %d: %s", resp.Status, statuses, resp.Body)
	}
	if media := mediaType(resp); media != "application/problem+json" {
		t.Errorf("Content-Type %q, want application/problem+json: %s", media, resp.Body)
	}
	var p rawacme.Problem
	resp.JSON(t, &p)
	checkProblem(t, p, kind)
	if p.Status != 0 && p.Status != resp.Status {
		t.Errorf("the document's status is %d, the answer's %d (RFC 9457 §3.1.2)", p.Status, resp.Status)
	}
	if p.Identifier != nil {
		t.Errorf("an identifier stands at the top level of a problem (RFC 8555 §6.7.1): %s", resp.Body)
	}
	return p
}

func checkProblem(t *testing.T, p rawacme.Problem, kind string) {
	t.Helper()
	if p.Type != urn+kind {
		t.Errorf("problem type %q, want %q: %s", p.Type, urn+kind, p.Detail)
	}
	if len(p.Detail) < 10 {
		t.Errorf("the detail %q does not say what to do", p.Detail)
	}
}

// wantOK asserts a good answer to a POST and its media type.
func wantOK(t *testing.T, c *rawacme.Client, resp *rawacme.Response, status int) {
	t.Helper()
	if resp.Status != status {
		t.Fatalf("status %d, want %d: %s", resp.Status, status, resp.Body)
	}
	checkPOST(t, c, resp)
	if media := mediaType(resp); len(resp.Body) > 0 && media != "application/json" {
		t.Errorf("Content-Type %q, want application/json", media)
	}
}

// mediaType is the answer's media type without parameters.
func mediaType(resp *rawacme.Response) string {
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return err.Error()
	}
	return media
}

// members are the names in a JSON object.
func members(t *testing.T, resp *rawacme.Response) map[string]json.RawMessage {
	t.Helper()
	var object map[string]json.RawMessage
	resp.JSON(t, &object)
	return object
}

// noReplay asserts that an answer carries no nonce: it can be cached.
func noReplay(t *testing.T, resp *rawacme.Response) {
	t.Helper()
	if nonce := resp.Header.Get("Replay-Nonce"); nonce != "" {
		t.Errorf("a cacheable answer carries the nonce %q (RFC 8555 §6.5)", nonce)
	}
}

// allow are the methods of an Allow header.
func allow(resp *rawacme.Response) []string {
	var methods []string
	for _, value := range resp.Header.Values("Allow") {
		for method := range strings.SplitSeq(value, ",") {
			methods = append(methods, strings.TrimSpace(method))
		}
	}
	return methods
}

// crossOrigin are the request headers of a browser.
func crossOrigin() http.Header { return http.Header{"Origin": {"https://client.example"}} }
