package config

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestCeremonyFileExample(t *testing.T) {
	t.Parallel()
	c, _, err := LoadCeremony("../../deploy/ceremony.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// What parts have from the whole.
	r := c.Roots["root-r1"]
	if r.Subject.Organization != "Example Corp" || r.Subject.Country != "NZ" || r.Key.Type != "rsa" || r.Key.PassphraseFile == "" || r.File != "root-r1.pem" || r.Key.File != "root-r1.key" || r.PathLength != -1 {
		t.Errorf("a root is %+v", r)
	}
	i := c.Intermediates["issuing-e1"]
	if i.PathLength != 0 || !slices.Equal(i.ExtendedKeyUsages, []string{"server_auth", "client_auth"}) || !slices.Equal(i.Policies, []string{anyPolicy}) {
		t.Errorf("an intermediate is %+v", i)
	}
}

var ceremonyRow = regexp.MustCompile("(?m)^\\| `([A-Za-z_.0-9]+)` \\| (\\S.*) \\|$")

// docs/ceremony.md has every key of a ceremony's file, and no other.
func TestCeremonyDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/ceremony.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, m := range ceremonyRow.FindAllStringSubmatch(string(page), -1) {
		if documented[m[1]] {
			t.Errorf("%s is documented twice", m[1])
		}
		documented[m[1]] = true
	}
	known := map[string]bool{}
	for _, key := range ceremonyKeys() {
		known[key] = true
		// The keys of a subject, of a key and of extensions are documented
		// once, and named by their last part.
		short := key
		for _, section := range []string{"subject", "key"} {
			if _, below, ok := strings.Cut(key, "."+section+"."); ok {
				short = section + "." + below
			}
		}
		if !documented[short] && !documented[key] && key != short+".common_name" {
			t.Errorf("%s is not documented", key)
		}
		known[short] = true
	}
	for key := range documented {
		if !known[key] {
			t.Errorf("%s is documented, and is no key", key)
		}
	}
}

func FuzzParseCeremony(f *testing.F) {
	example, err := os.ReadFile("../../deploy/ceremony.example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add([]byte("roots: {r: {subject: {common_name: A}, validity: 1d}}"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := ParseCeremony("f", data); (err == nil) != (c != nil) {
			t.Errorf("%v, %v", c, err)
		}
	})
}
