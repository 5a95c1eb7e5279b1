package conformance

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// onionServer has two directories: one offers onion-csr-01, one does not.
func onionServer(t *testing.T, w harness.Wiring) *harness.Server {
	t.Helper()
	return harness.Start(t, harness.Options{Wiring: w, Configure: func(config map[string]any) {
		config["directories"] = map[string]any{
			"default": map[string]any{"challenges": []string{"http-01", "dns-01", "tls-alpn-01", "onion-csr-01"}, "subdomains": true,
				"auto_renewal": map[string]any{"enabled": true}},
			"plain": map[string]any{},
		}
	}})
}

// proveOnion proves control of every onion name of an order.
func proveOnion(t *testing.T, c *rawacme.Client, order rawacme.Order, service rawacme.OnionService) {
	t.Helper()
	for _, url := range order.Authorizations {
		authz := c.Authorization(t, url)
		if authz.Status == "valid" {
			continue
		}
		challenge := authz.Challenge(t, "onion-csr-01")
		wantOK(t, c, c.Post(t, challenge.URL, map[string]any{"csr": rawacme.B64(service.CSR(t, challenge.Nonce))}), http.StatusOK)
		if authz = c.Decided(t, url); authz.Status != "valid" || authz.Challenge(t, "onion-csr-01").Validated == "" {
			t.Fatalf("the authorization is %+v", authz)
		}
	}
}

func finalizeOnion(t *testing.T, c *rawacme.Client, order rawacme.Order, onionCAA map[string]any) *rawacme.Response {
	t.Helper()
	var names []string
	for _, id := range order.Identifiers {
		names = append(names, id.Value)
	}
	payload := map[string]any{"csr": rawacme.B64(rawacme.CSR(t, rawacme.NewKey(t), names))}
	if onionCAA != nil {
		payload["onionCAA"] = onionCAA
	}
	return c.Post(t, order.Finalize, payload)
}

// RFC 9799: certificates for onion services, without Tor.
func TestOnion(t *testing.T) {
	t.Parallel()
	s := onionServer(t, harness.Wiring{})
	c := s.Account(t)
	identities, _ := c.Directory.Meta["caaIdentities"].([]any)
	us := identities[0].(string)
	plain := rawacme.New(t, s.HTTP(t), strings.TrimSuffix(s.DirectoryURL, "/directory")+"/plain/directory", rawacme.NewKey(t))
	plain.Register(t)
	in := func(d time.Duration) time.Time { return time.Now().Add(d) }
	text := func(lines ...string) *string { s := strings.Join(lines, "\n"); return &s }

	t.Run("§6.4.1 directory", func(t *testing.T) {
		if c.Directory.Meta["inBandOnionCAARequired"] != true {
			t.Errorf("meta: %v", c.Directory.Meta)
		}
		if _, ok := plain.Directory.Meta["inBandOnionCAARequired"]; ok {
			t.Errorf("meta of the other directory: %v", plain.Directory.Meta)
		}
	})
	t.Run("§2 identifiers", func(t *testing.T) {
		service := rawacme.NewOnionService(t)
		for name, want := range map[string]string{
			"onion": "malformed", "*.onion": "malformed", "example.onion": "malformed",
			"www." + service.Name[1:]: "malformed", "expyuzz4wqqyqhjn.onion": "rejectedIdentifier",
		} {
			resp := c.Post(t, c.Directory.NewOrder, map[string]any{"identifiers": rawacme.DNS(name)})
			p := problem(t, resp, want, http.StatusBadRequest, http.StatusForbidden)
			if !strings.Contains(p.Detail, "onion") && len(p.Subproblems) == 0 {
				t.Errorf("%s: %s", name, p.Detail)
			}
		}
		upper := c.NewOrder(t, strings.ToUpper(service.Name))
		if upper.Identifiers[0].Value != service.Name {
			t.Errorf("ordered in upper case, it is %v", upper.Identifiers)
		}
		resp := plain.Post(t, plain.Directory.NewOrder, map[string]any{"identifiers": rawacme.DNS(service.Name)})
		wantProblem(t, plain, resp, http.StatusForbidden, "rejectedIdentifier")
	})
	t.Run("§3 challenges", func(t *testing.T) {
		service := rawacme.NewOnionService(t)
		order := c.NewOrder(t, service.Name, "*."+service.Name, "example.com")
		nonces := map[string]bool{}
		for _, url := range order.Authorizations {
			authz := c.Authorization(t, url)
			if authz.Identifier.Value == "example.com" {
				if len(authz.Challenges) != 3 {
					t.Errorf("for a name of the DNS: %+v", authz.Challenges)
				}
				continue
			}
			if len(authz.Challenges) != 1 || authz.Challenges[0].Type != "onion-csr-01" {
				t.Fatalf("offered: %+v", authz.Challenges)
			}
			resp := c.Get(t, authz.Challenges[0].URL)
			object := members(t, resp)
			if _, ok := object["token"]; ok || len(object) != 4 {
				t.Errorf("the challenge is %s", resp.Body)
			}
			nonce := authz.Challenges[0].Nonce
			raw, err := base64.StdEncoding.Strict().DecodeString(nonce)
			if err != nil || len(raw) < 8 || len(raw) > 128 || nonces[nonce] {
				t.Errorf("nonce %q: %v", nonce, err)
			}
			nonces[nonce] = true
		}
	})
	t.Run("§3.2 unusable responses leave the challenge pending", func(t *testing.T) {
		service := rawacme.NewOnionService(t)
		order := c.NewOrder(t, service.Name)
		challenge := c.Authorization(t, order.Authorizations[0]).Challenge(t, "onion-csr-01")
		good := rawacme.B64(service.CSR(t, challenge.Nonce))
		for name, payload := range map[string]any{
			"empty": map[string]any{}, "null": map[string]any{"csr": nil}, "number": map[string]any{"csr": 1}, "no text": map[string]any{"csr": ""},
			"padding": map[string]any{"csr": good + "="}, "standard base64": map[string]any{"csr": "+/+/"},
			"too large": map[string]any{"csr": rawacme.B64(bytes.Repeat([]byte{0x30}, 5000))}, "array": []string{good},
		} {
			wantProblem(t, c, c.Post(t, challenge.URL, payload), http.StatusBadRequest, "malformed")
			if now := c.Authorization(t, order.Authorizations[0]); now.Status != "pending" || now.Challenges[0].Status != "pending" {
				t.Fatalf("after %s the authorization is %+v", name, now)
			}
		}
		proveOnion(t, c, order, service)
	})
	t.Run("§3.2 wrong proofs", func(t *testing.T) {
		service, other := rawacme.NewOnionService(t), rawacme.NewOnionService(t)
		for name, test := range map[string]struct {
			csr  func(nonce string) []byte
			want string
		}{
			"another service's key": {func(nonce string) []byte { return other.CSR(t, nonce) }, "unauthorized"},
			"another nonce":         {func(string) []byte { return service.CSR(t, "bI6/MRqV4gw=") }, "incorrectResponse"},
			"no CSR":                {func(string) []byte { return []byte("hello") }, "badCSR"},
			"an ordinary CSR":       {func(string) []byte { return rawacme.CSR(t, service.Key, []string{service.Name}) }, "incorrectResponse"},
			"a changed CSR": {func(nonce string) []byte {
				csr := service.CSR(t, nonce)
				csr[len(csr)-1] ^= 1
				return csr
			}, "unauthorized"},
		} {
			order := c.NewOrder(t, service.Name)
			challenge := c.Authorization(t, order.Authorizations[0]).Challenge(t, "onion-csr-01")
			wantOK(t, c, c.Post(t, challenge.URL, map[string]any{"csr": rawacme.B64(test.csr(challenge.Nonce))}), http.StatusOK)
			authz := c.Decided(t, order.Authorizations[0])
			if authz.Status != "invalid" || authz.Challenges[0].Status != "invalid" {
				t.Fatalf("%s: the authorization is %+v", name, authz)
			}
			checkProblem(t, *authz.Challenges[0].Error, test.want)
			if got := c.Settled(t, order.URL); got.Status != "invalid" {
				t.Errorf("%s: the order is %s", name, got.Status)
			}
		}
	})
	t.Run("§6.4 CAA", func(t *testing.T) {
		service, other := rawacme.NewOnionService(t), rawacme.NewOnionService(t)
		order := c.NewOrder(t, "www."+service.Name)
		proveOnion(t, c, order, service)
		none := service.CAA(nil, in(time.Hour))
		without := func(member string) map[string]any {
			set := service.CAA(nil, in(time.Hour))
			delete(set, member)
			return set
		}
		with := func(member string, value any) map[string]any {
			set := service.CAA(nil, in(time.Hour))
			set[member] = value
			return set
		}
		for _, test := range []struct {
			name string
			caa  map[string]any
			want string
		}{
			{"none", nil, "onionCAARequired"},
			{"another service's", map[string]any{other.Name: other.CAA(nil, in(time.Hour))}, "onionCAARequired"},
			{"expired", map[string]any{service.Name: service.CAA(nil, in(-time.Minute))}, "onionCAARequired"},
			{"a day ahead", map[string]any{service.Name: service.CAA(nil, in(24*time.Hour))}, "onionCAARequired"},
			{"signed by another service", map[string]any{service.Name: other.CAA(nil, in(time.Hour))}, "unauthorized"},
			{"other records than were signed", map[string]any{service.Name: with("caa", `caa 0 issue "`+us+`"`)}, "unauthorized"},
			{"another expiry than was signed", map[string]any{service.Name: with("expiry", in(2*time.Hour).Unix())}, "unauthorized"},
			{"another CA", map[string]any{service.Name: service.CAA(text(`caa 0 issue "other.example"`), in(time.Hour))}, "caa"},
			{"another method", map[string]any{service.Name: service.CAA(text(`caa 0 issue "`+us+`; validationmethods=http-01"`), in(time.Hour))}, "caa"},
			{"another account", map[string]any{service.Name: service.CAA(text(`caa 0 issue "`+us+`; accounturi=`+plain.KID+`"`), in(time.Hour))}, "caa"},
			{"an unknown critical record", map[string]any{service.Name: service.CAA(text(`caa 128 tbs "x"`), in(time.Hour))}, "caa"},
			{"records that can't be read", map[string]any{service.Name: service.CAA(text("caa-critical"), in(time.Hour))}, "caa"},
			{"no caa", map[string]any{service.Name: without("caa")}, "malformed"},
			{"no expiry", map[string]any{service.Name: without("expiry")}, "malformed"},
			{"no signature", map[string]any{service.Name: without("signature")}, "malformed"},
			{"a fraction", map[string]any{service.Name: with("expiry", 1.5)}, "malformed"},
			{"an expiry in text", map[string]any{service.Name: with("expiry", "1")}, "malformed"},
			{"records in an array", map[string]any{service.Name: with("caa", []string{})}, "malformed"},
			{"a short signature", map[string]any{service.Name: with("signature", "AAAA")}, "malformed"},
			{"a name of the DNS", map[string]any{"example.com": none}, "malformed"},
			{"two sets for one service", map[string]any{service.Name: none, "www." + service.Name: service.CAA(text(""), in(time.Hour))}, "malformed"},
		} {
			t.Run(test.name, func(t *testing.T) {
				problem(t, finalizeOnion(t, c, order, test.caa), test.want, http.StatusForbidden, http.StatusBadRequest)
				if now := c.Order(t, order.URL); now.Status != "ready" {
					t.Errorf("the order is %s", now.Status)
				}
			})
		}
		good := text(`caa 128 issue "`+us+`; validationmethods=onion-csr-01; accounturi=`+c.KID+`"`, `caa 0 iodef "mailto:security@example.com"`, "")
		wantOK(t, c, finalizeOnion(t, c, order, map[string]any{service.Name: service.CAA(good, in(8*time.Hour))}), http.StatusOK)
		if now := c.Settled(t, order.URL); now.Status != "valid" {
			t.Errorf("the order is %s: %+v", now.Status, now.Error)
		}
	})
	t.Run("§6.4 issuewild", func(t *testing.T) {
		service := rawacme.NewOnionService(t)
		order := c.NewOrder(t, service.Name, "*."+service.Name)
		proveOnion(t, c, order, service)
		caa := text(`caa 0 issue "`+us+`"`, `caa 0 issuewild ";"`)
		p := wantProblem(t, c, finalizeOnion(t, c, order, map[string]any{service.Name: service.CAA(caa, in(time.Hour))}), http.StatusForbidden, "caa")
		if len(p.Subproblems) != 1 || p.Subproblems[0].Identifier.Value != "*."+service.Name {
			t.Errorf("subproblems: %+v", p.Subproblems)
		}
	})
	t.Run("§3.2 the service's key is not the certificate's", func(t *testing.T) {
		service := rawacme.NewOnionService(t)
		order := c.NewOrder(t, service.Name)
		proveOnion(t, c, order, service)
		resp := c.Post(t, order.Finalize, map[string]any{
			"csr":      rawacme.B64(rawacme.CSR(t, service.Key, []string{service.Name})),
			"onionCAA": map[string]any{service.Name: service.CAA(nil, in(time.Hour))},
		})
		wantProblem(t, c, resp, http.StatusBadRequest, "badCSR")
	})
	t.Run("an authorization of the service covers what is below", func(t *testing.T) {
		service := rawacme.NewOnionService(t)
		order := c.NewOrderFor(t, map[string]any{"identifiers": []map[string]any{
			{"type": "dns", "value": "a.b." + service.Name, "ancestorDomain": service.Name},
			{"type": "dns", "value": "*." + service.Name, "ancestorDomain": service.Name},
		}})
		if len(order.Authorizations) != 1 {
			t.Fatalf("authorizations: %v", order.Authorizations)
		}
		proveOnion(t, c, order, service)
		problem(t, finalizeOnion(t, c, order, nil), "onionCAARequired", http.StatusForbidden)
		wantOK(t, c, finalizeOnion(t, c, order, map[string]any{service.Name: service.CAA(nil, in(time.Hour))}), http.StatusOK)
	})
	t.Run("no auto-renewal", func(t *testing.T) {
		resp := c.Post(t, c.Directory.NewOrder, map[string]any{
			"identifiers":  rawacme.DNS(rawacme.NewOnionService(t).Name),
			"auto-renewal": map[string]any{"end-date": in(240 * time.Hour).UTC().Format(time.RFC3339), "lifetime": 86400},
		})
		wantProblem(t, c, resp, http.StatusBadRequest, "malformed")
	})
}

// The certificate itself, in one process and with each service in its own.
func TestOnionCertificate(t *testing.T) {
	t.Parallel()
	for _, w := range []harness.Wiring{{}, {Roles: true}} {
		t.Run(w.String(), func(t *testing.T) {
			t.Parallel()
			s := onionServer(t, w)
			c := s.Account(t)
			service, key := rawacme.NewOnionService(t), rawacme.NewKey(t)
			names := []string{service.Name, "*." + service.Name, "a.b." + service.Name}
			order := c.NewOrder(t, names...)
			challenge := c.Authorization(t, order.Authorizations[0]).Challenge(t, "onion-csr-01")
			opensslVerifiesCSR(t, service.CSR(t, challenge.Nonce))
			proveOnion(t, c, order, service)
			wantProblem(t, c, finalizeOnion(t, c, order, nil), http.StatusForbidden, "onionCAARequired")
			us := c.Directory.Meta["caaIdentities"].([]any)[0].(string)
			caa := `caa 128 issue "` + us + `; validationmethods=onion-csr-01"`
			resp := c.Post(t, order.Finalize, map[string]any{
				"csr":      rawacme.B64(rawacme.CSR(t, key, names)),
				"onionCAA": map[string]any{service.Name: service.CAA(&caa, time.Now().Add(time.Hour))},
			})
			wantOK(t, c, resp, http.StatusOK)
			if order = c.Settled(t, order.URL); order.Status != "valid" {
				t.Fatalf("the order is %+v", order)
			}
			cert := harness.Certificate{Key: key, Chain: c.Download(t, order.Certificate)}
			s.Verify(t, cert, names...)
			s.OpenSSLVerify(t, cert.Chain)
			if status := s.OpenSSLOCSP(t, cert.Chain); status != "good" {
				t.Errorf("OCSP status %s", status)
			}
		})
	}
}

// opensslVerifiesCSR has openssl check the test's own CSR.
func opensslVerifiesCSR(t *testing.T, der []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "csr.der")
	if err := os.WriteFile(path, der, 0o600); err != nil {
		t.Fatal(err)
	}
	if out := harness.OpenSSL(t, "req", "-inform", "DER", "-in", path, "-verify", "-noout"); !strings.Contains(out, "OK") {
		t.Errorf("openssl: %s", out)
	}
}
