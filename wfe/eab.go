package wfe

import (
	"encoding/json"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/strictjson"
	"github.com/cairn-ca/cairn/ra"
)

// macAlgorithms are those of an external account binding (RFC 8555 §7.3.4:
// "MAC-based").
var macAlgorithms = []jose.SignatureAlgorithm{jose.HS256, jose.HS384, jose.HS512}

// parseBinding reads the externalAccountBinding of a newAccount request and
// checks everything that needs no secret (RFC 8555 §7.3.4). The registration
// authority verifies the MAC. Nil: there is none.
func parseBinding(r *request, raw json.RawMessage) (*ra.ExternalAccountBinding, error) {
	if raw == nil {
		return nil, nil
	}
	inner, err := parseFlattened(raw)
	if err != nil {
		return nil, inBinding(err)
	}
	var header struct {
		Alg   string          `json:"alg"`
		KID   string          `json:"kid"`
		URL   string          `json:"url"`
		Nonce json.RawMessage `json:"nonce"`
		JWK   json.RawMessage `json:"jwk"`
		Crit  json.RawMessage `json:"crit"`
		B64   json.RawMessage `json:"b64"`
	}
	if err := strictjson.Unmarshal(inner.protected, &header); err != nil {
		return nil, malformed("external account binding: the protected header can't be read: %s", jsonError(err))
	}
	switch {
	case !slices.Contains(macAlgorithms, jose.SignatureAlgorithm(header.Alg)):
		return nil, inBinding(badAlgorithm(macAlgorithms, "the binding is signed with a MAC, one of those in \"algorithms\""))
	case header.Nonce != nil:
		return nil, malformed("external account binding: it must not have a \"nonce\"")
	case header.JWK != nil || header.Crit != nil || header.B64 != nil:
		return nil, malformed("external account binding: \"jwk\", \"crit\" and \"b64\" must not be in its protected header")
	case header.KID == "" || len(header.KID) > 256:
		return nil, malformed("external account binding: it needs the key identifier that the CA's operator gave in \"kid\"")
	case header.URL != *r.jws.header.URL:
		return nil, malformed("external account binding: it must have the same \"url\" as the outer JWS")
	}
	bound, err := acme.ParseAccountKey(inner.payload)
	if err != nil || bound.Thumbprint() != r.key.Thumbprint() {
		return nil, malformed("external account binding: its payload must be the account's public key, the outer \"jwk\"")
	}
	return &ra.ExternalAccountBinding{KeyID: header.KID, Algorithm: header.Alg, JWS: inner.compact, Document: string(raw)}, nil
}

func inBinding(err error) error { return prefixed(err, "external account binding: ") }
