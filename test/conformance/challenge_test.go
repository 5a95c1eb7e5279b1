package conformance

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// RFC 8555 §8.3, §8.4 and RFC 8737: each challenge type proves control.
func TestChallengesGood(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	for _, test := range []struct {
		name, kind string
		order      string // empty: the name itself
		prepare    func(name string, authz rawacme.Authorization, challenge rawacme.Challenge)
	}{
		{name: "http-01", kind: "http-01"},
		{name: "dns-01", kind: "dns-01"},
		{name: "tls-alpn-01", kind: "tls-alpn-01"},
		{name: "http-01 with trailing white space", kind: "http-01", prepare: func(_ string, authz rawacme.Authorization, challenge rawacme.Challenge) {
			s.AnswerWith(authz, challenge, c.KeyAuthorization(challenge.Token)+" \r\n")
		}},
		{name: "http-01 after a redirect", kind: "http-01", prepare: func(name string, _ rawacme.Authorization, challenge rawacme.Challenge) {
			// The challenge's own path is not answered; another host's is.
			target := harness.NewName("target")
			redirects.Store(challenge.Token, redirect{
				from: name, to: fmt.Sprintf("http://%s:%d/elsewhere/%s", target, s.Names.HTTPPort(), challenge.Token),
				content: c.KeyAuthorization(challenge.Token),
			})
		}},
		{name: "dns-01 among other records", kind: "dns-01", prepare: func(name string, authz rawacme.Authorization, challenge rawacme.Challenge) {
			s.Names.AddTXT("_acme-challenge."+name, "something else")
			s.Names.AddTXT("_acme-challenge."+name, strings.Repeat("x", 700))
			s.Answer(c, authz, challenge)
		}},
		{name: "dns-01 through an alias", kind: "dns-01", prepare: func(name string, _ rawacme.Authorization, challenge rawacme.Challenge) {
			target := "acme." + harness.NewName("alias")
			s.Names.SetCNAME("_acme-challenge."+name, target)
			s.Names.AddTXT(target, harness.TXT(c.KeyAuthorization(challenge.Token)))
		}},
		{name: "dns-01 over TCP", kind: "dns-01", prepare: func(name string, authz rawacme.Authorization, challenge rawacme.Challenge) {
			s.Names.SetFailure("_acme-challenge."+name, dns.TypeTXT, truncated)
			s.Answer(c, authz, challenge)
		}},
		{name: "http-01 on the second address", kind: "http-01", prepare: func(name string, authz rawacme.Authorization, challenge rawacme.Challenge) {
			// IPv6 is tried first and nobody listens there.
			s.Names.SetAddresses(name, netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1"))
			s.Answer(c, authz, challenge)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			redirectsOnce(s)
			name := harness.NewName("good")
			order := c.NewOrder(t, name)
			authz := c.Authorization(t, order.Authorizations[0])
			challenge := authz.Challenge(t, test.kind)
			if test.prepare != nil {
				test.prepare(name, authz, challenge)
			} else {
				s.Answer(c, authz, challenge)
			}
			c.Respond(t, challenge)
			if authz = c.Decided(t, authz.URL); authz.Status != "valid" {
				t.Errorf("the authorization is %s: %+v", authz.Status, authz.Challenge(t, test.kind).Error)
			}
		})
	}
}

// RFC 8555 §8: wrong answers are refused, each with the problem type that
// tells what was wrong (§6.7).
func TestChallengesBad(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	c := s.Account(t)
	otherKey := rawacme.NewKey(t)
	for _, test := range []struct {
		name, kind, problem string
		prepare             func(t *testing.T, name string, authz rawacme.Authorization, challenge rawacme.Challenge)
	}{
		{"http-01 not there", "http-01", "unauthorized", nil},
		{"http-01 with another account's key", "http-01", "unauthorized", func(_ *testing.T, _ string, authz rawacme.Authorization, challenge rawacme.Challenge) {
			s.AnswerWith(authz, challenge, challenge.Token+"."+rawacme.Thumbprint(otherKey))
		}},
		{"http-01 with the token alone", "http-01", "unauthorized", func(_ *testing.T, _ string, authz rawacme.Authorization, challenge rawacme.Challenge) {
			s.AnswerWith(authz, challenge, challenge.Token)
		}},
		{"http-01 with more than the answer", "http-01", "unauthorized", func(_ *testing.T, _ string, authz rawacme.Authorization, challenge rawacme.Challenge) {
			s.AnswerWith(authz, challenge, c.KeyAuthorization(challenge.Token)+" and more")
		}},
		{"http-01 with the answer to dns-01", "http-01", "unauthorized", func(t *testing.T, _ string, authz rawacme.Authorization, challenge rawacme.Challenge) {
			s.AnswerWith(authz, challenge, c.KeyAuthorization(authz.Challenge(t, "dns-01").Token))
		}},
		{"http-01 without an address", "http-01", "dns", func(_ *testing.T, name string, _ rawacme.Authorization, _ rawacme.Challenge) {
			s.Names.SetAddresses(name)
		}},
		{"http-01 where nobody listens", "http-01", "connection", func(_ *testing.T, name string, _ rawacme.Authorization, _ rawacme.Challenge) {
			s.Names.SetAddresses(name, netip.MustParseAddr("127.255.255.254"))
		}},
		{"http-01 with a failing resolver", "http-01", "dns", func(_ *testing.T, name string, _ rawacme.Authorization, _ rawacme.Challenge) {
			s.Names.SetFailure(name, dns.TypeANY, serverFailure)
		}},
		{"dns-01 not there", "dns-01", "", nil},
		{"dns-01 with a wrong record", "dns-01", "unauthorized", func(_ *testing.T, name string, _ rawacme.Authorization, challenge rawacme.Challenge) {
			s.Names.AddTXT("_acme-challenge."+name, harness.TXT(challenge.Token+"."+rawacme.Thumbprint(otherKey)))
		}},
		{"dns-01 with the key authorization itself", "dns-01", "unauthorized", func(_ *testing.T, name string, _ rawacme.Authorization, challenge rawacme.Challenge) {
			s.Names.AddTXT("_acme-challenge."+name, c.KeyAuthorization(challenge.Token))
		}},
		{"dns-01 at the name itself", "dns-01", "", func(_ *testing.T, name string, _ rawacme.Authorization, challenge rawacme.Challenge) {
			s.Names.AddTXT(name, harness.TXT(c.KeyAuthorization(challenge.Token)))
		}},
		{"dns-01 with a failing resolver", "dns-01", "dns", func(_ *testing.T, name string, authz rawacme.Authorization, challenge rawacme.Challenge) {
			s.Answer(c, authz, challenge)
			s.Names.SetFailure("_acme-challenge."+name, dns.TypeANY, serverFailure)
		}},
		{"tls-alpn-01 not there", "tls-alpn-01", "tls", nil},
		{"tls-alpn-01 with another account's key", "tls-alpn-01", "unauthorized", func(_ *testing.T, _ string, authz rawacme.Authorization, challenge rawacme.Challenge) {
			s.AnswerWith(authz, challenge, challenge.Token+"."+rawacme.Thumbprint(otherKey))
		}},
		{"tls-alpn-01 where nobody listens", "tls-alpn-01", "connection", func(_ *testing.T, name string, _ rawacme.Authorization, _ rawacme.Challenge) {
			s.Names.SetAddresses(name, netip.MustParseAddr("127.255.255.254"))
		}},
		{"tls-alpn-01 without the extension", "tls-alpn-01", "unauthorized", func(t *testing.T, name string, _ rawacme.Authorization, _ rawacme.Challenge) {
			s.Names.SetTLSALPNCertificate(name, alpnCertificate(t, []string{name}))
		}},
		{"tls-alpn-01 with an extension that is not critical", "tls-alpn-01", "unauthorized", func(t *testing.T, name string, _ rawacme.Authorization, challenge rawacme.Challenge) {
			extension := acmeIdentifier(t, c.KeyAuthorization(challenge.Token))
			extension.Critical = false
			s.Names.SetTLSALPNCertificate(name, alpnCertificate(t, []string{name}, extension))
		}},
		{"tls-alpn-01 with a second name", "tls-alpn-01", "unauthorized", func(t *testing.T, name string, _ rawacme.Authorization, challenge rawacme.Challenge) {
			s.Names.SetTLSALPNCertificate(name, alpnCertificate(t, []string{name, "other." + name}, acmeIdentifier(t, c.KeyAuthorization(challenge.Token))))
		}},
		{"tls-alpn-01 with another name", "tls-alpn-01", "unauthorized", func(t *testing.T, name string, _ rawacme.Authorization, challenge rawacme.Challenge) {
			s.Names.SetTLSALPNCertificate(name, alpnCertificate(t, []string{"other." + name}, acmeIdentifier(t, c.KeyAuthorization(challenge.Token))))
		}},
		// RFC 8659: CAA forbids, or can't be looked up.
		{"CAA for another CA", "http-01", "caa", func(t *testing.T, name string, authz rawacme.Authorization, challenge rawacme.Challenge) {
			s.Answer(c, authz, challenge)
			if err := s.Names.SetCAA(name, `0 issue "other-ca.example"`); err != nil {
				t.Fatal(err)
			}
		}},
		{"CAA with an unknown critical tag", "dns-01", "caa", func(t *testing.T, name string, authz rawacme.Authorization, challenge rawacme.Challenge) {
			s.Answer(c, authz, challenge)
			if err := s.Names.SetCAA(name, `128 future "x"`); err != nil {
				t.Fatal(err)
			}
		}},
		{"CAA look-up fails", "http-01", "", func(_ *testing.T, name string, authz rawacme.Authorization, challenge rawacme.Challenge) {
			s.Answer(c, authz, challenge)
			s.Names.SetFailure(name, dns.TypeCAA, serverFailure)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			name := harness.NewName("bad")
			order := c.NewOrder(t, name)
			authz := c.Authorization(t, order.Authorizations[0])
			challenge := authz.Challenge(t, test.kind)
			if test.prepare != nil {
				test.prepare(t, name, authz, challenge)
			}
			c.Respond(t, challenge)
			authz = c.Decided(t, authz.URL)
			if authz.Status != "invalid" {
				t.Fatalf("the authorization is %s: %+v", authz.Status, authz.Challenges)
			}
			failed := authz.Challenge(t, test.kind)
			if failed.Status != "invalid" || failed.Validated != "" {
				t.Errorf("the challenge is %+v", failed)
			}
			if failed.Error == nil {
				t.Fatal("the challenge has no error (RFC 8555 §8)")
			}
			switch kind := strings.TrimPrefix(failed.Error.Type, urn); {
			case test.problem != "":
				checkProblem(t, *failed.Error, test.problem)
			case kind != "dns" && kind != "unauthorized" && kind != "caa":
				t.Errorf("the error is %+v", failed.Error)
			}
			if order = c.Order(t, order.URL); order.Status != "invalid" {
				t.Errorf("the order is %s", order.Status)
			}
			resp := c.Post(t, order.Finalize, map[string]any{"csr": rawacme.B64(rawacme.CSR(t, rawacme.NewKey(t), []string{name}))})
			wantProblem(t, c, resp, http.StatusForbidden, "orderNotReady")
		})
	}
}

var oidACMEIdentifier = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31} // RFC 8737 §6.1

func acmeIdentifier(t *testing.T, keyAuthorization string) pkix.Extension {
	t.Helper()
	sum := sha256.Sum256([]byte(keyAuthorization))
	value, err := asn1.Marshal(sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: oidACMEIdentifier, Critical: true, Value: value}
}

// alpnCertificate makes a certificate for tls-alpn-01 that may be wrong.
func alpnCertificate(t *testing.T, names []string, extensions ...pkix.Extension) *tls.Certificate {
	t.Helper()
	key := rawacme.NewKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtraExtensions: extensions,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, (*ecdsa.PrivateKey)(key).Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
