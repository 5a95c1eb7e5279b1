package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPerspectives(t *testing.T) {
	t.Parallel()
	c, err := Parse("f.yaml", []byte(`
public: true
va:
  perspectives:
  - {name: fra, region: ripe, addresses: ["10.0.0.1:9010", "fra.example:9010"]}
  - {name: us-east, region: ARIN, addresses: ["[fd00::1]:9010"]}
validation: {perspectives: {mode: required}}
directories:
  default:
  lab: {public: false, validation: {perspectives: {mode: shadow, regions: 1}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Perspective{
		{"fra", "ripe", []string{"10.0.0.1:9010", "fra.example:9010"}}, {"us-east", "ARIN", []string{"[fd00::1]:9010"}},
	}, c.VA.Perspectives); diff != "" {
		t.Error(diff)
	}
	if d := c.Directories["default"]; !d.Public || d.Validation.Perspectives != (PerspectivePolicy{"required", 2}) {
		t.Errorf("%+v", d.Validation)
	}
	if d := c.Directories["lab"]; d.Public || d.Validation.Perspectives != (PerspectivePolicy{"shadow", 1}) {
		t.Errorf("%+v", d.Validation)
	}
	// What is shown is a file again.
	shown, err := c.Show()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse("shown.yaml", shown)
	if err != nil {
		t.Fatalf("%v in:\n%s", err, shown)
	}
	if diff := cmp.Diff(c.VA, again.VA); diff != "" {
		t.Error(diff)
	}
}

func TestPerspectiveErrors(t *testing.T) {
	t.Parallel()
	const fine = "name: fra, region: RIPE, addresses: ['h:1']"
	for _, test := range []struct{ yaml, want string }{
		{"va: {perspectives: [{name: Fra, region: RIPE, addresses: ['h:1']}]}", `va.perspectives[0].name: "Fra" is no name for a perspective`},
		{"va: {perspectives: [{name: a.b, region: RIPE, addresses: ['h:1']}]}", `"a.b" is no name for a perspective`},
		{"va: {perspectives: [{region: RIPE, addresses: ['h:1']}]}", `"" is no name for a perspective`},
		{"va: {perspectives: [{" + fine + "}, {" + fine + "}]}", `va.perspectives[1].name: another perspective has the name fra already`},
		{"va: {perspectives: [{name: fra, region: EU, addresses: ['h:1']}]}", `va.perspectives[0].region: expects one of the five Regional Internet Registries, AFRINIC, APNIC, ARIN, LACNIC or RIPE; found "EU"`},
		{"va: {perspectives: [{name: fra, region: RIPE}]}", `va.perspectives[0]: name one address at least`},
		{"va: {perspectives: [{name: fra, region: RIPE, addresses: [h]}]}", `va.perspectives[0].addresses[0]: expects host:port`},
		{"va: {perspectives: [{name: fra, region: RIPE, addresses: ['h:0']}]}", `is not a port`},
		{"va: {perspectives: [{nam: fra, region: RIPE, addresses: ['h:1']}]}", `unknown key "va.perspectives[0].nam"`},
		{"va: {perspective_wait: 0}", `va.perspective_wait: expects a time from`},
		{"validation: {perspectives: {mode: on}}", `validation.perspectives.mode: expects`},
		{"validation: {perspectives: {mode: maybe}}", `validation.perspectives.mode: expects one of off, shadow, required; found "maybe"`},
		{"validation: {perspectives: {regions: 6}}", `validation.perspectives.regions: expects a number from 1 to 5; found 6`},
		{"validation: {perspectives: {regions: 0}}", `found 0`},
		{"public: true", `public: a public directory needs remote perspectives`},
		{"directories: {a: {public: true, validation: {perspectives: {mode: shadow}}}}", `directories.a.public: a public directory needs remote perspectives`},
		{"rpc: {clients: {perspective: ['not a name']}}", `rpc.clients.perspective[0]: expects a DNS name`},
	} {
		if _, err := Parse("f.yaml", []byte(test.yaml)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.yaml, err, test.want)
		}
	}
}
