package interop

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"net/http"
	"testing"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// golang.org/x/crypto/acme: the three challenge types, ECDSA and RSA account
// keys, renewal, key rollover, revocation and deactivation.
func TestXCryptoACME(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	for _, account := range []struct {
		name string
		key  crypto.Signer
	}{{"ECDSA", rawacme.NewKey(t)}, {"RSA", rawacme.NewRSAKey(t, 2048)}} {
		t.Run(account.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), clientTime)
			defer cancel()
			client := &acme.Client{Key: account.key, HTTPClient: s.HTTP(t), DirectoryURL: s.DirectoryURL, RetryBackoff: quickly}
			registered, err := client.Register(ctx, &acme.Account{Contact: []string{"mailto:admin@example.org"}}, acme.AcceptTOS)
			if err != nil {
				t.Fatal(err)
			}
			registered.Contact = []string{"mailto:other@example.org"}
			if _, err := client.UpdateReg(ctx, registered); err != nil {
				t.Fatal(err)
			}
			for _, kind := range []string{"http-01", "dns-01", "tls-alpn-01"} {
				name := harness.NewName("xcrypto")
				got := obtain(t, ctx, s, client, kind, name)
				good(t, s, got, name)
				again := obtain(t, ctx, s, client, kind, name)
				renewed(t, s, got, again)
				if err := client.RevokeCert(ctx, nil, again[0].Raw, acme.CRLReasonSuperseded); err != nil {
					t.Fatal(err)
				}
				revoked(t, s, again)
			}
			if err := client.AccountKeyRollover(ctx, rawacme.NewKey(t)); err != nil {
				t.Fatalf("key rollover: %v", err)
			}
			name := harness.NewName("xcrypto")
			good(t, s, obtain(t, ctx, s, client, "http-01", name), name)
			if err := client.DeactivateReg(ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := client.GetReg(ctx, ""); err == nil {
				t.Error("a deactivated account can be read")
			}
		})
	}
}

// A failed authorization reaches the caller with the challenge's problem.
func TestXCryptoACMEFailure(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	ctx, cancel := context.WithTimeout(t.Context(), clientTime)
	defer cancel()
	client := &acme.Client{Key: rawacme.NewKey(t), HTTPClient: s.HTTP(t), DirectoryURL: s.DirectoryURL, RetryBackoff: quickly}
	if _, err := client.Register(ctx, &acme.Account{}, acme.AcceptTOS); err != nil {
		t.Fatal(err)
	}
	order, err := client.AuthorizeOrder(ctx, acme.DomainIDs(harness.NewName("xcrypto")))
	if err != nil {
		t.Fatal(err)
	}
	authz, err := client.GetAuthorization(ctx, order.AuthzURLs[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Accept(ctx, challenge(t, authz, "http-01")); err != nil {
		t.Fatal(err)
	}
	_, err = client.WaitAuthorization(ctx, authz.URI)
	var failed *acme.AuthorizationError
	if !errors.As(err, &failed) || len(failed.Errors) == 0 {
		t.Fatalf("waiting for a failing authorization: %v", err)
	}
	var problem *acme.Error
	if !errors.As(failed.Errors[0], &problem) || problem.ProblemType != "urn:ietf:params:acme:error:unauthorized" {
		t.Errorf("the problem is %v", failed.Errors[0])
	}
}

// quickly retries soon: the server is on the same machine.
func quickly(n int, _ *http.Request, _ *http.Response) time.Duration {
	if n > 20 {
		return 0
	}
	return 100 * time.Millisecond
}

func challenge(t *testing.T, authz *acme.Authorization, kind string) *acme.Challenge {
	t.Helper()
	for _, c := range authz.Challenges {
		if c.Type == kind {
			return c
		}
	}
	t.Fatalf("the authorization offers no %s", kind)
	return nil
}

func obtain(t *testing.T, ctx context.Context, s *harness.Server, client *acme.Client, kind, name string) []*x509.Certificate {
	t.Helper()
	order, err := client.AuthorizeOrder(ctx, acme.DomainIDs(name))
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range order.AuthzURLs {
		authz, err := client.GetAuthorization(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		if authz.Status == acme.StatusValid {
			continue // reused
		}
		c := challenge(t, authz, kind)
		switch kind {
		case "http-01":
			answer, err := client.HTTP01ChallengeResponse(c.Token)
			if err != nil {
				t.Fatal(err)
			}
			s.Names.SetHTTP01(c.Token, answer)
		case "dns-01":
			record, err := client.DNS01ChallengeRecord(c.Token)
			if err != nil {
				t.Fatal(err)
			}
			s.Names.AddTXT("_acme-challenge."+name, record)
		case "tls-alpn-01":
			cert, err := client.TLSALPN01ChallengeCert(c.Token, name)
			if err != nil {
				t.Fatal(err)
			}
			s.Names.SetTLSALPNCertificate(name, &cert)
		}
		if _, err := client.Accept(ctx, c); err != nil {
			t.Fatal(err)
		}
		if _, err := client.WaitAuthorization(ctx, url); err != nil {
			t.Fatal(err)
		}
	}
	if order, err = client.WaitOrder(ctx, order.URI); err != nil {
		t.Fatal(err)
	}
	der, _, err := client.CreateOrderCert(ctx, order.FinalizeURL, rawacme.CSR(t, rawacme.NewKey(t), []string{name}), true)
	if err != nil {
		t.Fatal(err)
	}
	var got []*x509.Certificate
	for _, b := range der {
		cert, err := x509.ParseCertificate(b)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, cert)
	}
	return got
}
