package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// maxChain is more than any chain has, in bytes.
const maxChain = 1 << 20

// alternateChains reads the files of ca.alternate_chains. Each begins with a
// certificate for the issuer's key and name and goes on with the issuer of the
// one before. A root at its end is left out: clients have it or don't trust
// it.
func alternateChains(files []string, issuer *x509.Certificate, now time.Time) ([][]*x509.Certificate, error) {
	var chains [][]*x509.Certificate
	for _, file := range files {
		chain, err := readChain(file)
		if err == nil {
			err = checkChain(chain, issuer, now)
		}
		if err != nil {
			return nil, fmt.Errorf("ca.alternate_chains: %s: %w", file, err)
		}
		if last := len(chain) - 1; last > 0 && bytes.Equal(chain[last].RawIssuer, chain[last].RawSubject) {
			chain = chain[:last]
		}
		chains = append(chains, chain)
	}
	return chains, nil
}

func readChain(file string) ([]*x509.Certificate, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		var pathErr *fs.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		return nil, err
	}
	if len(data) > maxChain {
		return nil, errors.New("the file is too large for a chain")
	}
	var chain []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it has a PEM block %q; it may hold certificates only", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		chain = append(chain, cert)
	}
	if len(chain) == 0 {
		return nil, errors.New("it holds no certificate in PEM form")
	}
	return chain, nil
}

func checkChain(chain []*x509.Certificate, issuer *x509.Certificate, now time.Time) error {
	first := chain[0]
	if !bytes.Equal(first.RawSubjectPublicKeyInfo, issuer.RawSubjectPublicKeyInfo) || !bytes.Equal(first.RawSubject, issuer.RawSubject) {
		return fmt.Errorf("its first certificate is that of %q; it must be for the issuer %q and have its key", first.Subject, issuer.Subject)
	}
	if bytes.Equal(first.Raw, issuer.Raw) && len(chain) == 1 {
		return errors.New("this is the chain that is served anyway")
	}
	for i, cert := range chain {
		switch {
		case !now.Before(cert.NotAfter):
			return fmt.Errorf("the certificate of %q expired at %s", cert.Subject, cert.NotAfter)
		case i > 0 && chain[i-1].CheckSignatureFrom(cert) != nil:
			return fmt.Errorf("the certificate of %q was not issued by %q, which follows it", chain[i-1].Subject, cert.Subject)
		}
	}
	return nil
}
