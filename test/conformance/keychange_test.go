package conformance

import (
	"crypto/elliptic"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// inner builds the JWS inside of a key change (RFC 8555 §7.3.5).
func inner(t *testing.T, c *rawacme.Client, newKey any, change func(header, payload map[string]any)) json.RawMessage {
	t.Helper()
	header := map[string]any{"alg": rawacme.Alg(newKey), "url": c.Directory.KeyChange}
	if _, secret := newKey.([]byte); !secret {
		header["jwk"] = rawacme.JWK(newKey)
	}
	payload := map[string]any{"account": c.KID, "oldKey": rawacme.JWK(c.Key)}
	if change != nil {
		change(header, payload)
	}
	protected, content := rawacme.B64(encode(t, header)), rawacme.B64(encode(t, payload))
	alg, _ := header["alg"].(string)
	signature, err := rawacme.Sign(newKey, alg, []byte(protected+"."+content))
	if err != nil {
		t.Fatal(err)
	}
	return encode(t, map[string]any{"protected": protected, "payload": content, "signature": rawacme.B64(signature)})
}

// RFC 8555 §7.3.5: the key changes, the account and what it has stay.
func TestKeyChange(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	order := c.NewOrder(t, harness.NewName("rollover"))
	oldKey := c.Key
	for _, newKey := range []any{rawacme.NewECKey(t, elliptic.P384()), rawacme.NewEd25519Key(t), rawacme.NewRSAKey(t, 2048)} {
		resp := c.Post(t, c.Directory.KeyChange, inner(t, c, newKey, nil))
		wantOK(t, c, resp, http.StatusOK)
		var account rawacme.Account
		resp.JSON(t, &account)
		if account.Status != "valid" {
			t.Errorf("the account is %q", account.Status)
		}
		c.Key = newKey
		wantOK(t, c, c.Get(t, order.URL), http.StatusOK)
	}
	resp := c.Get(t, c.KID, rawacme.Before(func(m *rawacme.Message) { m.Key, m.Header["alg"] = oldKey, "ES256" }))
	checkPOST(t, c, resp)
	if resp.Status < 400 {
		t.Errorf("the old key still signs for the account: status %d", resp.Status)
	}
	// The old key has no account any more.
	resp = c.Post(t, c.Directory.NewAccount, map[string]any{"onlyReturnExisting": true}, rawacme.WithKey(oldKey))
	wantProblem(t, c, resp, http.StatusBadRequest, "accountDoesNotExist")
	// Orders and authorizations go on (§7.3.5, last paragraph).
	s.Authorize(t, c, order.Authorizations[0], "http-01")
	if order = c.Order(t, order.URL); order.Status != "ready" {
		t.Errorf("after the change the order is %s", order.Status)
	}
}

// RFC 8555 §7.3.5: what the server must check, step by step.
func TestBadKeyChange(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	other := s.Account(t)
	newKey := rawacme.NewKey(t)
	for _, test := range []struct {
		name   string
		change func(header, payload map[string]any)
	}{
		{"another url inside", func(header, _ map[string]any) { header["url"] = c.Directory.NewAccount }},
		{"no url inside", func(header, _ map[string]any) { delete(header, "url") }},
		{"a nonce inside", func(header, _ map[string]any) { header["nonce"] = "AAAA" }},
		{"kid inside", func(header, _ map[string]any) { delete(header, "jwk"); header["kid"] = c.KID }},
		{"kid and jwk inside", func(header, _ map[string]any) { header["kid"] = c.KID }},
		{"another account", func(_, payload map[string]any) { payload["account"] = other.KID }},
		{"no account", func(_, payload map[string]any) { delete(payload, "account") }},
		{"another oldKey", func(_, payload map[string]any) { payload["oldKey"] = rawacme.JWK(other.Key) }},
		{"no oldKey", func(_, payload map[string]any) { delete(payload, "oldKey") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			resp := c.Post(t, c.Directory.KeyChange, inner(t, c, newKey, test.change))
			wantProblem(t, c, resp, http.StatusBadRequest, "malformed")
		})
	}
	t.Run("inner signature of another key", func(t *testing.T) {
		resp := c.Post(t, c.Directory.KeyChange, inner(t, c, rawacme.NewKey(t), func(header, _ map[string]any) { header["jwk"] = rawacme.JWK(newKey) }))
		wantProblem(t, c, resp, http.StatusBadRequest, "malformed")
	})
	t.Run("weak new key", func(t *testing.T) {
		resp := c.Post(t, c.Directory.KeyChange, inner(t, c, rawacme.NewRSAKey(t, 1024), nil))
		wantProblem(t, c, resp, http.StatusBadRequest, "badPublicKey")
	})
	t.Run("MAC inside", func(t *testing.T) {
		resp := c.Post(t, c.Directory.KeyChange, inner(t, c, []byte("secret"), func(header, _ map[string]any) { header["jwk"] = rawacme.JWK(newKey) }))
		wantProblem(t, c, resp, http.StatusBadRequest, "badSignatureAlgorithm")
	})
	t.Run("no JWS inside", func(t *testing.T) {
		resp := c.Post(t, c.Directory.KeyChange, map[string]any{})
		wantProblem(t, c, resp, http.StatusBadRequest, "malformed")
	})
	// §7.3.5: a key that has an account: 409 and that account's URL.
	t.Run("key in use", func(t *testing.T) {
		resp := c.Post(t, c.Directory.KeyChange, inner(t, c, other.Key, nil))
		wantProblem(t, c, resp, http.StatusConflict, "malformed")
		if resp.Location() != other.KID {
			t.Errorf("Location is %q, want %q", resp.Location(), other.KID)
		}
	})
	c.Get(t, c.KID).Want(t, http.StatusOK)
}
