package ra

import (
	"fmt"
	"net/mail"
	"net/url"
	"strings"

	"github.com/cairn-ca/cairn/internal/acme"
)

const (
	maxContacts      = 10
	maxContactLength = 320
)

// checkContacts holds the contact URLs of an account to RFC 8555 §7.3: mailto
// with exactly one address and no header fields; other schemes are not
// supported.
func checkContacts(contacts []string) error {
	if len(contacts) > maxContacts {
		return acme.NewProblem(acme.InvalidContact, "an account has at most %d contacts; this request has %d", maxContacts, len(contacts))
	}
	var problems []*acme.Problem
	for i, contact := range contacts {
		if p := checkContact(contact); p != nil {
			p.Detail = fmt.Sprintf("contact %d: %s", i+1, p.Detail)
			problems = append(problems, p)
		}
	}
	if p := acme.Combine(problems); p != nil {
		return p
	}
	return nil
}

func checkContact(contact string) *acme.Problem {
	if len(contact) > maxContactLength {
		return acme.NewProblem(acme.InvalidContact, "it has more than %d characters", maxContactLength)
	}
	u, err := url.Parse(contact)
	switch {
	case err != nil || u.Scheme == "":
		return acme.NewProblem(acme.InvalidContact, "it is not a URL; write mailto:name@example.com")
	case u.Scheme != "mailto":
		return acme.NewProblem(acme.UnsupportedContact, "only mailto: URLs are supported")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return acme.NewProblem(acme.InvalidContact, "a mailto: URL with header fields is not accepted (RFC 8555 §7.3)")
	}
	to, err := url.PathUnescape(u.Opaque)
	if err != nil || strings.Contains(to, ",") {
		return acme.NewProblem(acme.InvalidContact, "write exactly one address in each mailto: URL (RFC 8555 §7.3)")
	}
	for _, c := range to {
		if c < 0x21 || c > 0x7e {
			return acme.NewProblem(acme.InvalidContact, "the address has characters outside of printable ASCII")
		}
	}
	addr, err := mail.ParseAddress(to)
	if err != nil || addr.Address != to {
		return acme.NewProblem(acme.InvalidContact, "the address can't be parsed")
	}
	domain := to[strings.LastIndexByte(to, '@')+1:]
	if _, err := acme.ParseIdentifier(acme.IdentifierDNS, domain); err != nil {
		return acme.NewProblem(acme.InvalidContact, "the domain of the address is not a DNS name")
	}
	return nil
}
