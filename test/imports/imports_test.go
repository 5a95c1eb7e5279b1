// Package imports holds the import directions of DESIGN.md §1.
package imports

import (
	"bufio"
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/cairn-ca/cairn"

// shared are the internal packages that every service may use: the vocabulary,
// the RPC boundary, strict decoding and how DNS resolvers are named. None of
// them knows a service.
var shared = []string{"internal/acme", "internal/rpc", "internal/strictjson", "internal/resolver"}

// arrows are, for each area of the tree, the areas that its packages may
// import besides their own.
var arrows = map[string][]string{
	"cmd":        {"wfe", "ra", "va", "ca", "sa", "migrations", "internal/config", "internal/telemetry", "internal/responder", "internal/testmode"},
	"wfe":        {"ra", "sa"}, // sa for its types; what wfe may call is wfe's own read-only interface
	"ra":         {"va", "ca", "sa"},
	"ca":         {"sa"},
	"va":         {},
	"sa":         {"migrations"},
	"migrations": {},

	"internal/acme":       {},
	"internal/strictjson": {},
	"internal/resolver":   {},
	"internal/rpc":        {},
	"internal/config":     {},
	"internal/telemetry":  {},
	"internal/responder":  {},
	"internal/testmode":   {"wfe", "va", "ca", "sa"}, // it wraps their interfaces
	"internal/pgtest":     {},
	"internal/hsmtest":    {},

	"test": {"internal/pgtest", "internal/hsmtest", "internal/responder"},
}

// exceptions are single packages that may import more, each for its reason.
var exceptions = map[string][]string{
	// The conformance suite of the store is a library that tests call.
	"sa/storetest": {"sa", "internal/pgtest"},
}

type pkg struct {
	path    string // below the module
	imports []string
}

// area is the part of the tree that a package belongs to.
func area(path string) string {
	parts := strings.SplitN(path, "/", 3)
	if parts[0] == "internal" && len(parts) > 1 {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var all []pkg
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		p := pkg{path: strings.TrimPrefix(fields[0], module+"/")}
		for _, path := range fields[1:] {
			if below, ok := strings.CutPrefix(path, module+"/"); ok {
				p.imports = append(p.imports, below)
			}
		}
		all = append(all, p)
	}
	return all
}

func TestImportsRunOneWay(t *testing.T) {
	t.Parallel()
	all := packages(t)
	if len(all) < 10 {
		t.Fatalf("go list found %d packages only", len(all))
	}
	for _, p := range all {
		if reason := check(p); reason != "" {
			t.Error(reason)
		}
	}
}

// check says what is wrong with a package's imports; empty: nothing.
func check(p pkg) string {
	allowed, known := arrows[area(p.path)]
	if !known {
		return p.path + ": the tree has no such area; DESIGN.md §1 fixes the top level"
	}
	for _, imported := range p.imports {
		to := area(imported)
		switch {
		case to == area(p.path), slices.Contains(allowed, to), slices.Contains(exceptions[p.path], to):
		case slices.Contains(shared, to) && !slices.Contains(shared, area(p.path)):
		case to == "internal/acme": // everything may use the vocabulary
		default:
			return p.path + " imports " + imported + ", against the arrows of DESIGN.md §1"
		}
	}
	return ""
}

// The check itself: arrows that must be refused.
func TestForbiddenArrows(t *testing.T) {
	t.Parallel()
	for _, p := range []pkg{
		{"va", []string{"sa"}},
		{"va/dns", []string{"ra"}},
		{"sa", []string{"ra"}},
		{"sa", []string{"ca"}},
		{"ca", []string{"ra"}},
		{"ca/ocsp", []string{"va"}},
		{"ra", []string{"wfe"}},
		{"wfe", []string{"ca"}},
		{"wfe", []string{"va"}},
		{"wfe", []string{"internal/config"}},
		{"ra", []string{"cmd/cairn"}},
		{"internal/acme", []string{"sa"}},
		{"internal/acme", []string{"internal/rpc"}},
		{"internal/rpc", []string{"ra"}},
		{"sa", []string{"internal/pgtest"}},
		{"util", nil},
		{"wfe", []string{"test/harness"}},
	} {
		if check(p) == "" {
			t.Errorf("%s may import %s", p.path, p.imports)
		}
	}
}
