package rawacme

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strconv"
	"testing"
	"time"
)

// Identifier is an identifier (RFC 8555 §7.1.3).
type Identifier struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

// DNS are identifiers of type dns.
func DNS(names ...string) []Identifier {
	ids := make([]Identifier, len(names))
	for i, name := range names {
		ids[i] = Identifier{Type: "dns", Value: name}
	}
	return ids
}

// Account is an account object (RFC 8555 §7.1.2).
type Account struct {
	Status               string          `json:"status"`
	Contact              []string        `json:"contact"`
	TermsOfServiceAgreed bool            `json:"termsOfServiceAgreed"`
	Orders               string          `json:"orders"`
	ExternalAccount      json.RawMessage `json:"externalAccountBinding"`
}

// Order is an order object (RFC 8555 §7.1.3).
type Order struct {
	URL            string       `json:"-"`
	Status         string       `json:"status"`
	Expires        string       `json:"expires"`
	Identifiers    []Identifier `json:"identifiers"`
	NotBefore      string       `json:"notBefore"`
	NotAfter       string       `json:"notAfter"`
	Profile        string       `json:"profile"`
	Error          *Problem     `json:"error"`
	Authorizations []string     `json:"authorizations"`
	Finalize       string       `json:"finalize"`
	Certificate    string       `json:"certificate"`
}

// Authorization is an authorization object (RFC 8555 §7.1.4).
type Authorization struct {
	URL        string      `json:"-"`
	Identifier Identifier  `json:"identifier"`
	Status     string      `json:"status"`
	Expires    string      `json:"expires"`
	Challenges []Challenge `json:"challenges"`
	Wildcard   *bool       `json:"wildcard"`
}

// Challenge is a challenge object (RFC 8555 §8).
type Challenge struct {
	Type      string   `json:"type"`
	URL       string   `json:"url"`
	Status    string   `json:"status"`
	Token     string   `json:"token"`
	Nonce     string   `json:"nonce"` // RFC 9799 §3.2
	Validated string   `json:"validated"`
	Error     *Problem `json:"error"`
}

// Challenge is the authorization's challenge of a type; it fails the test when
// there is none.
func (a Authorization) Challenge(t testing.TB, kind string) Challenge {
	t.Helper()
	for _, c := range a.Challenges {
		if c.Type == kind {
			return c
		}
	}
	t.Fatalf("the authorization for %s offers no %s: %+v", a.Identifier.Value, kind, a.Challenges)
	return Challenge{}
}

// KeyAuthorization is what a challenge's token is answered with
// (RFC 8555 §8.1).
func (c *Client) KeyAuthorization(token string) string { return token + "." + Thumbprint(c.Key) }

// Register makes the client's account.
func (c *Client) Register(t testing.TB, contacts ...string) Account {
	t.Helper()
	payload := map[string]any{"termsOfServiceAgreed": true}
	if len(contacts) > 0 {
		payload["contact"] = contacts
	}
	resp := c.Post(t, c.Directory.NewAccount, payload)
	resp.Want(t, http.StatusCreated)
	var account Account
	resp.JSON(t, &account)
	if c.KID = resp.Location(); c.KID == "" {
		t.Fatal("newAccount answered without a Location")
	}
	return account
}

// NewOrder makes an order for DNS names.
func (c *Client) NewOrder(t testing.TB, names ...string) Order {
	t.Helper()
	return c.NewOrderFor(t, map[string]any{"identifiers": DNS(names...)})
}

// NewOrderFor makes an order with the given payload.
func (c *Client) NewOrderFor(t testing.TB, payload any) Order {
	t.Helper()
	resp := c.Post(t, c.Directory.NewOrder, payload)
	resp.Want(t, http.StatusCreated)
	order := Order{URL: resp.Location()}
	resp.JSON(t, &order)
	if order.URL == "" {
		t.Fatal("newOrder answered without a Location")
	}
	return order
}

// Order reads an order.
func (c *Client) Order(t testing.TB, url string) Order {
	t.Helper()
	resp := c.Get(t, url)
	resp.Want(t, http.StatusOK)
	order := Order{URL: url}
	resp.JSON(t, &order)
	return order
}

// Authorization reads an authorization.
func (c *Client) Authorization(t testing.TB, url string) Authorization {
	t.Helper()
	resp := c.Get(t, url)
	resp.Want(t, http.StatusOK)
	authz := Authorization{URL: url}
	resp.JSON(t, &authz)
	return authz
}

// Respond tells the server that a challenge can be validated
// (RFC 8555 §7.5.1).
func (c *Client) Respond(t testing.TB, challenge Challenge) Challenge {
	t.Helper()
	resp := c.Post(t, challenge.URL, map[string]any{})
	resp.Want(t, http.StatusOK)
	var answered Challenge
	resp.JSON(t, &answered)
	return answered
}

const (
	patience = 60 * time.Second // for anything that ends by itself
	pollFor  = 100 * time.Millisecond
)

// Poll calls done until it is true.
func Poll(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	ticker := time.NewTicker(pollFor)
	defer ticker.Stop()
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting for %s after %v", what, patience)
		}
		select {
		case <-ticker.C:
		case <-t.Context().Done():
			t.Fatalf("stopped waiting for %s: %v", what, t.Context().Err())
		}
	}
}

// Decided polls an authorization until it is no longer pending.
func (c *Client) Decided(t testing.TB, url string) Authorization {
	t.Helper()
	var authz Authorization
	Poll(t, "the authorization "+url, func() bool {
		authz = c.Authorization(t, url)
		return authz.Status != "pending"
	})
	return authz
}

// Settled polls an order until it is neither pending nor processing.
func (c *Client) Settled(t testing.TB, url string) Order {
	t.Helper()
	var order Order
	Poll(t, "the order "+url, func() bool {
		order = c.Order(t, url)
		return order.Status != "pending" && order.Status != "processing"
	})
	return order
}

// Finalize sends the CSR, waits for the certificate and downloads it.
func (c *Client) Finalize(t testing.TB, order Order, csr []byte) []*x509.Certificate {
	t.Helper()
	resp := c.Post(t, order.Finalize, map[string]any{"csr": B64(csr)})
	resp.Want(t, http.StatusOK)
	resp.JSON(t, &order)
	if order.Status != "valid" {
		order = c.Settled(t, order.URL)
	}
	if order.Status != "valid" || order.Certificate == "" {
		t.Fatalf("after finalize the order is %q with certificate URL %q: %+v", order.Status, order.Certificate, order.Error)
	}
	return c.Download(t, order.Certificate)
}

// Download reads a certificate chain, leaf first (RFC 8555 §7.4.2).
func (c *Client) Download(t testing.TB, url string) []*x509.Certificate {
	t.Helper()
	resp := c.Get(t, url)
	resp.Want(t, http.StatusOK)
	return ParseChain(t, resp.Body)
}

// ParseChain reads PEM certificates and refuses anything else.
func ParseChain(t testing.TB, data []byte) []*x509.Certificate {
	t.Helper()
	var chain []*x509.Certificate
	for len(data) > 0 {
		block, rest := pem.Decode(data)
		if block == nil || block.Type != "CERTIFICATE" || len(block.Headers) > 0 {
			t.Fatalf("not a PEM chain of certificates, from here: %q", data)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatalf("a certificate of the chain can't be parsed: %v", err)
		}
		chain = append(chain, cert)
		data = rest
	}
	if len(chain) == 0 {
		t.Fatal("the chain is empty")
	}
	return chain
}

// Revoke asks for a revocation (RFC 8555 §7.6); a negative reason is left out.
func (c *Client) Revoke(t testing.TB, der []byte, reason int, edits ...Edit) *Response {
	t.Helper()
	payload := map[string]any{"certificate": B64(der)}
	if reason >= 0 {
		payload["reason"] = reason
	}
	return c.Post(t, c.Directory.RevokeCert, payload, edits...)
}

// Want fails the test when the status is another one.
func (r *Response) Want(t testing.TB, status int) {
	t.Helper()
	if r.Status != status {
		t.Fatalf("status %d, want %s: %s", r.Status, strconv.Itoa(status), r.Body)
	}
}
