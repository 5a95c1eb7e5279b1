package wfe

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/strictjson"
	"github.com/cairn-ca/cairn/sa"
)

// authKind says how a POST to a resource is authenticated (RFC 8555 §6.2).
type authKind int

const (
	byAccount      authKind = iota // "kid"
	byJWK                          // "jwk": newAccount
	byAccountOrJWK                 // either: revokeCert
)

// algorithms are those accepted for account keys. MACs and "none" are not
// signatures (RFC 8555 §6.2).
var algorithms = []jose.SignatureAlgorithm{
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA, jose.RS256, jose.PS256, jose.PS384, jose.PS512,
}

// jws is a parsed, not yet verified, Flattened JWS.
type jws struct {
	compact string // the same JWS in the compact serialization
	header  protectedHeader
	payload []byte // decoded
}

// protectedHeader are the members of a protected header that ACME knows
// (RFC 8555 §6.2), and those that must not be there. Pointers and raw values
// tell a member that is absent from one that is empty.
type protectedHeader struct {
	Alg   string          `json:"alg"`
	Nonce *string         `json:"nonce"`
	URL   *string         `json:"url"`
	JWK   json.RawMessage `json:"jwk"`
	KID   *string         `json:"kid"`
	Crit  json.RawMessage `json:"crit"`
	B64   json.RawMessage `json:"b64"`
	Zip   json.RawMessage `json:"zip"`
}

func malformed(format string, args ...any) error {
	return acme.NewProblem(acme.Malformed, format, args...)
}

const (
	// maxJWSMembers bounds the members of a JWS that a stranger sent, unknown
	// ones counted: each costs more to read than it costs to send.
	maxJWSMembers = 64
	// maxProtected is far more than the largest key needs, in octets.
	maxProtected = 8 << 10
)

// flattened is a Flattened JWS taken apart, its header not yet read.
type flattened struct {
	compact            string
	protected, payload []byte // decoded
}

// parseFlattened reads a Flattened JWS: exactly one signature, everything in
// the protected header (RFC 8555 §6.2).
func parseFlattened(body []byte) (flattened, error) {
	var flat struct {
		Protected  *string         `json:"protected"`
		Payload    *string         `json:"payload"`
		Signature  *string         `json:"signature"`
		Header     json.RawMessage `json:"header"`
		Signatures json.RawMessage `json:"signatures"`
	}
	if bytes.Count(body, []byte{','}) > maxJWSMembers {
		return flattened{}, malformed("a JWS has three members, and base64url has no commas; this request has more than %d", maxJWSMembers)
	}
	if err := strictjson.Unmarshal(body, &flat); err != nil {
		return flattened{}, malformed("the request is not a JWS in the flattened JSON serialization: %s", jsonError(err))
	}
	switch {
	case flat.Signatures != nil:
		return flattened{}, malformed("the request must carry one signature, in the flattened JSON serialization, not \"signatures\"")
	case flat.Header != nil:
		return flattened{}, malformed("the JWS must not have an unprotected header (RFC 8555 §6.2)")
	case flat.Protected == nil || flat.Payload == nil || flat.Signature == nil:
		return flattened{}, malformed("the JWS needs \"protected\", \"payload\" and \"signature\"; an empty payload is \"\"")
	}
	protected, err1 := decodeBase64(*flat.Protected)
	payload, err2 := decodeBase64(*flat.Payload)
	_, err3 := decodeBase64(*flat.Signature)
	if err := errors.Join(err1, err2, err3); err != nil {
		return flattened{}, malformed("\"protected\", \"payload\" and \"signature\" must be base64url without padding or line breaks")
	}
	if len(protected) > maxProtected {
		return flattened{}, malformed("the protected header is larger than %d octets", maxProtected)
	}
	return flattened{*flat.Protected + "." + *flat.Payload + "." + *flat.Signature, protected, payload}, nil
}

// parseJWS reads a JWS as clients sign requests with it.
func parseJWS(body []byte) (jws, error) {
	flat, err := parseFlattened(body)
	if err != nil {
		return jws{}, err
	}
	j := jws{compact: flat.compact, payload: flat.payload}
	if err := strictjson.Unmarshal(flat.protected, &j.header); err != nil {
		return jws{}, malformed("the protected header can't be read: %s", jsonError(err))
	}
	return j, j.header.check()
}

func (h *protectedHeader) check() error {
	switch {
	case h.Crit != nil:
		return malformed("the protected header has \"crit\", and none of its extensions is understood here")
	case h.B64 != nil:
		return malformed("the payload must be base64url: \"b64\" (RFC 7797) is not allowed (RFC 8555 §6.2)")
	case h.Zip != nil:
		return malformed("a JWS can't be compressed: \"zip\" is not allowed")
	case h.URL == nil:
		return malformed("the protected header needs \"url\"")
	case h.JWK != nil && h.KID != nil:
		return malformed("the protected header must have either \"jwk\" or \"kid\", not both")
	case h.JWK == nil && h.KID == nil:
		return malformed("the protected header needs \"kid\" (the account URL) or, for a new account, \"jwk\"")
	}
	return checkAlgorithm(h.Alg)
}

func checkAlgorithm(alg string) error {
	if slices.Contains(algorithms, jose.SignatureAlgorithm(alg)) {
		return nil
	}
	return badAlgorithm(algorithms, "the signature algorithm must be one of those in \"algorithms\"")
}

// badAlgorithm lists what would be accepted (RFC 8555 §6.2).
func badAlgorithm(accepted []jose.SignatureAlgorithm, detail string) error {
	p := acme.NewProblem(acme.BadSignatureAlgorithm, "%s", detail)
	for _, a := range accepted {
		p.Algorithms = append(p.Algorithms, string(a))
	}
	return p
}

// verify does everything that RFC 8555 §6 asks of a POST, in this order:
// content type, form, URL, key, signature, nonce.
func (w *WFE) verify(r *http.Request, res resource) (*request, error) {
	if err := checkContentType(r); err != nil {
		return nil, err
	}
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	j, err := parseJWS(body)
	if err != nil {
		return nil, err
	}
	// RFC 8555 §6.4. The URL is compared with what this server hands out, not
	// with a Host header.
	if want := w.ExternalURL + r.URL.RequestURI(); *j.header.URL != want {
		return nil, acme.NewProblem(acme.Unauthorized, "the protected header's \"url\" is not the URL of this request, %q", cut(want))
	}
	req := &request{Request: r, dir: res.dir, jws: j}
	if err := w.authenticate(r.Context(), req, res.auth); err != nil {
		return nil, err
	}
	if err := w.redeemNonce(j.header.Nonce); err != nil {
		return nil, err
	}
	return req, nil
}

func checkContentType(r *http.Request) error {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/jose+json" {
		return acme.NewProblem(acme.Malformed, "the Content-Type of a POST must be application/jose+json").WithStatus(http.StatusUnsupportedMediaType)
	}
	return nil
}

// authenticate finds the key of a request, verifies the signature, and checks
// that the account, if it is an account's, is valid.
func (w *WFE) authenticate(ctx context.Context, req *request, auth authKind) error {
	header := &req.jws.header
	switch {
	case auth == byJWK && header.JWK == nil:
		return malformed("this resource takes requests with \"jwk\" in the protected header, not \"kid\"")
	case auth == byAccount && header.KID == nil:
		return malformed("this resource takes requests with \"kid\", the account URL, in the protected header, not \"jwk\"")
	}
	if header.JWK != nil {
		key, err := acme.ParseAccountKey(header.JWK)
		if err != nil {
			return err
		}
		req.key = key
		return verifySignature(req.jws, key)
	}
	account, err := w.accountByURL(ctx, req.dir, *header.KID)
	if err != nil {
		return err
	}
	if err := verifySignature(req.jws, account.Key); err != nil {
		return err
	}
	if account.Status != acme.AccountValid {
		return acme.NewProblem(acme.Unauthorized, "the account is %s", account.Status).WithStatus(http.StatusUnauthorized)
	}
	req.account, req.key = account, account.Key
	return nil
}

func (w *WFE) accountByURL(ctx context.Context, dir *directory, url string) (acme.Account, error) {
	unknown := acme.NewProblem(acme.AccountDoesNotExist, "\"kid\" is not the URL of an account in this directory; look the account up with newAccount and onlyReturnExisting")
	tail, ok := strings.CutPrefix(url, dir.base+"/acct/")
	if !ok {
		return acme.Account{}, unknown
	}
	id, err := acme.ParseID(tail)
	if err != nil {
		return acme.Account{}, unknown
	}
	account, err := w.accounts.read(ctx, w.Store, id)
	if errors.Is(err, sa.ErrNotFound) || err == nil && account.Directory != dir.Name {
		return acme.Account{}, unknown
	}
	if err != nil {
		return acme.Account{}, fmt.Errorf("reading account %s: %w", id, err)
	}
	return account, nil
}

// verifySignature checks that the JWS was signed by the key, with an
// algorithm that belongs to it: go-jose would take ES512 with a P-256 key.
func verifySignature(j jws, key acme.AccountKey) error {
	fitting := algorithmsFor(key)
	alg := jose.SignatureAlgorithm(j.header.Alg)
	if !slices.Contains(fitting, alg) {
		return badAlgorithm(fitting, "the signature algorithm does not go with the key; use one of those in \"algorithms\"")
	}
	signed, err := jose.ParseSignedCompact(j.compact, []jose.SignatureAlgorithm{alg})
	if err != nil {
		return malformed("the JWS can't be parsed")
	}
	if _, err := signed.Verify(key.Public()); err != nil {
		return malformed("the signature does not verify with the %s", keyName(j))
	}
	return nil
}

func keyName(j jws) string {
	if j.header.JWK != nil {
		return "key in \"jwk\""
	}
	return "account's key"
}

func algorithmsFor(key acme.AccountKey) []jose.SignatureAlgorithm {
	switch k := key.Public().(type) {
	case *rsa.PublicKey:
		return []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.PS384, jose.PS512}
	case *ecdsa.PublicKey:
		switch k.Curve.Params().BitSize {
		case 256:
			return []jose.SignatureAlgorithm{jose.ES256}
		case 384:
			return []jose.SignatureAlgorithm{jose.ES384}
		case 521:
			return []jose.SignatureAlgorithm{jose.ES512}
		}
	case ed25519.PublicKey:
		return []jose.SignatureAlgorithm{jose.EdDSA}
	}
	return nil
}

// redeemNonce is RFC 8555 §6.5.
func (w *WFE) redeemNonce(nonce *string) error {
	switch {
	case nonce == nil:
		return acme.NewProblem(acme.BadNonce, "the protected header needs \"nonce\"; take it from the Replay-Nonce header of this answer")
	case *nonce == "" || !isBase64URL(*nonce):
		return malformed("\"nonce\" must be base64url (RFC 8555 §6.5.2)")
	case !w.Nonces.Redeem(*nonce):
		return acme.NewProblem(acme.BadNonce, "the nonce is not one that this CA handed out, or was used before; sign again with the one in the Replay-Nonce header of this answer")
	}
	return nil
}

func isBase64URL(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// decodeBase64 reads base64url as RFC 7515 §2 has it. Trailing "=" must be
// refused (RFC 8555 §6.1), and the decoder would skip line breaks.
func decodeBase64(s string) ([]byte, error) {
	if !isBase64URL(s) {
		return nil, errors.New("a character that base64url does not have")
	}
	return base64.RawURLEncoding.Strict().DecodeString(s)
}

// readPayload decodes the payload of a request into v.
func readPayload(r *request, v any) error {
	if err := strictjson.Unmarshal(r.jws.payload, v); err != nil {
		return malformed("the payload can't be read: %s", jsonError(err))
	}
	return nil
}

// jsonError is what was wrong with JSON, fit for an answer.
func jsonError(err error) string {
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	return cut(err.Error())
}

func cut(s string) string {
	if len(s) > 200 {
		return s[:200] + "..."
	}
	return s
}
