package conformance

import (
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

type revokedReport struct {
	Revoked      int `json:"revoked"`
	Before       int `json:"revoked_before"`
	Certificates []struct {
		Serial, Status string
		Replaced       bool
	} `json:"certificates"`
}

// revoke runs cairn admin revoke.
func revoke(t *testing.T, s *harness.Server, args ...string) (done revokedReport) {
	t.Helper()
	out := s.Admin(t, append([]string{"revoke", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &done); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return done
}

// issueFor obtains a certificate for a key.
func issueFor(t *testing.T, s *harness.Server, c *rawacme.Client, key crypto.Signer) harness.Certificate {
	t.Helper()
	name := harness.NewName("blocked")
	order := s.Ready(t, c, "http-01", name)
	return harness.Certificate{Chain: c.Finalize(t, order, rawacme.CSR(t, key, []string{name})), Key: key}
}

func hexSerial(c harness.Certificate) string { return fmt.Sprintf("%040x", c.Leaf().SerialNumber) }

// Baseline Requirements §4.9.1: an operator revokes by serial, list, account
// and name; each way finds what it should and nothing else.
func TestOperatorRevokes(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Options{})
	one, other := s.Account(t), s.Account(t)
	name := harness.NewName("operator")
	a := s.Issue(t, one, "http-01", name).Certificate
	b := s.Issue(t, one, "http-01", "sub."+name).Certificate
	c := s.Issue(t, other, "http-01", harness.NewName("operator")).Certificate

	dry := revoke(t, s, "--name", name, "--subdomains", "--reason", "superseded", "--dry-run")
	if dry.Revoked != 2 || s.OCSP(t, a, http.MethodPost).Status != 0 {
		t.Errorf("a dry run: %+v", dry)
	}
	if done := revoke(t, s, "--name", name, "--reason", "privilegeWithdrawn"); done.Revoked != 1 || done.Certificates[0].Serial != hexSerial(a) {
		t.Errorf("by name: %+v", done)
	}
	s.CheckRevoked(t, a, 9)

	list := filepath.Join(t.TempDir(), "serials")
	if err := os.WriteFile(list, []byte("# affected\n\n"+hexSerial(a)+"\n"+strings.ToUpper(hexSerial(b))+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if done := revoke(t, s, "--list", list, "--reason", "superseded"); done.Revoked != 1 || done.Before != 1 {
		t.Errorf("by list: %+v", done)
	}
	s.CheckRevoked(t, b, 4)
	s.CheckRevoked(t, a, 9)

	// keyCompromise replaces another reason (Baseline Requirements §7.2.2).
	if done := revoke(t, s, "--account", one.KID, "--reason", "keyCompromise"); done.Revoked != 2 {
		t.Errorf("by account: %+v", done)
	}
	if now := s.OCSP(t, b, http.MethodPost); now.RevocationReason != 1 {
		t.Errorf("revoked before for another reason: %d", now.RevocationReason)
	}
	if status := s.OCSP(t, c, http.MethodPost).Status; status != 0 {
		t.Errorf("another account's certificate: %d", status)
	}
	if done := revoke(t, s, "--serial", hexSerial(c), "--reason", "cessationOfOperation"); done.Revoked != 1 {
		t.Errorf("by serial: %+v", done)
	}
	s.CheckRevoked(t, c, 5)
}

// Baseline Requirements §4.9.1.1: what holds a key that is known to be
// compromised is revoked, whoever ordered it, and the key is refused from then
// on; both when a client proves the loss and when an operator says so.
func TestBlockedKeyRevokes(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Options{})
	one, other := s.Account(t), s.Account(t)
	lost, leaked := rawacme.NewKey(t), rawacme.NewKey(t)
	proven, sibling := issueFor(t, s, one, lost), issueFor(t, s, other, lost)
	told, safe := issueFor(t, s, one, leaked), issueFor(t, s, one, rawacme.NewKey(t))

	one.Revoke(t, proven.Leaf().Raw, 1, rawacme.WithKey(lost)).Want(t, http.StatusOK)
	s.Admin(t, "block-key", "--key-hash", fmt.Sprintf("%x", sha256.Sum256(told.Leaf().RawSubjectPublicKeyInfo)), "--comment", "report 17")
	s.CheckRevoked(t, proven, 1)
	rawacme.Poll(t, "the certificates of the blocked keys are revoked", func() bool {
		return s.OCSP(t, sibling, http.MethodPost).Status == 1 && s.OCSP(t, told, http.MethodPost).Status == 1
	})
	s.CheckRevoked(t, sibling, 1)
	s.CheckRevoked(t, told, 1)
	if status := s.OCSP(t, safe, http.MethodPost).Status; status != 0 {
		t.Errorf("a certificate of another key: %d", status)
	}
	rawacme.Poll(t, "the operator's list tells what became of them", func() bool {
		out := s.Admin(t, "block-key", "list", "--json")
		var keys []struct {
			Comment               string
			Certificates, Revoked int
		}
		if err := json.Unmarshal([]byte(out), &keys); err != nil || len(keys) != 2 {
			t.Fatalf("%v in %s", err, out)
		}
		for _, k := range keys {
			if k.Revoked != 1 {
				return false
			}
		}
		return true
	})
}

// Baseline Requirements §4.9.1.1 and RFC 9773 §4.2: an incident moves its
// certificates' renewal windows, tells how far their clients have come, and
// revokes what is left.
func TestIncident(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Options{})
	c := s.Account(t)
	name := harness.NewName("incident")
	renewing := s.Issue(t, c, "http-01", name).Certificate
	late := s.Issue(t, c, "http-01", harness.NewName("incident")).Certificate
	var opened struct{ ID string }
	out := s.Admin(t, "incident", "open", "--json", "--account", c.KID, "--reason", "superseded", "--within", "24h", "--comment", "wrong policy",
		"--explanation", "https://ca.example/17")
	if err := json.Unmarshal([]byte(out), &opened); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	for _, cert := range []harness.Certificate{renewing, late} {
		resp := c.Do(t, http.MethodGet, c.Directory.RenewalInfo+"/"+certID(t, cert.Leaf()), nil, nil)
		var info struct {
			renewalInfo
			ExplanationURL string `json:"explanationURL"`
		}
		resp.JSON(t, &info)
		if end := info.Window.End; info.Window.Start.After(time.Now()) || end.After(time.Now().Add(19*time.Hour)) || info.ExplanationURL != "https://ca.example/17" {
			t.Errorf("the window is %+v", info)
		}
	}
	order := c.NewOrderFor(t, map[string]any{"identifiers": rawacme.DNS(name), "replaces": certID(t, renewing.Leaf())})
	for _, url := range order.Authorizations {
		s.Authorize(t, c, url, "http-01")
	}
	c.Finalize(t, order, rawacme.CSR(t, rawacme.NewKey(t), []string{name}))

	var shown struct {
		Certificates, Outstanding int
		List                      []struct {
			Serial   string
			Replaced bool
		} `json:"outstanding_certificates"`
	}
	show := func() {
		t.Helper()
		out := s.Admin(t, "incident", "show", opened.ID, "--json")
		shown.List = nil
		if err := json.Unmarshal([]byte(out), &shown); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
	}
	if show(); shown.Outstanding != 2 {
		t.Errorf("outstanding: %+v", shown)
	}
	for _, cert := range shown.List {
		if cert.Replaced != (cert.Serial == hexSerial(renewing)) {
			t.Errorf("%+v", cert)
		}
	}
	s.Admin(t, "incident", "revoke", opened.ID)
	s.CheckRevoked(t, renewing, 4)
	s.CheckRevoked(t, late, 4)
	if show(); shown.Outstanding != 0 || shown.Certificates != 2 {
		t.Errorf("at the end: %+v", shown)
	}
	s.Admin(t, "incident", "close", opened.ID)
	if list := s.Admin(t, "incident", "list"); !strings.Contains(list, "closed") || !strings.Contains(list, "wrong policy") {
		t.Errorf("the list is\n%s", list)
	}
}
