package dnssec

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
)

// zone is one zone of the lab, signed by ldns-signzone.
type zone struct {
	origin  string   // with trailing dot
	options []string // of ldns-signzone; nil: the zone is not signed
	records []string // in presentation form, names relative to the origin
	// after changes the signed zone: what an attacker or a careless owner does.
	after  func(t *testing.T, z *zone, rrs []mdns.RR) []mdns.RR
	serial int
	dir    string
	key    string // the base name of the key's files
}

var (
	withNSEC  = []string{}
	withNSEC3 = []string{"-n", "-t", "0"}
	optOut    = []string{"-n", "-t", "0", "-p"}
	inThePast = []string{"-i", "20200101", "-e", "20200201"}
)

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

func newKey(t *testing.T, dir, origin string) (base string) {
	t.Helper()
	return run(t, dir, "ldns-keygen", "-a", "ECDSAP256SHA256", "-k", origin)
}

// ds is the DS record of a key.
func ds(t *testing.T, dir, key string) string {
	t.Helper()
	record, err := os.ReadFile(filepath.Join(dir, key+".ds"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(record)), " ")
}

// file is the name of the zone's file.
func (z *zone) file() string {
	if z.origin == "." {
		return "root.zone"
	}
	return z.origin + "zone"
}

// write writes the zone's file, signed anew.
func (z *zone) write(t *testing.T) {
	t.Helper()
	z.serial++
	lines := append([]string{
		"$ORIGIN " + z.origin, "$TTL 1",
		fmt.Sprintf("@ SOA ns.test. hostmaster.test. %d 3600 600 86400 1", z.serial),
		"@ NS ns.test.",
	}, z.records...)
	plain := filepath.Join(z.dir, z.file()+".plain")
	if err := os.WriteFile(plain, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rrs := z.parse(t, plain)
	if z.options != nil {
		rrs = z.sign(t, plain, z.options...)
	}
	if z.after != nil {
		rrs = z.after(t, z, rrs)
	}
	var text strings.Builder
	for _, rr := range rrs {
		text.WriteString(rr.String() + "\n")
	}
	final := filepath.Join(z.dir, z.file())
	if err := os.WriteFile(final+".new", []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(final+".new", final); err != nil {
		t.Fatal(err)
	}
}

func (z *zone) sign(t *testing.T, plain string, options ...string) []mdns.RR {
	t.Helper()
	signed := plain + ".signed"
	run(t, z.dir, "ldns-signzone", append(append([]string{"-o", z.origin, "-f", signed}, options...), plain, z.key)...)
	return z.parse(t, signed)
}

func (z *zone) parse(t *testing.T, file string) []mdns.RR {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var rrs []mdns.RR
	parser := mdns.NewZoneParser(f, z.origin, file)
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		rrs = append(rrs, rr)
	}
	if err := parser.Err(); err != nil {
		t.Fatal(err)
	}
	return rrs
}

// signatures are the RRSIG records over the records of a type of a name.
func signatures(rrs []mdns.RR, name string, qtype uint16) []*mdns.RRSIG {
	var found []*mdns.RRSIG
	for _, rr := range rrs {
		if sig, ok := rr.(*mdns.RRSIG); ok && sig.TypeCovered == qtype && strings.EqualFold(sig.Hdr.Name, name) {
			found = append(found, sig)
		}
	}
	return found
}

// spoil makes the signatures over the records of a type of a name wrong, if
// there are such records.
func spoil(t *testing.T, rrs []mdns.RR, name string, qtype uint16) int {
	t.Helper()
	found := signatures(rrs, name, qtype)
	for _, sig := range found {
		raw, err := base64.StdEncoding.DecodeString(sig.Signature)
		if err != nil {
			t.Fatal(err)
		}
		raw[10] ^= 1
		sig.Signature = base64.StdEncoding.EncodeToString(raw)
	}
	return len(found)
}
