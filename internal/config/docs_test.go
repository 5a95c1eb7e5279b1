package config

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

var docRow = regexp.MustCompile("(?m)^\\| `([A-Za-z0-9_.]+)` \\| `([^`]*)` \\| (\\S.*) \\|$")

// The page that documents the configuration has every key with its default,
// and no other.
func TestDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, m := range docRow.FindAllStringSubmatch(string(page), -1) {
		if _, twice := got[m[1]]; twice {
			t.Errorf("%s is documented twice", m[1])
		}
		got[m[1]] = m[2]
	}
	want := map[string]string{}
	flatten(t, want, "", tree(reflect.ValueOf(Default())))
	flatten(t, want, "ca.profiles.NAME", tree(reflect.ValueOf(DefaultProfile())))
	flatten(t, want, "ca.issuers.NAME", tree(reflect.ValueOf(Issuer{})))
	flatten(t, want, "directories.NAME", tree(reflect.ValueOf(NamedDirectory{})))
	for key := range want {
		// The keys of a directory are documented once, where they stand outside
		// of the directories.
		if outside, ok := strings.CutPrefix(key, "directories.NAME."); ok && outside != "path" {
			delete(want, key)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/configuration.md (-the types +the page):\n%s", diff)
	}
	for _, key := range Keys() {
		if outside, ok := strings.CutPrefix(key, "directories.NAME."); ok && outside != "path" {
			key = outside
		}
		if _, ok := want[key]; !ok {
			t.Errorf("no default for %s", key)
		}
	}
}

func flatten(t *testing.T, into map[string]string, path string, n *yaml.Node) {
	t.Helper()
	if n.Kind == yaml.MappingNode && len(n.Content) > 0 {
		for i := 0; i < len(n.Content); i += 2 {
			flatten(t, into, join(path, n.Content[i].Value), n.Content[i+1])
		}
		return
	}
	b, err := yaml.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	into[path] = strings.TrimSpace(string(b))
}

func TestExample(t *testing.T) {
	t.Parallel()
	if _, err := Load("../../deploy/cairn.example.yaml"); err != nil {
		t.Error(err)
	}
}
