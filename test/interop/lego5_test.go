package interop

import (
	"context"
	"crypto"
	"encoding/json"
	"testing"
	"time"

	"github.com/go-acme/lego/v5/acme"
	"github.com/go-acme/lego/v5/certcrypto"
	"github.com/go-acme/lego/v5/certificate"
	"github.com/go-acme/lego/v5/lego"
	"github.com/go-acme/lego/v5/registration"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// legoUser is an account of the lego library.
type legoUser struct {
	key     crypto.Signer
	account *acme.ExtendedAccount
}

func (u *legoUser) GetEmail() string                       { return "admin@example.org" }
func (u *legoUser) GetRegistration() *acme.ExtendedAccount { return u.account }
func (u *legoUser) GetPrivateKey() crypto.Signer           { return u.key }

// legoHTTP answers http-01 with the server's responder.
type legoHTTP struct{ s *harness.Server }

func (p legoHTTP) Present(_ context.Context, _, token, keyAuth string) error {
	p.s.Names.SetHTTP01(token, keyAuth)
	return nil
}

func (p legoHTTP) CleanUp(_ context.Context, _, token, _ string) error {
	p.s.Names.ClearHTTP01(token)
	return nil
}

// The lego library, version 5: an account bound to an external one (RFC 8555
// §7.3.4), a profile, renewal when the server says so and with the name of
// what is replaced (RFC 9773), revocation.
func TestLego5(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, harness.Options{Configure: func(config map[string]any) {
		config["eab"] = map[string]any{"required": true}
	}})
	var bound struct {
		ID  string `json:"id"`
		Key string `json:"hmac_key"`
	}
	if err := json.Unmarshal([]byte(s.Admin(t, "eab", "create", "--json")), &bound); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), clientTime)
	defer cancel()

	user := &legoUser{key: rawacme.NewKey(t)}
	config := lego.NewConfig(user)
	config.CADirURL, config.HTTPClient = s.DirectoryURL, s.HTTP(t)
	client, err := lego.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Challenge.SetHTTP01Provider(legoHTTP{s}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Registration.Register(ctx, registration.RegisterOptions{TermsOfServiceAgreed: true}); err == nil {
		t.Error("an account without a binding was registered")
	}
	user.account, err = client.Registration.RegisterWithExternalAccountBinding(ctx, registration.RegisterEABOptions{
		TermsOfServiceAgreed: true, Kid: bound.ID, HmacEncoded: bound.Key,
	})
	if err != nil {
		t.Fatal(err)
	}

	name := harness.NewName("lego5")
	first, err := client.Certificate.Obtain(ctx, certificate.ObtainRequest{Domains: []string{name}, KeyType: certcrypto.EC256, Bundle: true, Profile: "shortlived"})
	if err != nil {
		t.Fatal(err)
	}
	got := rawacme.ParseChain(t, first.Certificate)
	if life := got[0].NotAfter.Sub(got[0].NotBefore); life > 7*24*time.Hour {
		t.Errorf("the profile shortlived gave a life of %v", life)
	}
	info, err := client.Certificate.GetRenewalInfo(ctx, got[0])
	if err != nil {
		t.Fatalf("renewal information: %v", err)
	}
	if at := info.ShouldRenewAt(time.Now(), 0); at != nil {
		t.Errorf("a new certificate should be renewed at %v", at)
	}
	s.Admin(t, "renew", "--serial", got[0].SerialNumber.Text(16))
	if info, err = client.Certificate.GetRenewalInfo(ctx, got[0]); err != nil {
		t.Fatal(err)
	}
	if info.ShouldRenewAt(time.Now(), 0) == nil {
		t.Errorf("after the operator's word the certificate is not renewed: %+v", info)
	}
	second, err := client.Certificate.Renew(ctx, *first, &certificate.RenewOptions{KeyType: certcrypto.EC256, Bundle: true, UseARICertID: true, Profile: "default"})
	if err != nil {
		t.Fatalf("renewing: %v", err)
	}
	again := rawacme.ParseChain(t, second.Certificate)
	good(t, s, again, name)
	if err := client.Certificate.Revoke(ctx, second.Certificate); err != nil {
		t.Fatal(err)
	}
	revoked(t, s, again)
}
