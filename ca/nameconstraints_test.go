package ca

import (
	"testing"

	"github.com/cairn-ca/cairn/internal/acme"
)

// RFC 5280 §4.2.1.10.
func TestNameConstraints(t *testing.T) {
	t.Parallel()
	n := NameConstraints{
		Permitted: []string{"example.com", "corp.example", "10.0.0.0/8", "fd00::/8"},
		Excluded:  []string{"secret.example.com", "10.1.0.0/16"},
	}
	parsed, err := n.parse()
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]bool{
		"dns:example.com": true, "dns:www.example.com": true, "dns:*.example.com": false, "dns:*.www.example.com": true,
		"dns:notexample.com": false, "dns:example.com.evil.example": false, "dns:a.corp.example": true, "dns:example.org": false,
		"dns:secret.example.com": false, "dns:a.secret.example.com": false, "dns:nosecret.example.com": true,
		"ip:10.2.3.4": true, "ip:10.1.3.4": false, "ip:192.0.2.1": false, "ip:fd00::1": true, "ip:2001:db8::1": false,
	} {
		id := parseID(t, value)
		problem := parsed.admits([]acme.Identifier{id}, "the profile")
		if (problem == nil) != want {
			t.Errorf("%s: %v, want admitted %v", value, problem, want)
		}
		if problem != nil && problem.Type != acme.RejectedIdentifier {
			t.Errorf("%s: %v", value, problem)
		}
	}
	if problem := (nameConstraints{}).admits([]acme.Identifier{parseID(t, "dns:a.example"), parseID(t, "ip:192.0.2.1")}, "x"); problem != nil {
		t.Errorf("without constraints: %v", problem)
	}
	for _, bad := range []string{"", "*.example.com", "Example.com", "10.0.0.1/8", "https://example.com", "example.com."} {
		if _, err := (NameConstraints{Permitted: []string{bad}}).parse(); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func parseID(t *testing.T, s string) acme.Identifier {
	t.Helper()
	kind := acme.IdentifierDNS
	value := s[len("dns:"):]
	if s[:3] == "ip:" {
		kind, value = acme.IdentifierIP, s[len("ip:"):]
	}
	id, err := acme.ParseIdentifier(kind, value)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
