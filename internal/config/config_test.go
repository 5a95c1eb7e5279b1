package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		yaml string
		want func(*Config)
	}{
		{"empty", "", func(*Config) {}},
		{"only comments", "# nothing\n", func(*Config) {}},
		{"keys without values keep their defaults", "data:\nva:\nlisten:\n  acme:\n", func(*Config) {}},
		{"a folder", "data: /srv/cairn\n", func(c *Config) { c.Data = "/srv/cairn" }},
		{"one listener of three", "listen: {acme: '0.0.0.0:443'}\n", func(c *Config) { c.Listen.ACME = "0.0.0.0:443" }},
		{"every kind of value", `
va:
  resolvers: ["127.0.0.1:8053", 9.9.9.9, "::1"]
  http_port: 5002
  allow_private_addresses: false
  timeout: 1m30s
orders: {lifetime: 1d}
answer_wait: 0
`, func(c *Config) {
			c.VA.Resolvers = []string{"127.0.0.1:8053", "9.9.9.9", "::1"}
			c.VA.HTTPPort, c.VA.AllowPrivateAddresses, c.VA.Timeout = 5002, false, 90*time.Second
			c.Directory.Orders.Lifetime = 24 * time.Hour
			c.AnswerWait = 0
		}},
		{"resolvers", `
va:
  resolvers: ["tls://192.0.2.1#dns.example", "https://dns.example/dns-query", "tcp://192.0.2.1"]
  resolver_timeout: 500ms
  resolver_attempts: 5
  resolver_roots: /etc/cairn/roots.pem
  randomize_case: false
  dnssec_probe: {secure: [a.example], bogus: [b.example, c.example], interval: 30s, max_age: 5m}
validation: {require_dnssec_resolver: true}
`, func(c *Config) {
			c.VA.Resolvers = []string{"tls://192.0.2.1#dns.example", "https://dns.example/dns-query", "tcp://192.0.2.1"}
			c.VA.ResolverTimeout, c.VA.ResolverAttempts, c.VA.ResolverRoots = 500*time.Millisecond, 5, "/etc/cairn/roots.pem"
			c.VA.RandomizeCase = false
			c.VA.DNSSECProbe = DNSSECProbe{[]string{"a.example"}, []string{"b.example", "c.example"}, 30 * time.Second, 5 * time.Minute}
			c.Directory.Validation.RequireDNSSECResolver = true
		}},
		{"an alias", "caa_identities: &names [a.example, b.example]\nrpc: {clients: {sa: *names}}\n", func(c *Config) {
			c.Directory.CAAIdentities = []string{"a.example", "b.example"}
			c.RPC.Clients.SA = []string{"a.example", "b.example"}
		}},
		{"the same free port for several listeners", "listen: {acme: 'localhost:0', public: 'localhost:0', admin: 'localhost:0'}\n", func(c *Config) {
			c.Listen = Listen{"localhost:0", "localhost:0", "localhost:0"}
		}},
		{"URLs", "external_url: https://ca.example.com/\npublic_url: http://pki.example.com:8080/x\nwebsite: https://example.com/a?b\nstore: {url: 'postgres://u@h:5432/db?sslmode=disable', password_file: /p}\n", func(c *Config) {
			c.ExternalURL = "https://ca.example.com/"
			c.PublicURL = "http://pki.example.com:8080/x"
			c.Directory.Website = "https://example.com/a?b"
			c.Store = Store{URL: "postgres://u@h:5432/db?sslmode=disable", PasswordFile: "/p", Migrate: true}
		}},
		{"directories begin as what stands outside of them", `
directories:
  default:
  lab:
    eab: {required: false}
    policy: {wildcards: false, allow: [lab.example.com]}
    challenges: [dns-01]
  other: {path: /x/y/directory, profiles: []}
eab: {required: true}
profiles: [server]
policy: {deny: [secret.example.com], addresses: [10.0.0.0/8]}
`, func(c *Config) {
			d := &c.Directory
			d.EAB.Required = true
			d.Profiles = []string{"server"}
			d.Policy.Deny, d.Policy.Addresses = []string{"secret.example.com"}, []string{"10.0.0.0/8"}
			lab := *d
			lab.EAB.Required = false
			lab.Policy.Wildcards, lab.Policy.Allow = false, []string{"lab.example.com"}
			lab.Challenges = []string{"dns-01"}
			other := *d
			other.Profiles = nil
			c.Directories = map[string]NamedDirectory{
				"default": {"", *d}, "lab": {"", lab}, "other": {"/x/y/directory", other},
			}
		}},
		{"dns-persist-01", "challenges: [dns-persist-01, dns-account-01]\ncaa_identities: [CA.example., b.example]\ndns_persist: {issuer_domain_names: [b.example, ca.example], advertised_names: [b.example], account_hash_prefix: 'https://ca.example/h/', former_account_hash_prefixes: ['https://ca.example:14000/x/'], account_urls: true}\n", func(c *Config) {
			c.Directory.Challenges = []string{"dns-persist-01", "dns-account-01"}
			c.Directory.CAAIdentities = []string{"CA.example.", "b.example"}
			c.Directory.DNSPersist = DNSPersist{[]string{"b.example", "ca.example"}, []string{"b.example"}, "https://ca.example/h/", []string{"https://ca.example:14000/x/"}, true}
		}},
		{"auto-renewal", "auto_renewal: {enabled: true, min_lifetime: 1h, max_duration: 30d, allow_get: true}\n", func(c *Config) {
			c.Directory.AutoRenewal = AutoRenewal{Enabled: true, MinLifetime: time.Hour, MaxDuration: 30 * day, AllowGet: true}
		}},
		{"profiles", "ca: {profiles: {web: {validity: 47d}}}\nprofiles: [web]\n", func(c *Config) {
			web := DefaultProfile()
			web.Validity = 47 * day
			c.CA.Profiles = map[string]Profile{"web": web}
			c.Directory.Profiles = []string{"web"}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			want := Default()
			test.want(&want)
			got, err := Parse("f.yaml", []byte(test.yaml))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		yaml string
		want []string
	}{
		{"a misspelt key", "\ndata: x\nlistn: {}\n", []string{`f.yaml:3: unknown key "listn"; did you mean "listen"?`}},
		{"a misspelt key further in", "va:\n  resolver: []\n", []string{`f.yaml:2: unknown key "va.resolver"; did you mean "va.resolvers"?`}},
		{"the right key in the wrong place", "resolvers: []\n", []string{`f.yaml:1: unknown key "resolvers"; did you mean "va.resolvers"?`}},
		{"letters swapped", "eab:\n  reqiured: true\n", []string{`f.yaml:2: unknown key "eab.reqiured"; did you mean "eab.required"?`}},
		{"a misspelt key of a profile", "ca:\n  profiles:\n    web:\n      validty: 90d\n", []string{`f.yaml:4: unknown key "ca.profiles.web.validty"; did you mean "ca.profiles.web.validity"?`}},
		{"everything at once, in the order of the lines", "dat: 1\nva:\n  http_port: http\nlisten: []\n", []string{
			`f.yaml:1: unknown key "dat"; did you mean "data"?`,
			`f.yaml:3: va.http_port: expects a whole number; found "http"`,
			`f.yaml:4: listen: this key has keys below it; found a list`,
		}},
		{"a repeated key", "data: a\ndata: b\n", []string{`f.yaml:2: data: this key is on line 1 already; keep one of them`}},
		{"a number for text", "data: 12\n", []string{`f.yaml:1: data: expects text (put the value in quotes); found the number "12"`}},
		{"text for a switch", "eab: {required: 'yes'}\n", []string{`f.yaml:1: eab.required: expects true or false; found "yes"`}},
		{"a scalar for a list", "va: {resolvers: 127.0.0.1}\n", []string{`f.yaml:1: va.resolvers: expects a list, such as [a, b]; found "127.0.0.1"`}},
		{"a number without a unit", "answer_wait: 5\n", []string{`f.yaml:1: answer_wait: expects a time with its unit, such as "30s", "15m", "8h" or "90d"; found the number "5"`}},
		{"a negative time", "answer_wait: -1s\n", []string{`f.yaml:1: answer_wait: expects a time from 0 to 1m; found -1s`}},
		{"a number too large", "va: {http_port: 99999999999999999999}\n", []string{`f.yaml:1: va.http_port: expects a whole number; found the number "99999999999999999999"`}},
		{"a port out of range", "va:\n  tls_port: 70000\n", []string{`f.yaml:2: va.tls_port: expects a port from 1 to 65535; found 70000`}},
		{"an address without a port", "listen: {acme: localhost}\n", []string{`f.yaml:1: listen.acme: expects host:port, such as 127.0.0.1:14000; found "localhost"`}},
		{"one address twice", "listen:\n  acme: a:1\n  admin: a:1\n", []string{`f.yaml:3: listen.admin: a:1 is the address of listen.acme already; give each listener its own port`}},
		{"a plain external URL", "external_url: http://ca.example.com\n", []string{`f.yaml:1: external_url: must begin with https://, as in https://acme.example.com; found "http://ca.example.com"`}},
		{"an external URL with a path", "external_url: https://ca.example.com/acme\n", []string{`f.yaml:1: external_url: must have no path: clients find the directory at /directory below it; found "https://ca.example.com/acme"`}},
		{"an encrypted public URL", "public_url: https://ca.example.com\n", []string{`f.yaml:1: public_url: must begin with http://, as in http://pki.example.com; found "https://ca.example.com"`}},
		{"no URL", "public_url: pki.example.com\n", []string{`f.yaml:1: public_url: expects a URL such as http://pki.example.com; found "pki.example.com"`}},
		{"an unknown store", "store: {url: 'mysql://u:secret@h'}\n", []string{`f.yaml:1: store.url: expects postgres://USER@HOST:PORT/DATABASE or sqlite:PATH`}},
		{"two passwords", "store:\n  url: postgres://u:secret@h/d\n  password_file: /p\n", []string{`f.yaml:3: store.password_file: store.url has a password as well; take it out of the URL`}},
		{"a password of nobody", "store:\n  url: postgres://h/d\n  password_file: /p\n", []string{`f.yaml:3: store.password_file: store.url must name the user that the password is for, as in postgres://USER@HOST:PORT/DATABASE`}},
		{"a resolver by name", "va:\n  resolvers:\n  - 127.0.0.1\n  - dns.example\n", []string{`f.yaml:4: va.resolvers[1]: expects the IP address of a resolver, with or without its port, such as 127.0.0.1:8053; found "dns.example"`}},
		{"attestation without roots", "challenges: [device-attest-01]\n", []string{`f.yaml:1: challenges: device-attest-01 needs the roots of at least one format of attestation; name a file in validation.attestation_roots`}},
		{"a resolver over HTTPS without a path", "va: {resolvers: ['https://dns.example']}\n", []string{`f.yaml:1: va.resolvers[0]: expects the path of the resolver, most often https://dns.example/dns-query; found "https://dns.example"`}},
		{"attempts out of range", "va: {resolver_attempts: 0}\n", []string{`f.yaml:1: va.resolver_attempts: expects a number from 1 to 10; found 0`}},
		{"a probe of nothing", "va: {dnssec_probe: {secure: [], bogus: [a b]}}\n", []string{
			`f.yaml:1: va.dnssec_probe.secure: name one at least, or leave the key out`,
			`f.yaml:1: va.dnssec_probe.bogus[0]: expects a domain name; found "a b"`,
		}},
		{"a proof that lapses before the next probe", "va:\n  dnssec_probe:\n    interval: 5m\n    max_age: 1m\n", []string{`f.yaml:4: va.dnssec_probe.max_age: 1m is shorter than the time from one probe to the next, 5m`}},
		{"an unknown challenge", "challenges: [http-01, http-02]\n", []string{`f.yaml:1: challenges[1]: expects one of http-01, dns-01, tls-alpn-01, onion-csr-01, dns-account-01, dns-persist-01, device-attest-01; found "http-02"`}},
		{"a profile", `
ca:
  profiles:
    Web:
      validity: 1h
      backdate: 1h
      key_types: [dsa]
      identifiers: []
      common_name: last
      max_names: 0
      policies: [1.2.x]
`, []string{
			`f.yaml:4: ca.profiles.Web: "Web" is no name for a profile: use 1 to 32 lower-case letters, digits and hyphens`,
			`f.yaml:6: ca.profiles.Web.backdate: 1h leaves nothing of the validity 1h`,
			`f.yaml:7: ca.profiles.Web.key_types[0]: expects one of rsa, p256, p384, p521, ed25519; found "dsa"`,
			`f.yaml:8: ca.profiles.Web.identifiers: name at least one of dns, ip, permanent-identifier, hardware-module`,
			`f.yaml:9: ca.profiles.Web.common_name: expects one of none, requested, first; found "last"`,
			`f.yaml:10: ca.profiles.Web.max_names: expects a number from 1 to 1000; found 0`,
			`f.yaml:11: ca.profiles.Web.policies[0]: expects an object identifier, such as 2.23.140.1.2.1; found "1.2.x"`,
		}},
		{"directories", `
directories:
  Lab: {}
  a: {path: /a}
  b: {path: /acme/directory}
  c: {path: /directory}
  default: {}
  d: {path: /../directory}
  e:
    polcy: {}
    required: true
    policy: {wildcards: maybe}
`, []string{
			`f.yaml:3: directories.Lab: "Lab" is no name for a directory: use 1 to 32 lower-case letters, digits and hyphens`,
			`f.yaml:4: directories.a.path: expects a path that ends in /directory, such as /lab/directory; found "/a"`,
			`f.yaml:5: directories.b.path: must not have /acme/ in it, which is where the resources of directories are; found "/acme/directory"`,
			`f.yaml:7: directories.default: /directory is the path of the directory c already; give each its own`,
			`f.yaml:8: directories.d.path: must have neither . nor .. in it; found "/../directory"`,
			`f.yaml:10: unknown key "directories.e.polcy"; did you mean "directories.e.policy"?`,
			`f.yaml:11: unknown key "directories.e.required"; did you mean "directories.e.eab.required"?`,
			`f.yaml:12: directories.e.policy.wildcards: expects true or false; found "maybe"`,
		}},
		{"a mistake outside of the directories, once", `
auto_renewal: {min_lifetime: 10d}
challenges: [x]
directories:
  a: {}
  b: {auto_renewal: {max_duration: 5d}}
  c: {challenges: []}
`, []string{
			`f.yaml:3: challenges[0]: expects one of http-01, dns-01, tls-alpn-01, onion-csr-01, dns-account-01, dns-persist-01, device-attest-01; found "x"`,
			`f.yaml:6: directories.b.auto_renewal.max_duration: 5d is shorter than one certificate's min_lifetime, 10d`,
			`f.yaml:7: directories.c.challenges: name at least one of http-01, dns-01, tls-alpn-01, onion-csr-01, dns-account-01, dns-persist-01, device-attest-01`,
		}},
		{"a policy", `
policy:
  allow: ["*.example.com", .example.com, Example.com, "bad name"]
  deny: [a.example, a.example]
  allow_names: ["*.ok.example", "**.x"]
  addresses: [10.0.0.1/8, 10.0.0.1, "::ffff:10.0.0.0/104", x]
`, []string{
			`f.yaml:3: policy.allow[0]: write it as "example.com": it covers the name itself and every name below it`,
			`f.yaml:3: policy.allow[1]: write it as "example.com": it covers the name itself and every name below it`,
			`f.yaml:3: policy.allow[2]: write it in lower case, as "example.com"`,
			`f.yaml:3: policy.allow[3]: expects a domain name, such as example.com; found "bad name"`,
			`f.yaml:4: policy.deny[1]: "a.example" is listed twice`,
			`f.yaml:5: policy.allow_names[1]: expects a domain name, such as example.com; found "**.x"`,
			`f.yaml:6: policy.addresses[0]: "10.0.0.1/8" is not where a range of that size begins; did you mean 10.0.0.0/8?`,
			`f.yaml:6: policy.addresses[2]: write a range of IPv4 addresses as such, like 10.0.0.0/8; found "::ffff:10.0.0.0/104"`,
			`f.yaml:6: policy.addresses[3]: expects a range of addresses, such as 10.0.0.0/8 or fd00::/8; found "x"`,
		}},
		{"a level", "log: {level: loud}\n", []string{`f.yaml:1: log.level: expects one of debug, info, warn, error; found "loud"`}},
		{"not YAML", "data: [\n", []string{`f.yaml:1: this is not valid YAML: did not find expected node content`}},
		{"a merge key", "va: &v {timeout: 1s}\nca:\n  <<: *v\n", []string{`f.yaml:3: ca: merge keys (<<) are not supported; write the keys out`}},
		{"two documents", "data: a\n---\ndata: b\n", []string{`f.yaml:2: a second YAML document begins here; the configuration is one document`}},
		{"a nonce that lives too long", "challenges: [onion-csr-01]\norders:\n  lifetime: 31d\n", []string{`f.yaml:3: orders.lifetime: is at most 30 days where onion-csr-01 is offered, since its nonces are (RFC 9799 §3.2); found 31d`}},
		{"an onion name that is none", "policy:\n  allow: [onion, example.onion]\n", []string{`f.yaml:2: policy.allow[1]: expects a domain name, such as example.com; found "example.onion"`}},
		{"a list", "- a\n", []string{`f.yaml:1: the configuration has keys below it; found a list`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("f.yaml", []byte(test.yaml))
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(test.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	if got, err := Load(""); err != nil || !reflect.DeepEqual(*got, Default()) {
		t.Errorf("without a file: %v, %v", got, err)
	}
	missing := filepath.Join(t.TempDir(), "cairn.yaml")
	if _, err := Load(missing); err == nil || err.Error() != "reading the configuration file "+missing+": no such file or directory" {
		t.Errorf("a file that is not there: %v", err)
	}
	large := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(large, make([]byte, maxFile+10), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(large); err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") {
		t.Errorf("a file of more than 1 MiB: %v", err)
	}
}

// What Show writes is the same configuration.
func TestShow(t *testing.T) {
	t.Parallel()
	want := Default()
	want.Directory.CAAIdentities = []string{"ca.example", "true"}
	want.Store.URL = "postgres://cairn@db/cairn"
	web := DefaultProfile()
	web.Description, web.Validity, web.OCSP = "Web: \"servers\"", 36*time.Hour, false
	want.CA.Profiles = map[string]Profile{"web": web}
	lab := want.Directory
	lab.Policy.Allow = []string{"lab.example"}
	want.Directories = map[string]NamedDirectory{"lab": {Directory: lab}, "default": {"/x/directory", want.Directory}}
	shown, err := want.Show()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse("shown", shown)
	if err != nil {
		t.Fatalf("%v in:\n%s", err, shown)
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, shown)
	}
}

func TestShowHidesPasswords(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://cairn:hunter2@db/cairn",
		"postgres://cairn@db/cairn?password=hunter2&sslmode=disable",
		"postgres://cairn:hunter2@db:port/%zz",
	} {
		c := Default()
		c.Store.URL = url
		shown, err := c.Show()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(shown), "hunter2") {
			t.Errorf("%s is shown with its password", url)
		}
		if !c.Store.HasPassword() {
			t.Errorf("%s has a password", url)
		}
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]time.Duration{
		"0": 0, "90d": 90 * day, "8h": 8 * time.Hour, "1m30s": 90 * time.Second, "1h0m5s": time.Hour + 5*time.Second, "250ms": 250 * time.Millisecond, "36h": 36 * time.Hour,
	} {
		got, err := ParseDuration(s)
		if err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v", s, got, err)
		}
		if back := FormatDuration(want); back != s {
			t.Errorf("FormatDuration(%v) = %q, want %q", want, back, s)
		}
	}
	for _, s := range []string{"", "d", "-1d", "1.5d", "5", "106752d", "1x"} {
		if got, err := ParseDuration(s); err == nil {
			t.Errorf("ParseDuration(%q) = %v", s, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("data: ./cairn-data\nlisten: {acme: 'localhost:1'}\n")
	f.Add("va: {resolvers: [\"127.0.0.1:8053\"], timeout: 10s}\nca: {profiles: {a: {validity: 90d}}}\n")
	f.Add("a: &a [*a]\nva: {resolvers: *a}\n")
	f.Add("directories: {a: {path: /a/directory, policy: {addresses: [10.0.0.0/8]}}, b: {subdomains: true}}\nsubdomains: false\n")
	f.Add("? {a: b}\n: c\n<<: {x: y}\n")
	f.Add("store: {url: 'postgres://a:b@c/d'}\nexternal_url: https://[::1]:5/\n---\n")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Parse("f", []byte(s))
		if err != nil {
			if c != nil || err.Error() == "" {
				t.Fatalf("Parse = %v, %v", c, err)
			}
			return
		}
		shown, err := c.Show()
		if err != nil {
			t.Fatal(err)
		}
		if c.Store.HasPassword() {
			return
		}
		back, err := Parse("shown", shown)
		if err != nil {
			t.Fatalf("%v in:\n%s", err, shown)
		}
		if diff := cmp.Diff(c, back); diff != "" {
			t.Fatalf("(-want +got):\n%s\n%s", diff, shown)
		}
	})
}

func TestServedDirectories(t *testing.T) {
	t.Parallel()
	paths := func(c *Config) map[string]string {
		got := map[string]string{}
		for _, d := range c.ServedDirectories() {
			got[d.Name] = d.Path
		}
		return got
	}
	c := Default()
	if diff := cmp.Diff(map[string]string{"default": "/directory"}, paths(&c)); diff != "" {
		t.Error(diff)
	}
	c.Directories = map[string]NamedDirectory{"default": {}, "lab": {}, "x": {Path: "/y/directory"}}
	if diff := cmp.Diff(map[string]string{"default": "/directory", "lab": "/lab/directory", "x": "/y/directory"}, paths(&c)); diff != "" {
		t.Error(diff)
	}
}
