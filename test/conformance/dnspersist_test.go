package conformance

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

const persistIssuer = "ca.cairn.test"

// startPersist is a server that offers dns-persist-01.
func startPersist(t *testing.T, configure func(config map[string]any)) *harness.Server {
	t.Helper()
	return startWith(t, func(config map[string]any) {
		config["challenges"] = []string{"dns-persist-01", "http-01"}
		config["caa_identities"] = []string{persistIssuer, "second.cairn.test"}
		if configure != nil {
			configure(config)
		}
	})
}

func persistName(name string) string { return "_validation-persist." + name }

// hashedURI is the hashed account URI of draft-ietf-acme-dns-persist-02.
func hashedURI(t *testing.T, c *rawacme.Client, domain string, key any) string {
	t.Helper()
	prefix, _ := c.Directory.Meta["accountHashPrefix"].(string)
	if prefix == "" {
		t.Fatalf("the directory has no accountHashPrefix: %v", c.Directory.Meta)
	}
	digest := sha256.Sum256([]byte(string(rune(len(domain))) + domain + rawacme.Thumbprint(key) + c.KID))
	return prefix + "sha-256/" + rawacme.B64(digest[:])
}

// persistRecord is a record for the client's account.
func persistRecord(t *testing.T, c *rawacme.Client, domain string, more ...string) string {
	t.Helper()
	names, _ := c.Directory.Meta["issuerDomainNames"].([]any)
	if len(names) == 0 {
		t.Fatalf("the directory has no issuerDomainNames: %v", c.Directory.Meta)
	}
	return strings.Join(append([]string{names[0].(string) + "; accounturi=" + hashedURI(t, c, domain, c.Key)}, more...), "; ")
}

// persistAuthz responds to the dns-persist-01 challenge of a new order.
func persistAuthz(t *testing.T, c *rawacme.Client, name string) rawacme.Authorization {
	t.Helper()
	authz := c.Authorization(t, c.NewOrder(t, name).Authorizations[0])
	if authz.Status != "pending" {
		t.Fatalf("the authorization of a new order is %s", authz.Status)
	}
	c.Respond(t, authz.Challenge(t, "dns-persist-01"))
	return c.Decided(t, authz.URL)
}

// draft-ietf-acme-dns-persist-02: the directory's members and the challenge
// object, which has the members of -01 beside its own, and no token.
func TestDNSPersistObjects(t *testing.T) {
	t.Parallel()
	s := startPersist(t, func(config map[string]any) {
		config["directories"] = map[string]any{
			"default": map[string]any{},
			"plain":   map[string]any{"challenges": []string{"http-01"}},
			"named": map[string]any{"dns_persist": map[string]any{
				"issuer_domain_names": []string{"second.cairn.test", persistIssuer}, "advertised_names": []string{persistIssuer},
				"account_hash_prefix": "https://hash.cairn.test/of/",
			}},
		}
	})
	c := s.Account(t)
	base := strings.TrimSuffix(s.DirectoryURL, "/directory")
	for _, d := range []struct {
		path, prefix string
		directory    []any
		challenge    []string
	}{
		{"/directory", base + "/acme/account-hash/", []any{persistIssuer, "second.cairn.test"}, []string{persistIssuer, "second.cairn.test"}},
		{"/named/directory", "https://hash.cairn.test/of/", []any{persistIssuer}, []string{"second.cairn.test", persistIssuer}},
	} {
		c := rawacme.New(t, s.HTTP(t), base+d.path, rawacme.NewKey(t))
		c.Register(t)
		meta := c.Directory.Meta
		if names, _ := meta["issuerDomainNames"].([]any); !slices.Equal(names, d.directory) || meta["accountHashPrefix"] != d.prefix {
			t.Errorf("%s: meta %v", d.path, meta)
		}
		authz := c.Authorization(t, c.NewOrder(t, harness.NewName("objects")).Authorizations[0])
		if last := authz.Challenges[len(authz.Challenges)-1]; len(authz.Challenges) != 2 || last.Type != "dns-persist-01" {
			t.Errorf("offered: %+v; what has no token comes last", authz.Challenges)
		}
		var inAuthz struct{ Challenges []map[string]json.RawMessage }
		c.Get(t, authz.URL).JSON(t, &inAuthz)
		resp := c.Get(t, authz.Challenge(t, "dns-persist-01").URL)
		for _, object := range []map[string]json.RawMessage{members(t, resp), inAuthz.Challenges[1]} {
			var names, former []string
			var uri string
			for member, into := range map[string]any{"issuerDomainNames": &names, "issuer-domain-names": &former, "accounturi": &uri} {
				if err := json.Unmarshal(object[member], into); err != nil {
					t.Errorf("%s: %v", member, err)
				}
			}
			if !slices.Equal(names, d.challenge) || !slices.Equal(former, d.challenge) {
				t.Errorf("%s: the challenge names %q and %q, want %q", d.path, names, former, d.challenge)
			}
			if uri != hashedURI(t, c, "*", c.Key) {
				t.Errorf("%s: accounturi %q", d.path, uri)
			}
			if _, there := object["token"]; there || len(object) != 6 {
				t.Errorf("%s: the challenge has the members %v", d.path, object)
			}
		}
		if object := inAuthz.Challenges[0]; len(object) != 4 {
			t.Errorf("%s: http-01 has the members %v", d.path, object)
		}
	}
	plain := rawacme.New(t, s.HTTP(t), base+"/plain/directory", c.Key)
	for _, member := range []string{"issuerDomainNames", "accountHashPrefix"} {
		if plain.Directory.Meta[member] != nil {
			t.Errorf("a directory without dns-persist-01 has the member %s", member)
		}
	}
}

// draft-ietf-acme-dns-persist-02: which records prove control.
func TestDNSPersist(t *testing.T) {
	t.Parallel()
	s := startPersist(t, func(config map[string]any) { config["subdomains"] = true })
	c := s.Account(t)
	other := s.Account(t)
	for _, test := range []struct {
		name, label string // label: what stands before the name that is ordered
		problem     string // empty: it serves
		records     func(domain string) []string
	}{
		{"the name", "", "", func(d string) []string { return []string{persistRecord(t, c, d)} }},
		{"any name", "", "", func(string) []string { return []string{persistRecord(t, c, "*")} }},
		{"the second issuer name", "", "", func(d string) []string {
			return []string{strings.Replace(persistRecord(t, c, d), persistIssuer, "SECOND.cairn.test", 1)}
		}},
		{"among others", "", "", func(d string) []string {
			return []string{"v=spf1", "other.example; accounturi=x", persistIssuer + "; oops", persistRecord(t, other, d), persistRecord(t, c, d, "future=1")}
		}},
		{"wildcard", "*.", "", func(d string) []string { return []string{persistRecord(t, c, d, "policy=WILDCARD")} }},
		{"below", "www.", "", func(d string) []string { return []string{persistRecord(t, c, d, "policy=wildcard")} }},
		{"until tomorrow", "", "", func(d string) []string {
			return []string{persistRecord(t, c, d, fmt.Sprintf("persistUntil=%d", time.Now().Add(24*time.Hour).Unix()))}
		}},

		{"nothing", "", "dns", func(string) []string { return nil }},
		{"wildcard without policy", "*.", "unauthorized", func(d string) []string { return []string{persistRecord(t, c, d)} }},
		{"below without policy", "www.", "unauthorized", func(d string) []string { return []string{persistRecord(t, c, d)} }},
		{"another account", "", "unauthorized", func(d string) []string { return []string{persistRecord(t, other, d)} }},
		{"another domain", "", "unauthorized", func(string) []string { return []string{persistRecord(t, c, "other.cairn.test")} }},
		{"another CA", "", "unauthorized", func(d string) []string {
			return []string{strings.Replace(persistRecord(t, c, d), persistIssuer, "other.example", 1)}
		}},
		{"the account's URL", "", "unauthorized", func(string) []string { return []string{persistIssuer + "; accounturi=" + c.KID} }},
		{"ended", "", "unauthorized", func(d string) []string {
			return []string{persistRecord(t, c, d, fmt.Sprintf("persistUntil=%d", time.Now().Add(-time.Second).Unix()))}
		}},
		{"no accounturi", "", "malformed", func(string) []string { return []string{persistIssuer + "; policy=wildcard"} }},
		{"twice the same", "", "malformed", func(d string) []string {
			return []string{persistRecord(t, c, d, "accounturi="+hashedURI(t, c, d, c.Key))}
		}},
		{"bad time", "", "malformed", func(d string) []string { return []string{persistRecord(t, c, d, "persistUntil=tomorrow")} }},
		{"bad syntax", "", "malformed", func(d string) []string { return []string{persistRecord(t, c, d, "policy wildcard")} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			domain := harness.NewName("persist")
			s.Names.SetTXT(persistName(domain), test.records(domain)...)
			authz := persistAuthz(t, c, test.label+domain)
			failed := authz.Challenge(t, "dns-persist-01").Error
			switch {
			case test.problem == "" && authz.Status != "valid":
				t.Errorf("the authorization is %s: %+v", authz.Status, failed)
			case test.problem == "":
			case authz.Status != "invalid" || failed == nil:
				t.Errorf("the authorization is %s: %+v", authz.Status, authz.Challenges)
			default:
				checkProblem(t, *failed, test.problem)
			}
		})
	}
	t.Run("DNSSEC", func(t *testing.T) {
		t.Parallel()
		domain := harness.NewName("bogus")
		s.Names.SetTXT(persistName(domain), persistRecord(t, c, domain))
		s.Names.SetFailure(persistName(domain), dns.TypeTXT, serverFailure)
		authz := persistAuthz(t, c, domain)
		if authz.Status != "invalid" {
			t.Fatalf("the authorization is %s", authz.Status)
		}
		checkProblem(t, *authz.Challenge(t, "dns-persist-01").Error, "dns")
	})
	t.Run("CAA", func(t *testing.T) {
		t.Parallel()
		for methods, want := range map[string]string{"http-01,dns-persist-01": "valid", "http-01": "invalid"} {
			domain := harness.NewName("caa")
			s.Names.SetTXT(persistName(domain), persistRecord(t, c, domain))
			if err := s.Names.SetCAA(domain, `0 issue "`+persistIssuer+`; validationmethods=`+methods+`"`); err != nil {
				t.Fatal(err)
			}
			if authz := persistAuthz(t, c, domain); authz.Status != want {
				t.Errorf("validationmethods=%s: the authorization is %s", methods, authz.Status)
			}
		}
	})
	// RFC 9444: an authorization for all names below needs the policy too.
	t.Run("subdomain authorization", func(t *testing.T) {
		t.Parallel()
		for policy, want := range map[string]string{"policy=wildcard": "valid", "policy=none": "invalid"} {
			domain := harness.NewName("ancestor")
			s.Names.SetTXT(persistName(domain), persistRecord(t, c, domain, policy))
			order := c.NewOrderFor(t, map[string]any{"identifiers": []map[string]string{{"type": "dns", "value": "a.b." + domain, "ancestorDomain": domain}}})
			authz := c.Authorization(t, order.Authorizations[0])
			c.Respond(t, authz.Challenge(t, "dns-persist-01"))
			if authz = c.Decided(t, authz.URL); authz.Identifier.Value != domain || authz.Status != want {
				t.Errorf("%s: the authorization for %s is %s", policy, authz.Identifier.Value, authz.Status)
			}
		}
	})
}

// draft-ietf-acme-dns-persist-02: a record outlives the account's keys, and
// ends with the account.
func TestDNSPersistKeys(t *testing.T) {
	t.Parallel()
	s := startPersist(t, nil)
	c := s.Account(t)
	domain := harness.NewName("keys")
	s.Names.SetTXT(persistName(domain), persistRecord(t, c, domain))
	uri := func() string {
		authz := c.Authorization(t, c.NewOrder(t, domain).Authorizations[0])
		return string(members(t, c.Get(t, authz.Challenge(t, "dns-persist-01").URL))["accounturi"])
	}
	before := uri()
	for range 2 {
		next := rawacme.NewKey(t)
		wantOK(t, c, c.Post(t, c.Directory.KeyChange, inner(t, c, next, nil)), http.StatusOK)
		c.Key = next
		if authz := persistAuthz(t, c, domain); authz.Status != "valid" {
			t.Fatalf("after a key change the record of the first key does not serve: %+v", authz.Challenges)
		}
	}
	if after := uri(); after != before {
		t.Errorf("the accounturi was %s and is %s", before, after)
	}
	// The current key's record serves as well.
	s.Names.SetTXT(persistName(domain), persistRecord(t, c, domain))
	if authz := persistAuthz(t, c, domain); authz.Status != "valid" {
		t.Errorf("with the current key: %+v", authz.Challenges)
	}

	pending := c.Authorization(t, c.NewOrder(t, domain).Authorizations[0])
	wantOK(t, c, c.Post(t, c.KID, map[string]any{"status": "deactivated"}), http.StatusOK)
	wantProblem(t, c, c.Post(t, pending.Challenge(t, "dns-persist-01").URL, map[string]any{}), http.StatusUnauthorized, "unauthorized")
}

// draft-ietf-acme-dns-persist-02 and Baseline Requirements §3.2.2.4.22: each
// order is validated anew; an authorization ends with its record, after ten
// days at the latest, and nothing is issued on it then.
func TestDNSPersistUntil(t *testing.T) {
	t.Parallel()
	s := startPersist(t, func(config map[string]any) {
		config["authorizations"] = map[string]any{"reuse": true, "lifetime": "30d"}
	})
	c := s.Account(t)
	expires := func(authz rawacme.Authorization) time.Time {
		t.Helper()
		at, err := time.Parse(time.RFC3339, authz.Expires)
		if err != nil || authz.Status != "valid" {
			t.Fatalf("the authorization is %+v: %v", authz, err)
		}
		return at
	}
	domain := harness.NewName("until")
	s.Names.SetTXT(persistName(domain), persistRecord(t, c, domain))
	before := time.Now()
	first := persistAuthz(t, c, domain)
	if at := expires(first); at.After(time.Now().Add(10*24*time.Hour)) || at.Before(before.Add(10*24*time.Hour-time.Minute)) {
		t.Errorf("the authorization ends at %s, want in ten days", at)
	}
	second := persistAuthz(t, c, domain) // which is pending before
	if second.URL == first.URL {
		t.Error("an authorization is used for two orders")
	}

	until := time.Now().Add(10 * time.Second).Truncate(time.Second)
	s.Names.SetTXT(persistName(domain), persistRecord(t, c, domain, fmt.Sprintf("persistUntil=%d", until.Unix())))
	order := c.NewOrder(t, domain)
	c.Respond(t, c.Authorization(t, order.Authorizations[0]).Challenge(t, "dns-persist-01"))
	if at := expires(c.Decided(t, order.Authorizations[0])); at.After(until) {
		t.Errorf("the authorization ends at %s, after its record, %s", at, until)
	}
	rawacme.Poll(t, "the end of the record", func() bool {
		return c.Authorization(t, order.Authorizations[0]).Status == "expired"
	})
	resp := c.Post(t, order.Finalize, map[string]any{"csr": rawacme.B64(rawacme.CSR(t, rawacme.NewKey(t), []string{domain}))})
	wantProblem(t, c, resp, http.StatusForbidden, "orderNotReady")
	authz := persistAuthz(t, c, domain)
	if authz.Status != "invalid" {
		t.Fatalf("after the record's end a new authorization is %s", authz.Status)
	}
	checkProblem(t, *authz.Challenge(t, "dns-persist-01").Error, "unauthorized")

	s.Names.SetTXT(persistName(domain), persistRecord(t, c, domain))
	s.Verify(t, issuePersist(t, c, domain), domain)
}

// issuePersist obtains a certificate over dns-persist-01; the record is there.
func issuePersist(t *testing.T, c *rawacme.Client, name string) harness.Certificate {
	t.Helper()
	order := c.NewOrder(t, name)
	c.Respond(t, c.Authorization(t, order.Authorizations[0]).Challenge(t, "dns-persist-01"))
	if authz := c.Decided(t, order.Authorizations[0]); authz.Status != "valid" {
		t.Fatalf("the authorization is %s: %+v", authz.Status, authz.Challenges)
	}
	key := rawacme.NewKey(t)
	return harness.Certificate{Key: key, Chain: c.Finalize(t, order, rawacme.CSR(t, key, []string{name}))}
}

// draft-ietf-acme-dns-persist-01, where the directory says so: a record names
// the account by its URL, which the challenge shows.
func TestDNSPersistAccountURLs(t *testing.T) {
	t.Parallel()
	s := startPersist(t, func(config map[string]any) {
		config["dns_persist"] = map[string]any{"account_urls": true}
	})
	c := s.Account(t)
	domain := harness.NewName("former")
	authz := c.Authorization(t, c.NewOrder(t, domain).Authorizations[0])
	var challenge struct {
		Names []string `json:"issuer-domain-names"`
		URI   string   `json:"accounturi"`
	}
	c.Get(t, authz.Challenge(t, "dns-persist-01").URL).JSON(t, &challenge)
	if challenge.URI != c.KID || len(challenge.Names) == 0 {
		t.Fatalf("the challenge is %+v", challenge)
	}
	s.Names.SetTXT(persistName(domain), challenge.Names[0]+"; accounturi="+challenge.URI)
	s.Verify(t, issuePersist(t, c, domain), domain)
	// Hashed URIs serve there too; another account's URL doesn't.
	s.Names.SetTXT(persistName(domain), persistRecord(t, c, domain))
	s.Verify(t, issuePersist(t, c, domain), domain)
	s.Names.SetTXT(persistName(domain), challenge.Names[0]+"; accounturi="+challenge.URI+"x")
	if authz := persistAuthz(t, c, domain); authz.Status != "invalid" {
		t.Errorf("with another account's URL the authorization is %s", authz.Status)
	}
}
