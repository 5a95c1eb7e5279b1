package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/config"
)

// issuerKeys opens the keys of issuers, each once. Only a process that signs
// does: no other has the keys, or loads the libraries of their tokens.
type issuerKeys struct {
	opener     *key.Opener
	passphrase key.Passphrase

	mu   sync.Mutex
	open map[string]key.Key // by spec
}

func (k *issuerKeys) all() []key.Key {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Collect(maps.Values(k.open))
}

func (n *instance) newIssuerKeys() (*issuerKeys, error) {
	opener, err := key.NewOpener(key.OpenerConfig{
		Sessions: n.cfg.CA.PKCS11.Sessions,
		Timeout:  n.cfg.CA.PKCS11.Timeout,
		Getenv:   os.Getenv,
		Now:      n.now,
		Random:   n.random,
		Logger:   n.log("ca"),
		Metrics:  n.metrics,
	})
	if err != nil {
		return nil, fmt.Errorf("setting up keys: %w", err)
	}
	n.addCloser(opener.Close)
	keys := &issuerKeys{opener: opener, passphrase: once(keyPassphrase(n.cfg.CA)), open: make(map[string]key.Key)}
	n.health.Add("issuer key", keys.check)
	return keys, nil
}

func (k *issuerKeys) get(ctx context.Context, name, text string) (key.Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if known, ok := k.open[text]; ok {
		return known, nil
	}
	spec, err := key.ParseSpec(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	spec.Passphrase = k.passphrase
	opened, err := k.opener.Open(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	k.open[text] = opened
	return opened, nil
}

// check tells whether every key can sign.
func (k *issuerKeys) check(ctx context.Context) error {
	for _, opened := range k.all() {
		if err := opened.Check(ctx); err != nil {
			return err
		}
	}
	return nil
}

// defaultIssuer is the name of the issuer in the data folder.
const defaultIssuer = "default"

// issuers are the issuers of the configuration, that of the data folder first,
// and their identifiers by name.
func (s *signingAuthority) issuers(ctx context.Context, cfg *config.Config) ([]ca.IssuerConfig, map[string]acme.IssuerID, error) {
	first := s.issuer
	first.Inactive = cfg.CA.DefaultIssuerInactive
	list := []ca.IssuerConfig{first}
	byName := map[string]acme.IssuerID{defaultIssuer: ca.IssuerIDOf(first.Chains[0][0])}
	for _, name := range slices.Sorted(maps.Keys(cfg.CA.Issuers)) {
		settings := cfg.CA.Issuers[name]
		path := "ca.issuers." + name
		chain, err := readChain(settings.Chain)
		if err == nil {
			err = checkIssuerChain(chain)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s.chain: %s: %w", path, settings.Chain, err)
		}
		if last := len(chain) - 1; last > 0 && bytes.Equal(chain[last].RawIssuer, chain[last].RawSubject) {
			chain = chain[:last] // clients have the root or don't trust it
		}
		opened, err := s.keys.get(ctx, path+".key", settings.Key)
		if err != nil {
			return nil, nil, err
		}
		id := ca.IssuerIDOf(chain[0])
		for other, known := range byName {
			if known == id {
				return nil, nil, fmt.Errorf("%s has the key of the issuer %q", path, other)
			}
		}
		byName[name] = id
		list = append(list, ca.IssuerConfig{
			Signer: opened, Slow: opened.Slow(), Available: opened.Available, Inactive: settings.Inactive, PublicURL: settings.PublicURL,
			Chains: [][]*x509.Certificate{chain},
		})
	}
	return list, byName, nil
}

// checkIssuerChain checks that each certificate was issued by the one after
// it.
func checkIssuerChain(chain []*x509.Certificate) error {
	for i := 1; i < len(chain); i++ {
		if err := chain[i-1].CheckSignatureFrom(chain[i]); err != nil {
			return fmt.Errorf("the certificate of %q was not issued by %q, which follows it", chain[i-1].Subject, chain[i].Subject)
		}
	}
	return nil
}
