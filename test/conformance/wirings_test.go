package conformance

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ocsp"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// The whole road, on every way to run Cairn: an account, orders over the three
// challenge types, certificates, revocation in its three forms, and a restart
// that forgets nothing.
func TestWholeRoad(t *testing.T) {
	t.Parallel()
	harness.EachWiring(t, func(t *testing.T, w harness.Wiring) {
		s := harness.Start(t, harness.Options{Wiring: w})
		c := s.Client(t, rawacme.NewKey(t))
		c.Register(t, "mailto:admin@example.org")
		wantOK(t, c, c.Post(t, c.KID, map[string]any{"contact": []string{"mailto:other@example.org"}}), http.StatusOK)

		// One order over all challenge types.
		a, b, d := harness.NewName("http"), harness.NewName("dns"), harness.NewName("alpn")
		order := c.NewOrder(t, a, "*."+b, d)
		kinds := map[string]string{a: "http-01", b: "dns-01", d: "tls-alpn-01"}
		for _, url := range order.Authorizations {
			kind := kinds[c.Authorization(t, url).Identifier.Value]
			if authz := s.Authorize(t, c, url, kind); authz.Status != "valid" {
				t.Fatalf("the authorization over %s is %+v", kind, authz)
			}
		}
		key := rawacme.NewKey(t)
		first := harness.Certificate{Key: key, Chain: c.Finalize(t, order, rawacme.CSR(t, key, []string{a, "*." + b, d}))}
		s.Verify(t, first, a, "*."+b, d)
		s.OpenSSLVerify(t, first.Chain)
		if answer := s.OCSP(t, first, http.MethodPost); answer.Status != ocsp.Good {
			t.Errorf("OCSP status %d, want good", answer.Status)
		}

		// A failed authorization crosses the services with its problem.
		failed := c.NewOrder(t, harness.NewName("failed"))
		authz := c.Authorization(t, failed.Authorizations[0])
		c.Respond(t, authz.Challenge(t, "http-01"))
		if authz = c.Decided(t, authz.URL); authz.Status != "invalid" || authz.Challenge(t, "http-01").Error == nil {
			t.Errorf("the authorization is %+v", authz)
		}
		wantProblem(t, c, c.Post(t, c.Directory.NewOrder, map[string]any{"identifiers": rawacme.DNS("*.com", "*.org")}), http.StatusForbidden, "rejectedIdentifier")
		bad := s.Ready(t, c, "http-01", harness.NewName("badcsr"))
		wantProblem(t, c, c.Post(t, bad.Finalize, map[string]any{"csr": rawacme.B64(rawacme.CSR(t, key, []string{a}))}), http.StatusBadRequest, "badCSR")

		// Revocation by the account, by a holder of authorizations, by the key.
		byHolder, byKey := s.Issue(t, c, "http-01", a), s.Issue(t, c, "tls-alpn-01", d)
		holder := s.Account(t)
		s.Ready(t, holder, "dns-01", a)
		wantOK(t, c, c.Revoke(t, first.Leaf().Raw, 4), http.StatusOK)
		wantOK(t, holder, holder.Revoke(t, byHolder.Leaf().Raw, 5), http.StatusOK)
		stranger := s.Client(t, rawacme.NewKey(t))
		wantOK(t, stranger, stranger.Revoke(t, byKey.Leaf().Raw, 1, rawacme.WithKey(byKey.Key)), http.StatusOK)
		reasons := map[int]harness.Certificate{4: first, 5: byHolder.Certificate, 1: byKey.Certificate}
		for reason, cert := range reasons {
			s.CheckRevoked(t, cert, reason)
		}

		// Metrics and health.
		for path, want := range map[string]string{"/healthz": "", "/readyz": "", "/metrics": "cairn_"} {
			status, _, body := s.Fetch(t, s.AdminURL+path)
			if status != http.StatusOK || !strings.Contains(string(body), want) {
				t.Errorf("GET %s: status %d: %.200s", path, status, body)
			}
		}

		// A restart on the same data.
		root, err := s.Root()
		if err != nil {
			t.Fatal(err)
		}
		s.Stop(t)
		s.Up(t)
		if again, err := s.Root(); err != nil || !again.Equal(root) {
			t.Fatalf("after a restart the root is another one: %v", err)
		}
		c.Forget()
		var account rawacme.Account
		c.Get(t, c.KID).JSON(t, &account)
		if !slices.Equal(account.Contact, []string{"mailto:other@example.org"}) {
			t.Errorf("after a restart the account is %+v", account)
		}
		if chain := c.Download(t, c.Order(t, order.URL).Certificate); !chain[0].Equal(first.Leaf()) {
			t.Error("after a restart the order has another certificate")
		}
		for reason, cert := range reasons {
			s.CheckRevoked(t, cert, reason)
		}
		renewed := s.Issue(t, c, "http-01", a)
		if !renewed.Issuer().Equal(first.Issuer()) {
			t.Error("after a restart another CA issues")
		}
	})
}
