package conformance

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"hash"
	"net/http"
	"testing"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// externalKey is what an operator gives to who may have an account.
type externalKey struct {
	ID  string `json:"id"`
	MAC string `json:"hmac_key"` // base64url
}

func newExternalKey(t *testing.T, s *harness.Server, args ...string) externalKey {
	t.Helper()
	var key externalKey
	out := s.Admin(t, append([]string{"eab", "create", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &key); err != nil || key.ID == "" || key.MAC == "" {
		t.Fatalf("cairn admin eab create printed %q: %v", out, err)
	}
	return key
}

var macs = map[string]func() hash.Hash{"HS256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New}

// binding makes the inner JWS of RFC 8555 §7.3.4; edit changes its header.
func binding(t *testing.T, c *rawacme.Client, key externalKey, alg string, edit func(header map[string]any)) map[string]any {
	t.Helper()
	header := map[string]any{"alg": alg, "kid": key.ID, "url": c.Directory.NewAccount}
	if edit != nil {
		edit(header)
	}
	protected, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(rawacme.JWK(c.Key))
	if err != nil {
		t.Fatal(err)
	}
	secret, err := base64.RawURLEncoding.DecodeString(key.MAC)
	if err != nil {
		t.Fatal(err)
	}
	input := rawacme.B64(protected) + "." + rawacme.B64(payload)
	mac := hmac.New(macs[alg], secret)
	mac.Write([]byte(input))
	return map[string]any{"protected": rawacme.B64(protected), "payload": rawacme.B64(payload), "signature": rawacme.B64(mac.Sum(nil))}
}

// RFC 8555 §7.3.4: external account binding.
func TestExternalAccountBinding(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Options{Configure: func(config map[string]any) {
		config["eab"] = map[string]any{"required": true}
	}})
	client := func(t *testing.T) *rawacme.Client { return s.Client(t, rawacme.NewKey(t)) }
	bind := func(t *testing.T, c *rawacme.Client, jws any) *rawacme.Response {
		return c.Post(t, c.Directory.NewAccount, map[string]any{"termsOfServiceAgreed": true, "externalAccountBinding": jws})
	}
	if c := client(t); c.Directory.Meta["externalAccountRequired"] != true {
		t.Errorf("the directory does not say externalAccountRequired: %v", c.Directory.Meta)
	}

	for alg := range macs {
		t.Run(alg, func(t *testing.T) {
			c, key := client(t), newExternalKey(t, s)
			jws := binding(t, c, key, alg, nil)
			resp := bind(t, c, jws)
			wantOK(t, c, resp, http.StatusCreated)
			// §7.3.4: the account shows the binding that was verified.
			var account rawacme.Account
			resp.JSON(t, &account)
			var shown map[string]any
			if err := json.Unmarshal(account.ExternalAccount, &shown); err != nil || shown["signature"] != jws["signature"] {
				t.Errorf("the account shows the binding %s", account.ExternalAccount)
			}
			// A key binds one account.
			other := client(t)
			wantProblem(t, other, bind(t, other, binding(t, other, key, alg, nil)), http.StatusForbidden, "unauthorized")
		})
	}
	t.Run("reusable", func(t *testing.T) {
		key := newExternalKey(t, s, "--reusable")
		for range 2 {
			c := client(t)
			wantOK(t, c, bind(t, c, binding(t, c, key, "HS256", nil)), http.StatusCreated)
		}
	})
	t.Run("missing", func(t *testing.T) {
		c := client(t)
		wantProblem(t, c, c.Post(t, c.Directory.NewAccount, map[string]any{}), http.StatusForbidden, "externalAccountRequired")
	})
	t.Run("revoked", func(t *testing.T) {
		c, key := client(t), newExternalKey(t, s)
		s.Admin(t, "eab", "revoke", key.ID)
		wantProblem(t, c, bind(t, c, binding(t, c, key, "HS256", nil)), http.StatusForbidden, "unauthorized")
	})

	key := newExternalKey(t, s)
	wrong := externalKey{key.ID, rawacme.B64(make([]byte, 32))}
	set := func(member string, value any) func(map[string]any) {
		return func(h map[string]any) { h[member] = value }
	}
	for _, test := range []struct {
		name, kind string
		status     int
		jws        func(t *testing.T, c *rawacme.Client) any
	}{
		{"wrong MAC key", "unauthorized", 403, func(t *testing.T, c *rawacme.Client) any { return binding(t, c, wrong, "HS256", nil) }},
		{"unknown key", "unauthorized", 403, func(t *testing.T, c *rawacme.Client) any {
			return binding(t, c, externalKey{"nobody", key.MAC}, "HS256", nil)
		}},
		{"another url", "malformed", 400, func(t *testing.T, c *rawacme.Client) any {
			return binding(t, c, key, "HS256", set("url", c.Directory.NewOrder))
		}},
		{"with a nonce", "malformed", 400, func(t *testing.T, c *rawacme.Client) any { return binding(t, c, key, "HS256", set("nonce", "abc")) }},
		{"no kid", "malformed", 400, func(t *testing.T, c *rawacme.Client) any {
			return binding(t, c, key, "HS256", func(h map[string]any) { delete(h, "kid") })
		}},
		{"a signature algorithm", "badSignatureAlgorithm", 400, func(t *testing.T, c *rawacme.Client) any {
			return binding(t, c, key, "HS256", set("alg", "ES256"))
		}},
		{"alg none", "badSignatureAlgorithm", 400, func(t *testing.T, c *rawacme.Client) any { return binding(t, c, key, "HS256", set("alg", "none")) }},
		{"another account's key", "malformed", 400, func(t *testing.T, c *rawacme.Client) any { return binding(t, client(t), key, "HS256", nil) }},
		{"unprotected header", "malformed", 400, func(t *testing.T, c *rawacme.Client) any {
			jws := binding(t, c, key, "HS256", nil)
			jws["header"] = map[string]any{}
			return jws
		}},
		{"not an object", "malformed", 400, func(t *testing.T, c *rawacme.Client) any { return "binding" }},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := client(t)
			wantProblem(t, c, bind(t, c, test.jws(t, c)), test.status, test.kind)
			// Nothing was created.
			c2 := s.Client(t, c.Key)
			wantProblem(t, c2, c2.Post(t, c2.Directory.NewAccount, map[string]any{"onlyReturnExisting": true}), http.StatusBadRequest, "accountDoesNotExist")
		})
	}
}
