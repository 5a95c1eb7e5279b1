// Package pkcs11 runs Cairn with its issuer's key on a PKCS#11 token, that of
// SoftHSM: as one process and as one process per role.
//
// The tests are not parallel: SoftHSM finds its tokens with a variable of the
// environment, which the processes have from this one.
package pkcs11

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/cairn-ca/cairn/internal/hsmtest"
	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

func TestMain(m *testing.M) { harness.Main(m) }

// wirings are the two ways to run Cairn; where it stores makes no difference
// here.
var wirings = []harness.Wiring{{}, {Roles: true}}

// start starts a server whose issuer's key is on a new token. Every process
// has the key that names it in its configuration.
func start(t *testing.T, w harness.Wiring, kind string) (*harness.Server, *hsmtest.Token) {
	t.Helper()
	h := hsmtest.New(t)
	h.Use(t)
	token := h.NewToken(t, "issuers")
	token.GenerateKey(t, kind, "issuer", "01")
	uri := token.URI("issuer", "%01", hsmtest.PINFile(t, token.PIN))
	s := harness.Start(t, harness.Options{Wiring: w, Configure: func(config map[string]any) {
		config["answer_wait"] = "200ms"
		config["ca"].(map[string]any)["issuer_key"] = uri
		config["ca"].(map[string]any)["pkcs11"] = map[string]any{"sessions": 3}
	}})
	return s, token
}

// The whole road with a key on a token: certificates, OCSP and CRLs are good,
// the key is the token's, and after a restart it is the same.
func TestIssue(t *testing.T) {
	for _, test := range []struct {
		harness.Wiring
		kind string
	}{{harness.Wiring{}, "rsa:2048"}, {harness.Wiring{Roles: true}, "EC:secp384r1"}} {
		t.Run(test.Wiring.String(), func(t *testing.T) {
			s, token := start(t, test.Wiring, test.kind)
			c := s.Account(t)
			name := harness.NewName("token")
			issued := s.Issue(t, c, "http-01", name)
			s.Verify(t, issued.Certificate, name)
			s.OpenSSLVerify(t, issued.Chain)
			// pkcs11-tool reads the public keys of RSA alone.
			if spki := issued.Issuer().RawSubjectPublicKeyInfo; test.kind == "rsa:2048" && !bytes.Equal(spki, token.PublicKey(t, "01")) {
				t.Error("the issuer's certificate is for another key than the token's")
			}
			c.Revoke(t, issued.Leaf().Raw, 1).Want(t, http.StatusOK)
			s.CheckRevoked(t, issued.Certificate, 1)
			if _, err := os.Stat(filepath.Join(filepath.Dir(s.RootFile()), "keys", "intermediate.key")); !os.IsNotExist(err) {
				t.Errorf("there is a key file for the issuer: %v", err)
			}
			s.Stop(t)
			s.Up(t)
			c.Forget()
			again := s.Issue(t, c, "http-01", name)
			s.Verify(t, again.Certificate, name)
			if !again.Issuer().Equal(issued.Issuer()) {
				t.Error("after a restart another CA issues")
			}
		})
	}
}

// Only the process of the signing authority loads the library, though the
// configuration of each names it; and no other process has a key of the
// hierarchy in its data folder.
func TestOnlyTheSigningProcessHasTheKey(t *testing.T) {
	s, token := start(t, harness.Wiring{Roles: true}, "EC:prime256v1")
	s.Issue(t, s.Account(t), "http-01", harness.NewName("role"))
	pids := s.PIDs()
	if len(pids) != 6 {
		t.Fatalf("the processes are %v", pids)
	}
	for role, pid := range pids {
		maps, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "maps"))
		if err != nil {
			t.Fatal(err)
		}
		if loaded := strings.Contains(string(maps), filepath.Base(token.Module())); loaded != (role == "ca") {
			t.Errorf("cairn %s has the PKCS#11 library loaded: %v", role, loaded)
		}
		if role == "ca" {
			continue
		}
		keys, err := filepath.Glob(filepath.Join(s.Dir, role, "keys", "*.key"))
		if err != nil || len(keys) > 0 {
			t.Errorf("cairn %s has the keys %v, %v", role, keys, err)
		}
	}
}

// The token is removed while certificates are issued, and comes back. No
// process is restarted; every order that was accepted gets its certificate,
// and each certificate was signed and recorded once.
func TestTokenRemovedUnderLoad(t *testing.T) {
	for _, w := range wirings {
		t.Run(w.String(), func(t *testing.T) {
			s, token := start(t, w, "EC:prime256v1")
			pids := s.PIDs()
			c := s.Account(t)
			const orders = 12
			all := make([]*finalizing, orders)
			for i := range all {
				name := harness.NewName("removed")
				all[i] = &finalizing{order: s.Ready(t, c, "http-01", name), name: name,
					csr: map[string]any{"csr": rawacme.B64(rawacme.CSR(t, rawacme.NewKey(t), []string{name}))}}
			}
			// Some before, some at any point between, some after.
			finalize(t, c, all[:2])
			var sent sync.WaitGroup
			sent.Go(func() { finalize(t, c, all[2:8]) })
			token.Remove(t)
			sent.Wait()
			finalize(t, c, all[8:])
			status, body := admin(t, s, "/readyz")
			if status != http.StatusServiceUnavailable || !strings.Contains(body, "issuer key") {
				t.Errorf("the token is away, and /readyz says %d: %s", status, body)
			}
			if last := c.Order(t, all[orders-1].order.URL); last.Status != "processing" {
				t.Errorf("the token is away, and an order is %s", last.Status)
			}
			if status, _ := admin(t, s, "/healthz"); status != http.StatusOK {
				t.Errorf("/healthz: status %d", status)
			}

			token.Return(t)
			serials := make(map[string]bool)
			for _, f := range all {
				order := c.Settled(t, f.order.URL)
				if order.Status != "valid" {
					t.Fatalf("the order is %s: %+v", order.Status, order.Error)
				}
				chain := c.Download(t, order.Certificate)
				s.Verify(t, harness.Certificate{Chain: chain}, f.name)
				serials[serial(chain[0])] = true
			}
			if len(serials) != orders {
				t.Errorf("%d orders have %d certificates", orders, len(serials))
			}
			if status, body := admin(t, s, "/readyz"); status != http.StatusOK {
				t.Errorf("the token is back, and /readyz says %d: %s", status, body)
			}
			for role, pid := range s.PIDs() {
				if pids[role] != pid {
					t.Errorf("cairn %s was restarted", role)
				}
			}
			audit := s.AuditLog(t)
			for number := range serials {
				if n := strings.Count(audit, `"certificate issued","service":"ca","serial":"`+number+`"`); n != 1 {
					t.Errorf("certificate %s is in the audit log %d times", number, n)
				}
			}
			_, metrics := admin(t, s, "/metrics")
			for _, want := range []string{`cairn_pkcs11_token_available{token="issuers"} 1`, `cairn_pkcs11_reopened_total{token="issuers"} 1`, `cairn_pkcs11_sessions_in_use{token="issuers"}`, `cairn_pkcs11_signature_seconds_count{result="failed",token="issuers"}`} {
				if !strings.Contains(metrics, want) {
					t.Errorf("the metrics have no %s", want)
				}
			}
		})
	}
}

// finalizing is an order that is ready, and what finalizes it.
type finalizing struct {
	order rawacme.Order
	name  string
	csr   map[string]any
}

// finalize sends the requests, all at once; each is accepted, whether or not
// there is a token.
func finalize(t *testing.T, c *rawacme.Client, orders []*finalizing) {
	t.Helper()
	var sent sync.WaitGroup
	for _, f := range orders {
		sent.Go(func() {
			resp, err := c.Try(t.Context(), f.order.Finalize, f.csr)
			if err != nil || resp.Status != http.StatusOK {
				t.Errorf("finalize: %+v, %v", resp, err)
			}
		})
	}
	sent.Wait()
}

// admin reads from the admin listener of the process that holds the key. In a
// role its certificate is not the CA's; nothing secret is sent.
func admin(t *testing.T, s *harness.Server, path string) (int, string) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.IssuingURL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func serial(cert *x509.Certificate) string {
	return hex.EncodeToString(cert.SerialNumber.FillBytes(make([]byte, 20)))
}

// A start that can't have the key ends with a line that says why.
func TestStartErrors(t *testing.T) {
	h := hsmtest.New(t)
	h.Use(t)
	token := h.NewToken(t, "issuers")
	token.GenerateKey(t, "EC:prime256v1", "issuer", "01")
	pin, wrong := hsmtest.PINFile(t, token.PIN), hsmtest.PINFile(t, "00000000")
	binary, err := harness.Binary()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		uri  string
		want string
	}{
		"a bad URI":     {"pkcs11:token=issuers", "ca.issuer_key: the PKCS#11 URI must name the key"},
		"no such key":   {token.URI("nothing", "", pin), "no such key"},
		"a wrong PIN":   {token.URI("issuer", "", wrong), "refused the PIN"},
		"no such token": {strings.Replace(token.URI("issuer", "", pin), "token=issuers", "token=other", 1), "could not find PKCS#11 token"},
	} {
		folder := t.TempDir()
		config := filepath.Join(folder, "cairn.yaml")
		text := "data: " + filepath.Join(folder, "data") + "\nlisten: {acme: \"127.0.0.1:0\", public: \"127.0.0.1:0\", admin: \"127.0.0.1:0\"}\nca: {issuer_key: '" + test.uri + "'}\n"
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var stderr bytes.Buffer
		cmd := exec.CommandContext(t.Context(), binary, "serve", "--config", config)
		cmd.Stderr = &stderr
		err := cmd.Run()
		if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), test.want) || strings.Contains(stderr.String(), token.PIN) {
			t.Errorf("%s: %v\n%s", name, err, stderr.String())
		}
	}
}
