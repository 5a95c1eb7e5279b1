package va

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

var issuers = []string{"ca.example", "xn--bcher-kva.example"}

const uri = "https://ca.example/account-hash/sha-256/x"

func TestParsePersistRecord(t *testing.T) {
	t.Parallel()
	until := time.Unix(1_800_000_000, 0).UTC()
	for _, c := range []struct {
		text      string
		want      persistRecord
		foreign   bool
		malformed string
	}{
		{text: "ca.example; accounturi=" + uri, want: persistRecord{accountURI: uri}},
		{text: " CA.Example\t;\taccountURI = " + uri + " ; policy=wildcard", want: persistRecord{accountURI: uri, wildcard: true}},
		{text: "xn--bcher-kva.example;accounturi=" + uri, want: persistRecord{accountURI: uri}},
		{text: "ca.example; accounturi=" + uri + "; Policy=WildCard; PERSISTUNTIL=1800000000", want: persistRecord{uri, true, until}},
		{text: "ca.example; accounturi=" + uri + "; policy=", want: persistRecord{accountURI: uri}},
		{text: "ca.example; accounturi=" + uri + "; policy=wildcards", want: persistRecord{accountURI: uri}},
		{text: "ca.example; accounturi=" + uri + "; x-1=y=z; other=", want: persistRecord{accountURI: uri}},
		{text: "ca.example; persistUntil=0; accounturi=a", want: persistRecord{accountURI: "a", until: time.Unix(0, 0).UTC()}},
		{text: "ca.example; persistUntil=0001800000000; accounturi=a", want: persistRecord{accountURI: "a", until: until}},
		{text: "ca.example; accounturi=a; persistUntil=99999999999999999999999", want: persistRecord{accountURI: "a", until: lastSecond}},
		{text: "", foreign: true},
		{text: ";", foreign: true},
		{text: "v=spf1 -all", foreign: true},
		{text: "other.example; accounturi=" + uri, foreign: true},
		{text: "ca.example.org; accounturi=" + uri, foreign: true},
		{text: "sub.ca.example; accounturi=" + uri, foreign: true},
		{text: "other.example; broken", foreign: true},
		{text: "ca.example", malformed: "no accounturi"},
		{text: "ca.example;", malformed: "no accounturi"},
		{text: "ca.example; accounturi=", malformed: "no accounturi"},
		{text: "ca.example; policy=wildcard", malformed: "no accounturi"},
		{text: "ca.example.; accounturi=" + uri, malformed: "dot"},
		{text: "ca.example accounturi=" + uri, malformed: "syntax"},
		{text: "ca.example; accounturi", malformed: "syntax"},
		{text: "ca.example; accounturi=" + uri + ";", malformed: "syntax"},
		{text: "ca.example; accounturi=a b", malformed: "syntax"},
		{text: "ca.example; accounturi=\u00fc", malformed: "syntax"},
		{text: "ca.example; accounturi=" + uri + "; ACCOUNTURI=" + uri, malformed: `"accounturi" twice`},
		{text: "ca.example; accounturi=a; policy=x; policy=wildcard", malformed: `"policy" twice`},
		{text: "ca.example; accounturi=a; x=1; X=2", malformed: `"x" twice`},
		{text: "ca.example; accounturi=a; persistUntil=", malformed: "persistUntil"},
		{text: "ca.example; accounturi=a; persistUntil=-1", malformed: "persistUntil"},
		{text: "ca.example; accounturi=a; persistUntil=+1", malformed: "persistUntil"},
		{text: "ca.example; accounturi=a; persistUntil=0x7f", malformed: "persistUntil"},
		{text: "ca.example; accounturi=a; persistUntil=1.8e9", malformed: "persistUntil"},
		{text: "ca.example; accounturi=a; persistUntil=2027-01-01", malformed: "persistUntil"},
	} {
		got, ours, malformed := parsePersistRecord(c.text, issuers)
		if ours == c.foreign || (malformed != "") != (c.malformed != "") || !strings.Contains(malformed, c.malformed) || got != c.want {
			t.Errorf("%q: %+v, ours %v, malformed %q", c.text, got, ours, malformed)
		}
	}
}

// A record of a stranger is either not ours, or malformed, or says the same as
// a record that is written anew from what was read.
func FuzzParsePersistRecord(f *testing.F) {
	for _, seed := range []string{
		"ca.example; accounturi=" + uri + "; policy=wildcard; persistUntil=1800000000", "CA.EXAMPLE;accounturi=a", "ca.example.;a=b",
		"ca.example", ";", "ca.example; accounturi=a; ACCOUNTURI=b", "ca.example ; persistuntil=99999999999999999999;accounturi = x", "\x00ca.example",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, ours, malformed := parsePersistRecord(text, issuers)
		if !ours || malformed != "" {
			if r != (persistRecord{}) {
				t.Fatalf("ours %v, malformed %q, and still %+v", ours, malformed, r)
			}
			return
		}
		value, ok := parseCAAValue(text)
		if !ok || !slices.Contains(issuers, strings.ToLower(value.issuer)) {
			t.Fatalf("ours, but not as CAA has it: %+v %v", value, ok)
		}
		again := issuers[0] + "; accounturi=" + r.accountURI
		if r.wildcard {
			again += "; policy=wildcard"
		}
		if !r.until.IsZero() {
			again += "; persistUntil=" + strconv.FormatInt(r.until.Unix(), 10)
		}
		second, ours, malformed := parsePersistRecord(again, issuers)
		if second != r || !ours || malformed != "" {
			t.Fatalf("%q says %+v, %q says %+v, ours %v, malformed %q", text, r, again, second, ours, malformed)
		}
	})
}

// Baseline Requirements §3.2.2.4.22: every perspective must see the same
// accounturi; how long it is to last may be seen differently.
func TestPersistDifference(t *testing.T) {
	t.Parallel()
	local := acme.Evidence{Method: acme.DNSPersist01, DomainName: "a.example", AccountURI: uri}
	remote := local
	remote.PersistUntil = time.Unix(1_800_000_000, 0)
	if what := difference(local, remote); what != "" {
		t.Errorf("the same accounturi: %s", what)
	}
	for _, other := range []string{"", uri + "x"} {
		remote.AccountURI = other
		if what := difference(local, remote); !strings.Contains(what, "accounturi") {
			t.Errorf("%q and %q: %q", uri, other, what)
		}
	}
}
