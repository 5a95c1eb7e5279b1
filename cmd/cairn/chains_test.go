package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority is a CA of a test.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// issue makes a CA certificate for a name and a key; without a parent it signs
// itself.
func issue(t *testing.T, name string, key crypto.Signer, parent *authority, notAfter time.Time) authority {
	t.Helper()
	if key == nil {
		var err error
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: notAfter,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	signer := authority{template, key}
	if parent != nil {
		signer = *parent
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.cert, key.Public(), signer.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

func writeChain(t *testing.T, certs ...*x509.Certificate) string {
	t.Helper()
	var b bytes.Buffer
	for _, c := range certs {
		if err := pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "chain.pem")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestAlternateChains(t *testing.T) {
	t.Parallel()
	later := time.Now().Add(time.Hour)
	root, other := issue(t, "root", nil, nil, later), issue(t, "other root", nil, nil, later)
	issuer := issue(t, "issuer", nil, &root, later)
	between := issue(t, "between", nil, &other, later)
	cross := issue(t, "issuer", issuer.key, &between, later)
	expired := issue(t, "issuer", issuer.key, &between, time.Now().Add(-time.Minute))
	renamed := issue(t, "issuer 2", issuer.key, &between, later)

	chains, err := alternateChains([]string{writeChain(t, cross.cert, between.cert, other.cert)}, issuer.cert, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if len(chains) != 1 || len(chains[0]) != 2 || !chains[0][0].Equal(cross.cert) || !chains[0][1].Equal(between.cert) {
		t.Errorf("got %v", chains)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, file := range map[string]string{
		"no such file":                      filepath.Join(t.TempDir(), "none"),
		"holds no certificate":              text,
		"must be for the issuer":            writeChain(t, between.cert),
		"must be for the issuer \"CN=issu":  writeChain(t, renamed.cert),
		"expired":                           writeChain(t, expired.cert),
		"was not issued by \"CN=other root": writeChain(t, cross.cert, other.cert),
		"served anyway":                     writeChain(t, issuer.cert),
	} {
		if _, err := alternateChains([]string{file}, issuer.cert, time.Now()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
