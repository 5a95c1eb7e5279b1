package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	requestTimeout = 10 * time.Second
	maxAnswer      = 1 << 20
	maxBadNonces   = 5
	userAgent      = "cairn-load"
)

// directory is what the generator uses of RFC 8555 §7.1.1.
type directory struct {
	NewNonce   string `json:"newNonce"`
	NewAccount string `json:"newAccount"`
	NewOrder   string `json:"newOrder"`
}

// Target is an ACME server to put under load.
type Target struct {
	// Directory is its directory URL.
	Directory string
	// Roots are what its TLS certificate is verified with; nil means the
	// system's.
	Roots *x509.CertPool
	// HTTP1 keeps to HTTP/1.1; without it HTTP/2 is agreed on as ordinary Go
	// clients do.
	HTTP1 bool
}

// httpClient has connections of its own, as every ACME client on a machine of
// its own has, and keeps them alive.
func (t Target) httpClient() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(!t.HTTP1)
	return &http.Client{
		Timeout: requestTimeout,
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: t.Roots, MinVersion: tls.VersionTLS12},
			Protocols:       protocols,
			IdleConnTimeout: time.Minute,
		},
	}
}

// client is one ACME account with its own key and connection. It is used by
// one goroutine at a time.
type client struct {
	http      *http.Client
	directory directory
	signer    *signer
	nonce     string
	polling   Polling
	responder challengeResponder
	// requests counts every HTTP request of all clients of a round.
	requests *atomic.Int64
	// badNonces counts the badNonce answers of all clients of a round.
	badNonces *atomic.Int64
}

// problemError is a problem document (RFC 7807) that a server answered with.
type problemError struct {
	URL    string `json:"-"`
	Status int    `json:"-"`
	Type   string `json:"type"`
	Detail string `json:"detail"`
}

func (e *problemError) Error() string {
	return fmt.Sprintf("%s answered %d %s: %s", e.URL, e.Status, e.Type, e.Detail)
}

// discover reads the directory, as each client does once.
func (c *client) discover(ctx context.Context, url string) error {
	res, body, err := c.do(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("reading the directory: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("reading the directory: %s answered %s", url, res.Status)
	}
	if err := json.Unmarshal(body, &c.directory); err != nil {
		return fmt.Errorf("reading the directory: %w", err)
	}
	if c.directory.NewNonce == "" || c.directory.NewAccount == "" || c.directory.NewOrder == "" {
		return fmt.Errorf("reading the directory: %s lacks newNonce, newAccount or newOrder", url)
	}
	return nil
}

// register makes the client's account (RFC 8555 §7.3).
func (c *client) register(ctx context.Context) error {
	res, _, err := c.post(ctx, c.directory.NewAccount, []byte(`{"termsOfServiceAgreed":true}`))
	if err != nil {
		return fmt.Errorf("making an account: %w", err)
	}
	c.signer.kid = res.Header.Get("Location")
	if c.signer.kid == "" {
		return errors.New("making an account: the answer has no Location")
	}
	return nil
}

// freshNonce asks newNonce for a nonce (RFC 8555 §7.2).
func (c *client) freshNonce(ctx context.Context) (string, error) {
	res, _, err := c.do(ctx, http.MethodHead, c.directory.NewNonce, nil)
	if err != nil {
		return "", fmt.Errorf("asking for a nonce: %w", err)
	}
	nonce := res.Header.Get("Replay-Nonce")
	if nonce == "" {
		return "", fmt.Errorf("asking for a nonce: %s answered %s without Replay-Nonce", c.directory.NewNonce, res.Status)
	}
	return nonce, nil
}

// post sends payload, signed, and reads the answer. Errors of the server are
// *problemError. badNonce is answered with another try (RFC 8555 §6.5).
func (c *client) post(ctx context.Context, url string, payload []byte) (*http.Response, []byte, error) {
	for refused := 0; ; refused++ {
		nonce := c.nonce
		c.nonce = ""
		if nonce == "" {
			var err error
			if nonce, err = c.freshNonce(ctx); err != nil {
				return nil, nil, err
			}
		}
		jws, err := c.signer.sign(url, nonce, payload)
		if err != nil {
			return nil, nil, err
		}
		res, body, err := c.do(ctx, http.MethodPost, url, jws)
		if err != nil {
			return nil, nil, err
		}
		c.nonce = res.Header.Get("Replay-Nonce")
		if res.StatusCode < 400 {
			return res, body, nil
		}
		problem := &problemError{URL: url, Status: res.StatusCode}
		if err := json.Unmarshal(body, problem); err != nil {
			problem.Detail = fmt.Sprintf("no problem document: %v", err)
		}
		if problem.Type != "urn:ietf:params:acme:error:badNonce" || refused == maxBadNonces {
			return nil, nil, problem
		}
		c.badNonces.Add(1)
	}
}

func (c *client) do(ctx context.Context, method, url string, jws []byte) (*http.Response, []byte, error) {
	var body io.Reader
	if jws != nil {
		body = bytes.NewReader(jws)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("User-Agent", userAgent)
	if jws != nil {
		req.Header.Set("Content-Type", "application/jose+json")
	}
	c.requests.Add(1)
	res, err := c.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the answer of %s: %w", url, err)
	}
	if len(answer) > maxAnswer {
		return nil, nil, fmt.Errorf("reading the answer of %s: longer than %d bytes", url, maxAnswer)
	}
	return res, answer, nil
}

// close ends the client's connections.
func (c *client) close() { c.http.CloseIdleConnections() }
