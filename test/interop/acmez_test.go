package interop

import (
	"context"
	"crypto"
	"testing"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// github.com/mholt/acmez: the three challenge types, renewal that names what it
// replaces (RFC 9773), key rollover, revocation by account and by key.
func TestAcmez(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	for _, account := range []struct {
		name string
		key  crypto.Signer
	}{{"ECDSA", rawacme.NewKey(t)}, {"RSA", rawacme.NewRSAKey(t, 2048)}} {
		t.Run(account.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), clientTime)
			defer cancel()
			api := &acme.Client{Directory: s.DirectoryURL, HTTPClient: s.HTTP(t)}
			mine, err := api.NewAccount(ctx, acme.Account{PrivateKey: account.key, TermsOfServiceAgreed: true, Contact: []string{"mailto:admin@example.org"}})
			if err != nil {
				t.Fatal(err)
			}
			for _, kind := range []string{"http-01", "dns-01", "tls-alpn-01"} {
				client := acmez.Client{Client: api, ChallengeSolvers: map[string]acmez.Solver{kind: solver{s}}}
				name, key := harness.NewName("acmez"), rawacme.NewKey(t)
				first, err := client.ObtainCertificateForSANs(ctx, mine, key, []string{name})
				if err != nil {
					t.Fatal(err)
				}
				got := rawacme.ParseChain(t, first[0].ChainPEM)
				good(t, s, got, name)

				info, err := api.GetRenewalInfo(ctx, got[0])
				if err != nil {
					t.Fatalf("renewal information: %v", err)
				}
				if info.SuggestedWindow.Start.Before(got[0].NotBefore) || info.SuggestedWindow.End.After(got[0].NotAfter) {
					t.Errorf("renew between %v and %v, for a certificate from %v to %v", info.SuggestedWindow.Start, info.SuggestedWindow.End, got[0].NotBefore, got[0].NotAfter)
				}
				csr, err := acmez.NewCSR(key, []string{name})
				if err != nil {
					t.Fatal(err)
				}
				renewal, err := acmez.OrderParametersFromCSR(mine, csr)
				if err != nil {
					t.Fatal(err)
				}
				renewal.Replaces = got[0]
				second, err := client.ObtainCertificate(ctx, renewal)
				if err != nil {
					t.Fatal(err)
				}
				again := rawacme.ParseChain(t, second[0].ChainPEM)
				renewed(t, s, got, again)

				if err := api.RevokeCertificate(ctx, mine, got[0], nil, acme.ReasonSuperseded); err != nil {
					t.Fatal(err)
				}
				if err := api.RevokeCertificate(ctx, mine, again[0], key, acme.ReasonKeyCompromise); err != nil {
					t.Fatal(err)
				}
				revoked(t, s, got)
				revoked(t, s, again)
			}
			if mine, err = api.AccountKeyRollover(ctx, mine, rawacme.NewKey(t)); err != nil {
				t.Fatalf("key rollover: %v", err)
			}
			if mine, err = api.GetAccount(ctx, mine); err != nil || mine.Status != "valid" {
				t.Errorf("after key rollover the account is %q: %v", mine.Status, err)
			}
		})
	}
}

// solver answers acmez's challenges with the server's responder.
type solver struct{ s *harness.Server }

func (v solver) Present(_ context.Context, c acme.Challenge) error {
	switch c.Type {
	case acme.ChallengeTypeHTTP01:
		v.s.Names.SetHTTP01(c.Token, c.KeyAuthorization)
	case acme.ChallengeTypeDNS01:
		v.s.Names.AddTXT(c.DNS01TXTRecordName(), c.DNS01KeyAuthorization())
	case acme.ChallengeTypeTLSALPN01:
		cert, err := acmez.TLSALPN01ChallengeCert(c)
		if err != nil {
			return err
		}
		v.s.Names.SetTLSALPNCertificate(c.Identifier.Value, cert)
	}
	return nil
}

func (solver) CleanUp(context.Context, acme.Challenge) error { return nil }
