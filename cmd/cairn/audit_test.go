package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAuditFlags(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	bad := filepath.Join(folder, "bad")
	if err := os.WriteFile(bad, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, f := range map[string]auditFlags{
		"--after":                  {after: "xyz"},
		"--since: expects":         {since: "yesterday"},
		"--until: expects":         {until: "2026-13-01"},
		`there is no check "caa2"`: {skip: []string{"caa", "caa2"}},
		"--shared-keys":            {keys: -1},
		"is not the state":         {state: bad},
	} {
		if _, err := f.config(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", f, err)
		}
	}
	// A state is what the next run goes on from, and no file is no state.
	state := filepath.Join(folder, "state")
	if cfg, err := (auditFlags{state: state, since: "2026-11-01", until: "2026-12-01T00:00:00Z", skip: []string{"lint"}}).config(); err != nil ||
		!cfg.After.IsZero() || cfg.Until.Sub(cfg.Since) != 30*24*time.Hour || !cfg.Skip["lint"] {
		t.Errorf("%+v, %v", cfg, err)
	}
	if err := writeAuditState(state, auditState{After: "0a0b", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if cfg, err := (auditFlags{state: state}).config(); err != nil || cfg.After.String() != "0a0b" {
		t.Errorf("%s, %v", cfg.After, err)
	}
	if cfg, err := (auditFlags{state: state, after: "0C"}).config(); err != nil || cfg.After.String() != "0c" {
		t.Errorf("%s, %v", cfg.After, err)
	}
}

// A public CA without lists of weak keys is told at start; a list that can't be
// read stops the start.
func TestWeakKeysAtStart(t *testing.T) {
	t.Parallel()
	start := func(public bool, lists ...string) (string, error) {
		cfg := testConfig(t)
		cfg.Directory.Public, cfg.CA.WeakKeys = public, lists
		data, err := openData(cfg.Data, "")
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		n, err := newInstance(cfg, "serve", data, streams{stdout: &bytes.Buffer{}, stderr: &log})
		if err != nil {
			t.Fatal(err)
		}
		defer n.close()
		_, err = n.weakKeys()
		return log.String(), err
	}
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte("49d96fae9bfc0e84bba3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if log, err := start(true); err != nil || !strings.Contains(log, "ca.weak_keys") {
		t.Errorf("public, none: %v, %s", err, log)
	}
	if log, err := start(false); err != nil || strings.Contains(log, "ca.weak_keys") {
		t.Errorf("private, none: %v, %s", err, log)
	}
	if log, err := start(true, list); err != nil || strings.Contains(log, "ca.weak_keys") || !strings.Contains(log, "hashes=1") {
		t.Errorf("public, one: %v, %s", err, log)
	}
	if _, err := start(false, list+".none"); err == nil || !strings.Contains(err.Error(), "ca.weak_keys: reading the list") {
		t.Errorf("no such file: %v", err)
	}
}

func TestKeyHashList(t *testing.T) {
	t.Parallel()
	hash := strings.Repeat("aB", 32)
	for text, want := range map[string]string{
		hash + "\n# x\n\n  " + hash + "\r\n": "",
		"":                                   "has no hash",
		hash + "\n" + hash[2:]:               "line 2 of -: expects the 64",
		strings.Repeat(hash+"\n", maxBlockList+1): "more than 100000 keys",
	} {
		hashes, err := readKeyHashes("-", strings.NewReader(text))
		if want == "" && (err != nil || len(hashes) != 2) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.80q: %d, %v", text, len(hashes), err)
		}
	}
}
