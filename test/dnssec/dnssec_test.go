package dnssec

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

const urn = "urn:ietf:params:acme:error:"

// ca is a server with two directories: one that requires resolvers which
// validate, and one, named lax, that does not.
type ca struct {
	*harness.Server
	lab *lab
}

// startCA starts a server that asks the resolvers.
func (l *lab) startCA(t *testing.T, change func(va map[string]any), resolvers ...string) *ca {
	t.Helper()
	s := harness.Start(t, harness.Options{Configure: func(config map[string]any) {
		va := config["va"].(map[string]any)
		va["resolvers"] = resolvers
		va["dnssec_probe"] = map[string]any{"secure": []string{"good.test"}, "bogus": []string{"bogus.test"}, "interval": "200ms", "max_age": "1h"}
		config["validation"] = map[string]any{"retries": 0}
		config["directories"] = map[string]any{
			"default": map[string]any{"validation": map[string]any{"require_dnssec_resolver": true}},
			"lax":     map[string]any{},
		}
		if change != nil {
			change(va)
		}
	}})
	return &ca{s, l}
}

// lax is a client with an account in the directory that requires nothing.
func (c *ca) lax(t *testing.T) *rawacme.Client {
	t.Helper()
	client := rawacme.New(t, c.HTTP(t), strings.Replace(c.DirectoryURL, "/directory", "/lax/directory", 1), rawacme.NewKey(t))
	client.Register(t)
	return client
}

// authorize orders a certificate for a name and responds to one challenge.
func (c *ca) authorize(t *testing.T, client *rawacme.Client, kind, zone, name string) (rawacme.Order, rawacme.Authorization) {
	t.Helper()
	order := client.NewOrder(t, name)
	authz := client.Authorization(t, order.Authorizations[0])
	challenge := authz.Challenge(t, kind)
	keyAuthorization := client.KeyAuthorization(challenge.Token)
	if kind == "dns-01" {
		c.lab.publish(t, zone, fmt.Sprintf("_acme-challenge.%s. TXT %q", name, harness.TXT(keyAuthorization)))
	} else {
		c.AnswerWith(authz, challenge, keyAuthorization)
	}
	client.Respond(t, challenge)
	return order, client.Decided(t, order.Authorizations[0])
}

// issues asserts that a name gets its certificate.
func (c *ca) issues(t *testing.T, client *rawacme.Client, kind, zone, name string) {
	t.Helper()
	order, authz := c.authorize(t, client, kind, zone, name)
	if authz.Status != "valid" {
		t.Fatalf("the authorization is %s: %+v", authz.Status, authz.Challenges)
	}
	key := rawacme.NewKey(t)
	chain := client.Finalize(t, client.Order(t, order.URL), rawacme.CSR(t, key, []string{name}))
	c.Verify(t, harness.Certificate{Chain: chain, Key: key}, name)
}

// refuses asserts that a name is refused with a problem of the type, whose
// detail has all the parts in it.
func (c *ca) refuses(t *testing.T, client *rawacme.Client, kind, zone, name, problem string, parts ...string) {
	t.Helper()
	_, authz := c.authorize(t, client, kind, zone, name)
	if authz.Status != "invalid" {
		t.Fatalf("the authorization is %s: %+v", authz.Status, authz.Challenges)
	}
	got := authz.Challenge(t, kind).Error
	if got == nil || got.Type != urn+problem {
		t.Fatalf("the problem is %+v, want one of type %s", got, problem)
	}
	for _, part := range parts {
		if !strings.Contains(got.Detail, part) {
			t.Errorf("the detail %q has no %q in it", got.Detail, part)
		}
	}
}

// steps are the lines of the evidence of a name's validations, as the audit
// log has them.
func (c *ca) steps(t *testing.T, name string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(c.Dir, "serve", "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	var steps []string
	for line := range strings.Lines(string(data)) {
		var record struct {
			Msg, Identifier string
			Evidence        struct{ Steps []string }
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("audit log: %v: %s", err, line)
		}
		if record.Msg == "validation" && record.Identifier == name {
			steps = append(steps, record.Evidence.Steps...)
		}
	}
	return steps
}

// RFC 4035 §5, and Baseline Requirements §4.2.2.2: what verifies counts, be it
// a record or its absence; what does not verify is no answer, neither for a
// challenge nor for CAA; and what is provably not signed is taken as it is.
func TestValidatingResolver(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	addr := harness.Addrs(t, 1)[0]
	l.unbound(t, addr, l.iterate())
	c := l.startCA(t, nil, addr)
	client := c.Account(t)

	const secure, insecure = "[secure]", "[insecure]"
	good := []struct {
		about, kind, zone, name string
		state                   string // of every look-up below the zone
	}{
		{"signed, CAA absent by NSEC", "http-01", "good.test.", "www.good.test", secure},
		{"signed, CAA absent by NSEC", "dns-01", "good.test.", "txt.good.test", secure},
		{"signed, CAA absent by NSEC", "tls-alpn-01", "good.test.", "alpn.good.test", secure},
		{"signed, CAA permits", "http-01", "good.test.", "permits.good.test", secure},
		{"signed, CAA absent by NSEC3", "http-01", "nsec3.test.", "hidden.nsec3.test", secure},
		{"signed, CAA absent by NSEC3", "dns-01", "nsec3.test.", "txt.nsec3.test", secure},
		{"not signed, shown by NSEC", "http-01", "plain.test.", "www.plain.test", insecure},
		{"not signed, shown by NSEC", "dns-01", "plain.test.", "txt.plain.test", insecure},
		{"not signed, shown by NSEC3 opt-out", "http-01", "unsigned.optout.test.", "www.unsigned.optout.test", insecure},
		{"not signed, shown by NSEC3 opt-out", "dns-01", "unsigned.optout.test.", "txt.unsigned.optout.test", insecure},
	}
	for _, test := range good {
		t.Run(test.kind+" "+test.about, func(t *testing.T) {
			t.Parallel()
			c.issues(t, client, test.kind, test.zone, test.name)
			lookups := 0
			for _, step := range c.steps(t, test.name) {
				if asked, _, found := strings.Cut(step, " at "+addr); found && strings.HasSuffix(strings.Fields(asked)[0]+".", test.zone) {
					lookups++
					if !strings.HasSuffix(step, test.state) {
						t.Errorf("the step %q does not say %s", step, test.state)
					}
				}
			}
			if lookups < 2 { // one for the challenge, one for CAA
				t.Errorf("the evidence has %d look-ups", lookups)
			}
		})
	}

	bad := []struct {
		about, kind, zone, name, problem string
		parts                            []string
	}{
		{"no DS of its key", "http-01", "bogus.test.", "www.bogus.test", "dns", []string{"A records of www.bogus.test", "SERVFAIL", "EDE", "DNSSEC"}},
		{"no DS of its key", "dns-01", "bogus.test.", "txt.bogus.test", "dns", []string{"TXT records of _acme-challenge.txt.bogus.test", "SERVFAIL", "EDE"}},
		{"expired signatures", "http-01", "past.test.", "www.past.test", "dns", []string{"A records of www.past.test", "SERVFAIL", "EDE", "xpired"}},
		{"expired signatures", "dns-01", "past.test.", "txt.past.test", "dns", []string{"TXT records of _acme-challenge.txt.past.test", "EDE", "xpired"}},
		{"expired signatures", "tls-alpn-01", "past.test.", "alpn.past.test", "dns", []string{"EDE", "xpired"}},
		{"wrong signature of the address", "http-01", "mixed.test.", "address.mixed.test", "dns", []string{"A records of address.mixed.test", "EDE 6 DNSSEC Bogus"}},
		{"wrong signature of the TXT record", "dns-01", "mixed.test.", "txt.mixed.test", "dns", []string{"TXT records of _acme-challenge.txt.mixed.test", "EDE 6 DNSSEC Bogus"}},
		{"wrong signature of CAA", "http-01", "mixed.test.", "caa.mixed.test", "dns", []string{"CAA records of caa.mixed.test", "EDE 6 DNSSEC Bogus", "nobody knows whether issuing is allowed"}},
		{"wrong signature of CAA", "dns-01", "mixed.test.", "caa.mixed.test", "dns", []string{"CAA records of caa.mixed.test", "EDE 6 DNSSEC Bogus"}},
		{"expired signature of CAA", "http-01", "mixed.test.", "expiredcaa.mixed.test", "dns", []string{"CAA records of expiredcaa.mixed.test", "EDE 7 Signature Expired"}},
		{"wrong denial of CAA by NSEC", "http-01", "mixed.test.", "denial.mixed.test", "dns", []string{"CAA records of denial.mixed.test", "EDE 6 DNSSEC Bogus"}},
		{"wrong denial of CAA by NSEC3", "http-01", "spoilt.test.", "denial.spoilt.test", "dns", []string{"CAA records of denial.spoilt.test", "EDE 6 DNSSEC Bogus"}},
		{"CAA taken away", "http-01", "mixed.test.", "forbidden.mixed.test", "dns", []string{"CAA records of forbidden.mixed.test", "EDE 6 DNSSEC Bogus"}},
		{"CAA forbids, signed", "http-01", "good.test.", "forbids.good.test", "caa", []string{"forbids.good.test", "permits nobody"}},
		{"CAA forbids, not signed", "dns-01", "plain.test.", "forbids.plain.test", "caa", []string{"forbids.plain.test", "permits nobody"}},
	}
	for _, test := range bad {
		t.Run(test.kind+" "+test.about, func(t *testing.T) {
			t.Parallel()
			c.refuses(t, client, test.kind, test.zone, test.name, test.problem, test.parts...)
		})
	}
	t.Run("dns-01 no record, proven", func(t *testing.T) {
		t.Parallel()
		order := client.NewOrder(t, "absent.nsec3.test")
		challenge := client.Authorization(t, order.Authorizations[0]).Challenge(t, "dns-01")
		client.Respond(t, challenge)
		got := client.Decided(t, order.Authorizations[0]).Challenge(t, "dns-01").Error
		if got == nil || got.Type != urn+"dns" || !strings.Contains(got.Detail, "create one with the value") {
			t.Errorf("the problem is %+v", got)
		}
	})
	t.Run("cairn admin caa check", func(t *testing.T) {
		t.Parallel()
		out := c.Admin(t, "caa", "check", "www.good.test", "--directory", "default")
		if !strings.Contains(out, "look up CAA of www.good.test at "+addr+": nodata, authenticated") {
			t.Errorf("it says %s", out)
		}
	})
	t.Run("the directory that requires nothing", func(t *testing.T) {
		t.Parallel()
		// The resolver refuses what is bogus for everybody.
		c.refuses(t, c.lax(t), "http-01", "bogus.test.", "lax.bogus.test", "dns", "SERVFAIL")
	})
}

// A directory that requires it refuses the answers of resolvers that do not
// validate, and only such a directory does.
func TestResolverThatDoesNotValidate(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	addrs := harness.Addrs(t, 3)
	validating, iterating, forwarding := addrs[0], addrs[1], addrs[2]
	l.unbound(t, validating, l.iterate())
	l.unbound(t, iterating, "    module-config: iterator\n"+l.iterate())
	l.unbound(t, forwarding, "    module-config: iterator\nforward-zone:\n    name: \".\"\n    forward-addr: "+strings.Replace(validating, ":", "@", 1))
	cases := []struct{ name, resolver, says string }{
		{"validator off", iterating, "it gave an answer for bogus.test, whose DNSSEC signatures are wrong"},
		// What it forwards to refuses bogus names; whose word that is nobody
		// can tell.
		{"plain forwarder", forwarding, "it does not vouch for the answer for good.test"},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := l.startCA(t, nil, test.resolver)
			client, id := c.Account(t), strings.ReplaceAll(test.name, " ", "-")
			for _, kind := range []string{"http-01", "dns-01"} {
				c.refuses(t, client, kind, "good.test.", id+"."+kind+".good.test", "dns",
					"none of this CA's DNS resolvers has proven that it validates with DNSSEC", test.says)
			}
			c.issues(t, c.lax(t), "http-01", "good.test.", id+"-lax.good.test")
			if steps := c.steps(t, id+"-lax.good.test"); slices.ContainsFunc(steps, func(s string) bool { return strings.Contains(s, "secure]") }) {
				t.Errorf("nobody validates, and the evidence says %q", steps)
			}
		})
	}
	t.Run("one of two validates", func(t *testing.T) {
		t.Parallel()
		c := l.startCA(t, nil, iterating, validating)
		client := c.Account(t)
		for i := range 4 { // whoever is asked first
			c.issues(t, client, "http-01", "good.test.", fmt.Sprintf("two%d.good.test", i))
			c.refuses(t, client, "http-01", "bogus.test.", fmt.Sprintf("two%d.bogus.test", i), "dns", "SERVFAIL", "EDE")
		}
	})
}

// The probes go on: a resolver that ceases to validate is refused from then
// on, and taken back when it validates again.
func TestResolverCeasesToValidate(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	addr := harness.Addrs(t, 1)[0]
	resolver := l.unbound(t, addr, l.iterate())
	c := l.startCA(t, nil, addr)
	client := c.Account(t)
	c.issues(t, client, "http-01", "good.test.", "before.good.test")

	metric := fmt.Sprintf("cairn_va_dns_upstream_validating{upstream=%q} ", addr)
	becomes := func(value string) {
		t.Helper()
		rawacme.Poll(t, metric+value, func() bool { return strings.Contains(c.metrics(t), metric+value+"\n") })
	}
	resolver.Stop()
	resolver = l.unbound(t, addr, "    module-config: iterator\n"+l.iterate())
	becomes("0")
	c.refuses(t, client, "http-01", "good.test.", "meanwhile.good.test", "dns", "it gave an answer for bogus.test")
	resolver.Stop()
	l.unbound(t, addr, l.iterate())
	becomes("1")
	c.issues(t, client, "http-01", "good.test.", "after.good.test")
}

func (c *ca) metrics(t *testing.T) string {
	t.Helper()
	resp, err := c.HTTP(t).Get(strings.Replace(c.AdminURL, "127.0.0.1", "localhost", 1) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body strings.Builder
	if err := resp.Write(&body); err != nil {
		t.Fatal(err)
	}
	return body.String()
}

// A validating resolver can be reached over TLS and HTTPS.
func TestResolverOverTLSAndHTTPS(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	addrs := harness.Addrs(t, 3)
	port := func(i int) string { _, p, _ := net.SplitHostPort(addrs[i]); return p }
	certificate, key := filepath.Join(l.dir, "resolver.pem"), filepath.Join(l.dir, "resolver.key")
	harness.OpenSSL(t, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=resolver",
		"-addext", "subjectAltName=DNS:resolver.test", "-keyout", key, "-out", certificate)
	l.unbound(t, addrs[0], fmt.Sprintf("    interface: 127.0.0.1@%s\n    interface: 127.0.0.1@%s\n    tls-port: %[1]s\n    https-port: %[2]s\n    tls-service-pem: %q\n    tls-service-key: %q\n%s",
		port(1), port(2), certificate, key, l.iterate()))
	for transport, resolver := range map[string]string{
		"tls":   "tls://" + addrs[1] + "#resolver.test",
		"https": "https://" + addrs[2] + "/dns-query#resolver.test",
	} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			c := l.startCA(t, func(va map[string]any) { va["resolver_roots"] = certificate }, resolver)
			client := c.Account(t)
			c.issues(t, client, "http-01", "good.test.", transport+".good.test")
			c.issues(t, client, "dns-01", "nsec3.test.", transport+".nsec3.test")
			c.refuses(t, client, "http-01", "mixed.test.", "caa.mixed.test", "dns", "EDE 6 DNSSEC Bogus")
		})
	}
	t.Run("a certificate from elsewhere", func(t *testing.T) {
		t.Parallel()
		c := l.startCA(t, nil, "tls://"+addrs[1]+"#resolver.test")
		c.refuses(t, c.lax(t), "http-01", "good.test.", "elsewhere.good.test", "dns", "could not be reached", "certificate")
	})
}

// deploy/unbound is what Unbound takes for a good configuration.
func TestShippedConfiguration(t *testing.T) {
	t.Parallel()
	run(t, ".", "unbound-checkconf", shippedConfiguration)
}
