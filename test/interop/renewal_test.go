package interop

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/cairn-ca/cairn/test/harness"
)

// dueAtOnce starts a server whose certificates are in the last third of their
// lifetime from their first moment on: clients that renew by themselves do it
// at once, and nobody waits for it.
func dueAtOnce(t testing.TB) *harness.Server {
	t.Helper()
	w, err := harness.DefaultWiring()
	if err != nil {
		t.Fatal(err)
	}
	return harness.Start(t, harness.Options{Wiring: w, Configure: func(config map[string]any) {
		ca, ok := config["ca"].(map[string]any)
		if !ok {
			ca = make(map[string]any)
			config["ca"] = ca
		}
		ca["profiles"] = map[string]any{"default": map[string]any{"validity": "90m", "backdate": "75m"}}
	}})
}

// awaitRenewed waits until a server shows another certificate of ours for the
// name than the one before.
func awaitRenewed(t testing.TB, s *harness.Server, address, name string, before []*x509.Certificate) []*x509.Certificate {
	t.Helper()
	return awaitShown(t, s, address, name, func(got []*x509.Certificate) bool {
		return got[0].SerialNumber.Cmp(before[0].SerialNumber) != 0
	})
}

// awaitShown waits until a server shows a chain of ours for a name that is as
// wanted; nil when it does not.
func awaitShown(t testing.TB, s *harness.Server, address, name string, want func([]*x509.Certificate) bool) []*x509.Certificate {
	t.Helper()
	deadline := time.Now().Add(clientTime / 4)
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for time.Now().Before(deadline) {
		if got, err := dial(t, s, address, name); err == nil && want(got) {
			return got
		}
		<-ticker.C
	}
	return nil
}

// revokeAs revokes a certificate of an account, for clients that have no
// command for it: an operator does this with the account key that they keep.
func revokeAs(t testing.TB, s *harness.Server, account crypto.Signer, got []*x509.Certificate) {
	t.Helper()
	client := &acme.Client{Key: account, HTTPClient: s.HTTP(t), DirectoryURL: s.DirectoryURL, RetryBackoff: quickly}
	if err := client.RevokeCert(t.Context(), nil, got[0].Raw, acme.CRLReasonSuperseded); err != nil {
		t.Fatalf("revoking with the account key: %v", err)
	}
	revoked(t, s, got)
}

// keptKey reads the one private key that a client keeps at a path with
// wildcards.
func keptKey(t testing.TB, pattern ...string) crypto.Signer {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(pattern...))
	if err != nil || len(paths) != 1 {
		t.Fatalf("looking for the client's key: found %q (%v), want one file", paths, err)
	}
	data, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		t.Fatalf("%s is no PEM file", paths[0])
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		t.Fatalf("reading %s: %v", paths[0], err)
	}
	return key
}
