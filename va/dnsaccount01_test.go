package va_test

import (
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/responder"
)

func TestDNSAccount01(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	// The example of draft-ietf-acme-dns-account-label-03 §3.2.
	const example, label = "https://example.com/acme/acct/ExampleAccount", "_ujmmovf2vn55tgye._acme-challenge."
	l.SetTXT(label+"a.test", "other", digest)
	l.SetCNAME(label+"alias.test", "elsewhere.test")
	l.SetTXT("elsewhere.test", digest)
	l.SetTXT(label+"wrong.test", "wrong")
	l.SetTXT("_acme-challenge.dns01.test", digest)
	l.SetFailure(label+"bogus.test", mdns.TypeTXT, responder.Failure{Rcode: mdns.RcodeServerFailure, ExtendedCode: 6, ExtendedError: "bogus"})
	must(t, l.SetCAA("caa.test", `0 issue "ca.example; validationmethods=dns-account-01"`))
	must(t, l.SetCAA("notcaa.test", `0 issue "ca.example; validationmethods=dns-01"`))
	l.SetTXT(label+"caa.test", digest)
	l.SetTXT(label+"notcaa.test", digest)
	for _, c := range []struct {
		name     string
		wildcard bool
		account  string
		want     acme.ProblemType
		mayHeal  bool
		words    []string
	}{
		{"a.test", false, example, valid, false, nil},
		{"a.test", true, example, valid, false, nil},
		{"alias.test", false, example, valid, false, nil},
		{"caa.test", false, example, valid, false, nil},
		{"notcaa.test", false, example, acme.CAA, false, []string{"dns-account-01"}},
		// Byte for byte: nothing about the URL is normal.
		{"a.test", false, "https://example.com/acme/acct/exampleaccount", acme.DNS, true, nil},
		{"a.test", false, "https://example.com:443/acme/acct/ExampleAccount", acme.DNS, true, nil},
		{"a.test", false, "", acme.Unauthorized, false, nil},
		{"dns01.test", false, example, acme.DNS, true, []string{label + "dns01.test", example, digest}},
		{"wrong.test", false, example, acme.Unauthorized, false, []string{label + "wrong.test", example, `found "wrong"`, digest}},
		{"bogus.test", false, example, acme.DNS, true, []string{"SERVFAIL", "bogus", example}},
	} {
		req := request(dnsName(t, c.name), acme.DNSAccount01)
		req.Wildcard, req.AccountURL = c.wildcard, c.account
		result := l.validate(t, req)
		expect(t, result, c.want, c.mayHeal, c.words...)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
