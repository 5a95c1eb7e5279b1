package conformance

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // the driver sqlite

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// What a CA issued passes its own audit, and what is wrong
// with its store is found, on both stores.
func TestAudit(t *testing.T) {
	t.Parallel()
	for _, w := range []harness.Wiring{{}, {Postgres: true}} {
		t.Run(w.String(), func(t *testing.T) {
			t.Parallel()
			s := harness.Start(t, harness.Options{Wiring: w})
			c := s.Account(t)
			name := harness.NewName("audit")
			s.Issue(t, c, "http-01", name, "www."+name)
			wild := s.Issue(t, c, "dns-01", "*."+name).Certificate
			s.Issue(t, s.Account(t), "tls-alpn-01", "tls."+name)
			revoked := s.Issue(t, c, "http-01", harness.NewName("audit")).Certificate
			c.Revoke(t, revoked.Leaf().Raw, 4).Want(t, 200)

			if out, clean := s.Audit(t); !clean || !strings.Contains(out, ": 0 findings, 0 notices.") {
				t.Errorf("a clean store:\n%s", out)
			}
			state := filepath.Join(t.TempDir(), "state")
			if out, clean := s.Audit(t, "--state", state, "--json"); !clean {
				t.Errorf("with a state:\n%s", out)
			}

			driver, url := "sqlite", strings.TrimPrefix(s.StoreURL(), "sqlite:")
			if w.Postgres {
				driver, url = "pgx", s.StoreURL()
			}
			db, err := sql.Open(driver, url)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			octets := wild.Leaf().SerialNumber.FillBytes(make([]byte, 20))
			for _, statement := range []string{
				`UPDATE authorizations SET caa = NULL WHERE id IN (SELECT x.authorization_id FROM order_authorizations x JOIN certificates c ON c.order_id = x.order_id WHERE c.serial = $1)`,
				`UPDATE certificates SET crl_shard = crl_shard + 1 WHERE serial = $1`,
			} {
				if _, err := db.ExecContext(t.Context(), statement, octets); err != nil {
					t.Fatal(err)
				}
			}
			out, clean := s.Audit(t, "--json")
			found := make(map[string]bool)
			for line := range bytes.Lines([]byte(out)) {
				var f struct{ Serial, Check string }
				if err := json.Unmarshal(line, &f); err != nil {
					t.Fatalf("%v in %s", err, line)
				}
				if f.Check != "" && f.Serial == hexSerial(wild) {
					found[f.Check] = true
				}
			}
			if clean || len(found) != 2 || !found["caa"] || !found["profile"] {
				t.Errorf("a corrupt store: %v in\n%s", found, out)
			}
			if out, clean := s.Audit(t, "--skip", "caa,profile"); !clean {
				t.Errorf("the checks were skipped:\n%s", out)
			}
			if !w.Postgres {
				log, err := os.ReadFile(filepath.Join(s.Dir, "serve", "audit.log"))
				if err != nil || bytes.Count(log, []byte(`"certificates audited"`)) != 4 {
					t.Errorf("the audit log has %d audits, %v", bytes.Count(log, []byte(`"certificates audited"`)), err)
				}
			}
		})
	}
}

// Weak keys that the operator's list names, and keys of other accounts, are
// refused; a list of blocked keys is read by the running CA.
func TestListedKeys(t *testing.T) {
	t.Parallel()
	weak, leaked := rawacme.NewKey(t), rawacme.NewKey(t)
	folder := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(folder, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	list := write("weak", "# one\n"+spkiHash(t, weak)+"\n")
	s := harness.Start(t, harness.Options{Configure: func(config map[string]any) {
		config["ca"].(map[string]any)["weak_keys"] = []string{list}
	}})
	c := s.Account(t)
	if out := s.Admin(t, "block-key", "--list", write("blocked", "# leaked\n\n"+spkiHash(t, leaked)+"\n")); !strings.Contains(out, "1 keys are blocked") {
		t.Errorf("block-key: %s", out)
	}
	if out := s.Admin(t, "block-key", "--json", "--list", filepath.Join(folder, "blocked")); !strings.Contains(out, `"blocked_before": 1`) {
		t.Errorf("block-key again: %s", out)
	}
	other := rawacme.NewKey(t)
	s.Client(t, other).Register(t)
	name := harness.NewName("weak")
	order := s.Ready(t, c, "http-01", name)
	for what, key := range map[string]*ecdsa.PrivateKey{"weak keys": weak, "compromised": leaked, "key of an account": other} {
		resp := c.Post(t, order.Finalize, map[string]any{"csr": rawacme.B64(rawacme.CSR(t, key, []string{name}))})
		if !strings.Contains(string(resp.Body), what) {
			t.Errorf("%s: %s", what, resp.Body)
		}
	}
	c.Finalize(t, order, rawacme.CSR(t, rawacme.NewKey(t), []string{name}))
}

func spkiHash(t *testing.T, key *ecdsa.PrivateKey) string {
	t.Helper()
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(spki))
}
