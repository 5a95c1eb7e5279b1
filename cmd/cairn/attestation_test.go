package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/config"
	"github.com/cairn-ca/cairn/test/harness/device"
	"github.com/cairn-ca/cairn/va/attest"
)

func TestAttestationRoots(t *testing.T) {
	t.Parallel()
	maker := device.NewAuthority(t, "maker")
	file := maker.RootFile(t)
	roots, err := readAttestationRoots(config.AttestationRoots{TPM: file, Step: file})
	if err != nil {
		t.Fatal(err)
	}
	if len(roots) != 2 || len(roots[attest.TPM]) != 1 || !roots[attest.Step][0].Equal(maker.Root) {
		t.Errorf("got %v", roots)
	}
	junk := filepath.Join(t.TempDir(), "junk.pem")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, words := range map[string]string{
		filepath.Join(t.TempDir(), "none.pem"): "no such file", junk: "no certificate in PEM form",
	} {
		_, err := readAttestationRoots(config.AttestationRoots{AndroidKey: file})
		if err == nil || !strings.Contains(err.Error(), words) || !strings.HasPrefix(err.Error(), "validation.attestation_roots.android_key: ") {
			t.Errorf("%s: %v", file, err)
		}
	}
}
