//go:build cgo

package ca

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/hsmtest"
	"github.com/cairn-ca/cairn/sa"
)

// tokenFixture is an authority whose issuer's key is on a token. The test can't
// be a parallel one: SoftHSM finds its tokens with a variable of the process's
// environment.
func tokenFixture(t *testing.T, audit *bytes.Buffer) (fixture, *hsmtest.Token, key.Key) {
	t.Helper()
	h := hsmtest.New(t)
	h.Use(t)
	token := h.NewToken(t, "issuers")
	token.GenerateKey(t, "EC:secp384r1", "issuer", "01")
	opener, err := key.NewOpener(key.OpenerConfig{RetryAfter: 10 * time.Millisecond, RetryAtMost: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := opener.Close(); err != nil {
			t.Error(err)
		}
	})
	spec, err := key.ParseSpec(token.URI("issuer", "", hsmtest.PINFile(t, token.PIN)))
	if err != nil {
		t.Fatal(err)
	}
	k, err := opener.Open(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	f := newFixture(t, func(c *Config) {
		hierarchy, err := OpenHierarchy(HierarchyConfig{Folder: folder, IssuerKey: k, Now: time.Now, Random: rand.Reader})
		if err != nil {
			t.Fatal(err)
		}
		c.Issuers, c.OCSPFolder = []IssuerConfig{hierarchy.Issuer}, hierarchy.OCSPFolder
		c.Audit = slog.New(slog.NewTextHandler(audit, nil))
	})
	// It is opened again with the chain that is there now, and no other key.
	if _, err := OpenHierarchy(HierarchyConfig{Folder: folder, IssuerKey: k, Now: time.Now, Random: rand.Reader}); err != nil {
		t.Fatal(err)
	}
	_, err = OpenHierarchy(HierarchyConfig{Folder: folder, IssuerKey: key.InMemory(newKey(t)), Now: time.Now, Random: rand.Reader})
	if err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("a hierarchy with another key: %v", err)
	}
	return f, token, k
}

// await waits until the key's token is back. It asks as /readyz does.
func await(t *testing.T, k key.Key) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for k.Check(ctx) != nil {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("the token does not come back: %v", k.Available())
		}
	}
}

// What is asked for while the issuer's token is away is recorded, and signed
// once the token is back, by itself and once.
func TestTokenAway(t *testing.T) {
	var audit bytes.Buffer
	f, token, k := tokenFixture(t, &audit)
	issue := func(name string) (acme.Order, Issued) {
		t.Helper()
		ids := names(t, name)
		order := f.ready(t, ids)
		req := f.request(order, csrFor(t, newKey(t), "", ids))
		req.Wait = time.Minute
		issued, err := f.Issue(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		return order, issued
	}
	status := func(order acme.Order) acme.OrderStatus {
		t.Helper()
		got, err := f.store.Order(t.Context(), order.ID)
		if err != nil {
			t.Fatal(err)
		}
		return got.Status
	}
	if _, issued := issue("before.example"); !issued.Signed {
		t.Fatal("nothing is signed with the token there")
	}

	token.Remove(t)
	// The first finds out: its signature fails, and this process keeps its
	// lease, and the certificate in mind.
	first, issued := issue("first.example")
	if issued.Signed || status(first) != acme.OrderProcessing || !errors.Is(k.Available(), key.ErrUnavailable) {
		t.Fatalf("signed %v, order %s, key %v", issued.Signed, status(first), k.Available())
	}
	// The second is anybody's at once.
	second, issued := issue("second.example")
	if issued.Signed || status(second) != acme.OrderProcessing {
		t.Fatalf("signed %v, order %s", issued.Signed, status(second))
	}
	claimed, err := f.store.ClaimIssuances(t.Context(), sa.Claim{Owner: "another process", LeaseUntil: f.Now(), Limit: 10})
	if err != nil || len(claimed) != 1 || claimed[0].Serial != issued.Serial {
		t.Fatalf("another process can sign %d certificates, %v", len(claimed), err)
	}
	if err := f.resume(t.Context()); err != nil || status(second) != acme.OrderProcessing {
		t.Fatalf("order %s, %v", status(second), err)
	}
	if _, err := f.issueOwnOnce(t); !errors.Is(err, key.ErrUnavailable) {
		t.Errorf("a certificate of its own: %v", err)
	}

	token.Return(t)
	await(t, k)
	if err := f.resume(t.Context()); err != nil || status(second) != acme.OrderValid || status(first) != acme.OrderValid {
		t.Fatalf("orders %s, %s, %v", status(first), status(second), err)
	}
	f.skip(slowLeaseFor + time.Second)
	if err := f.resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"before.example", "first.example", "second.example"} {
		if n := strings.Count(audit.String(), name); n != 1 {
			t.Errorf("%s was issued %d times:\n%s", name, n, audit.String())
		}
	}
}

// issueOwnOnce asks for a certificate of a listener of Cairn's own.
func (f fixture) issueOwnOnce(t *testing.T) ([][]byte, error) {
	t.Helper()
	return f.ServiceCertificate(t.Context(), csrFor(t, newKey(t), "", f.ServiceNames))
}

// A certificate that waits for its key is not signed when its own key is
// blocked meanwhile.
func TestTokenAwayAndBlocked(t *testing.T) {
	var audit bytes.Buffer
	f, token, k := tokenFixture(t, &audit)
	ids := names(t, "blocked.example")
	order := f.ready(t, ids)
	csr := csrFor(t, newKey(t), "", ids)
	token.Remove(t)
	issued, err := f.Issue(t.Context(), f.request(order, csr))
	if err != nil || issued.Signed || len(f.waiting.work) != 1 {
		t.Fatalf("signed %v, %d wait, %v", issued.Signed, len(f.waiting.work), err)
	}
	parsed, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.store.BlockKey(t.Context(), sa.BlockedKey{SPKISHA256: sha256.Sum256(parsed.RawSubjectPublicKeyInfo), At: f.Now(), By: "test"}); err != nil {
		t.Fatal(err)
	}
	token.Return(t)
	await(t, k)
	if err := f.resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := f.store.Order(t.Context(), order.ID); err != nil || got.Status != acme.OrderInvalid || len(f.waiting.work) != 0 {
		t.Errorf("the order is %s, %d wait, %v", got.Status, len(f.waiting.work), err)
	}
}
