package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	xacme "golang.org/x/crypto/acme"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/responder"
)

// standIn is a server in test mode, as a client's test suite sees it.
type standIn struct {
	base, management string // URLs
	http             *http.Client
	log              *bytes.Buffer
}

// withTestMode runs cairn serve --test-mode with a configuration of Pebble's,
// calls f once it is ready, and stops it.
func withTestMode(t *testing.T, env map[string]string, dnsServer string, pebble map[string]any, f func(standIn)) {
	t.Helper()
	address, management := freeAddress(t), freeAddress(t)
	all := map[string]any{"listenAddress": address, "managementListenAddress": management, "keyAlgorithm": "ecdsa"}
	for name, value := range pebble {
		all[name] = value
	}
	data, err := json.Marshal(map[string]any{"pebble": all})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pebble.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// The root is made by the server that is called.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	s := standIn{
		base: "https://" + address, management: "https://" + management,
		http: &http.Client{Transport: transport, Timeout: time.Minute}, log: &bytes.Buffer{},
	}
	o := testOptions{config: file, dnsServer: dnsServer, getenv: func(name string) string { return env[name] }, out: streams{stdout: io.Discard, stderr: s.log}}
	err = serveTest(ctx, o, func(m *testMode, where serving) error {
		defer cancel()
		if _, err := os.Stat(m.cfg.Data); err != nil {
			t.Error(err)
		}
		t.Cleanup(func() {
			if _, err := os.Stat(m.cfg.Data); !os.IsNotExist(err) {
				t.Errorf("the folder %s is left: %v", m.cfg.Data, err)
			}
		})
		f(s)
		return nil
	})
	if err != nil {
		t.Errorf("serve --test-mode: %v", err)
	}
	if t.Failed() {
		t.Logf("log:\n%s", s.log.String())
	}
}

// get fetches from the management interface.
func (s standIn) get(t *testing.T, url string) (int, http.Header, string) {
	t.Helper()
	resp, err := s.http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

func (s standIn) certificate(t *testing.T, url string) *x509.Certificate {
	t.Helper()
	status, header, body := s.get(t, url)
	block, _ := pem.Decode([]byte(body))
	if status != http.StatusOK || block == nil || header.Get("Content-Type") != "application/pem-certificate-chain; charset=utf-8" {
		t.Fatalf("GET %s: %d %s %q", url, status, header.Get("Content-Type"), body)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// client is a client with a fresh account.
func (s standIn) client(t *testing.T, base string, binding *xacme.ExternalAccountBinding) *xacme.Client {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &xacme.Client{
		Key: key, HTTPClient: s.http, DirectoryURL: base + "/dir",
		RetryBackoff: func(n int, _ *http.Request, resp *http.Response) time.Duration {
			if n > 50 || resp.StatusCode >= http.StatusInternalServerError {
				return -1
			}
			return 10 * time.Millisecond
		},
	}
	if _, err := c.Register(t.Context(), &xacme.Account{ExternalAccountBinding: binding}, xacme.AcceptTOS); err != nil {
		t.Fatal(err)
	}
	return c
}

// issue obtains a certificate over http-01.
func (s standIn) issue(t *testing.T, c *xacme.Client, names *responder.Responder, name string) (chain [][]byte, url string) {
	t.Helper()
	ctx := t.Context()
	order, err := c.AuthorizeOrder(ctx, xacme.DomainIDs(name))
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range order.AuthzURLs {
		authz, err := c.GetAuthorization(ctx, u)
		if err != nil {
			t.Fatal(err)
		}
		for _, challenge := range authz.Challenges {
			if challenge.Type != "http-01" || authz.Status == xacme.StatusValid {
				continue
			}
			if names != nil {
				keyAuthorization, err := c.HTTP01ChallengeResponse(challenge.Token)
				if err != nil {
					t.Fatal(err)
				}
				names.SetHTTP01(challenge.Token, keyAuthorization)
			}
			if _, err := c.Accept(ctx, challenge); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.WaitAuthorization(ctx, u); err != nil {
			t.Fatal(err)
		}
	}
	if order, err = c.WaitOrder(ctx, order.URI); err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{name}}, key)
	if err != nil {
		t.Fatal(err)
	}
	chain, url, err = c.CreateOrderCert(ctx, order.FinalizeURL, csr, true)
	if err != nil {
		t.Fatal(err)
	}
	return chain, url
}

// A suite that was written for Pebble finds what it expects: its paths, its
// knobs, its management interface.
func TestTestMode(t *testing.T) {
	t.Parallel()
	mac := bytes.Repeat([]byte{7}, 48)
	env := map[string]string{
		"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_VA_ALWAYS_VALID": "1", "PEBBLE_WFE_NONCEREJECT": "30",
		"PEBBLE_ALTERNATE_ROOTS": "2", "PEBBLE_CHAIN_LENGTH": "3", "PEBBLE_WFE_ORDERS_PER_PAGE": "1", "PEBBLE_AUTHZREUSE": "100",
	}
	withTestMode(t, env, "", map[string]any{
		"externalAccountBindingRequired": true,
		"externalAccountMACKeys":         map[string]string{"kid-1": base64.RawURLEncoding.EncodeToString(mac)},
		"domainBlocklist":                []string{"blocked.example"},
		"ocspResponderURL":               "http://127.0.0.1:4002",
		"profiles":                       map[string]any{"long": map[string]any{"description": "five years", "validityPeriod": 157766400}},
		"retryAfter":                     map[string]any{"authz": 1, "order": 1},
		"strange":                        true,
	}, func(s standIn) {
		status, _, body := s.get(t, s.base+"/dir")
		var directory struct {
			NewNonce, NewAccount, NewOrder, RevokeCert, KeyChange, RenewalInfo string
			Meta                                                               struct {
				TermsOfService, Website string
				Profiles                map[string]string
				ExternalAccountRequired bool
			}
		}
		if err := json.Unmarshal([]byte(body), &directory); err != nil || status != http.StatusOK {
			t.Fatalf("%d %v %s", status, err, body)
		}
		for got, want := range map[string]string{
			directory.NewNonce: "/nonce-plz", directory.NewAccount: "/sign-me-up", directory.NewOrder: "/order-plz",
			directory.RevokeCert: "/revoke-cert", directory.KeyChange: "/rollover-account-key",
			directory.RenewalInfo: "/draft-ietf-acme-ari-03/renewalInfo",
		} {
			if got != s.base+want {
				t.Errorf("the directory has %q, want %q", got, s.base+want)
			}
		}
		if m := directory.Meta; !strings.Contains(m.TermsOfService, "no%20CA") || !strings.Contains(m.Website, "TEST%20MODE") || !m.ExternalAccountRequired || m.Profiles["long"] != "five years" || len(m.Profiles) != 1 {
			t.Errorf("meta: %+v", m)
		}
		if log := s.log.String(); !strings.HasPrefix(log, "TEST MODE: this is no certificate authority.") || !strings.Contains(log, "pebble.strange: test mode makes nothing of this key") {
			t.Errorf("the log begins %.300q", log)
		}

		binding := &xacme.ExternalAccountBinding{KID: "kid-1", Key: mac}
		c := s.client(t, s.base, binding)
		s.client(t, s.base, binding) // the keys are reusable
		if _, err := c.AuthorizeOrder(t.Context(), xacme.DomainIDs("www.blocked.example")); err == nil || !strings.Contains(err.Error(), "rejectedIdentifier") {
			t.Errorf("a blocked name: %v", err)
		}
		chain, url := s.issue(t, c, nil, "www.example.com")
		leaf, err := x509.ParseCertificate(chain[0])
		if err != nil {
			t.Fatal(err)
		}
		if got := leaf.NotAfter.Sub(leaf.NotBefore) + time.Second; got != 157766400*time.Second {
			t.Errorf("it is valid for %v", got)
		}
		if len(leaf.OCSPServer) != 1 || leaf.OCSPServer[0] != "http://127.0.0.1:4002" {
			t.Errorf("its OCSP responder is %v", leaf.OCSPServer)
		}
		s.checkChains(t, c, leaf, chain, url)
		s.checkStatus(t, c, leaf)
		s.checkRenewalInfo(t, directory.RenewalInfo, leaf)

		// Valid authorizations are reused, always.
		order, err := c.AuthorizeOrder(t.Context(), xacme.DomainIDs("www.example.com"))
		if err != nil || order.Status != xacme.StatusReady {
			t.Errorf("a second order: %+v, %v", order, err)
		}
	})
}

// checkChains checks that each root of the management interface is reached by
// one of the chains.
func (s standIn) checkChains(t *testing.T, c *xacme.Client, leaf *x509.Certificate, chain [][]byte, url string) {
	t.Helper()
	alternates, err := c.ListCertAlternates(t.Context(), url)
	if err != nil || len(alternates) != 2 {
		t.Fatalf("alternates: %v, %v", alternates, err)
	}
	chains := [][][]byte{chain}
	for _, alternate := range alternates {
		fetched, err := c.FetchCert(t.Context(), alternate, true)
		if err != nil {
			t.Fatal(err)
		}
		chains = append(chains, fetched)
	}
	for n, chain := range chains {
		if len(chain) != 4 {
			t.Errorf("chain %d has %d certificates", n, len(chain))
		}
		roots, between := x509.NewCertPool(), x509.NewCertPool()
		roots.AddCert(s.certificate(t, fmt.Sprintf("%s/roots/%d", s.management, n)))
		for _, der := range chain[1:] {
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			between.AddCert(cert)
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: "www.example.com"}); err != nil {
			t.Errorf("chain %d: %v", n, err)
		}
		if intermediate := s.certificate(t, fmt.Sprintf("%s/intermediates/%d", s.management, n)); !bytes.Equal(intermediate.Raw, chain[1]) {
			t.Errorf("/intermediates/%d is not that of the chain", n)
		}
		for _, path := range []string{"/root-keys/", "/intermediate-keys/"} {
			status, header, body := s.get(t, fmt.Sprintf("%s%s%d", s.management, path, n))
			block, _ := pem.Decode([]byte(body))
			if status != http.StatusOK || block == nil || block.Type != "EC PRIVATE KEY" || header.Get("Content-Type") != "application/x-pem-file; charset=utf-8" || len(header["Link"]) != 2 {
				t.Errorf("GET %s%d: %d %v", path, n, status, header)
			}
		}
	}
	if status, _, _ := s.get(t, s.management+"/roots/3"); status != http.StatusNotFound {
		t.Errorf("/roots/3: %d", status)
	}
	if status, _, body := s.get(t, s.management+"/readyz"); status != http.StatusOK || body == "" {
		t.Errorf("/readyz: %d %q", status, body)
	}
}

func (s standIn) checkStatus(t *testing.T, c *xacme.Client, leaf *x509.Certificate) {
	t.Helper()
	type certificateStatus struct {
		Status, Serial, Certificate, RevokedAt string
		Reason                                 *int
	}
	url := s.management + "/cert-status-by-serial/" + leaf.SerialNumber.Text(16)
	read := func() (got certificateStatus) {
		t.Helper()
		status, _, body := s.get(t, url)
		if err := json.Unmarshal([]byte(body), &got); err != nil || status != http.StatusOK {
			t.Fatalf("%d %v %s", status, err, body)
		}
		return got
	}
	if got := read(); got.Status != "Valid" || got.Serial != leaf.SerialNumber.Text(16) || got.Reason != nil || got.RevokedAt != "" || !strings.HasPrefix(got.Certificate, "-----BEGIN CERTIFICATE-----\n") {
		t.Errorf("before the revocation: %+v", got)
	}
	if err := c.RevokeCert(t.Context(), nil, leaf.Raw, xacme.CRLReasonSuperseded); err != nil {
		t.Fatal(err)
	}
	if got := read(); got.Status != "Revoked" || got.Reason == nil || *got.Reason != 4 || !strings.Contains(got.RevokedAt, "+0000 UTC") {
		t.Errorf("after the revocation: %+v", got)
	}
	for serial, want := range map[string]int{"xyz": http.StatusBadRequest, "1234": http.StatusNotFound, "0": http.StatusNotFound} {
		if status, _, _ := s.get(t, s.management+"/cert-status-by-serial/"+serial); status != want {
			t.Errorf("the status of %s: %d, want %d", serial, status, want)
		}
	}
}

func (s standIn) checkRenewalInfo(t *testing.T, url string, leaf *x509.Certificate) {
	t.Helper()
	serial, err := acme.SerialFromBig(leaf.SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	url += "/" + acme.NewCertID(leaf.AuthorityKeyId, serial).String()
	if status, _, body := s.get(t, url); status != http.StatusOK || !strings.Contains(body, "suggestedWindow") {
		t.Errorf("renewalInfo: %d %s", status, body)
	}
	post := func(body string) int {
		t.Helper()
		resp, err := s.http.Post(s.management+"/set-renewal-info/", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	request := func(cert []byte, answer string) string {
		t.Helper()
		body, err := json.Marshal(map[string]string{"Certificate": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})), "ARIResponse": answer})
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	if status := post(request(leaf.Raw, "{ malformed")); status != http.StatusOK {
		t.Errorf("setting renewalInfo: %d", status)
	}
	if status, header, body := s.get(t, url); status != http.StatusOK || body != "{ malformed" || header.Get("Retry-After") != "21600" {
		t.Errorf("the answer that was set: %d %s", status, body)
	}
	stranger := issue(t, "stranger", nil, nil, time.Now().Add(time.Hour)).cert
	for body, want := range map[string]int{
		"{": http.StatusBadRequest, `{"Certificate": "x"}`: http.StatusBadRequest, request([]byte("x"), ""): http.StatusBadRequest,
		request(stranger.Raw, "x"): http.StatusNotFound,
	} {
		if status := post(body); status != want {
			t.Errorf("%.40s: %d, want %d", body, status, want)
		}
	}
}

// Validations are run, by way of the DNS server that is named, unless a knob
// turns them off; CAA records don't matter; URLs have the host that was
// called; the listeners have the certificate that was configured.
func TestTestModeValidates(t *testing.T) {
	t.Parallel()
	names, err := responder.Start(t.Context(), responder.Config{Suffixes: []string{"test.example"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(names.Close)
	if err := names.SetCAA("test.example", `0 issue "another-ca.example"`); err != nil {
		t.Fatal(err)
	}
	own := issue(t, "localhost", nil, nil, time.Now().Add(time.Hour))
	keyDER, err := x509.MarshalECPrivateKey(own.key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	keyFile := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"PEBBLE_VA_SLEEPTIME": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
	withTestMode(t, env, names.DNSAddr(), map[string]any{
		"httpPort": names.HTTPPort(), "tlsPort": names.TLSPort(), "keyAlgorithm": "rsa",
		"certificate": writeChain(t, own.cert), "privateKey": keyFile, "managementListenAddress": "",
	}, func(s standIn) {
		base := strings.Replace(s.base, "127.0.0.1", "localhost", 1)
		c := s.client(t, base, nil)
		chain, url := s.issue(t, c, names, "www.test.example")
		if !strings.HasPrefix(url, base+"/") {
			t.Errorf("the certificate is at %s, want it below %s", url, base)
		}
		if len(chain) != 2 {
			t.Errorf("the chain has %d certificates", len(chain))
		}
		intermediate, err := x509.ParseCertificate(chain[1])
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := intermediate.PublicKey.(*rsa.PublicKey); !ok {
			t.Errorf("the issuer's key is a %T", intermediate.PublicKey)
		}
		// Nobody answers the challenge of this one.
		order, err := c.AuthorizeOrder(t.Context(), xacme.DomainIDs("other.test.example"))
		if err != nil {
			t.Fatal(err)
		}
		authz, err := c.GetAuthorization(t.Context(), order.AuthzURLs[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, challenge := range authz.Challenges {
			if challenge.Type == "http-01" {
				if _, err := c.Accept(t.Context(), challenge); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := c.WaitAuthorization(t.Context(), order.AuthzURLs[0]); err == nil {
			t.Error("a challenge without an answer is valid")
		}
		// Nothing is reused.
		if order, err = c.AuthorizeOrder(t.Context(), xacme.DomainIDs("www.test.example")); err != nil || order.Status != xacme.StatusPending {
			t.Errorf("a second order: %+v, %v", order, err)
		}
		resp, err := s.http.Get(base + "/dir")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if !resp.TLS.PeerCertificates[0].Equal(own.cert) {
			t.Error("the listener has another certificate than the configured one")
		}
	})
}

func TestTestModeRefusals(t *testing.T) {
	t.Parallel()
	write := func(name, text string) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for want, file := range map[string]string{
		"no such file or directory":          filepath.Join(t.TempDir(), "none.json"),
		"this is not valid JSON":             write("a.json", "{"),
		`there is no key "pebble" in it`:     write("b.json", "{}"),
		"pebble.keyAlgorithm":                write("c.json", `{"pebble": {"keyAlgorithm": "dsa"}}`),
		"pebble.externalAccountMACKeys":      write("d.json", `{"pebble": {"externalAccountMACKeys": {"k": "!"}}}`),
		"as va.http_port: expects a port":    write("e.json", `{"pebble": {"httpPort": 70000}}`),
		"is no name for a profile":           write("f.json", `{"pebble": {"profiles": {"My Profile": {}}}}`),
		"go together":                        write("g.json", `{"pebble": {"certificate": "x"}}`),
		"store.url: test mode keeps nothing": write("h.yaml", "store: {url: 'sqlite:x'}\n"),
		`unknown key "dta"`:                  write("i.yaml", "dta: x\n"),
	} {
		o := testOptions{config: file, getenv: func(string) string { return "" }, out: streams{stdout: io.Discard, stderr: io.Discard}}
		err := serveTest(t.Context(), o, func(*testMode, serving) error { return nil })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", filepath.Base(file), err, want)
		}
	}
}

// A configuration of Cairn's works in test mode, too; where it keeps things
// does not count.
func TestTestModeYAML(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "cairn.yaml")
	text := "data: /nonexistent/folder\nlisten: {acme: '127.0.0.1:0', public: '127.0.0.1:0', admin: '127.0.0.1:0'}\ndirectories: {default: {}, lab: {}}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := testOptions{config: file, getenv: func(string) string { return "" }, out: streams{stdout: io.Discard, stderr: io.Discard}}
	err := serveTest(ctx, o, func(m *testMode, where serving) error {
		defer cancel()
		var printed strings.Builder
		if err := m.print(&printed, where); err != nil {
			return err
		}
		for _, want := range []string{"TEST MODE", "/dir  (default)\n", "/lab/directory  (lab)\n", "  management https://127.0.0.1:0\n"} {
			if !strings.Contains(printed.String(), want) {
				t.Errorf("%q is not in:\n%s", want, printed.String())
			}
		}
		for _, d := range m.cfg.ServedDirectories() {
			if d.Website != testWebsite || d.TermsOfService != testTerms {
				t.Errorf("the directory %s does not say that it is a test", d.Name)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestDNSAddress(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"10.0.0.1": "10.0.0.1:53", ":5053": "127.0.0.1:5053", "8.8.8.8:53": "8.8.8.8:53", "::1": "[::1]:53", "[::1]:5": "[::1]:5", "dns:1": "dns:1",
	} {
		if got := dnsAddress(s); got != want {
			t.Errorf("%s becomes %s, want %s", s, got, want)
		}
	}
}
