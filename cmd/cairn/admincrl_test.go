package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

// awaitCRL waits until the CRL in a file has so many entries.
func awaitCRL(t *testing.T, path string, entries int) *x509.RevocationList {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		der, err := os.ReadFile(path)
		if err == nil {
			// What is there is whole at any moment.
			list, err := x509.ParseRevocationList(der)
			if err != nil {
				t.Fatal(err)
			}
			if len(list.RevokedCertificateEntries) == entries {
				return list
			}
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatalf("%s has not %d entries: %v", path, entries, err)
		}
	}
}

// Published to a folder, listed, and restored from there and from the store
// when that lost a revocation, its certificate with it.
func TestAdminCRL(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Listen.Public = freeAddress(t)
	cfg.CA.CRLDelay = 200 * time.Millisecond
	cfg.CA.CRLShards = 2
	cfg.CA.CRLPublish.Directory = filepath.Join(t.TempDir(), "www")
	var leaf *x509.Certificate
	var serial acme.Serial
	var file, kept string
	withServer(t, cfg, func(where serving) {
		resp, err := client(t, where).Get(where.Directory)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		leaf = resp.TLS.PeerCertificates[0]
		if serial, err = acme.SerialFromBig(leaf.SerialNumber); err != nil {
			t.Fatal(err)
		}
		command(t, cfg, "admin", "revoke", "--serial", serial.String(), "--reason", "superseded")
		address, err := url.Parse(leaf.CRLDistributionPoints[0])
		if err != nil {
			t.Fatal(err)
		}
		file = filepath.Join(cfg.CA.CRLPublish.Directory, address.Path)
		list := awaitCRL(t, file, 1)
		resp, err = http.Get(leaf.CRLDistributionPoints[0])
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if served, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(served, list.Raw) {
			t.Errorf("another CRL is served: %v", err)
		}

		var listed []crlDocument
		if err := json.Unmarshal([]byte(command(t, cfg, "admin", "crl", "list", "--json")), &listed); err != nil || len(listed) != 2 {
			t.Fatalf("%v, %v", listed, err)
		}
		if listed[0].Entries+listed[1].Entries != 1 || listed[0].Shard != 0 || listed[1].Shard != 1 {
			t.Errorf("%+v", listed)
		}
		if text := command(t, cfg, "admin", "crl", "list"); strings.Count(text, "\n") != 3 {
			t.Errorf("%s", text)
		}
		var urls []string
		if err := json.Unmarshal([]byte(command(t, cfg, "admin", "crl", "urls", "--issuer", listed[0].Issuer)), &urls); err != nil ||
			len(urls) != 2 || urls[0] != listed[0].URL || urls[1] != listed[1].URL {
			t.Errorf("%v, %v", urls, err)
		}
		if !strings.Contains(strings.Join(urls, " "), leaf.CRLDistributionPoints[0]) {
			t.Errorf("%v has not the URL of the certificate, %s", urls, leaf.CRLDistributionPoints[0])
		}
		var byIssuer map[string][]string
		if err := json.Unmarshal([]byte(command(t, cfg, "admin", "crl", "urls")), &byIssuer); err != nil || len(byIssuer[listed[0].Issuer]) != 2 {
			t.Errorf("%v, %v", byIssuer, err)
		}
		if got := command(t, cfg, "admin", "crl", "restore"); got != "0 revocations restored\n" {
			t.Errorf("%s", got)
		}
		kept = filepath.Join(t.TempDir(), "kept.crl")
		if err := os.WriteFile(kept, list.Raw, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	if t.Failed() {
		return
	}

	lose := func(statements ...string) {
		t.Helper()
		db, err := sql.Open("sqlite", filepath.Join(cfg.Data, storeFile))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range append(statements, "DELETE FROM revocations", "DELETE FROM certificates WHERE order_id IS NULL") {
			if _, err := db.ExecContext(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// As if the next CRL were due.
	lose("UPDATE crls SET this_update = this_update - 172800000000")
	err := serve(t.Context(), cfg, streams{stdout: io.Discard, stderr: io.Discard}, func(serving) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "cairn admin crl restore") || !strings.Contains(err.Error(), serial.String()) {
		t.Fatalf("started though a revocation is lost: %v", err)
	}
	if got := command(t, cfg, "admin", "crl", "restore", "--dry-run"); !strings.Contains(got, serial.String()) || !strings.HasSuffix(got, "1 revocations lost; nothing was changed\n") {
		t.Errorf("%s", got)
	}
	if got := command(t, cfg, "admin", "crl", "restore"); !strings.HasSuffix(got, "1 revocations restored\n") {
		t.Errorf("%s", got)
	}
	again := func() {
		t.Helper()
		withServer(t, cfg, func(serving) {
			list := awaitCRL(t, file, 1)
			if e := list.RevokedCertificateEntries[0]; e.SerialNumber.Cmp(leaf.SerialNumber) != 0 || e.ReasonCode != int(acme.ReasonSuperseded) {
				t.Errorf("%+v", e)
			}
		})
	}
	again()

	// A backup from before the CRL: it is there in a file alone.
	lose("DELETE FROM crls")
	if got := command(t, cfg, "admin", "crl", "restore", "--from", kept); !strings.HasSuffix(got, "1 revocations restored\n") {
		t.Errorf("%s", got)
	}
	again()

	// A CRL that is not the issuer's is not believed.
	der, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	der[len(der)-1] ^= 1
	if err := os.WriteFile(kept, der, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(context.Background(), []string{"admin", "crl", "restore", "--from", kept, "--data", cfg.Data}, io.Discard, io.Discard); err == nil {
		t.Error("a forged CRL is believed")
	}
}

func TestReadSecret(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	for content, want := range map[string]string{"key\n": "key", "key": "key", "": "", "two\nlines": "", strings.Repeat("x", maxSecret+1): ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readSecret(path)
		if got != want || (err == nil) != (want != "") || err != nil && strings.Contains(err.Error(), "two") {
			t.Errorf("%.20q: %q, %v", content, got, err)
		}
	}
}
