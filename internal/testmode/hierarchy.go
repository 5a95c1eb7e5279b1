package testmode

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/cairn-ca/cairn/ca/key"
)

// HierarchyConfig says what hierarchy to make.
type HierarchyConfig struct {
	KeyType        key.Type
	AlternateRoots int
	ChainLength    int // intermediates in a chain; at least 1
	Now            func() time.Time
	Random         io.Reader
}

// Hierarchy is an issuing key with one or more roots that vouch for it. It
// lives in memory alone.
type Hierarchy struct {
	Signer crypto.Signer // that signs the leaves
	Chains []Chain       // the preferred one first
}

// Chain leads from the issuing certificate to a root.
type Chain struct {
	// Intermediates begin with the issuing certificate. Its key and its name
	// are the same in every chain.
	Intermediates []*x509.Certificate
	Root          *x509.Certificate
	RootKey       crypto.Signer
}

const caValidity = 30 * 365 * 24 * time.Hour

// NewHierarchy makes keys and certificates that nobody has seen before and
// nobody will see again.
func NewHierarchy(cfg HierarchyConfig) (*Hierarchy, error) {
	signer, err := key.Generate(cfg.KeyType, cfg.Random)
	if err != nil {
		return nil, fmt.Errorf("making the issuing key: %w", err)
	}
	name, err := cfg.name("Intermediate")
	if err != nil {
		return nil, err
	}
	h := &Hierarchy{Signer: signer}
	for range 1 + cfg.AlternateRoots {
		chain, err := cfg.chain(signer, name)
		if err != nil {
			return nil, err
		}
		h.Chains = append(h.Chains, chain)
	}
	return h, nil
}

// chain makes a root, and what leads to it from the issuing key.
func (cfg HierarchyConfig) chain(signer crypto.Signer, name string) (Chain, error) {
	rootName, err := cfg.name("Root")
	if err != nil {
		return Chain{}, err
	}
	rootKey, err := key.Generate(cfg.KeyType, cfg.Random)
	if err != nil {
		return Chain{}, fmt.Errorf("making a root's key: %w", err)
	}
	root, err := cfg.sign(cfg.template(rootName), nil, rootKey.Public(), rootKey)
	if err != nil {
		return Chain{}, err
	}
	chain := Chain{Root: root, RootKey: rootKey, Intermediates: make([]*x509.Certificate, cfg.ChainLength)}
	parent, parentKey := root, rootKey
	for i := cfg.ChainLength - 1; i >= 0; i-- {
		t, own := cfg.template(name), signer
		if i > 0 {
			if own, err = key.Generate(cfg.KeyType, cfg.Random); err != nil {
				return Chain{}, fmt.Errorf("making an intermediate's key: %w", err)
			}
			t = cfg.template(fmt.Sprintf("%s, level %d", rootName, i))
		} else {
			t.MaxPathLenZero = true
		}
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
		cert, err := cfg.sign(t, parent, own.Public(), parentKey)
		if err != nil {
			return Chain{}, err
		}
		chain.Intermediates[i] = cert
		parent, parentKey = cert, own
	}
	return chain, nil
}

func (cfg HierarchyConfig) sign(t, parent *x509.Certificate, public crypto.PublicKey, by crypto.Signer) (*x509.Certificate, error) {
	serial, err := cfg.bits(16)
	if err != nil {
		return nil, err
	}
	serial[0] = serial[0]&0x7f | 0x40
	t.SerialNumber = new(big.Int).SetBytes(serial)
	if parent == nil {
		parent = t
	}
	der, err := x509.CreateCertificate(cfg.Random, t, parent, public, by)
	if err != nil {
		return nil, fmt.Errorf("signing the certificate of %q: %w", t.Subject, err)
	}
	return x509.ParseCertificate(der)
}

func (cfg HierarchyConfig) template(name string) *x509.Certificate {
	now := cfg.Now().UTC().Truncate(time.Second)
	return &x509.Certificate{
		Subject:   pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(caValidity),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		IsCA:     true, BasicConstraintsValid: true,
	}
}

// name is a name that no other hierarchy has.
func (cfg HierarchyConfig) name(what string) (string, error) {
	b, err := cfg.bits(3)
	if err != nil {
		return "", err
	}
	return "Cairn TEST ONLY " + what + " " + hex.EncodeToString(b), nil
}

func (cfg HierarchyConfig) bits(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(cfg.Random, b); err != nil {
		return nil, fmt.Errorf("reading random bits: %w", err)
	}
	return b, nil
}

// Certificates are the chains for ca.IssuerConfig: without their roots.
func (h *Hierarchy) Certificates() [][]*x509.Certificate {
	chains := make([][]*x509.Certificate, len(h.Chains))
	for i, c := range h.Chains {
		chains[i] = c.Intermediates
	}
	return chains
}
