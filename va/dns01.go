package va

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/va/dns"
)

// dns01 is RFC 8555 §8.4.
type dns01 struct{ *VA }

func (dns01) unfit(id acme.Identifier, _ bool) string {
	if id.Type() != acme.IdentifierDNS {
		return "dns-01 proves control of DNS names only" // RFC 8738 §7
	}
	return ""
}

func (m dns01) prove(ctx context.Context, t *try) *failure {
	return m.matchTXT(ctx, t, "_acme-challenge."+t.Identifier.Value())
}

// matchTXT looks for a TXT record of the name that answers the challenge.
func (v *VA) matchTXT(ctx context.Context, t *try, name string) *failure {
	digest := sha256.Sum256([]byte(t.keyAuthorization))
	want := base64.RawURLEncoding.EncodeToString(digest[:])

	answer := v.resolver.LookupTXT(ctx, name)
	t.step("%s", answer)
	switch {
	case answer.Failed():
		return unreached(acme.DNS, "%s", answer.Problem())
	case answer.Outcome != dns.Found:
		return unreached(acme.DNS, "%s; create one with the value %s", answer.Problem(), want)
	}
	texts := answer.Texts()
	matches := 0
	for _, text := range texts {
		matches |= subtle.ConstantTimeCompare([]byte(text), []byte(want))
	}
	if matches == 0 {
		return wrong(acme.Unauthorized, "the TXT records of %s have the wrong value: found %s; one must be %s", name, listed(texts), want)
	}
	return nil
}

// listed shows the first few of the values that strangers gave.
func listed(values []string) string {
	const most = 3
	var shown []string
	for _, value := range values[:min(len(values), most)] {
		shown = append(shown, quote(value))
	}
	list := strings.Join(shown, ", ")
	if more := len(values) - most; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}
