package main

import (
	"fmt"

	"github.com/cairn-ca/cairn/internal/config"
	"github.com/cairn-ca/cairn/va/attest"
)

// attestationRoots are the roots of device attestations, by directory.
func (s *services) attestationRoots() (map[string]attest.Roots, error) {
	all := make(map[string]attest.Roots)
	for _, d := range s.cfg.ServedDirectories() {
		roots, err := readAttestationRoots(d.Validation.AttestationRoots)
		if err != nil {
			return nil, fmt.Errorf("directory %q: %w", d.Name, err)
		}
		all[d.Name] = roots
	}
	return all, nil
}

func readAttestationRoots(c config.AttestationRoots) (attest.Roots, error) {
	roots := make(attest.Roots)
	for _, f := range []struct {
		key, file string
		format    attest.Format
	}{
		{"apple", c.Apple, attest.Apple}, {"tpm", c.TPM, attest.TPM}, {"android_key", c.AndroidKey, attest.AndroidKey}, {"step", c.Step, attest.Step},
	} {
		if f.file == "" {
			continue
		}
		certs, err := readChain(f.file)
		if err != nil {
			return nil, fmt.Errorf("validation.attestation_roots.%s: %s: %w", f.key, f.file, err)
		}
		for _, cert := range certs {
			if !cert.IsCA {
				return nil, fmt.Errorf("validation.attestation_roots.%s: %s: the certificate of %q is not that of a CA", f.key, f.file, cert.Subject)
			}
		}
		roots[f.format] = certs
	}
	return roots, nil
}
