package main

import (
	"context"
	"fmt"
	"os"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/config"
)

// checkIssuerKey finds what is wrong with the name of the issuer's key and can
// be seen without looking for it.
func checkIssuerKey(cfg *config.Config, file string) error {
	if _, err := key.ParseSpec(cfg.CA.IssuerKey); err != nil {
		return config.Errors{{File: file, Key: "ca.issuer_key", Message: err.Error()}}
	}
	return nil
}

// openIssuerKey opens the key of ca.issuer_key; nil: the hierarchy has it in
// the data folder. Only a process that signs calls it: no other has the key,
// or loads the library of its token.
func (n *instance) openIssuerKey(ctx context.Context) (key.Key, error) {
	if n.cfg.CA.IssuerKey == "" {
		return nil, nil
	}
	spec, err := key.ParseSpec(n.cfg.CA.IssuerKey)
	if err != nil {
		return nil, fmt.Errorf("ca.issuer_key: %w", err)
	}
	spec.Passphrase = once(keyPassphrase(n.cfg.CA))
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
	k, err := opener.Open(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("ca.issuer_key: %w", err)
	}
	n.health.Add("issuer key", k.Check)
	return k, nil
}
