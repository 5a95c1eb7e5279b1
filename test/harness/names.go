package harness

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/cairn-ca/cairn/internal/responder"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// Zone is the domain that test names stand in; every name in it has the
// address 127.0.0.1 unless a test gives it another.
const Zone = "cairn.test"

func (s *Server) startResponder() error {
	for attempt := 0; ; attempt++ {
		addrs, err := s.ports.addrs(3)
		if err != nil {
			return err
		}
		s.Names, err = responder.Start(context.Background(), responder.Config{
			DNSAddr: addrs[0], HTTPAddr: addrs[1], TLSAddr: addrs[2], Suffixes: []string{Zone},
		})
		if errors.Is(err, syscall.EADDRINUSE) && attempt < 5 {
			continue // something that knows no reservations took one
		}
		if err != nil {
			return err
		}
		s.later(func() error { s.Names.Close(); return nil })
		return nil
	}
}

// NewName is a name in Zone that no other test has.
func NewName(label string) string {
	return fmt.Sprintf("%s-%s.%s", label, strings.ToLower(rand.Text()[:8]), Zone)
}

// ClientAddress gives a name an address of its own, on which a client under
// test can answer http-01 and tls-alpn-01 at the server's usual ports.
func (s *Server) ClientAddress(name string) string {
	sum := sha256.Sum256([]byte(name))
	addr := netip.AddrFrom4([4]byte{127, 1 + sum[0]%250, sum[1], 1 + sum[2]%250})
	s.Names.SetAddresses(name, addr)
	return addr.String()
}

// Answer prepares the right answer to a challenge.
func (s *Server) Answer(c *rawacme.Client, authz rawacme.Authorization, challenge rawacme.Challenge) {
	s.AnswerWith(authz, challenge, c.KeyAuthorization(challenge.Token))
}

// AnswerWith prepares an answer that proves the given key authorization.
func (s *Server) AnswerWith(authz rawacme.Authorization, challenge rawacme.Challenge, keyAuthorization string) {
	name := authz.Identifier.Value
	switch challenge.Type {
	case "http-01":
		s.Names.SetHTTP01(challenge.Token, keyAuthorization)
	case "dns-01":
		s.Names.AddTXT("_acme-challenge."+name, TXT(keyAuthorization))
	case "tls-alpn-01":
		s.Names.SetTLSALPN01(name, keyAuthorization)
	default:
		panic("no way to answer " + challenge.Type)
	}
}

// TXT is the record that answers dns-01 with a key authorization
// (RFC 8555 §8.4).
func TXT(keyAuthorization string) string {
	sum := sha256.Sum256([]byte(keyAuthorization))
	return rawacme.B64(sum[:])
}

// Authorize fulfils one challenge of an authorization and returns the
// authorization once it is decided.
func (s *Server) Authorize(t testing.TB, c *rawacme.Client, url, kind string) rawacme.Authorization {
	t.Helper()
	authz := c.Authorization(t, url)
	challenge := authz.Challenge(t, kind)
	s.Answer(c, authz, challenge)
	c.Respond(t, challenge)
	return c.Decided(t, url)
}

// Ready makes an order and fulfils its authorizations.
func (s *Server) Ready(t testing.TB, c *rawacme.Client, kind string, names ...string) rawacme.Order {
	t.Helper()
	order := c.NewOrder(t, names...)
	for _, url := range order.Authorizations {
		if authz := s.Authorize(t, c, url, kind); authz.Status != "valid" {
			t.Fatalf("the authorization for %s is %s: %+v", authz.Identifier.Value, authz.Status, authz.Challenges)
		}
	}
	order = c.Order(t, order.URL)
	if order.Status != "ready" {
		t.Fatalf("with all its authorizations valid, the order is %s", order.Status)
	}
	return order
}

// Issued is a certificate and what was needed to get it.
type Issued struct {
	Certificate
	Order rawacme.Order
}

// Issue obtains a certificate for the names with a new P-256 key.
func (s *Server) Issue(t testing.TB, c *rawacme.Client, kind string, names ...string) Issued {
	t.Helper()
	order := s.Ready(t, c, kind, names...)
	key := rawacme.NewKey(t)
	chain := c.Finalize(t, order, rawacme.CSR(t, key, names))
	order = c.Order(t, order.URL)
	return Issued{Certificate{Chain: chain, Key: key}, order}
}

// fingerprint names a certificate's bytes in a message.
func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:8])
}
