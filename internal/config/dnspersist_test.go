package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestDNSPersistNames(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 12 {
		many = append(many, fmt.Sprintf("ca%d.example", i))
	}
	for _, c := range []struct {
		settings            DNSPersist
		identities          []string
		offered, advertised []string
	}{
		{DNSPersist{}, []string{"CA.example.", "ca.example", "b.example"}, []string{"ca.example", "b.example"}, []string{"ca.example", "b.example"}},
		{DNSPersist{}, many, many[:10], many[:10]},
		{DNSPersist{IssuerDomainNames: []string{"b.example"}}, many, []string{"b.example"}, []string{"b.example"}},
		{DNSPersist{AdvertisedNames: []string{"ca1.example"}}, many, many[:10], []string{"ca1.example"}},
	} {
		offered, advertised := c.settings.Names(c.identities)
		if !slices.Equal(offered, c.offered) || !slices.Equal(advertised, c.advertised) {
			t.Errorf("%+v: %q and %q", c.settings, offered, advertised)
		}
	}
}

// The names of a directory are its challenges' names, and these its CAA
// identities (draft-ietf-acme-dns-persist-02).
func TestDNSPersistErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, yaml string
		want       []string // none: no error
	}{
		{"derived from localhost", "challenges: [dns-persist-01]\n", nil},
		{"derived from the external URL", "external_url: https://CA.example.com:8443\nchallenges: [dns-persist-01]\ndns_persist: {issuer_domain_names: [ca.example.com]}\n", nil},
		{"an address is no name", "external_url: https://192.0.2.1\nchallenges: [dns-persist-01]\n",
			[]string{`caa_identities: dns-persist-01 needs domain names that mean this CA, and "192.0.2.1" is none; set caa_identities`}},
		{"unless it is not offered", "external_url: https://192.0.2.1\n", nil},
		{"no CAA identity", "challenges: [dns-persist-01]\ncaa_identities: [a.example]\ndns_persist:\n  issuer_domain_names: [a.example, b.example]\n",
			[]string{`f.yaml:4: dns_persist.issuer_domain_names: "b.example" is none of the CAA identities, a.example; add it to caa_identities`}},
		{"advertised and not offered", "challenges: [dns-persist-01]\ncaa_identities: [a.example, b.example]\ndns_persist:\n  issuer_domain_names: [a.example]\n  advertised_names: [b.example]\n",
			[]string{`f.yaml:5: dns_persist.advertised_names: "b.example" is none of the issuer domain names, a.example`}},
		{"in a directory", "caa_identities: [a.example]\ndns_persist: {issuer_domain_names: [b.example]}\ndirectories:\n  x: {}\n  y: {challenges: [dns-persist-01], caa_identities: [b.example]}\n  z: {challenges: [dns-persist-01]}\n",
			[]string{`directories.z.dns_persist.issuer_domain_names: "b.example" is none of the CAA identities`}},
		{"names that are not normal", "dns_persist:\n  issuer_domain_names: [A.example, b.example., '*.c.example', '192.0.2.1', a_b.example, '']\n",
			[]string{"[5]: is empty", "[0]: expects", "[1]: expects", "[2]: expects", "[3]: expects", "[4]: expects"}},
		{"too many names", "dns_persist:\n  issuer_domain_names: [a1, a2, a3, a4, a5, a6, a7, a8, a9, b1, b2]\n", []string{"expects at most 10 names, which is what a challenge may have; found 11"}},
		{"prefixes", "dns_persist:\n  account_hash_prefix: https://ca.example/h\n  former_account_hash_prefixes: ['http://ca.example/', 'https://ca.example/;/', 'https://ca.example/\u00fc/', 'https://ca.example/?x/']\n",
			[]string{"account_hash_prefix: must end in a slash", "[0]: expects a URL", "[1]: must have at most", "[2]: must have at most", "[3]: expects a URL"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("f.yaml", []byte(c.yaml))
			if len(c.want) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			errs, _ := err.(Errors)
			if len(errs) != len(c.want) {
				t.Fatalf("%d errors, want %d:\n%v", len(errs), len(c.want), err)
			}
			for i, want := range c.want {
				if !strings.Contains(errs[i].Error(), want) {
					t.Errorf("%q does not say %q", errs[i], want)
				}
			}
		})
	}
}
