package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/responder"
)

// cairn admin caa check needs a configuration and nothing else, explains each
// step, and tells its decision by its exit status.
func TestAdminCAACheck(t *testing.T) {
	t.Parallel()
	r, err := responder.Start(t.Context(), responder.Config{Suffixes: []string{"test"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	const account = "https://ca.example/acme/acct/1"
	for name, records := range map[string][]string{
		"ours.test":     {`0 issue "ca.example"`},
		"theirs.test":   {`0 issue "other.example"`, `0 iodef "mailto:a@theirs.test"`},
		"account.test":  {`0 issue "other.example"`, `0 issue "ca.example; accounturi=` + account + `; validationmethods=dns-01"`},
		"wild.test":     {`0 issue "ca.example"`, `0 issuewild ";"`},
		"lab.test":      {`0 issue "lab.example"`},
		"critical.test": {`128 tbs "x"`},
	} {
		if err := r.SetCAA(name, records...); err != nil {
			t.Fatal(err)
		}
	}
	r.SetCNAME("alias.test", "theirs.test")
	r.SetFailure("broken.test", mdns.TypeCAA, responder.Failure{Rcode: mdns.RcodeServerFailure, ExtendedCode: 6, ExtendedError: "bogus"})
	dir := t.TempDir()
	file := filepath.Join(dir, "cairn.yaml")
	text := fmt.Sprintf("data: %s\ncaa_identities: [ca.example]\nva: {resolvers: [%q]}\ndirectories: {default: {}, lab: {caa_identities: [lab.example]}}\n",
		filepath.Join(dir, "none"), r.DNSAddr())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args      string
		permitted bool
		words     []string
	}{
		{"www.ours.test --directory default", true, []string{
			"look up CAA of www.ours.test at " + r.DNSAddr() + ": nodata",
			"look up CAA of ours.test at " + r.DNSAddr() + ": found",
			`record 0 issue "ca.example"`, "it permits this CA",
			`permitted: the CAA record 0 issue "ca.example" of ours.test permits it`,
		}},
		{"WWW.Ours.Test. --directory default", true, []string{"name        www.ours.test"}},
		{"free.test --directory default", true, []string{"look up CAA of test ", "every CA may issue"}},
		{"theirs.test --directory default", false, []string{`judge 0 issue "other.example"`, "issuer other.example", "permits another CA", "not permitted: "}},
		{"alias.test --directory default", false, []string{"an alias of theirs.test: found"}},
		{"account.test --directory default", false, []string{"none given: records with an accounturi permit nobody", "parameter accounturi = " + account, "for another account"}},
		{"account.test --directory default --account-uri " + account, false, []string{"method      http-01", "for other validation methods"}},
		{"account.test --directory default --method dns-01 --account-uri " + account, true, []string{"parameter validationmethods = dns-01"}},
		{"wild.test --directory default", true, nil},
		{"wild.test --wildcard --directory default", false, []string{"name        *.wild.test", "method      dns-01", `0 issuewild ";"`}},
		{"*.wild.test --directory default", false, []string{"name        *.wild.test"}},
		{"lab.test --directory default", false, nil},
		{"lab.test --directory lab", true, []string{"this CA is  lab.example"}},
		{"critical.test --directory default", false, []string{`judge 128 tbs "x"`, "critical"}},
		{"broken.test --directory default", false, []string{": servfail [EDE 6 DNSSEC Bogus: bogus]", "nobody knows"}},
	} {
		for _, format := range []string{"", "--json"} {
			args := append([]string{"admin", "caa", "check", "--config", file}, strings.Fields(c.args+" "+format)...)
			var stdout, stderr bytes.Buffer
			err := run(t.Context(), args, &stdout, &stderr)
			if (err == nil) != c.permitted || err != nil && !strings.HasPrefix(err.Error(), "CAA does not permit") {
				t.Errorf("%s: error %v", c.args, err)
			}
			if format != "" {
				var doc caaDocument
				if err := json.Unmarshal(stdout.Bytes(), &doc); err != nil {
					t.Errorf("%s: %v\n%s", c.args, err, stdout.String())
				}
				if doc.Permitted != c.permitted || doc.Permitted != (doc.Problem == nil) || len(doc.Lookups) == 0 || doc.Reason == "" || doc.CheckedAt.IsZero() {
					t.Errorf("%s: %+v", c.args, doc)
				}
				continue
			}
			for _, word := range c.words {
				if !strings.Contains(stdout.String(), word) {
					t.Errorf("%s does not say %q:\n%s", c.args, word, stdout.String())
				}
			}
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "none")); err == nil {
		t.Error("a data folder was made")
	}
}

func TestAdminCAACheckRefusals(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":            "needs one argument, the name to check",
		"a_b.example": "can't be checked",
		"127.0.0.1":   "can't be checked",
		"pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion": "clients send them with the order",
		"a.example --method dns-1":                                       `--method: the directory default does not offer "dns-1"; it offers http-01, dns-01, tls-alpn-01`,
		"a.example --directory nobody":                                   `there is no directory "nobody"`,
	} {
		var out bytes.Buffer
		err := run(t.Context(), append([]string{"admin", "caa", "check"}, strings.Fields(args)...), &out, &out)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", args, err)
		}
	}
}
