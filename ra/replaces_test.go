package ra

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

// RFC 9773 §5: an order that replaces a certificate is exempt from rate
// limits; one that only says so is not.
func TestReplacementIsExempt(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Limits.Orders = Rate{Burst: 1, Per: time.Hour} })
	account := f.account(t)
	f.va.results <- f.proven()
	order := f.order(t, account, "a.example")
	f.respond(t, account, order.Authorizations[0], acme.HTTP01)
	if _, err := f.FinalizeOrder(t.Context(), FinalizeOrder{Account: account, Order: order.ID}); err != nil {
		t.Fatal(err)
	}
	recorded, err := f.Store.Order(t.Context(), order.ID)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: recorded.Certificate.Big(), DNSNames: []string{"a.example"}, AuthorityKeyId: []byte("issuer")}
	der, err := x509.CreateCertificate(rand.Reader, template, &x509.Certificate{SubjectKeyId: []byte("issuer")}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Store.CompleteIssuance(t.Context(), recorded.Certificate, der); err != nil {
		t.Fatal(err)
	}

	again := NewOrder{Account: account, Identifiers: order.Identifiers}
	if _, err := f.NewOrder(t.Context(), again); problemType(err) != acme.RateLimited {
		t.Fatalf("a second order: %v, want rateLimited", err)
	}
	again.Replaces = acme.NewCertID([]byte("nobody"), recorded.Certificate)
	if _, err := f.NewOrder(t.Context(), again); problemType(err) != acme.Malformed {
		t.Errorf("a replacement of another issuer's certificate: %v, want malformed", err)
	}
	again.Replaces = acme.NewCertID([]byte("issuer"), recorded.Certificate)
	if _, err := f.NewOrder(t.Context(), again); err != nil {
		t.Errorf("a replacement: %v", err)
	}
	if _, err := f.NewOrder(t.Context(), again); problemType(err) != acme.AlreadyReplaced {
		t.Errorf("a second replacement: %v, want alreadyReplaced", err)
	}
}
