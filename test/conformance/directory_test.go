package conformance

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// RFC 8555 §7.1.1: the directory.
func TestDirectory(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Client(t, rawacme.NewKey(t))
	resp := c.Do(t, http.MethodGet, s.DirectoryURL, nil, nil)
	resp.Want(t, http.StatusOK)
	if media := mediaType(resp); media != "application/json" {
		t.Errorf("Content-Type %q, want application/json", media)
	}
	noReplay(t, resp)
	base, _, _ := strings.Cut(s.DirectoryURL, "/directory")
	for name, value := range map[string]string{
		"newNonce": c.Directory.NewNonce, "newAccount": c.Directory.NewAccount, "newOrder": c.Directory.NewOrder,
		"revokeCert": c.Directory.RevokeCert, "keyChange": c.Directory.KeyChange,
	} {
		u, err := url.Parse(value)
		if err != nil || u.Scheme != "https" || !strings.HasPrefix(value, base+"/") {
			t.Errorf("%s is %q, want an https URL below %s", name, value, base)
		}
	}
	if links := resp.Links("index"); len(links) > 0 {
		t.Errorf("the directory links to itself as index: %q (RFC 8555 §7.1: resources other than the directory)", links)
	}
	for name, value := range members(t, resp) {
		if string(value) == `""` || string(value) == "null" {
			t.Errorf("the directory has an empty member %q; what is not offered is left out", name)
		}
	}
}

// RFC 8555 §7.1.1: a server without pre-authorization leaves newAuthz out; one
// that advertises it must serve it.
func TestDirectoryNewAuthz(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	if c.Directory.NewAuthz == "" {
		resp := c.Post(t, strings.Replace(c.Directory.NewOrder, "order", "authz", 1), map[string]any{})
		problem(t, resp, "malformed", http.StatusNotFound)
		return
	}
	resp := c.Post(t, c.Directory.NewAuthz, map[string]any{"identifier": rawacme.DNS(harness.NewName("preauthz"))[0]})
	wantOK(t, c, resp, http.StatusCreated)
}

// RFC 8555 §6.3: the directory and newNonce allow POST-as-GET besides GET.
func TestDirectoryPostAsGet(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	resp := c.Get(t, s.DirectoryURL)
	resp.Want(t, http.StatusOK)
	if _, ok := members(t, resp)["newOrder"]; !ok {
		t.Errorf("POST-as-GET of the directory answers %s", resp.Body)
	}
	resp = c.Get(t, c.Directory.NewNonce)
	if resp.Status != http.StatusOK && resp.Status != http.StatusNoContent {
		t.Errorf("POST-as-GET of newNonce: status %d, want 200 or 204", resp.Status)
	}
	checkPOST(t, c, resp)
}

// RFC 8555 §6.1: resources can be used from browsers.
func TestCORS(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Client(t, rawacme.NewKey(t))

	t.Run("directory", func(t *testing.T) {
		resp := c.Do(t, http.MethodGet, s.DirectoryURL, crossOrigin(), nil)
		if origin := resp.Header.Get("Access-Control-Allow-Origin"); origin != "*" {
			t.Errorf("Access-Control-Allow-Origin is %q, want *", origin)
		}
	})
	t.Run("preflight", func(t *testing.T) {
		for _, target := range []string{s.DirectoryURL, c.Directory.NewNonce, c.Directory.NewAccount, c.Directory.NewOrder, c.Directory.RevokeCert} {
			header := crossOrigin()
			header.Set("Access-Control-Request-Method", http.MethodPost)
			header.Set("Access-Control-Request-Headers", "content-type")
			resp := c.Do(t, http.MethodOptions, target, header, nil)
			if resp.Status != http.StatusOK && resp.Status != http.StatusNoContent {
				t.Errorf("OPTIONS %s: status %d", target, resp.Status)
			}
			if origin := resp.Header.Get("Access-Control-Allow-Origin"); origin != "*" {
				t.Errorf("OPTIONS %s: Access-Control-Allow-Origin is %q, want *", target, origin)
			}
			if allowed := resp.Header.Get("Access-Control-Allow-Headers"); !strings.Contains(strings.ToLower(allowed), "content-type") {
				t.Errorf("OPTIONS %s: Access-Control-Allow-Headers is %q, want Content-Type in it", target, allowed)
			}
			if allowed := resp.Header.Get("Access-Control-Allow-Methods"); !strings.Contains(allowed, http.MethodPost) {
				t.Errorf("OPTIONS %s: Access-Control-Allow-Methods is %q, want POST in it", target, allowed)
			}
		}
	})
	t.Run("exposed headers", func(t *testing.T) {
		resp := c.Do(t, http.MethodHead, c.Directory.NewNonce, crossOrigin(), nil)
		var exposed []string
		for name := range strings.SplitSeq(resp.Header.Get("Access-Control-Expose-Headers"), ",") {
			exposed = append(exposed, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
		for _, name := range []string{"Link", "Location", "Replay-Nonce", "Retry-After"} {
			if !slices.Contains(exposed, name) {
				t.Errorf("Access-Control-Expose-Headers is %q, want %s in it", exposed, name)
			}
		}
	})
}
