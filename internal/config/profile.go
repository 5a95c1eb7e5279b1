package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Profile is the settings of one certificate profile. What is left out is as
// in DefaultProfile.
type Profile struct {
	// Description is what clients read in the directory's metadata.
	Description string `yaml:"description"`
	// Validity is from notBefore to notAfter, both included.
	Validity time.Duration `yaml:"validity"`
	// Backdate is how long before its signing a certificate becomes valid.
	Backdate time.Duration `yaml:"backdate"`
	// KeyTypes is the kinds of public keys that are certified: rsa, p256,
	// p384, p521, ed25519.
	KeyTypes []string `yaml:"key_types"`
	// Identifiers is the types of identifiers that are certified: dns, ip,
	// permanent-identifier, hardware-module.
	Identifiers []string `yaml:"identifiers"`
	// DeviceIdentifiers says which certificates have the identifiers of devices
	// in them: always, or requested (those whose CSR has them).
	DeviceIdentifiers string `yaml:"device_identifiers"`
	// MaxNames bounds the identifiers in one certificate.
	MaxNames int `yaml:"max_names"`
	// CommonName is what the subject holds: none; requested (what the CSR asks
	// for, where it is an identifier of the order); or first (failing that,
	// the first identifier).
	CommonName string `yaml:"common_name"`
	// Subject is what every subject holds besides the common name.
	Subject Subject `yaml:"subject"`
	// NameConstraints bound the names that are certified.
	NameConstraints NameConstraints `yaml:"name_constraints"`
	// ExtendedKeyUsages is server_auth, client_auth, code_signing,
	// email_protection, time_stamping, or object identifiers.
	ExtendedKeyUsages []string `yaml:"extended_key_usages"`
	// KeyUsages is digital_signature, content_commitment, key_encipherment,
	// data_encipherment, key_agreement.
	KeyUsages []string `yaml:"key_usages"`
	// KeyEncipherment is set in the key usage of RSA certificates.
	KeyEncipherment bool `yaml:"key_encipherment"`
	// Policies is the certificate policies, as object identifiers.
	Policies []string `yaml:"policies"`
	// MustStaple adds the TLS feature extension (RFC 7633).
	MustStaple bool `yaml:"must_staple"`
	// CT puts SCTs of public logs into certificates (RFC 6962), see ca.ct.
	CT bool `yaml:"ct"`
	// IssuerURL, OCSP and CRL write into the certificate where the issuer's
	// certificate, the OCSP responder and the CRL are.
	IssuerURL bool `yaml:"issuer_url"`
	OCSP      bool `yaml:"ocsp"`
	CRL       bool `yaml:"crl"`
	// Extensions are added as the profile's own.
	Extensions []Extension `yaml:"extensions"`
	// Issuers names the issuers that may sign, preferred first; empty: all.
	Issuers []string `yaml:"issuers"`
	Lints   Lints    `yaml:"lints"`
}

// Subject is the attributes of a profile's subjects.
type Subject struct {
	Country            string `yaml:"country"`
	Organization       string `yaml:"organization"`
	OrganizationalUnit string `yaml:"organizational_unit"`
	Locality           string `yaml:"locality"`
	Province           string `yaml:"province"`
}

// NameConstraints are DNS names, which stand for all below them too, and
// prefixes of addresses.
type NameConstraints struct {
	Permitted []string `yaml:"permitted"`
	Excluded  []string `yaml:"excluded"`
}

// Extension is a certificate extension.
type Extension struct {
	OID      string `yaml:"oid"`
	Critical bool   `yaml:"critical"`
	Encoding string `yaml:"encoding"` // utf8, ia5 or hex
	Value    string `yaml:"value"`
}

// Lints is which lints certificates must pass.
type Lints struct {
	// PrivateNames leaves out those that want names to be public ones.
	PrivateNames bool     `yaml:"private_names"`
	Warnings     bool     `yaml:"warnings"` // stop an issuance too
	Exclude      []string `yaml:"exclude"`
}

// DefaultProfile is what a profile of the configuration begins as: the
// built-in profile "default".
func DefaultProfile() Profile {
	return Profile{
		Validity:          90 * day,
		Backdate:          time.Hour,
		KeyTypes:          []string{"rsa", "p256", "p384", "p521"},
		Identifiers:       []string{"dns", "ip"},
		DeviceIdentifiers: "always",
		MaxNames:          100,
		CommonName:        "none",
		ExtendedKeyUsages: []string{"server_auth"},
		KeyUsages:         []string{"digital_signature"},
		Lints:             Lints{PrivateNames: true},
		KeyEncipherment:   true,
		Policies:          []string{"2.23.140.1.2.1"},
		IssuerURL:         true,
		OCSP:              true,
		CRL:               true,
	}
}

func (v validator) ca(c *CA) {
	if c.CRLShards < 1 || c.CRLShards > 65536 {
		v.fail("ca.crl_shards", "expects a number from 1 to 65536; found %d", c.CRLShards)
	}
	// Baseline Requirements §7.2 and §4.9.10.
	v.span("ca.crl_lifetime", c.CRLLifetime, time.Minute, 10*day)
	v.span("ca.crl_delay", c.CRLDelay, 100*time.Millisecond, 24*time.Hour)
	v.crlPublish(&c.CRLPublish)
	v.span("ca.ocsp_lifetime", c.OCSPLifetime, 8*time.Hour, 10*day)
	if c.PKCS11.Sessions < 1 || c.PKCS11.Sessions > 1000 {
		v.fail("ca.pkcs11.sessions", "expects a number from 1 to 1000; found %d", c.PKCS11.Sessions)
	}
	// A signature must end within the lease on its certificate, a minute.
	v.span("ca.pkcs11.timeout", c.PKCS11.Timeout, 100*time.Millisecond, 30*time.Second)
	if c.RevokeUnasked < 0 {
		v.fail("ca.revoke_unasked", "expects 0 or a number of certificates; found %d", c.RevokeUnasked)
	}
	v.oneOf("ca.ocsp_nonce", c.OCSPNonce, "honored", "ignored")
	v.unique("ca.alternate_chains", c.AlternateChains)
	v.unique("ca.weak_keys", c.WeakKeys)
	v.issuers(c.Issuers)
	v.ct(c)
	for _, name := range slices.Sorted(maps.Keys(c.Profiles)) {
		v.profile(name, c.Profiles[name])
	}
}

var (
	profileName      = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
	objectIdentifier = regexp.MustCompile(`^[0-2](\.(0|[1-9][0-9]{0,17})){1,30}$`)
)

func (v validator) profile(name string, p Profile) {
	path := "ca.profiles." + name
	switch {
	case !profileName.MatchString(name):
		v.fail(path, "%s is no name for a profile: use 1 to 32 lower-case letters, digits and hyphens", strconv.Quote(name))
	case strings.HasPrefix(name, "cairn-"):
		v.fail(path, "names that begin with cairn- are kept for the CA's own certificates")
	}
	v.span(path+".validity", p.Validity, time.Minute, 100*365*day)
	v.span(path+".backdate", p.Backdate, 0, 2*day)
	if p.Backdate >= p.Validity {
		v.fail(path+".backdate", "%s leaves nothing of the validity %s", FormatDuration(p.Backdate), FormatDuration(p.Validity))
	}
	if p.Validity%time.Second != 0 {
		v.fail(path+".validity", "expects whole seconds; found %s", FormatDuration(p.Validity))
	}
	if p.Backdate%time.Second != 0 {
		v.fail(path+".backdate", "expects whole seconds; found %s", FormatDuration(p.Backdate))
	}
	v.some(path+".key_types", p.KeyTypes, "rsa", "p256", "p384", "p521", "ed25519")
	v.some(path+".identifiers", p.Identifiers, "dns", "ip", "permanent-identifier", "hardware-module")
	v.oneOf(path+".device_identifiers", p.DeviceIdentifiers, "always", "requested")
	v.extendedKeyUsages(path+".extended_key_usages", p.ExtendedKeyUsages)
	v.some(path+".key_usages", p.KeyUsages, "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
	if c := p.Subject.Country; c != "" && (len(c) != 2 || strings.ToUpper(c) != c) {
		v.fail(path+".subject.country", "expects two capital letters, such as DE; found %q", c)
	}
	for i, e := range p.Extensions {
		v.oneOf(fmt.Sprintf("%s.extensions[%d].encoding", path, i), e.Encoding, "utf8", "ia5", "hex")
	}
	v.unique(path+".issuers", p.Issuers)
	v.oneOf(path+".common_name", p.CommonName, "none", "requested", "first")
	if p.MaxNames < 1 || p.MaxNames > 1000 {
		v.fail(path+".max_names", "expects a number from 1 to 1000; found %d", p.MaxNames)
	}
	v.unique(path+".policies", p.Policies)
	for i, policy := range p.Policies {
		if !objectIdentifier.MatchString(policy) {
			v.fail(fmt.Sprintf("%s.policies[%d]", path, i), "expects an object identifier, such as 2.23.140.1.2.1; found %q", policy)
		}
	}
}

func (v validator) extendedKeyUsages(key string, values []string) {
	if len(values) == 0 {
		v.fail(key, "name at least one")
	}
	v.unique(key, values)
	for i, value := range values {
		if !objectIdentifier.MatchString(value) {
			v.oneOf(index(key, i), value, "server_auth", "client_auth", "code_signing", "email_protection", "time_stamping")
		}
	}
}

func (v validator) issuers(issuers map[string]Issuer) {
	for _, name := range slices.Sorted(maps.Keys(issuers)) {
		path, i := "ca.issuers."+name, issuers[name]
		switch {
		case !profileName.MatchString(name):
			v.fail(path, "%s is no name for an issuer: use 1 to 32 lower-case letters, digits and hyphens", strconv.Quote(name))
		case name == "default":
			v.fail(path, "the issuer in the data folder has that name; give this one another")
		}
		if i.Chain == "" {
			v.fail(path+".chain", "name the PEM file with the issuing certificate and those above it")
		}
		if i.Key == "" {
			v.fail(path+".key", "name the key: a file, or a PKCS#11 URI")
		}
		if i.PublicURL != "" {
			v.publicURL(path+".public_url", i.PublicURL)
		}
	}
}

// some checks a list that has at least one value, all of them allowed ones.
func (v validator) some(key string, values []string, allowed ...string) {
	if len(values) == 0 {
		v.fail(key, "name at least one of %s", strings.Join(allowed, ", "))
	}
	v.unique(key, values)
	for i, value := range values {
		if value != "" {
			v.oneOf(index(key, i), value, allowed...)
		}
	}
}
