package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	xacme "golang.org/x/crypto/acme"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/config"
	"github.com/cairn-ca/cairn/sa"
)

// command runs a command of cairn's on the data folder of a configuration with
// default settings.
func command(t *testing.T, cfg *config.Config, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	err := run(context.Background(), append(args, "--data", cfg.Data), &stdout, &stderr)
	if err != nil || stderr.Len() > 0 {
		t.Errorf("cairn %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String()
}

// A key that an operator made binds an account of a running CA, and a revoked
// one doesn't.
func TestAdminEAB(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.Directory.EAB.Required = true
	withServer(t, cfg, func(where serving) {
		register := func(id, mac string) error {
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				return err
			}
			secret, err := base64.RawURLEncoding.DecodeString(mac)
			if err != nil {
				return err
			}
			account := &xacme.Account{ExternalAccountBinding: &xacme.ExternalAccountBinding{KID: id, Key: secret}}
			c := &xacme.Client{Key: key, HTTPClient: client(t, where), DirectoryURL: where.Directory}
			_, err = c.Register(t.Context(), account, xacme.AcceptTOS)
			return err
		}
		made := func(args ...string) (id, mac string) {
			var key keyDocument
			if err := json.Unmarshal([]byte(command(t, cfg, append([]string{"admin", "eab", "create", "--json"}, args...)...)), &key); err != nil {
				t.Error(err)
			}
			return key.ID, key.HMACKey
		}
		refused := func(id, mac string) {
			t.Helper()
			var problem *xacme.Error
			if err := register(id, mac); !errors.As(err, &problem) || problem.StatusCode != http.StatusUnauthorized && problem.StatusCode != http.StatusForbidden {
				t.Errorf("got %v", err)
			}
		}
		id, mac := made()
		if err := register(id, mac); err != nil {
			t.Error(err)
		}
		refused(id, mac) // it was used
		if list := command(t, cfg, "admin", "eab", "list"); !strings.Contains(list, id+"  used") {
			t.Errorf("%s is not listed as used in:\n%s", id, list)
		}
		id, mac = made("--reusable", "--id", "many")
		for range 2 {
			if err := register(id, mac); err != nil {
				t.Error(err)
			}
		}
		command(t, cfg, "admin", "eab", "revoke", id)
		refused(id, mac)
	})
}

// Clients of a running CA see an operator's renewal order.
func TestAdminRenew(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	withServer(t, cfg, func(where serving) {
		c := client(t, where)
		get := func(url string, into any) *http.Response {
			t.Helper()
			resp, err := c.Get(url)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("GET %s: %s, %v", url, resp.Status, err)
			}
			if err := json.Unmarshal(body, into); err != nil {
				t.Fatal(err)
			}
			return resp
		}
		var directory struct{ RenewalInfo string }
		leaf := get(where.Directory, &directory).TLS.PeerCertificates[0]
		serial, err := acme.SerialFromBig(leaf.SerialNumber)
		if err != nil {
			t.Fatal(err)
		}
		type renewalInfo struct {
			SuggestedWindow struct{ Start, End time.Time }
			ExplanationURL  string
		}
		info := func() (r renewalInfo) {
			t.Helper()
			get(directory.RenewalInfo+"/"+acme.NewCertID(leaf.AuthorityKeyId, serial).String(), &r)
			return r
		}
		if i := info(); !i.SuggestedWindow.Start.After(time.Now()) {
			t.Errorf("before the order: %+v", i)
		}
		command(t, cfg, "admin", "renew", "--serial", strings.ToUpper(serial.String()), "--explanation", "https://status.example.com/1")
		if i := info(); !i.SuggestedWindow.End.Before(time.Now()) || i.ExplanationURL != "https://status.example.com/1" {
			t.Errorf("after the order: %+v", i)
		}
		command(t, cfg, "admin", "renew", "--issued-from", "2020-01-01", "--issued-before", "2100-01-01", "--start", "2100-02-01", "--end", "2100-02-02")
		if i := info(); i.SuggestedWindow.Start.Year() != 2100 || i.SuggestedWindow.End.Sub(i.SuggestedWindow.Start) != 24*time.Hour {
			t.Errorf("after the second order: %+v", i)
		}
	})
}

func TestRenewFlags(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 5, time.UTC)
	order, err := renewFlags{serial: "0A:0b"}.order(now)
	want := sa.RenewalOrder{Start: now.Add(-2 * time.Hour).Truncate(time.Second), End: now.Add(-time.Hour).Truncate(time.Second)}
	want.Serial, _ = acme.ParseSerial("0a0b")
	if err != nil || order != want {
		t.Errorf("got %+v, %v, want %+v", order, err, want)
	}
	for _, f := range []renewFlags{
		{}, {serial: "x"}, {serial: "1a", issuedFrom: "2026-01-01"}, {issuedFrom: "2026-01-01"}, {issuedBefore: "2026-01-01"},
		{serial: "1a", end: "2026-01-01"}, {serial: "1a", start: "2026-01-02", end: "2026-01-01"}, {serial: "1a", explanation: "javascript:x"},
	} {
		if order, err := f.order(now); err == nil {
			t.Errorf("%+v gives %+v", f, order)
		}
	}
}
