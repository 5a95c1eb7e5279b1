package conformance

import (
	"net/http"
	"testing"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// RFC 8555 §7.2: newNonce by HEAD and GET.
func TestNewNonce(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Client(t, rawacme.NewKey(t))
	seen := make(map[string]bool)
	for method, status := range map[string]int{http.MethodHead: http.StatusOK, http.MethodGet: http.StatusNoContent} {
		for range 10 {
			resp := c.Do(t, method, c.Directory.NewNonce, nil, nil)
			resp.Want(t, status)
			if len(resp.Body) > 0 {
				t.Errorf("%s newNonce has a body: %q", method, resp.Body)
			}
			if control := resp.Header.Get("Cache-Control"); control != "no-store" {
				t.Errorf("%s newNonce: Cache-Control is %q, want no-store", method, control)
			}
			checkPOST(t, c, resp)
			nonce := resp.Header.Get("Replay-Nonce")
			if seen[nonce] {
				t.Errorf("the nonce %q was handed out twice", nonce)
			}
			seen[nonce] = true
		}
	}
}

// RFC 8555 §6.5: a nonce is accepted once, and a refusal brings one that works.
func TestNonceOnce(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	nonce := c.Nonce(t)
	resp := c.Get(t, c.KID, rawacme.Set("nonce", nonce))
	resp.Want(t, http.StatusOK)
	resp = c.Get(t, c.KID, rawacme.Set("nonce", nonce))
	wantProblem(t, c, resp, http.StatusBadRequest, "badNonce")
	resp = c.Get(t, c.KID, rawacme.Set("nonce", resp.Header.Get("Replay-Nonce")))
	resp.Want(t, http.StatusOK)
}

// RFC 8555 §6.5: an invalid request uses its nonce up all the same.
func TestNonceUsedByFailure(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	nonce := c.Nonce(t)
	resp := c.Post(t, c.Directory.NewOrder, []byte("{"), rawacme.Set("nonce", nonce))
	wantProblem(t, c, resp, http.StatusBadRequest, "malformed")
	resp = c.Get(t, c.KID, rawacme.Set("nonce", nonce))
	wantProblem(t, c, resp, http.StatusBadRequest, "badNonce")
}

// RFC 8555 §6.5.1 and §6.5.2: what is no nonce at all.
func TestBadNonces(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	for _, test := range []struct {
		name  string
		nonce any
		kind  string
	}{
		{"unknown", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "badNonce"},
		{"short", "AA", "badNonce"},
		{"missing", nil, "badNonce"}, // a client that retries with the answer's nonce succeeds
		{"empty", "", "malformed"},
		{"not base64url", "+/+/", "malformed"},
		{"padded", "AAAA====", "malformed"},
		{"number", 17, "malformed"},
		{"null", []any{nil}, "malformed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			resp := c.Get(t, c.KID, rawacme.Set("nonce", test.nonce))
			p := wantProblem(t, c, resp, http.StatusBadRequest, test.kind)
			if p.Type == urn+"badNonce" {
				resp = c.Get(t, c.KID, rawacme.Set("nonce", resp.Header.Get("Replay-Nonce")))
				resp.Want(t, http.StatusOK)
			}
		})
	}
}

// RFC 8555 §10.5 speaks of floods of requests: one of newNonce does not expire
// the nonces of honest clients.
func TestNonceFlood(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	honest := c.Nonce(t)
	for range 2000 {
		c.Do(t, http.MethodHead, c.Directory.NewNonce, nil, nil)
	}
	resp := c.Get(t, c.KID, rawacme.Set("nonce", honest))
	resp.Want(t, http.StatusOK)
}
