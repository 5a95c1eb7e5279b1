package conformance

import (
	"net/http"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// RFC 8739: certificates that renew themselves.
func TestAutoRenewal(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Options{Configure: func(config map[string]any) {
		config["auto_renewal"] = map[string]any{"enabled": true, "min_lifetime": "4s", "max_duration": "720h", "allow_get": true}
	}})
	c := s.Account(t)
	meta, _ := c.Directory.Meta["auto-renewal"].(map[string]any)
	if meta["min-lifetime"] != 4.0 || meta["max-duration"] != 2592000.0 || meta["allow-certificate-get"] != true {
		t.Errorf("§3.2: the directory says %v", c.Directory.Meta["auto-renewal"])
	}
	type starOrder struct {
		Status      string         `json:"status"`
		Certificate string         `json:"certificate"`
		Star        string         `json:"star-certificate"`
		AutoRenewal map[string]any `json:"auto-renewal"`
	}
	renewal := func(changes map[string]any) map[string]any {
		a := map[string]any{"end-date": time.Now().Add(time.Hour).UTC().Format(time.RFC3339), "lifetime": 4}
		for member, value := range changes {
			a[member] = value
		}
		return a
	}
	newOrder := func(t *testing.T, a map[string]any, more map[string]any) *rawacme.Response {
		payload := map[string]any{"identifiers": rawacme.DNS(harness.NewName("star")), "auto-renewal": a}
		for member, value := range more {
			payload[member] = value
		}
		return c.Post(t, c.Directory.NewOrder, payload)
	}
	issue := func(t *testing.T, a map[string]any) (orderURL string, order starOrder) {
		t.Helper()
		resp := newOrder(t, a, nil)
		wantOK(t, c, resp, http.StatusCreated)
		orderURL = resp.Location()
		pending := c.Order(t, orderURL)
		s.Authorize(t, c, pending.Authorizations[0], "http-01")
		wantOK(t, c, c.Post(t, pending.Finalize, map[string]any{"csr": rawacme.B64(rawacme.CSR(t, rawacme.NewKey(t), []string{pending.Identifiers[0].Value}))}), http.StatusOK)
		rawacme.Poll(t, "a valid order", func() bool {
			c.Get(t, orderURL).JSON(t, &order)
			return order.Status == "valid"
		})
		return orderURL, order
	}

	t.Run("refused", func(t *testing.T) { // §3.1.1
		now := time.Now().UTC()
		at := func(d time.Duration) string { return now.Add(d).Format(time.RFC3339) }
		for name, changes := range map[string]map[string]any{
			"no end":             {"end-date": nil},
			"end before start":   {"end-date": at(-time.Hour)},
			"start past":         {"start-date": at(-48 * time.Hour)},
			"too short a life":   {"lifetime": 3},
			"no lifetime":        {"lifetime": nil},
			"too long in all":    {"end-date": at(721 * time.Hour)},
			"lifetime too long":  {"lifetime": 100 * 24 * 3600},
			"adjust too long":    {"lifetime-adjust": 5},
			"adjust negative":    {"lifetime-adjust": -1},
			"lifetime no number": {"lifetime": "4"},
		} {
			t.Run(name, func(t *testing.T) {
				wantProblem(t, c, newOrder(t, renewal(changes), nil), http.StatusBadRequest, "malformed")
			})
		}
		wantProblem(t, c, newOrder(t, renewal(nil), map[string]any{"notAfter": at(time.Hour)}), http.StatusBadRequest, "malformed")
	})

	t.Run("renews", func(t *testing.T) { // §3.3
		_, order := issue(t, renewal(nil))
		if order.Certificate != "" || order.Star == "" || order.AutoRenewal["lifetime"] != 4.0 {
			t.Fatalf("§3.1.1: the order is %+v", order)
		}
		first := c.Get(t, order.Star)
		first.Want(t, http.StatusOK)
		chain := rawacme.ParseChain(t, first.Body)
		leaf := chain[0]
		if life := leaf.NotAfter.Sub(leaf.NotBefore); life < 3*time.Second || life > 5*time.Second {
			t.Errorf("a certificate lives for %v", life)
		}
		if got := first.Header.Get("Cert-Not-Before"); got != leaf.NotBefore.UTC().Format(http.TimeFormat) {
			t.Errorf("Cert-Not-Before is %q, the certificate's %v", got, leaf.NotBefore)
		}
		if got := first.Header.Get("Cert-Not-After"); got != leaf.NotAfter.UTC().Format(http.TimeFormat) {
			t.Errorf("Cert-Not-After is %q, the certificate's %v", got, leaf.NotAfter)
		}
		rawacme.Poll(t, "a renewed certificate", func() bool {
			next := rawacme.ParseChain(t, c.Get(t, order.Star).Body)[0]
			return next.SerialNumber.Cmp(leaf.SerialNumber) != 0 && next.NotAfter.After(leaf.NotAfter)
		})
		// §3.1.3: nobody revokes it.
		wantProblem(t, c, c.Revoke(t, leaf.Raw, 0), http.StatusForbidden, "autoRenewalRevocationNotSupported")
		// Not agreed to: no GET.
		if resp := c.Do(t, http.MethodGet, order.Star, nil, nil); resp.Status != http.StatusMethodNotAllowed {
			t.Errorf("GET of a certificate that is its account's alone: %d", resp.Status)
		}
	})

	t.Run("GET", func(t *testing.T) { // §3.4
		_, order := issue(t, renewal(map[string]any{"allow-certificate-get": true}))
		resp := c.Do(t, http.MethodGet, order.Star, nil, nil)
		resp.Want(t, http.StatusOK)
		if len(rawacme.ParseChain(t, resp.Body)) < 2 {
			t.Errorf("no chain: %s", resp.Body)
		}
	})

	t.Run("canceled", func(t *testing.T) { // §3.1.2
		url, order := issue(t, renewal(nil))
		for _, payload := range []map[string]any{{}, {"status": "valid"}, {"status": "invalid"}} {
			wantProblem(t, c, c.Post(t, url, payload), http.StatusBadRequest, "malformed")
		}
		other := s.Account(t)
		wantProblem(t, other, other.Post(t, url, map[string]any{"status": "canceled"}), http.StatusForbidden, "unauthorized")
		resp := c.Post(t, url, map[string]any{"status": "canceled"})
		wantOK(t, c, resp, http.StatusOK)
		resp.JSON(t, &order)
		if order.Status != "canceled" {
			t.Errorf("the order is %s", order.Status)
		}
		wantProblem(t, c, c.Get(t, order.Star), http.StatusForbidden, "autoRenewalCanceled")
		wantProblem(t, c, c.Post(t, url, map[string]any{"status": "canceled"}), http.StatusBadRequest, "autoRenewalCancellationInvalid")
		ordinary := c.NewOrder(t, harness.NewName("ordinary"))
		wantProblem(t, c, c.Post(t, ordinary.URL, map[string]any{"status": "canceled"}), http.StatusBadRequest, "autoRenewalCancellationInvalid")
	})

	t.Run("ends", func(t *testing.T) {
		end := time.Now().Add(6 * time.Second).UTC().Truncate(time.Second)
		_, order := issue(t, renewal(map[string]any{"end-date": end.Format(time.RFC3339)}))
		rawacme.Poll(t, "the end of the renewals", func() bool {
			resp := c.Get(t, order.Star)
			if resp.Status == http.StatusForbidden {
				problem(t, resp, "autoRenewalExpired", http.StatusForbidden)
				return true
			}
			// §3.1.1: never beyond the end.
			if leaf := rawacme.ParseChain(t, resp.Body)[0]; leaf.NotAfter.After(end) {
				t.Errorf("a certificate lasts until %v, the order until %v", leaf.NotAfter, end)
			}
			return false
		})
	})
}
