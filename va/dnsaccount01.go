package va

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"github.com/cairn-ca/cairn/internal/acme"
)

// dnsAccount01 is draft-ietf-acme-dns-account-label-03: dns-01 at a name that
// each account has its own of.
type dnsAccount01 struct{ *VA }

func (dnsAccount01) unfit(id acme.Identifier, _ bool) string {
	if id.Type() != acme.IdentifierDNS {
		return "dns-account-01 proves control of DNS names only"
	}
	return ""
}

func (m dnsAccount01) prove(ctx context.Context, t *try) *failure {
	if t.AccountURL == "" {
		return wrong(acme.Unauthorized, "this account has no URL any more, because its directory is not served")
	}
	fail := m.matchTXT(ctx, t, accountLabel(t.AccountURL)+"._acme-challenge."+t.Identifier.Value())
	if fail != nil {
		// The label hides which account it was made of.
		fail.problem.Detail += "; the name was made of the account URL " + t.AccountURL
	}
	return fail
}

// accountLabel is the label of an account, made of its URL byte for byte.
func accountLabel(accountURL string) string {
	sum := sha256.Sum256([]byte(accountURL))
	return "_" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10])) // 16 letters, no padding
}
