package ca

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

// good is a to-be-signed certificate with everything that a profile can have.
func good(t *testing.T) (rules, facts, tbsCertificate) {
	t.Helper()
	f := newFixture(t, func(c *Config) {
		full := BuiltinProfiles()[0]
		full.Name, full.MustStaple, full.CommonName = "full", true, CommonNameFirst
		full.Extensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Value: []byte{5, 0}}}
		c.Profiles = []Profile{full}
	})
	p := f.profiles["full"]
	ids := names(t, "a.example", "b.example", "192.0.2.1")
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	r, err := parseCSR(csrFor(t, k, "", ids), ids)
	if err != nil {
		t.Fatal(err)
	}
	subject, err := p.subject(r, ids)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := acme.NewSerial(f.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	from, to, err := p.Period(f.Now(), time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	tbs, err := p.templates[0].build(leaf{serial: serial, notBefore: from, notAfter: to, subject: subject, identifiers: ids, public: r.public, spki: r.spki, crlShard: 3})
	if err != nil {
		t.Fatal(err)
	}
	rules, err := newRules(&p.Profile, f.issuers[0].certificate, urls{f.PublicURL, f.OCSPURL})
	if err != nil {
		t.Fatal(err)
	}
	what := facts{serial: serial, at: f.Now(), notBefore: from, notAfter: to, identifiers: ids, spki: r.spki, crlShard: 3}
	if found := rules.deviations(tbs, what); len(found) > 0 {
		t.Fatalf("a good certificate: %q", found)
	}
	var parsed tbsCertificate
	if _, err := asn1.Unmarshal(tbs, &parsed); err != nil {
		t.Fatal(err)
	}
	return rules, what, parsed
}

// Each field of a good certificate is changed, and the change is seen.
func TestProfileDeviations(t *testing.T) {
	t.Parallel()
	rules, what, parsed := good(t)
	otherKey, err := x509.MarshalPKIXPublicKey(newKey(t).Public())
	if err != nil {
		t.Fatal(err)
	}
	cn := func(names ...pkix.AttributeTypeAndValue) asn1.RawValue {
		var rdns pkix.RDNSequence
		for _, n := range names {
			rdns = append(rdns, pkix.RelativeDistinguishedNameSET{n})
		}
		der, err := asn1.Marshal(rdns)
		if err != nil {
			t.Fatal(err)
		}
		return asn1.RawValue{FullBytes: der}
	}
	for name, c := range map[string]struct {
		change func(*tbsCertificate)
		want   string
	}{
		"version":               {func(c *tbsCertificate) { c.Version = 1 }, "v3"},
		"serial":                {func(c *tbsCertificate) { c.SerialNumber.Add(c.SerialNumber, big.NewInt(1)) }, "serial"},
		"short serial":          {func(c *tbsCertificate) { c.SerialNumber.SetInt64(7) }, "serial"},
		"algorithm":             {func(c *tbsCertificate) { c.Algorithm.FullBytes[5] ^= 1 }, "signature algorithm"},
		"issuer":                {func(c *tbsCertificate) { c.Issuer = cn() }, "issuer"},
		"notBefore":             {func(c *tbsCertificate) { c.Validity.NotBefore = c.Validity.NotBefore.Add(time.Second) }, "valid from"},
		"notAfter":              {func(c *tbsCertificate) { c.Validity.NotAfter = c.Validity.NotAfter.Add(time.Second) }, "longer than"},
		"ends before it begins": {func(c *tbsCertificate) { c.Validity.NotAfter = c.Validity.NotBefore.Add(-time.Second) }, "ends before"},
		"far notBefore":         {func(c *tbsCertificate) { c.Validity.NotBefore = c.Validity.NotBefore.Add(-49 * time.Hour) }, "48 hours"},
		"after the issuer":      {func(c *tbsCertificate) { c.Validity.NotAfter = rules.issuer.NotAfter.Add(time.Second) }, "after its issuer"},
		"no subject":            {func(c *tbsCertificate) { c.Subject = cn() }, "not the profile's"},
		"other common name": {func(c *tbsCertificate) {
			c.Subject = cn(pkix.AttributeTypeAndValue{Type: oidCommonName, Value: "c.example"})
		}, "not the profile's"},
		"two names": {func(c *tbsCertificate) {
			n := pkix.AttributeTypeAndValue{Type: oidCommonName, Value: "a.example"}
			c.Subject = cn(n, n)
		}, "not the profile's"},
		"organization": {func(c *tbsCertificate) {
			c.Subject = cn(pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: "a.example"})
		}, "not the profile's"},
		"subject is none": {func(c *tbsCertificate) { c.Subject.FullBytes[0] = 0x31 }, "subject"},
		"key":             {func(c *tbsCertificate) { c.SPKI = asn1.RawValue{FullBytes: otherKey} }, "key"},
		"unknown extension": {func(c *tbsCertificate) {
			c.Extensions = append(c.Extensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}})
		}, "none of the profile's"},
		"subject key identifier": {func(c *tbsCertificate) {
			c.Extensions = append(c.Extensions, pkix.Extension{Id: oidSubjectKeyID, Value: []byte{4, 1, 1}})
		}, "none of the profile's"},
		"an extension twice":       {func(c *tbsCertificate) { c.Extensions = append(c.Extensions, c.Extensions[0]) }, "twice"},
		"basic constraints, CA":    {replace(t, oidBasicConstraints, struct{ CA bool }{true}), "2.5.29.19 holds"},
		"another shard":            {edit(oidCRLDistribution, "/3.crl", "/2.crl"), "2.5.29.31 holds"},
		"another name":             {edit(oidSubjectAltName, "b.example", "c.example"), "2.5.29.17 holds"},
		"another address":          {edit(oidSubjectAltName, "\xc0\x00\x02\x01", "\xc0\x00\x02\x02"), "2.5.29.17 holds"},
		"another OCSP responder":   {edit(oidAuthorityInfo, "/ocsp", "/ocsq"), "1.3.6.1.5.5.7.1.1 holds"},
		"another issuer's URL":     {edit(oidAuthorityInfo, "/issuer/", "/issues/"), "1.3.6.1.5.5.7.1.1 holds"},
		"no usage":                 {replace(t, oidKeyUsage, asn1.BitString{Bytes: []byte{0x20}, BitLength: 3}), "2.5.29.15 holds"},
		"certificates may be made": {replace(t, oidKeyUsage, asn1.BitString{Bytes: []byte{0xa4}, BitLength: 6}), "2.5.29.15 holds"},
		"anyExtendedKeyUsage":      {replace(t, oidExtendedKeyUsage, []asn1.ObjectIdentifier{{2, 5, 29, 37, 0}}), "2.5.29.37 holds"},
		"anyPolicy":                {replace(t, oidPolicies, []struct{ ID asn1.ObjectIdentifier }{{asn1.ObjectIdentifier{2, 5, 29, 32, 0}}}), "2.5.29.32 holds"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := clone(t, parsed)
			c.change(&changed)
			tbs, err := asn1.Marshal(changed)
			if err != nil {
				t.Fatal(err)
			}
			if found := rules.deviations(tbs, what); !strings.Contains(strings.Join(found, "; "), c.want) {
				t.Errorf("got %q, want %q", found, c.want)
			}
		})
	}
	// Every extension, gone, critical or not, and each bit of its value.
	for i, e := range parsed.Extensions {
		for name, change := range map[string]func(*tbsCertificate){
			"gone":      func(c *tbsCertificate) { c.Extensions = append(c.Extensions[:i:i], c.Extensions[i+1:]...) },
			"critical":  func(c *tbsCertificate) { c.Extensions[i].Critical = !e.Critical },
			"first bit": func(c *tbsCertificate) { c.Extensions[i].Value[0] ^= 1 },
			"last bit":  func(c *tbsCertificate) { c.Extensions[i].Value[len(e.Value)-1] ^= 1 },
			"longer":    func(c *tbsCertificate) { c.Extensions[i].Value = append(bytes.Clone(e.Value), 0) },
		} {
			changed := clone(t, parsed)
			change(&changed)
			tbs, err := asn1.Marshal(changed)
			if err != nil {
				t.Fatal(err)
			}
			if found := rules.deviations(tbs, what); !strings.Contains(strings.Join(found, "; "), e.Id.String()) {
				t.Errorf("%s, %s: %q", e.Id, name, found)
			}
		}
	}
}

// Whatever bit of the whole is turned, it is not the certificate any more.
func TestEveryBitCounts(t *testing.T) {
	t.Parallel()
	rules, what, parsed := good(t)
	tbs, err := asn1.Marshal(parsed)
	if err != nil {
		t.Fatal(err)
	}
	for i := range tbs {
		for bit := range 8 {
			changed := bytes.Clone(tbs)
			changed[i] ^= 1 << bit
			if found := rules.deviations(changed, what); len(found) == 0 {
				t.Errorf("octet %d, bit %d is not seen", i, bit)
			}
		}
	}
	if found := rules.deviations(append(bytes.Clone(tbs), 0), what); len(found) == 0 {
		t.Error("an octet more is not seen")
	}
}

func clone(t *testing.T, c tbsCertificate) (copied tbsCertificate) {
	t.Helper()
	der, err := asn1.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := asn1.Unmarshal(der, &copied); err != nil {
		t.Fatal(err)
	}
	return copied
}

func extension(c *tbsCertificate, oid asn1.ObjectIdentifier) *pkix.Extension {
	for i := range c.Extensions {
		if c.Extensions[i].Id.Equal(oid) {
			return &c.Extensions[i]
		}
	}
	return &pkix.Extension{}
}

func edit(oid asn1.ObjectIdentifier, from, to string) func(*tbsCertificate) {
	return func(c *tbsCertificate) {
		e := extension(c, oid)
		e.Value = bytes.Replace(e.Value, []byte(from), []byte(to), 1)
	}
}

func replace(t *testing.T, oid asn1.ObjectIdentifier, value any) func(*tbsCertificate) {
	return func(c *tbsCertificate) {
		der, err := asn1.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		extension(c, oid).Value = der
	}
}

// A builder that goes wrong stops at the check.
func TestConformStops(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.profiles["default"].templates[0].extra = f.responder.templates[f.issuers[0].id].extra // id-pkix-ocsp-nocheck
	order := f.ready(t, names(t, "a.example"))
	if _, err := f.Issue(t.Context(), f.request(order, csrFor(t, newKey(t), "", order.Identifiers))); problemType(err) != acme.ServerInternal ||
		!strings.Contains(err.Error(), "none of the profile's") {
		t.Errorf("got %v", err)
	}
	if got, err := f.store.Order(t.Context(), order.ID); err != nil || got.Status != acme.OrderReady {
		t.Errorf("the order is %s, %v", got.Status, err)
	}
}

// A certificate whose signature is another key's, or whose algorithm is not the
// one inside, is not handed out.
func TestCheckSigned(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	iss := f.issuers[0]
	_, _, parsed := good(t)
	parsed.Algorithm = asn1.RawValue{FullBytes: iss.algorithm.Identifier}
	tbs, err := asn1.Marshal(parsed)
	if err != nil {
		t.Fatal(err)
	}
	der, err := iss.envelope(rand.Reader, tbs)
	if err != nil {
		t.Fatal(err)
	}
	for i := range der {
		changed := bytes.Clone(der)
		changed[i] ^= 1
		if iss.checkSigned(changed, tbs) == nil {
			t.Fatalf("octet %d of %d is not seen", i, len(der))
		}
	}
	broken := *iss
	broken.signer = newKey(t)
	if _, err := broken.envelope(rand.Reader, tbs); err == nil || !strings.Contains(err.Error(), "signature") {
		t.Errorf("another key: %v", err)
	}
}

func BenchmarkDeviations(b *testing.B) {
	f := newFixture(b, nil)
	p := f.profiles["default"]
	ids := names(b, "a.example", "www.a.example")
	r, err := parseCSR(csrFor(b, newKey(b), "", ids), ids)
	if err != nil {
		b.Fatal(err)
	}
	from, to, err := p.Period(f.Now(), time.Time{}, time.Time{})
	if err != nil {
		b.Fatal(err)
	}
	serial, err := acme.NewSerial(f.Now(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	l := leaf{serial: serial, notBefore: from, notAfter: to, identifiers: ids, public: r.public, spki: r.spki}
	tbs, err := p.templates[0].build(l)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("profile", func(b *testing.B) {
		for b.Loop() {
			if err := f.conform(b.Context(), p, p.templates[0], l, tbs); err != nil {
				b.Fatal(err)
			}
		}
	})
	der, err := f.issuers[0].envelope(rand.Reader, tbs)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("signed", func(b *testing.B) {
		for b.Loop() {
			if err := f.issuers[0].checkSigned(der, tbs); err != nil {
				b.Fatal(err)
			}
		}
	})
}
