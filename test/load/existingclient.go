package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net/http"
	"slices"

	"golang.org/x/crypto/acme"
)

// existingClient is golang.org/x/crypto/acme as it stands, doing what autocert
// does: it waits as the server's Retry-After asks, or a second.
func (g *generator) existingClient(ctx context.Context, target Target, s Scenario, count *counters) (worker, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return worker{}, fmt.Errorf("making an account key: %w", err)
	}
	h := target.httpClient()
	h.Transport = countingTransport{h.Transport, count}
	c := &acme.Client{Key: key, HTTPClient: h, DirectoryURL: target.Directory, UserAgent: userAgent}
	if _, err := c.Register(ctx, &acme.Account{}, acme.AcceptTOS); err != nil {
		h.CloseIdleConnections()
		return worker{}, fmt.Errorf("making an account with x/crypto/acme: %w", err)
	}
	return worker{
		do: func(ctx context.Context) error {
			return g.issueWithExistingClient(ctx, c, randomNames(s.Names, g.suffix))
		},
		close: h.CloseIdleConnections,
	}, nil
}

func (g *generator) issueWithExistingClient(ctx context.Context, c *acme.Client, names []string) error {
	o, err := c.AuthorizeOrder(ctx, acme.DomainIDs(names...))
	if err != nil {
		return fmt.Errorf("x/crypto/acme: newOrder: %w", err)
	}
	for _, url := range o.AuthzURLs {
		z, err := c.GetAuthorization(ctx, url)
		if err != nil {
			return fmt.Errorf("x/crypto/acme: fetching an authorization: %w", err)
		}
		if z.Status != acme.StatusPending {
			continue
		}
		i := slices.IndexFunc(z.Challenges, func(ch *acme.Challenge) bool { return ch.Type == challengeHTTP01 })
		if i < 0 {
			return fmt.Errorf("the authorization of %s offers no http-01", z.Identifier.Value)
		}
		ch := z.Challenges[i]
		keyAuthorization, err := c.HTTP01ChallengeResponse(ch.Token)
		if err != nil {
			return fmt.Errorf("x/crypto/acme: http-01: %w", err)
		}
		g.responder.SetHTTP01(ch.Token, keyAuthorization)
		defer g.responder.ClearHTTP01(ch.Token)
		if _, err := c.Accept(ctx, ch); err != nil {
			return fmt.Errorf("x/crypto/acme: answering http-01: %w", err)
		}
		if _, err := c.WaitAuthorization(ctx, url); err != nil {
			return fmt.Errorf("x/crypto/acme: waiting for an authorization: %w", err)
		}
	}
	if o, err = c.WaitOrder(ctx, o.URI); err != nil {
		return fmt.Errorf("x/crypto/acme: waiting for an order: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making a certificate key: %w", err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: names}, key)
	if err != nil {
		return fmt.Errorf("making a CSR: %w", err)
	}
	if _, _, err := c.CreateCertFromOrder(ctx, o, csr, true); err != nil {
		return fmt.Errorf("x/crypto/acme: finalize: %w", err)
	}
	return nil
}

// countingTransport counts the requests of a client that we cannot ask.
type countingTransport struct {
	http.RoundTripper
	count *counters
}

func (t countingTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	t.count.requests.Add(1)
	return t.RoundTripper.RoundTrip(req)
}

func (t countingTransport) CloseIdleConnections() {
	if c, ok := t.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
