package ca

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"slices"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/test/harness/device"
)

func devices(t testing.TB, texts ...string) []acme.Identifier {
	t.Helper()
	var ids []acme.Identifier
	for _, text := range texts {
		id, err := acme.ParseIdentifierString(text)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return acme.UniqueIdentifiers(ids)
}

// san is the value of a certificate's subject alternative name extension.
func san(t *testing.T, cert *x509.Certificate) (value []byte, critical bool) {
	t.Helper()
	for _, e := range cert.Extensions {
		if e.Id.Equal(oidSubjectAltName) {
			return e.Value, e.Critical
		}
	}
	return nil, false
}

func (f fixture) issueDevice(t *testing.T, profile string, csr []byte, ids []acme.Identifier) (*x509.Certificate, error) {
	t.Helper()
	order := f.ready(t, ids)
	req := f.request(order, csr)
	req.Profile = profile
	issued, err := f.Issue(t.Context(), req)
	if err != nil {
		return nil, err
	}
	f.verify(t, issued.Serial, order, profile)
	stored, err := f.store.Certificate(t.Context(), issued.Serial)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(stored.DER)
	if err != nil {
		t.Fatal(err)
	}
	return cert, nil
}

// draft-ietf-acme-device-attest §3.2 and §4.2: certificates have the
// identifiers as the order has them, whether the CSR does or not, and pass
// every lint.
func TestIssueForDevices(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	for _, texts := range [][]string{
		{"permanent-identifier:C02XYZ123456"}, {"permanent-identifier:C02XYZ/1.3.6.1.4.1.99.1"}, {"permanent-identifier:Gerät №7"},
		{"hardware-module:HW7/1.2.3"}, {"hardware-module:HW7/1.2.3", "permanent-identifier:C02XYZ"},
	} {
		ids := devices(t, texts...)
		var ordered []string
		for _, id := range ids {
			ordered = append(ordered, id.String())
		}
		for name, csr := range map[string][]byte{
			"CSR with them": device.CSR(t, newKey(t), "", texts...), "CSR without": device.CSR(t, newKey(t), ""),
			"Ed25519": device.CSR(t, ed25519.NewKeyFromSeed(slices.Repeat([]byte{7}, 32)), ""),
		} {
			cert, err := f.issueDevice(t, "device", csr, ids)
			if err != nil {
				t.Errorf("%v, %s: %v", texts, name, err)
				continue
			}
			// The bytes are those of the test's own encoder.
			value, critical := san(t, cert)
			if want := device.AltNames(t, ordered...); !slices.Equal(value, want) || critical {
				t.Errorf("%v, %s: the alternative names are %x (critical: %v), want %x", texts, name, value, critical, want)
			}
			if identity, _ := ids[0].Device(); cert.Subject.CommonName != identity || !slices.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) {
				t.Errorf("%v, %s: subject %q, usages %v", texts, name, cert.Subject, cert.ExtKeyUsage)
			}
			if got := namesIn(cert.Raw); !slices.Equal(got, ordered) {
				t.Errorf("the audit log would say %q", got)
			}
		}
	}
}

// The common name of a device is its identity, where the CSR asks for it.
func TestDeviceCommonName(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	ids := devices(t, "permanent-identifier:C02XYZ/1.2.3")
	cert, err := f.issueDevice(t, "device", device.CSR(t, newKey(t), "C02XYZ"), ids)
	if err != nil {
		t.Fatal(err)
	}
	if _, critical := san(t, cert); cert.Subject.CommonName != "C02XYZ" || critical {
		t.Errorf("subject %q, critical %v", cert.Subject, critical)
	}
	for _, cn := range []string{"C02XYZ/1.2.3", "c02xyz", "somebody", "www.example.com"} {
		if _, err := f.issueDevice(t, "device", device.CSR(t, newKey(t), cn), ids); problemType(err) != acme.BadCSR {
			t.Errorf("common name %q: %v", cn, err)
		}
	}
}

// A CSR that has identifiers of devices has exactly the order's.
func TestDeviceCSR(t *testing.T) {
	t.Parallel()
	ids := devices(t, "permanent-identifier:A/1.2.3", "hardware-module:B/1.2.3")
	raw := func(value ...byte) []byte {
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{ExtraExtensions: []pkix.Extension{{Id: oidSubjectAltName, Value: value}}}, newKey(t))
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	upn := append([]byte{0x30, 0x15, 0xa0, 0x13, 0x06, 0x0a}, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x14, 0x02, 0x03, 0xa0, 0x05, 0x0c, 0x03, 'a', '@', 'b')
	for name, test := range map[string]struct {
		csr []byte
		ok  bool
	}{
		"none":                      {device.CSR(t, newKey(t), ""), true},
		"all":                       {device.CSR(t, newKey(t), "", "hardware-module:B/1.2.3", "permanent-identifier:A/1.2.3"), true},
		"one":                       {device.CSR(t, newKey(t), "", "permanent-identifier:A/1.2.3"), false},
		"one more":                  {device.CSR(t, newKey(t), "", "hardware-module:B/1.2.3", "permanent-identifier:A/1.2.3", "permanent-identifier:C"), false},
		"without the assigner":      {device.CSR(t, newKey(t), "", "hardware-module:B/1.2.3", "permanent-identifier:A"), false},
		"of another assigner":       {device.CSR(t, newKey(t), "", "hardware-module:B/1.2.3", "permanent-identifier:A/1.2.4"), false},
		"in other case":             {device.CSR(t, newKey(t), "", "hardware-module:b/1.2.3", "permanent-identifier:A/1.2.3"), false},
		"kinds exchanged":           {device.CSR(t, newKey(t), "", "hardware-module:A/1.2.3", "permanent-identifier:B/1.2.3"), false},
		"user principal name":       {raw(upn...), false},
		"otherName that is nothing": {raw(0x30, 0x02, 0xa0, 0x00), false},
		"cut short":                 {raw(0x30, 0x04, 0xa0, 0x10, 0x06, 0x01), false},
		"empty list":                {raw(0x30, 0x00), true},
	} {
		r, err := parseCSR(test.csr, ids)
		if test.ok != (err == nil) || err != nil && problemType(err) != acme.BadCSR {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && r.hasDevices != (name == "all") {
			t.Errorf("%s: it has devices: %v", name, r.hasDevices)
		}
	}
	// Other identifiers are not optional (RFC 8555 §7.4).
	mixed := append(slices.Clone(ids), names(t, "a.example")...)
	if _, err := parseCSR(device.CSR(t, newKey(t), ""), mixed); problemType(err) != acme.BadCSR {
		t.Errorf("a CSR without the order's DNS name: %v", err)
	}
}

// With the policy "requested", a CSR without the identifiers gets a
// certificate without them, as long as it has another name.
func TestDevicesRequested(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) {
		p := BuiltinProfiles()[slices.IndexFunc(BuiltinProfiles(), func(p Profile) bool { return p.Name == "device" })]
		p.Name, p.Devices, p.CommonName = "private", DevicesRequested, CommonNameFirst
		p.IdentifierTypes = append(p.IdentifierTypes, acme.IdentifierDNS)
		c.Profiles = []Profile{p}
	})
	ids := acme.UniqueIdentifiers(append(devices(t, "permanent-identifier:A"), names(t, "a.example")...))
	cert, err := f.issueDevice(t, "private", csrFor(t, newKey(t), "", names(t, "a.example")), ids)
	if err != nil {
		t.Fatal(err)
	}
	if value, _ := san(t, cert); len(acme.DeviceNames(value)) > 0 || !slices.Equal(cert.DNSNames, []string{"a.example"}) || cert.Subject.CommonName != "a.example" {
		t.Errorf("the certificate gives the device away: %x, %q", value, cert.Subject)
	}
	alone := devices(t, "permanent-identifier:A")
	if _, err := f.issueDevice(t, "private", device.CSR(t, newKey(t), ""), alone); problemType(err) != acme.BadCSR {
		t.Errorf("a certificate without a name: %v", err)
	}
	if cert, err = f.issueDevice(t, "private", device.CSR(t, newKey(t), "", "permanent-identifier:A"), alone); err != nil {
		t.Fatal(err)
	}
	if value, _ := san(t, cert); len(acme.DeviceNames(value)) != 1 {
		t.Errorf("asked for, and not in it: %x", value)
	}
}

func TestDeviceProfiles(t *testing.T) {
	t.Parallel()
	for _, p := range BuiltinProfiles() {
		if p.DevicesOnly() != (p.Name == "device") {
			t.Errorf("%s: devices only: %v", p.Name, p.DevicesOnly())
		}
	}
	server := BuiltinProfiles()[0]
	server.IdentifierTypes = append(server.IdentifierTypes, acme.IdentifierPermanentIdentifier)
	if server.Validate() == nil {
		t.Error("a profile for servers certifies devices")
	}
	server.ExtendedKeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if err := server.Validate(); err != nil {
		t.Error(err)
	}
	server.Devices = "never"
	if server.Validate() == nil {
		t.Error("a policy that is none")
	}
}

// A subject that is empty makes the alternative names critical (RFC 5280
// §4.2.1.6), and the certificate passes the lints that way too.
func TestDeviceWithoutSubject(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	ids := devices(t, "permanent-identifier:A")
	for name, fits := range map[string]bool{"device": true, "default": false} {
		p := *f.profiles[name]
		p.CommonName = CommonNameNone
		key := newKey(t)
		spki, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		from, to, err := p.Period(f.Now(), time.Time{}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.build(t.Context(), &p, p.templates[0], leaf{notBefore: from, notAfter: to, identifiers: ids, public: key.Public(), spki: spki})
		// In a certificate of a server no lint lets them pass.
		if fits != (err == nil) || !fits && problemType(err) != acme.ServerInternal {
			t.Errorf("profile %s: %v", name, err)
		}
	}
}

func FuzzParseDeviceCSR(f *testing.F) {
	ids := devices(f, "permanent-identifier:A/1.2.3", "hardware-module:B/1.2.3")
	f.Add(device.CSR(f, newKey(f), "A", "hardware-module:B/1.2.3", "permanent-identifier:A/1.2.3"))
	f.Add(device.CSR(f, newKey(f), ""))
	f.Fuzz(func(t *testing.T, der []byte) {
		if _, err := parseCSR(der, ids); err != nil && problemType(err) != acme.BadCSR {
			t.Errorf("an error that is no badCSR: %v", err)
		}
	})
}
