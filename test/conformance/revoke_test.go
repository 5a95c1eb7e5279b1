package conformance

import (
	"net/http"
	"testing"

	"golang.org/x/crypto/ocsp"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// RFC 8555 §7.6: a certificate is revoked by the account that it was issued
// to, and OCSP and the CRL say so.
func TestRevokeByAccount(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	for name, reason := range map[string]int{
		"without a reason": -1, "unspecified": 0, "keyCompromise": 1, "affiliationChanged": 3, "superseded": 4, "cessationOfOperation": 5,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			issued := s.Issue(t, c, "http-01", harness.NewName("revoke"))
			if answer := s.OCSP(t, issued.Certificate, http.MethodGet); answer.Status != ocsp.Good {
				t.Fatalf("before: OCSP status %d", answer.Status)
			}
			resp := c.Revoke(t, issued.Leaf().Raw, reason)
			wantOK(t, c, resp, http.StatusOK)
			if len(resp.Body) > 0 {
				t.Errorf("the answer has a body: %q", resp.Body)
			}
			s.CheckRevoked(t, issued.Certificate, max(reason, 0))
			// Again: already revoked.
			resp = c.Revoke(t, issued.Leaf().Raw, 4)
			wantProblem(t, c, resp, http.StatusBadRequest, "alreadyRevoked")
			s.CheckRevoked(t, issued.Certificate, max(reason, 0))
		})
	}
}

// RFC 8555 §7.6: an account that holds valid authorizations for all of a
// certificate's names may revoke it, one that holds some may not.
func TestRevokeByAuthorization(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	owner, other := s.Account(t), s.Account(t)
	a, b := harness.NewName("holder-a"), harness.NewName("holder-b")
	issued := s.Issue(t, owner, "http-01", a, b)

	resp := other.Revoke(t, issued.Leaf().Raw, 5)
	wantProblem(t, other, resp, http.StatusForbidden, "unauthorized")
	s.Ready(t, other, "http-01", a)
	resp = other.Revoke(t, issued.Leaf().Raw, 5)
	wantProblem(t, other, resp, http.StatusForbidden, "unauthorized")
	if answer := s.OCSP(t, issued.Certificate, http.MethodPost); answer.Status != ocsp.Good {
		t.Fatalf("refused requests revoked the certificate: status %d", answer.Status)
	}
	s.Ready(t, other, "http-01", b)
	resp = other.Revoke(t, issued.Leaf().Raw, 5)
	wantOK(t, other, resp, http.StatusOK)
	s.CheckRevoked(t, issued.Certificate, 5)
}

// A deactivated authorization is none (RFC 8555 §7.6: "valid authorizations"),
// and an authorization for a name is none for its wildcard.
func TestRevokeWithoutAuthorization(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	owner, other := s.Account(t), s.Account(t)
	name := harness.NewName("wild")
	order := owner.NewOrder(t, "*."+name)
	s.Authorize(t, owner, order.Authorizations[0], "dns-01")
	chain := owner.Finalize(t, order, rawacme.CSR(t, rawacme.NewKey(t), []string{"*." + name}))

	held := s.Ready(t, other, "dns-01", name)
	resp := other.Revoke(t, chain[0].Raw, 5)
	wantProblem(t, other, resp, http.StatusForbidden, "unauthorized")

	plain := s.Issue(t, owner, "http-01", name)
	other.Post(t, held.Authorizations[0], map[string]any{"status": "deactivated"}).Want(t, http.StatusOK)
	resp = other.Revoke(t, plain.Leaf().Raw, 5)
	wantProblem(t, other, resp, http.StatusForbidden, "unauthorized")
}

// RFC 8555 §7.6: the certificate's own key revokes it, with no account.
func TestRevokeByCertificateKey(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	for name, reason := range map[string]int{"keyCompromise": 1, "without a reason": -1} {
		t.Run(name, func(t *testing.T) {
			issued := s.Issue(t, c, "http-01", harness.NewName("bykey"))
			anyone := s.Client(t, rawacme.NewKey(t))
			resp := anyone.Revoke(t, issued.Leaf().Raw, reason, rawacme.WithKey(issued.Key))
			wantOK(t, anyone, resp, http.StatusOK)
			// Whoever shows the key proves that it is out, or in the holder's
			// hand: keyCompromise if that was said.
			if reason == 1 {
				s.CheckRevoked(t, issued.Certificate, 1)
			} else if answer := s.OCSP(t, issued.Certificate, http.MethodPost); answer.Status != ocsp.Revoked {
				t.Errorf("OCSP status %d, want revoked", answer.Status)
			}
			resp = anyone.Revoke(t, issued.Leaf().Raw, reason, rawacme.WithKey(issued.Key))
			wantProblem(t, anyone, resp, http.StatusBadRequest, "alreadyRevoked")
		})
	}
	t.Run("another key", func(t *testing.T) {
		issued := s.Issue(t, c, "http-01", harness.NewName("otherkey"))
		for what, key := range map[string]any{"unknown": rawacme.NewKey(t), "the account's, as jwk": c.Key} {
			anyone := s.Client(t, key)
			resp := anyone.Revoke(t, issued.Leaf().Raw, 1, rawacme.WithKey(key))
			if resp.Status == http.StatusOK {
				t.Errorf("a key that is not the certificate's (%s) revoked it", what)
				continue
			}
			wantProblem(t, anyone, resp, http.StatusForbidden, "unauthorized")
		}
		if answer := s.OCSP(t, issued.Certificate, http.MethodPost); answer.Status != ocsp.Good {
			t.Errorf("OCSP status %d", answer.Status)
		}
	})
}

// RFC 5280 §5.3.1 and Baseline Requirements §7.2.2: reasons that a subscriber
// can't give.
func TestRevokeBadReason(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	issued := s.Issue(t, c, "http-01", harness.NewName("reason"))
	for _, reason := range []int{2, 6, 7, 8, 9, 10, 11, 255, 1 << 20} {
		resp := c.Revoke(t, issued.Leaf().Raw, reason)
		wantProblem(t, c, resp, http.StatusBadRequest, "badRevocationReason")
	}
	resp := c.Post(t, c.Directory.RevokeCert, map[string]any{"certificate": rawacme.B64(issued.Leaf().Raw), "reason": -1})
	checkPOST(t, c, resp)
	problem(t, resp, "badRevocationReason", http.StatusBadRequest)
	if answer := s.OCSP(t, issued.Certificate, http.MethodPost); answer.Status != ocsp.Good {
		t.Errorf("refused requests revoked the certificate: status %d", answer.Status)
	}
}

// RFC 8555 §7.6: only what this CA issued, byte for byte.
func TestRevokeUnknown(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	issued := s.Issue(t, c, "http-01", harness.NewName("unknown"))
	changed := append([]byte{}, issued.Leaf().Raw...)
	changed[len(changed)-1] ^= 1
	for what, der := range map[string][]byte{
		"not DER":             []byte("hello"),
		"empty":               {},
		"trailing data":       append(append([]byte{}, issued.Leaf().Raw...), 0),
		"a changed signature": changed,
		"the issuing CA's":    issued.Issuer().Raw,
		"another CA's":        alpnCertificate(t, []string{issued.Leaf().DNSNames[0]}).Certificate[0],
	} {
		t.Run(what, func(t *testing.T) {
			resp := c.Revoke(t, der, 0)
			checkPOST(t, c, resp)
			if resp.Status < 400 || resp.Status >= 500 {
				t.Errorf("status %d: %s", resp.Status, resp.Body)
			}
			var p rawacme.Problem
			if resp.JSON(t, &p); p.Type != urn+"malformed" && p.Type != urn+"unauthorized" {
				t.Errorf("problem %q", p.Type)
			}
		})
	}
	if answer := s.OCSP(t, issued.Certificate, http.MethodPost); answer.Status != ocsp.Good {
		t.Errorf("refused requests revoked the certificate: status %d", answer.Status)
	}
}
