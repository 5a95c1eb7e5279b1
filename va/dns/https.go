package dns

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/resolver"
)

const dnsMessage = "application/dns-message" // RFC 8484 §6

var errNoMessage = errors.New("the answer is no DNS message")

// newHTTPS makes the client of an upstream that is asked over HTTPS. It talks
// to that server alone: no proxy, no redirect, no cookie.
func newHTTPS(e resolver.Endpoint, dialer *net.Dialer, config *tls.Config) *http.Client {
	config.ServerName = e.ServerName
	return &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "tcp", e.Address())
			},
			TLSClientConfig:        config,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true,
			MaxConnsPerHost:        maxConnections,
			MaxIdleConnsPerHost:    maxIdle,
			IdleConnTimeout:        idleTime,
			MaxResponseHeaderBytes: 16 << 10,
			// A connection whose other end is gone is found out and replaced.
			HTTP2: &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 2 * time.Second},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// exchangeHTTPS sends each query in a request of its own (RFC 8484), all at
// once.
func (r *Resolver) exchangeHTTPS(ctx context.Context, u *upstream, queries []*query) {
	requestCtx, cancel := context.WithDeadline(ctx, r.deadline(ctx))
	defer cancel()
	start := r.config.Now()
	var asking sync.WaitGroup
	for _, q := range queries {
		asking.Go(func() {
			msg, err := post(requestCtx, u, q.msg)
			if err == nil {
				if v := q.accept(msg, true); v != stranger {
					r.answered(u, q, v, start)
					return
				}
				err = errNoMessage
			}
			if requestCtx.Err() != nil {
				err = requestCtx.Err()
			}
			r.lost(ctx, u, []*query{q}, err)
		})
	}
	asking.Wait()
}

// post sends a query and returns the message in the answer.
func post(ctx context.Context, u *upstream, msg []byte) ([]byte, error) {
	// The host of the URL is the server's name: where to connect to is up to
	// the client's transport.
	target := resolver.Endpoint{Transport: resolver.HTTPS, Host: u.endpoint.ServerName, Port: u.endpoint.Port, Path: u.endpoint.Path}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(msg))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", dnsMessage)
	req.Header.Set("Accept", dnsMessage)
	req.Header.Set("User-Agent", "") // nobody's business (RFC 8484 §8)
	resp, err := u.https.Do(req)
	if err != nil {
		var wrapped interface{ Unwrap() error }
		if errors.As(err, &wrapped) {
			err = wrapped.Unwrap() // without the URL, which is named already
		}
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, dns.MaxMsgSize+1))
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("HTTP status %d", resp.StatusCode)
	case resp.Header.Get("Content-Type") != dnsMessage || len(body) > dns.MaxMsgSize:
		return nil, errNoMessage
	}
	return body, nil
}
