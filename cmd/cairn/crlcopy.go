package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/cairn-ca/cairn/ca/crl"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// addCRLCopies adds the publication of CRLs to what ca.crl_publish names.
func (n *instance) addCRLCopies(store sa.Store, signing *signingAuthority) error {
	c := n.cfg.CA.CRLPublish
	var targets []crl.Target
	if c.Directory != "" {
		targets = append(targets, crl.Directory{Path: c.Directory, Now: n.now})
	}
	if c.S3.Bucket != "" {
		cfg := crl.S3Config{Endpoint: c.S3.Endpoint, Bucket: c.S3.Bucket, Prefix: c.S3.Prefix, Region: c.S3.Region, PathStyle: c.S3.PathStyle}
		var err error
		for _, key := range []struct {
			name, file string
			into       *string
		}{
			{"ca.crl_publish.s3.access_key_file", c.S3.AccessKeyFile, &cfg.AccessKey},
			{"ca.crl_publish.s3.secret_key_file", c.S3.SecretKeyFile, &cfg.SecretKey},
		} {
			if key.file == "" {
				continue
			}
			if *key.into, err = readSecret(key.file); err != nil {
				return fmt.Errorf("%s: %w", key.name, err)
			}
		}
		s3, err := crl.NewS3(cfg)
		if err != nil {
			return fmt.Errorf("ca.crl_publish.s3: %w", err)
		}
		targets = append(targets, s3)
	}
	if len(targets) == 0 {
		return nil
	}
	owner, err := acme.NewID(n.now(), n.random)
	if err != nil {
		return err
	}
	cfg := crl.CopierConfig{Store: store, Targets: targets, Every: n.cfg.CA.CRLDelay, Owner: "crl " + owner.String(), Now: n.now, Logger: n.log("crl"), Metrics: n.metrics}
	cfg.Issuers = func() []acme.IssuerID {
		var ids []acme.IssuerID
		for _, k := range signing.current.Load().Keys() {
			ids = append(ids, k.ID)
		}
		return ids
	}
	copier, err := crl.NewCopier(cfg)
	if err != nil {
		return fmt.Errorf("setting up the publication of CRLs: %w", err)
	}
	n.addLoop("copies of CRLs", copier.Run)
	return nil
}

// maxSecret bounds a file that holds a secret, in bytes.
const maxSecret = 4096

// readSecret reads a file that holds a secret in its only line.
func readSecret(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" || len(text) > maxSecret || strings.ContainsAny(secret, "\r\n") {
		return "", fmt.Errorf("%s must hold one line, the key", path)
	}
	return secret, nil
}
