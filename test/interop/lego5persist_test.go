package interop

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/go-acme/lego/v5/acme"
	"github.com/go-acme/lego/v5/certcrypto"
	"github.com/go-acme/lego/v5/certificate"
	"github.com/go-acme/lego/v5/challenge/dnspersist01"
	"github.com/go-acme/lego/v5/lego"
	"github.com/go-acme/lego/v5/registration"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// The lego library over dns-persist-01, which it knows in the form of
// draft-ietf-acme-dns-persist-01: where records name accounts by hashed URIs,
// and where they do by URL. Its record is made once and serves for a wildcard,
// and for the renewal after a key change.
func TestLego5Persist(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Options{Configure: func(config map[string]any) {
		config["challenges"] = []string{"dns-persist-01"}
		config["caa_identities"] = []string{"ca.cairn.test"}
		config["directories"] = map[string]any{
			"default": map[string]any{},
			"former":  map[string]any{"dns_persist": map[string]any{"account_urls": true}},
		}
	}})
	ctx, cancel := context.WithTimeout(t.Context(), clientTime)
	defer cancel()
	// The library has one resolver for the whole process; no other test uses it.
	dnspersist01.SetDefaultClient(dnspersist01.NewClient(&dnspersist01.Options{RecursiveNameservers: []string{s.Names.DNSAddr()}}))

	for _, path := range []string{"/directory", "/former/directory"} {
		user := &legoUser{key: rawacme.NewKey(t)}
		config := lego.NewConfig(user)
		config.CADirURL, config.HTTPClient = strings.TrimSuffix(s.DirectoryURL, "/directory")+path, s.HTTP(t)
		client, err := lego.NewClient(config)
		if err != nil {
			t.Fatal(err)
		}
		if user.account, err = client.Registration.Register(ctx, registration.RegisterOptions{TermsOfServiceAgreed: true}); err != nil {
			t.Fatal(err)
		}
		if err := client.Challenge.SetDNSPersist01(dnspersist01.DisableAuthoritativeNssPropagationRequirement()); err != nil {
			t.Fatal(err)
		}

		// lego asks its user to make the record and waits at the terminal; here
		// it is made before, of what the challenge says and as lego writes it.
		name := harness.NewName("lego5persist")
		raw := rawacme.New(t, s.HTTP(t), config.CADirURL, user.key)
		raw.KID = user.account.Location
		var authz acme.Authorization
		raw.Get(t, raw.NewOrder(t, "*."+name).Authorizations[0]).JSON(t, &authz)
		challenge := authz.Challenges[0]
		if len(challenge.IssuerDomainNames) == 0 {
			t.Fatalf("lego does not understand the challenge: %+v", challenge)
		}
		info, err := dnspersist01.GetChallengeInfo(authz, challenge.IssuerDomainNames[0], challenge.AccountURI, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		s.Names.SetTXT(info.FQDN, info.Value)

		request := certificate.ObtainRequest{Domains: []string{name, "*." + name}, KeyType: certcrypto.EC256, Bundle: true}
		first, err := client.Certificate.Obtain(ctx, request)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		got := rawacme.ParseChain(t, first.Certificate)
		good(t, s, got, name, "*."+name)
		if err := client.Registration.KeyRollover(ctx, rawacme.NewKey(t)); err != nil {
			t.Fatalf("%s: changing the key: %v", path, err)
		}
		second, err := client.Certificate.Renew(ctx, *first, &certificate.RenewOptions{KeyType: certcrypto.EC256, Bundle: true})
		if err != nil {
			t.Fatalf("%s: renewing: %v", path, err)
		}
		renewed(t, s, got, rawacme.ParseChain(t, second.Certificate))
	}
}
