package conformance

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/test/harness"
	"github.com/cairn-ca/cairn/test/harness/rawacme"
)

// intermediate is an issuing CA of another root, in files.
type intermediate struct {
	chain, key string
	root       *x509.Certificate
}

func newIntermediate(t *testing.T, name string, key crypto.Signer, change func(*x509.Certificate)) intermediate {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := func(name string, serial int64) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{Organization: []string{"Test"}, CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(5 * 365 * 24 * time.Hour),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		}
	}
	root := template(name+" root", 1)
	der, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	must(err)
	root, err = x509.ParseCertificate(der)
	must(err)
	sub := template(name+" issuer", 2)
	if change != nil {
		change(sub)
	}
	subDER, err := x509.CreateCertificate(rand.Reader, sub, root, key.Public(), rootKey)
	must(err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	dir := t.TempDir()
	made := intermediate{chain: filepath.Join(dir, "chain.pem"), key: filepath.Join(dir, "key.pem"), root: root}
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	must(os.WriteFile(made.chain, append(block("CERTIFICATE", subDER), block("CERTIFICATE", root.Raw)...), 0o600))
	must(os.WriteFile(made.key, block("PRIVATE KEY", pkcs8), 0o600))
	return made
}

func (i intermediate) settings() map[string]any {
	return map[string]any{"chain": i.chain, "key": i.key}
}

// Certificates come from an issuer with a key of their kind; each issuer has
// its CRLs, OCSP signer and chain; and SIGHUP changes which of them sign
// without a restart, while what they issued goes on being answered for.
func TestIssuersRotate(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ofRSA := newIntermediate(t, "RSA", rsaKey, nil)
	next := newIntermediate(t, "Next", rawacme.NewKey(t), nil)
	issuers := map[string]any{"rsa": ofRSA.settings()}
	s := harness.Start(t, harness.Options{Configure: func(config map[string]any) {
		config["ca"].(map[string]any)["issuers"] = issuers
		config["ca"].(map[string]any)["profiles"] = map[string]any{"legacy": map[string]any{"issuers": []string{"rsa"}}}
	}})
	c := s.Account(t)
	certified := func(key crypto.Signer, profile string) harness.Certificate {
		t.Helper()
		name := harness.NewName("issuer")
		order := c.NewOrderFor(t, map[string]any{"identifiers": rawacme.DNS(name), "profile": profile})
		for _, url := range order.Authorizations {
			s.Authorize(t, c, url, "http-01")
		}
		return harness.Certificate{Chain: c.Finalize(t, order, rawacme.CSR(t, key, []string{name})), Key: key}
	}
	by := func(cert harness.Certificate, issuer string) {
		t.Helper()
		if got := cert.Issuer().Subject.CommonName; !strings.HasPrefix(got, issuer) {
			t.Errorf("issued by %q, want %q", got, issuer)
		}
		if status := s.OCSP(t, cert, http.MethodPost).Status; status != 0 {
			t.Errorf("OCSP of a certificate by %q: %d", issuer, status)
		}
		if err := s.CRL(t, cert).CheckSignatureFrom(cert.Issuer()); err != nil {
			t.Errorf("the CRL of %q: %v", issuer, err)
		}
	}
	subscriber, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	first := certified(rawacme.NewKey(t), "default")
	by(first, "Cairn Intermediate")
	ofSubscriber := certified(subscriber, "default")
	by(ofSubscriber, "RSA issuer")
	by(certified(rawacme.NewKey(t), "legacy"), "RSA issuer")

	s.Reconfigure(t, func(config map[string]any) {
		ca := config["ca"].(map[string]any)
		ca["default_issuer_inactive"] = true
		ca["issuers"] = map[string]any{"rsa": ofRSA.settings(), "next": next.settings()}
	})
	rawacme.Poll(t, "the next issuer signs", func() bool {
		return strings.HasPrefix(certified(rawacme.NewKey(t), "default").Issuer().Subject.CommonName, "Next issuer")
	})
	by(first, "Cairn Intermediate")
	c.Revoke(t, first.Leaf().Raw, 4).Want(t, http.StatusOK)
	s.CheckRevoked(t, first, 4)
	by(ofSubscriber, "RSA issuer")
}

// What a profile says of subjects, usages, names and extensions is in its
// certificates; names outside of the issuer's own constraints are refused.
func TestProfileSettings(t *testing.T) {
	t.Parallel()
	constrained := newIntermediate(t, "Constrained", rawacme.NewKey(t), func(cert *x509.Certificate) {
		cert.PermittedDNSDomainsCritical, cert.PermittedDNSDomains = true, []string{harness.Zone}
	})
	s := harness.Start(t, harness.Options{Configure: func(config map[string]any) {
		ca := config["ca"].(map[string]any)
		ca["issuers"] = map[string]any{"constrained": constrained.settings()}
		ca["profiles"] = map[string]any{
			"team": map[string]any{
				"subject":             map[string]any{"country": "DE", "organization": "Example", "organizational_unit": "Web"},
				"common_name":         "first",
				"policies":            []string{"1.3.6.1.4.1.99999.7"},
				"extended_key_usages": []string{"client_auth", "1.3.6.1.4.1.99999.9"},
				"key_usages":          []string{"digital_signature", "key_encipherment", "key_agreement"},
				"name_constraints":    map[string]any{"permitted": []string{harness.Zone}, "excluded": []string{"secret." + harness.Zone}},
				"extensions": []map[string]any{
					{"oid": "1.3.6.1.4.1.99999.1", "encoding": "utf8", "value": "${profile}: ${name}"},
					{"oid": "1.3.6.1.4.1.99999.2", "critical": true, "encoding": "hex", "value": "0101ff"},
				},
				"lints": map[string]any{"private_names": true, "exclude": []string{"e_client_auth_not_allowed"}},
			},
			"bound": map[string]any{"issuers": []string{"constrained"}},
		}
	}})
	c := s.Account(t)
	name := harness.NewName("team")
	order := c.NewOrderFor(t, map[string]any{"identifiers": rawacme.DNS(name), "profile": "team"})
	for _, url := range order.Authorizations {
		s.Authorize(t, c, url, "http-01")
	}
	leaf := c.Finalize(t, order, rawacme.CSR(t, rawacme.NewKey(t), []string{name}))[0]
	if got := leaf.Subject.String(); got != "CN="+name+",OU=Web,O=Example,C=DE" {
		t.Errorf("the subject is %s", got)
	}
	if leaf.KeyUsage != x509.KeyUsageDigitalSignature|x509.KeyUsageKeyAgreement {
		t.Errorf("the key usage is %b", leaf.KeyUsage)
	}
	if !slices.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) || len(leaf.UnknownExtKeyUsage) != 1 || leaf.UnknownExtKeyUsage[0].String() != "1.3.6.1.4.1.99999.9" {
		t.Errorf("the extended key usages are %v, %v", leaf.ExtKeyUsage, leaf.UnknownExtKeyUsage)
	}
	extension := func(oid string) pkix.Extension {
		t.Helper()
		for _, e := range leaf.Extensions {
			if e.Id.String() == oid {
				return e
			}
		}
		t.Fatalf("there is no extension %s", oid)
		return pkix.Extension{}
	}
	var text string
	if _, err := asn1.UnmarshalWithParams(extension("1.3.6.1.4.1.99999.1").Value, &text, "utf8"); err != nil || text != "team: "+name {
		t.Errorf("the text is %q, %v", text, err)
	}
	if e := extension("1.3.6.1.4.1.99999.2"); !e.Critical || len(e.Value) != 3 {
		t.Errorf("%+v", e)
	}

	for profile, refused := range map[string]string{"team": "a.secret." + harness.Zone, "bound": "localhost"} {
		order := c.NewOrderFor(t, map[string]any{"identifiers": rawacme.DNS(refused), "profile": profile})
		for _, url := range order.Authorizations {
			s.Authorize(t, c, url, "http-01")
		}
		resp := c.Post(t, order.Finalize, map[string]any{"csr": rawacme.B64(rawacme.CSR(t, rawacme.NewKey(t), []string{refused}))})
		wantProblem(t, c, resp, http.StatusForbidden, "rejectedIdentifier")
	}
}
