package conformance

import (
	"crypto/sha256"
	"encoding/base32"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// startWith is a server of the default wiring with a changed configuration.
func startWith(t *testing.T, configure func(config map[string]any)) *harness.Server {
	t.Helper()
	w, err := harness.DefaultWiring()
	if err != nil {
		t.Fatal(err)
	}
	return harness.Start(t, harness.Options{Wiring: w, Configure: configure})
}

// accountName is where dns-account-01 looks for an account's records of a name.
func accountName(accountURL, name string) string {
	sum := sha256.Sum256([]byte(accountURL))
	return "_" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10])) + "._acme-challenge." + name
}

// draft-ietf-acme-dns-account-label-03: dns-account-01.
func TestDNSAccount(t *testing.T) {
	t.Parallel()
	s := startWith(t, func(config map[string]any) {
		config["challenges"] = []string{"http-01", "dns-01", "dns-account-01"}
	})
	c := s.Account(t)
	respond := func(t *testing.T, name string, prepare func(base string, challenge rawacme.Challenge)) rawacme.Authorization {
		t.Helper()
		authz := c.Authorization(t, c.NewOrder(t, name).Authorizations[0])
		challenge := authz.Challenge(t, "dns-account-01")
		if !base64url.MatchString(challenge.Token) || challenge.Token == authz.Challenge(t, "dns-01").Token {
			t.Errorf("the token is %q", challenge.Token)
		}
		prepare(authz.Identifier.Value, challenge)
		c.Respond(t, challenge)
		return c.Decided(t, authz.URL)
	}
	for label, prepare := range map[string]func(base string, challenge rawacme.Challenge){
		"": func(base string, challenge rawacme.Challenge) {
			s.Names.AddTXT(accountName(c.KID, base), "of another order")
			s.Names.AddTXT(accountName(c.KID, base), harness.TXT(c.KeyAuthorization(challenge.Token)))
		},
		"*.": func(base string, challenge rawacme.Challenge) {
			s.Names.AddTXT(accountName(c.KID, base), harness.TXT(c.KeyAuthorization(challenge.Token)))
		},
		"alias.": func(base string, challenge rawacme.Challenge) {
			target := harness.NewName("target")
			s.Names.SetCNAME(accountName(c.KID, base), target)
			s.Names.AddTXT(target, harness.TXT(c.KeyAuthorization(challenge.Token)))
		},
	} {
		if authz := respond(t, label+harness.NewName("account"), prepare); authz.Status != "valid" {
			t.Errorf("%q: the authorization is %s: %+v", label, authz.Status, authz.Challenges)
		}
	}

	for at, kind := range map[string]string{"the place of dns-01": "dns", "another account's name": "dns", "the right name, wrongly": "unauthorized"} {
		name := harness.NewName("wrong")
		authz := respond(t, name, func(base string, challenge rawacme.Challenge) {
			switch value := harness.TXT(c.KeyAuthorization(challenge.Token)); at {
			case "the place of dns-01":
				s.Names.AddTXT("_acme-challenge."+base, value)
			case "another account's name":
				s.Names.AddTXT(accountName(c.KID+"x", base), value)
			default:
				s.Names.AddTXT(accountName(c.KID, base), value+"x")
			}
		})
		failed := authz.Challenge(t, "dns-account-01").Error
		if authz.Status != "invalid" || failed == nil {
			t.Fatalf("%s: the authorization is %+v", at, authz)
		}
		checkProblem(t, *failed, kind)
		for _, word := range []string{accountName(c.KID, name), c.KID} {
			if !strings.Contains(failed.Detail, word) {
				t.Errorf("%s: the detail %q does not name %s", at, failed.Detail, word)
			}
		}
	}
}

// One issuance over each of the two types in the six-process wiring.
func TestDNSAccountAndPersistAcrossRoles(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Options{Wiring: harness.Wiring{Roles: true}, Configure: func(config map[string]any) {
		config["challenges"] = []string{"dns-persist-01", "dns-account-01"}
	}})
	c := s.Account(t)
	a, b := harness.NewName("account"), harness.NewName("persist")
	order := c.NewOrder(t, a, "*."+b)
	for _, url := range order.Authorizations {
		authz := c.Authorization(t, url)
		kinds := []string{authz.Challenges[0].Type, authz.Challenges[1].Type}
		if !slices.Equal(kinds, []string{"dns-account-01", "dns-persist-01"}) {
			t.Errorf("offered: %q; what has no token comes last", kinds)
		}
		kind := "dns-account-01"
		if authz.Identifier.Value == a {
			s.Names.AddTXT(accountName(c.KID, a), harness.TXT(c.KeyAuthorization(authz.Challenge(t, kind).Token)))
		} else {
			kind = "dns-persist-01"
			s.Names.AddTXT(persistName(b), persistRecord(t, c, b, "policy=wildcard"))
		}
		c.Respond(t, authz.Challenge(t, kind))
		if authz = c.Decided(t, url); authz.Status != "valid" {
			t.Fatalf("%s for %s: %+v", kind, authz.Identifier.Value, authz.Challenges)
		}
	}
	key := rawacme.NewKey(t)
	got := harness.Certificate{Key: key, Chain: c.Finalize(t, order, rawacme.CSR(t, key, []string{a, "*." + b}))}
	s.Verify(t, got, a, "*."+b)
}
