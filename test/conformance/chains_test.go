package conformance

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// crossSign makes a hierarchy in a data folder, and another root that
// certifies the same intermediate; it returns a file with the other chain.
func crossSign(t *testing.T, data string) (file string, other *x509.Certificate) {
	t.Helper()
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	h, err := ca.OpenHierarchy(ca.HierarchyConfig{Folder: data, Now: time.Now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Other Root"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if root.Raw, err = x509.CreateCertificate(rand.Reader, root, root, key.Public(), key); err != nil {
		t.Fatal(err)
	}
	if other, err = x509.ParseCertificate(root.Raw); err != nil {
		t.Fatal(err)
	}
	intermediate := *h.Issuer.Chains[0][0]
	intermediate.SerialNumber, intermediate.AuthorityKeyId = big.NewInt(2), nil
	intermediate.NotBefore, intermediate.NotAfter = root.NotBefore, root.NotAfter
	der, err := x509.CreateCertificate(rand.Reader, &intermediate, other, intermediate.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(filepath.Dir(data), "other-chain.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, other
}

// RFC 8555 §7.4.2: the same certificate with another chain.
func TestAlternateChains(t *testing.T) {
	t.Parallel()
	var other *x509.Certificate
	s := harness.Start(t, harness.Options{Configure: func(config map[string]any) {
		var file string
		file, other = crossSign(t, config["data"].(string))
		config["ca"].(map[string]any)["alternate_chains"] = []string{file}
	}})
	c := s.Account(t)
	issued := s.Issue(t, c, "http-01", harness.NewName("chains"))
	first := c.Get(t, issued.Order.Certificate)
	first.Want(t, http.StatusOK)
	links := first.Links("alternate")
	if len(links) != 1 {
		t.Fatalf("Link rel=alternate: %q, want one", links)
	}
	second := c.Get(t, links[0])
	second.Want(t, http.StatusOK)
	if back := second.Links("alternate"); len(back) != 1 || back[0] != issued.Order.Certificate {
		t.Errorf("the alternate's alternate is %q, want %s", back, issued.Order.Certificate)
	}
	chain := rawacme.ParseChain(t, second.Body)
	if !bytes.Equal(chain[0].Raw, issued.Leaf().Raw) {
		t.Error("the alternate chain is of another certificate")
	}
	if err := chain[1].CheckSignatureFrom(other); err != nil {
		t.Errorf("the alternate chain does not lead to the other root: %v", err)
	}
	for _, bad := range []string{links[0] + "0", issued.Order.Certificate + "/0", issued.Order.Certificate + "/x"} {
		problem(t, c.Get(t, bad), "malformed", http.StatusNotFound)
	}
}
