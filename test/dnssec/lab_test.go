package dnssec

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/cairn-ca/cairn/test/harness"
)

// lab is a DNS of its own: a root, a top-level domain and zones below it, on
// Knot, for Unbound to find with the lab's own trust anchor.
type lab struct {
	dir   string
	addr  string // Knot's
	mu    sync.Mutex
	zones map[string]*zone
}

// newLab starts the authoritative server.
func newLab(t *testing.T) *lab {
	t.Helper()
	dir, err := os.MkdirTemp("", "cairn-dnssec-") // short: Knot's socket is in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l := &lab{dir: dir, addr: harness.Addrs(t, 1)[0], zones: map[string]*zone{}}
	everywhere := []string{"@ A 127.0.0.1", "* A 127.0.0.1"}
	l.add(t, &zone{origin: "good.test.", options: withNSEC, records: append([]string{
		`forbids A 127.0.0.1`, `forbids CAA 0 issue ";"`,
		`permits A 127.0.0.1`, `permits CAA 0 issue "localhost"`,
	}, everywhere...)})
	l.add(t, &zone{origin: "nsec3.test.", options: withNSEC3, records: append([]string{
		"hidden A 127.0.0.1",
	}, everywhere...)})
	l.add(t, &zone{origin: "spoilt.test.", options: withNSEC3, records: []string{"denial A 127.0.0.1"}, after: spoilDenial("denial")})
	l.add(t, &zone{origin: "plain.test.", records: append([]string{`forbids A 127.0.0.1`, `forbids CAA 0 issue ";"`}, everywhere...)})
	l.add(t, &zone{origin: "unsigned.optout.test.", records: everywhere})
	l.add(t, &zone{origin: "bogus.test.", options: withNSEC, records: everywhere})
	l.add(t, &zone{origin: "past.test.", options: inThePast, records: everywhere})
	l.add(t, &zone{origin: "mixed.test.", options: withNSEC, records: []string{
		"address A 127.0.0.1",
		"txt A 127.0.0.1",
		"caa A 127.0.0.1", `caa CAA 0 issue "localhost"`,
		"expiredcaa A 127.0.0.1", `expiredcaa CAA 0 issue "localhost"`,
		"denial A 127.0.0.1",
		`forbidden A 127.0.0.1`, `forbidden CAA 0 issue "localhost"`,
	}, after: mix})
	// A parent that proves with NSEC3 that its child is not signed, by saying
	// nothing about it.
	l.add(t, &zone{origin: "optout.test.", options: optOut, records: []string{"unsigned NS ns.test."}})
	wrong := newKey(t, dir, "bogus.test.")
	l.add(t, &zone{origin: "test.", options: withNSEC, records: []string{
		"ns A 127.0.0.1",
		"good NS ns.test.", ds(t, dir, l.zones["good.test."].key),
		"nsec3 NS ns.test.", ds(t, dir, l.zones["nsec3.test."].key),
		"spoilt NS ns.test.", ds(t, dir, l.zones["spoilt.test."].key),
		"optout NS ns.test.", ds(t, dir, l.zones["optout.test."].key),
		"past NS ns.test.", ds(t, dir, l.zones["past.test."].key),
		"mixed NS ns.test.", ds(t, dir, l.zones["mixed.test."].key),
		"bogus NS ns.test.", ds(t, dir, wrong), // of a key that the zone has not
		"plain NS ns.test.",
	}})
	l.add(t, &zone{origin: ".", options: withNSEC, records: []string{"test. NS ns.test.", "ns.test. A 127.0.0.1", ds(t, dir, l.zones["test."].key)}})
	l.serve(t)
	return l
}

func (l *lab) add(t *testing.T, z *zone) {
	t.Helper()
	z.dir = l.dir
	if z.options != nil {
		z.key = newKey(t, l.dir, z.origin)
	}
	z.write(t)
	l.zones[z.origin] = z
}

// mix spoils one thing for each of the names of the zone mixed.test.
func mix(t *testing.T, z *zone, rrs []mdns.RR) []mdns.RR {
	t.Helper()
	spoil(t, rrs, "_acme-challenge.txt.mixed.test.", mdns.TypeTXT) // once it is there
	for name, qtype := range map[string]uint16{
		"address.mixed.test.": mdns.TypeA, "caa.mixed.test.": mdns.TypeCAA,
		"denial.mixed.test.": mdns.TypeNSEC,
	} {
		if spoil(t, rrs, name, qtype) != 1 {
			t.Fatalf("%s has no one signature", name)
		}
	}
	old := signatures(z.sign(t, filepath.Join(z.dir, z.file()+".plain"), inThePast...), "expiredcaa.mixed.test.", mdns.TypeCAA)
	current := signatures(rrs, "expiredcaa.mixed.test.", mdns.TypeCAA)
	if len(old) != 1 || len(current) != 1 {
		t.Fatal("no signatures over a CAA record")
	}
	*current[0] = *old[0]
	// Somebody on the way takes a CAA record away, which would permit.
	var kept []mdns.RR
	for _, rr := range rrs {
		sig, isSig := rr.(*mdns.RRSIG)
		if rr.Header().Name == "forbidden.mixed.test." && (rr.Header().Rrtype == mdns.TypeCAA || isSig && sig.TypeCovered == mdns.TypeCAA) {
			continue
		}
		kept = append(kept, rr)
	}
	return kept
}

// spoilDenial spoils the NSEC3 record which shows that a name has no CAA
// record.
func spoilDenial(label string) func(*testing.T, *zone, []mdns.RR) []mdns.RR {
	return func(t *testing.T, z *zone, rrs []mdns.RR) []mdns.RR {
		t.Helper()
		owner := mdns.HashName(label+"."+z.origin, mdns.SHA1, 0, "") + "." + z.origin
		if spoil(t, rrs, owner, mdns.TypeNSEC3) != 1 {
			t.Fatalf("there is no NSEC3 record for %s", label)
		}
		return rrs
	}
}

// serve starts Knot.
func (l *lab) serve(t *testing.T) {
	t.Helper()
	var zones strings.Builder
	for _, z := range l.zones {
		fmt.Fprintf(&zones, "  - domain: %q\n    file: %q\n", z.origin, z.file())
	}
	at := strings.Replace(l.addr, ":", "@", 1)
	conf := l.write(t, "knot.conf", fmt.Sprintf(`
server:
    rundir: %[1]q
    listen: %[2]s
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: "%[1]s/db"
control:
    listen: "%[1]s/ctl"
log:
  - target: stderr
    any: notice
template:
  - id: default
    storage: %[1]q
    zonefile-sync: -1
    zonefile-load: whole
    journal-content: none
    semantic-checks: off
zone:
%[3]s`, l.dir, at, zones.String()))
	harness.StartDaemon(t, exec.Command("/usr/sbin/knotd", "-c", conf), func(ctx context.Context) bool {
		return answers(ctx, l.addr, "good.test.")
	})
}

func (l *lab) write(t *testing.T, name, content string) (path string) {
	t.Helper()
	path = filepath.Join(l.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// answers tells whether a server knows a zone.
func answers(ctx context.Context, addr, name string) bool {
	c := mdns.Client{Timeout: time.Second}
	m, _, err := c.ExchangeContext(ctx, new(mdns.Msg).SetQuestion(name, mdns.TypeSOA), addr)
	return err == nil && m.Rcode == mdns.RcodeSuccess
}

// publish adds a record to a zone, signs the zone and has Knot serve it.
func (l *lab) publish(t *testing.T, origin, record string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	z := l.zones[origin]
	z.records = append(z.records, record)
	z.write(t)
	run(t, l.dir, "knotc", "-b", "-s", filepath.Join(l.dir, "ctl"), "zone-reload", origin)
}

const shippedConfiguration = "../../deploy/unbound/cairn.conf"

// unbound starts an Unbound with the configuration in deploy/unbound, and what
// the lab needs on top of it. It looks names up at Knot and has the lab's
// trust anchor.
func (l *lab) unbound(t *testing.T, addr, more string) *harness.Daemon {
	t.Helper()
	shipped, err := filepath.Abs(shippedConfiguration)
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(addr, ":")
	conf := l.write(t, "unbound-"+port+".conf", fmt.Sprintf(`
include: %q
server:
    port: %s
    username: ""
    chroot: ""
    directory: %q
    pidfile: ""
    use-syslog: no
    do-daemonize: no
    num-threads: 1
    do-ip6: no
    do-not-query-localhost: no
    local-zone: "test." nodefault
    trust-anchor: %q
%s
`, shipped, port, l.dir, ds(t, l.dir, l.zones["."].key), more))
	return harness.StartDaemon(t, exec.Command("/usr/sbin/unbound", "-d", "-c", conf), func(ctx context.Context) bool {
		return answers(ctx, addr, "plain.test.")
	})
}

// iterate has an Unbound find names at Knot.
func (l *lab) iterate() string {
	var stubs strings.Builder
	for origin := range l.zones {
		fmt.Fprintf(&stubs, "stub-zone:\n    name: %q\n    stub-addr: %s\n", origin, strings.Replace(l.addr, ":", "@", 1))
	}
	return stubs.String()
}
