package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	statusPending    = "pending"
	statusProcessing = "processing"
	statusReady      = "ready"
	statusValid      = "valid"

	challengeHTTP01 = "http-01"
)

// Polling is when a client asks again for what is not final yet: after Start,
// then twice as long each time, Max at most, and never more than Limit times.
// Retry-After is not obeyed, so that a server which asks for whole seconds is
// measured by what it does and not by what it asks for.
type Polling struct {
	Start time.Duration
	Max   time.Duration
	Limit int
}

// until polls with ask until it reports that it is done.
func (p Polling) until(ctx context.Context, what string, ask func() (done bool, err error)) error {
	wait := p.Start
	for range p.Limit {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		done, err := ask()
		if done || err != nil {
			return err
		}
		wait = min(2*wait, p.Max)
	}
	return fmt.Errorf("%s is not final after %d polls", what, p.Limit)
}

// challengeResponder answers http-01 where the server under load looks.
type challengeResponder interface {
	SetHTTP01(token, keyAuthorization string)
	ClearHTTP01(token string)
}

type identifier struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

type order struct {
	Status         string          `json:"status"`
	Authorizations []string        `json:"authorizations"`
	Finalize       string          `json:"finalize"`
	Certificate    string          `json:"certificate"`
	Error          json.RawMessage `json:"error"`

	url string
}

type authorization struct {
	Status     string      `json:"status"`
	Identifier identifier  `json:"identifier"`
	Challenges []challenge `json:"challenges"`
}

type challenge struct {
	Type   string          `json:"type"`
	URL    string          `json:"url"`
	Status string          `json:"status"`
	Token  string          `json:"token"`
	Error  json.RawMessage `json:"error"`
}

// newOrder asks for a certificate of names (RFC 8555 §7.4).
func (c *client) newOrder(ctx context.Context, names []string) (order, error) {
	request := struct {
		Identifiers []identifier `json:"identifiers"`
	}{make([]identifier, len(names))}
	for i, name := range names {
		request.Identifiers[i] = identifier{Type: "dns", Value: name}
	}
	payload, err := json.Marshal(request)
	if err != nil {
		return order{}, err
	}
	res, body, err := c.post(ctx, c.directory.NewOrder, payload)
	if err != nil {
		return order{}, fmt.Errorf("newOrder: %w", err)
	}
	var o order
	if err := json.Unmarshal(body, &o); err != nil {
		return order{}, fmt.Errorf("newOrder: %w", err)
	}
	if o.url = res.Header.Get("Location"); o.url == "" {
		return order{}, errors.New("newOrder: the answer has no Location")
	}
	return o, nil
}

// issue is one whole issuance: newOrder, the authorizations, their challenges,
// finalize, and the certificate, which must hold exactly names and the new key.
func (c *client) issue(ctx context.Context, names []string) error {
	o, err := c.newOrder(ctx, names)
	if err != nil {
		return err
	}
	if err := c.authorize(ctx, o); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making a certificate key: %w", err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: names}, key)
	if err != nil {
		return fmt.Errorf("making a CSR: %w", err)
	}
	if o, err = c.finalize(ctx, o, csr); err != nil {
		return err
	}
	_, chain, err := c.post(ctx, o.Certificate, nil)
	if err != nil {
		return fmt.Errorf("fetching the certificate: %w", err)
	}
	return checkLeaf(chain, names, &key.PublicKey)
}

// authorize meets the http-01 challenge of every authorization of o: all are
// asked for first, and only what the answer does not show as valid is polled.
func (c *client) authorize(ctx context.Context, o order) error {
	var waiting []string
	for _, url := range o.Authorizations {
		var a authorization
		if err := c.fetch(ctx, url, &a); err != nil {
			return fmt.Errorf("fetching an authorization: %w", err)
		}
		if a.Status == statusValid {
			continue
		}
		i := slices.IndexFunc(a.Challenges, func(ch challenge) bool { return ch.Type == challengeHTTP01 })
		if i < 0 {
			return fmt.Errorf("the authorization of %s offers no http-01", a.Identifier.Value)
		}
		ch := a.Challenges[i]
		c.responder.SetHTTP01(ch.Token, c.signer.keyAuthorization(ch.Token))
		defer c.responder.ClearHTTP01(ch.Token)
		_, body, err := c.post(ctx, ch.URL, []byte("{}"))
		if err != nil {
			return fmt.Errorf("answering http-01: %w", err)
		}
		if err := json.Unmarshal(body, &ch); err != nil {
			return fmt.Errorf("answering http-01: %w", err)
		}
		switch ch.Status {
		case statusValid:
		case statusPending, statusProcessing:
			waiting = append(waiting, url)
		default:
			return fmt.Errorf("http-01 for %s is %s: %s", a.Identifier.Value, ch.Status, ch.Error)
		}
	}
	for _, url := range waiting {
		if err := c.waitAuthorization(ctx, url); err != nil {
			return err
		}
	}
	return nil
}

func (c *client) waitAuthorization(ctx context.Context, url string) error {
	return c.polling.until(ctx, "the authorization "+url, func() (bool, error) {
		var a authorization
		if err := c.fetch(ctx, url, &a); err != nil {
			return false, fmt.Errorf("polling an authorization: %w", err)
		}
		switch a.Status {
		case statusValid:
			return true, nil
		case statusPending:
			return false, nil
		}
		for _, ch := range a.Challenges {
			if len(ch.Error) > 0 {
				return false, fmt.Errorf("the authorization of %s is %s: %s", a.Identifier.Value, a.Status, ch.Error)
			}
		}
		return false, fmt.Errorf("the authorization of %s is %s", a.Identifier.Value, a.Status)
	})
}

// finalize sends the CSR (RFC 8555 §7.4) and returns the valid order.
func (c *client) finalize(ctx context.Context, o order, csr []byte) (order, error) {
	_, body, err := c.post(ctx, o.Finalize, []byte(`{"csr":"`+encode(csr)+`"}`))
	if err != nil {
		return order{}, fmt.Errorf("finalize: %w", err)
	}
	done := order{url: o.url}
	if err := json.Unmarshal(body, &done); err != nil {
		return order{}, fmt.Errorf("finalize: %w", err)
	}
	final := func() (bool, error) {
		switch done.Status {
		case statusValid:
			if done.Certificate == "" {
				return false, fmt.Errorf("the order %s is valid and has no certificate URL", done.url)
			}
			return true, nil
		case statusProcessing, statusReady:
			return false, nil
		}
		return false, fmt.Errorf("the order %s is %s: %s", done.url, done.Status, done.Error)
	}
	if ok, err := final(); ok || err != nil {
		return done, err
	}
	err = c.polling.until(ctx, "the order "+o.url, func() (bool, error) {
		if err := c.fetch(ctx, o.url, &done); err != nil {
			return false, fmt.Errorf("polling an order: %w", err)
		}
		return final()
	})
	return done, err
}

// fetch is POST-as-GET (RFC 8555 §6.3) of a JSON resource.
func (c *client) fetch(ctx context.Context, url string, into any) error {
	_, body, err := c.post(ctx, url, nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

// checkLeaf looks at the first certificate of a PEM chain: a server that
// answers fast and wrong has not issued.
func checkLeaf(chain []byte, names []string, key *ecdsa.PublicKey) error {
	block, rest := pem.Decode(chain)
	if block == nil || block.Type != "CERTIFICATE" {
		return errors.New("the certificate resource holds no PEM certificate")
	}
	if next, _ := pem.Decode(rest); next == nil {
		return errors.New("the certificate resource holds no issuer certificate")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("reading the certificate: %w", err)
	}
	got, want := slices.Sorted(slices.Values(leaf.DNSNames)), slices.Sorted(slices.Values(names))
	if !slices.Equal(got, want) {
		return fmt.Errorf("the certificate is for %q, asked for were %q", got, want)
	}
	if !key.Equal(leaf.PublicKey) {
		return errors.New("the certificate holds another key than the CSR")
	}
	return nil
}
