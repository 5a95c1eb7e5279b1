package ra

import (
	"errors"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/acme"
)

// RFC 8555 §7.3: which contact URLs an account may have.
func TestCheckContacts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		contacts []string
		want     acme.ProblemType // empty: accepted
	}{
		{"none", nil, ""},
		{"one", []string{"mailto:admin@example.com"}, ""},
		{"plus and dots", []string{"mailto:a.b+c@example.com"}, ""},
		{"percent-encoded", []string{"mailto:a%2Bb@example.com"}, ""},
		{"private domain", []string{"mailto:root@localhost"}, ""},
		{"two URLs", []string{"mailto:a@example.com", "mailto:b@example.com"}, ""},
		{"telephone", []string{"tel:+12025551212"}, acme.UnsupportedContact},
		{"web", []string{"https://example.com"}, acme.UnsupportedContact},
		{"no scheme", []string{"admin@example.com"}, acme.InvalidContact},
		{"empty", []string{""}, acme.InvalidContact},
		{"header fields", []string{"mailto:a@example.com?subject=x"}, acme.InvalidContact},
		{"empty query", []string{"mailto:a@example.com?"}, acme.InvalidContact},
		{"two addresses", []string{"mailto:a@example.com,b@example.com"}, acme.InvalidContact},
		{"two addresses, encoded", []string{"mailto:a@example.com%2Cb@example.com"}, acme.InvalidContact},
		{"display name", []string{"mailto:A%20<a@example.com>"}, acme.InvalidContact},
		{"no at", []string{"mailto:example.com"}, acme.InvalidContact},
		{"no domain", []string{"mailto:a@"}, acme.InvalidContact},
		{"bad domain", []string{"mailto:a@-example.com"}, acme.InvalidContact},
		{"not ASCII", []string{"mailto:ü@example.com"}, acme.InvalidContact},
		{"line break", []string{"mailto:a%0d%0ab@example.com"}, acme.InvalidContact},
		{"too long", []string{"mailto:" + strings.Repeat("a", 400) + "@example.com"}, acme.InvalidContact},
		{"too many", make([]string, 11), acme.InvalidContact},
		{"one good, one bad", []string{"mailto:a@example.com", "tel:1"}, acme.UnsupportedContact},
		{"two bad, of two kinds", []string{"mailto:a@", "tel:1"}, acme.Compound},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got acme.ProblemType
			var p *acme.Problem
			if errors.As(checkContacts(test.contacts), &p) {
				got = p.Type
			}
			if got != test.want {
				t.Errorf("checkContacts(%q): %q, want %q", test.contacts, got, test.want)
			}
		})
	}
}
