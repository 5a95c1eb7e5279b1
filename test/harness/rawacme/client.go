package rawacme

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// Client is an ACME client with at most one account. Its methods fail the test
// when the server can't be reached, and otherwise return whatever it answered.
type Client struct {
	HTTP *http.Client
	// Directory is the server's directory object (RFC 8555 §7.1.1).
	Directory Directory
	// DirectoryURL is where it was read.
	DirectoryURL string
	// Key is the account's key; KID its URL, empty before there is one.
	Key any
	KID string

	mu    sync.Mutex
	nonce string
}

// Directory is the directory object.
type Directory struct {
	NewNonce    string         `json:"newNonce"`
	NewAccount  string         `json:"newAccount"`
	NewOrder    string         `json:"newOrder"`
	NewAuthz    string         `json:"newAuthz"`
	RevokeCert  string         `json:"revokeCert"`
	KeyChange   string         `json:"keyChange"`
	RenewalInfo string         `json:"renewalInfo"`
	Meta        map[string]any `json:"meta"`
}

// Response is an answer, read to its end.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Problem is a problem document (RFC 9457) with the members that ACME adds.
type Problem struct {
	Type        string      `json:"type"`
	Detail      string      `json:"detail"`
	Status      int         `json:"status"`
	Instance    string      `json:"instance"`
	Identifier  *Identifier `json:"identifier"`
	Algorithms  []string    `json:"algorithms"`
	Subproblems []Problem   `json:"subproblems"`
}

// New reads the directory and makes a client with the given key.
func New(t testing.TB, hc *http.Client, directoryURL string, key any) *Client {
	t.Helper()
	c := &Client{HTTP: hc, DirectoryURL: directoryURL, Key: key}
	resp := c.Do(t, http.MethodGet, directoryURL, nil, nil)
	if resp.Status != http.StatusOK {
		t.Fatalf("GET %s: status %d: %s", directoryURL, resp.Status, resp.Body)
	}
	resp.JSON(t, &c.Directory)
	return c
}

// Do sends a plain request.
func (c *Client) Do(t testing.TB, method, url string, header http.Header, body []byte) *Response {
	t.Helper()
	resp, err := c.do(t.Context(), method, url, header, body)
	if err != nil {
		t.Fatal(err)
	}
	c.keep(resp)
	return resp
}

func (c *Client) do(ctx context.Context, method, url string, header http.Header, body []byte) (*Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, url, err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", "cairn-rawacme")
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return nil, fmt.Errorf("reading the answer to %s %s: %w", method, url, err)
	}
	return &Response{Status: resp.StatusCode, Header: resp.Header, Body: read}, nil
}

// keep keeps the nonce of an answer for the next request.
func (c *Client) keep(resp *Response) {
	if nonce := resp.Header.Get("Replay-Nonce"); nonce != "" {
		c.mu.Lock()
		c.nonce = nonce
		c.mu.Unlock()
	}
}

// Nonce is an unused nonce: the last answer's or else a new one.
func (c *Client) Nonce(t testing.TB) string {
	t.Helper()
	nonce, err := c.newNonce(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return nonce
}

func (c *Client) newNonce(ctx context.Context) (string, error) {
	if nonce := c.takeNonce(); nonce != "" {
		return nonce, nil
	}
	resp, err := c.do(ctx, http.MethodHead, c.Directory.NewNonce, nil, nil)
	if err != nil {
		return "", err
	}
	nonce := resp.Header.Get("Replay-Nonce")
	if nonce == "" {
		return "", fmt.Errorf("HEAD newNonce: status %d without a Replay-Nonce", resp.Status)
	}
	return nonce, nil
}

func (c *Client) takeNonce() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	nonce := c.nonce
	c.nonce = ""
	return nonce
}

// Forget drops what the client keeps of a server that was restarted: its nonce
// and its connections.
func (c *Client) Forget() {
	c.takeNonce()
	c.HTTP.CloseIdleConnections()
}

// Post signs payload with the account's key and sends it. Payload is a []byte,
// taken as it is, or a value to encode as JSON; nil is POST-as-GET.
func (c *Client) Post(t testing.TB, url string, payload any, edits ...Edit) *Response {
	t.Helper()
	resp, err := c.Try(t.Context(), url, payload, edits...)
	if err != nil {
		t.Fatalf("POST %s: %v", url, err)
	}
	return resp
}

// Get is POST-as-GET (RFC 8555 §6.3).
func (c *Client) Get(t testing.TB, url string, edits ...Edit) *Response {
	t.Helper()
	return c.Post(t, url, nil, edits...)
}

// Try is Post for a server that may be gone: it returns the error when there
// is no answer.
func (c *Client) Try(ctx context.Context, url string, payload any, edits ...Edit) (*Response, error) {
	nonce, err := c.newNonce(ctx)
	if err != nil {
		return nil, err
	}
	m := &Message{
		Method: http.MethodPost, URL: url, ContentType: "application/jose+json", HTTPHeader: http.Header{},
		Key:    c.Key,
		Header: map[string]any{"alg": Alg(c.Key), "url": url, "nonce": nonce},
	}
	if c.KID != "" {
		m.Header["kid"] = c.KID
	} else {
		m.Header["jwk"] = JWK(c.Key)
	}
	switch p := payload.(type) {
	case nil:
	case []byte:
		m.Payload = p
	default:
		encoded, err := json.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("encoding a payload: %w", err)
		}
		m.Payload = encoded
	}
	for _, edit := range edits {
		if edit.before != nil {
			edit.before(m)
		}
	}
	var after []func(*Message)
	for _, edit := range edits {
		if edit.after != nil {
			after = append(after, edit.after)
		}
	}
	body, err := m.build(after)
	if err != nil {
		return nil, err
	}
	if m.ContentType != "" {
		m.HTTPHeader.Set("Content-Type", m.ContentType)
	}
	resp, err := c.do(ctx, m.Method, m.URL, m.HTTPHeader, body)
	if err != nil {
		return nil, err
	}
	c.keep(resp)
	return resp, nil
}

// JSON decodes the body into v.
func (r *Response) JSON(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(r.Body, v); err != nil {
		t.Fatalf("the answer (status %d) is not the expected JSON: %v: %s", r.Status, err, r.Body)
	}
}

// Location is the answer's Location header.
func (r *Response) Location() string { return r.Header.Get("Location") }

// Links are the targets of the answer's Link headers with the given relation.
func (r *Response) Links(rel string) []string {
	var targets []string
	for _, header := range r.Header.Values("Link") {
		for link := range strings.SplitSeq(header, ",") {
			target, params, ok := strings.Cut(link, ">")
			if !ok {
				continue
			}
			for param := range strings.SplitSeq(params, ";") {
				name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
				if strings.EqualFold(name, "rel") && strings.Trim(value, `"`) == rel {
					targets = append(targets, strings.TrimPrefix(strings.TrimSpace(target), "<"))
				}
			}
		}
	}
	return targets
}
