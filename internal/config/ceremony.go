package config

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Ceremony is the file that `cairn ceremony` reads. It is decoded as strictly
// as the configuration is; docs/ceremony.md documents it.
type Ceremony struct {
	// Folder is where the files are written.
	Folder string `yaml:"folder"`
	// Usage is private or public: public holds the certificates to what public
	// root programs ask of CAs as well.
	Usage string `yaml:"usage"`
	// Subject is what subjects have that say nothing else.
	Subject CeremonySubject `yaml:"subject"`
	// Key is what keys have that say nothing else.
	Key               CeremonyKeyDefaults             `yaml:"key"`
	Existing          map[string]CeremonyExisting     `yaml:"existing"`
	Roots             map[string]CeremonyRoot         `yaml:"roots"`
	Intermediates     map[string]CeremonyIntermediate `yaml:"intermediates"`
	CrossCertificates map[string]CeremonyCross        `yaml:"cross_certificates"`
	OCSPSigners       map[string]CeremonyOCSPSigner   `yaml:"ocsp_signers"`
	CRLs              map[string]CeremonyCRL          `yaml:"crls"`
	Chains            map[string]CeremonyChain        `yaml:"chains"`
}

// CeremonySubject is the subject of a CA.
type CeremonySubject struct {
	CommonName   string `yaml:"common_name"`
	Organization string `yaml:"organization"`
	Country      string `yaml:"country"`
}

// CeremonyKeyDefaults is what a key has that says nothing else.
type CeremonyKeyDefaults struct {
	Type           string `yaml:"type"`
	Bits           int    `yaml:"bits"`
	PassphraseFile string `yaml:"passphrase_file"`
	PassphraseEnv  string `yaml:"passphrase_env"`
	Unencrypted    bool   `yaml:"unencrypted"`
}

// CeremonyKey is a key that is made, or one that exists.
type CeremonyKey struct {
	CeremonyKeyDefaults `yaml:",inline"`
	// File is the key's file; empty: that of the certificate, with .key.
	File string `yaml:"file"`
	// PKCS11 is the URI of a key on a token (RFC 7512).
	PKCS11 string `yaml:"pkcs11"`
}

// CeremonyExisting is a CA that was made before.
type CeremonyExisting struct {
	Certificate string       `yaml:"certificate"` // PEM file
	Issuer      string       `yaml:"issuer"`
	Key         *CeremonyKey `yaml:"key"`
}

// CeremonyRoot is a root.
type CeremonyRoot struct {
	Subject    CeremonySubject `yaml:"subject"`
	Key        CeremonyKey     `yaml:"key"`
	NotBefore  string          `yaml:"not_before"`
	Validity   time.Duration   `yaml:"validity"`
	PathLength int             `yaml:"path_length"` // -1: none
	File       string          `yaml:"file"`
}

func (c *CeremonyRoot) setDefaults() { c.PathLength = -1 }

// CeremonyExtensions is what the certificate of an intermediate allows and
// points to.
type CeremonyExtensions struct {
	PathLength         int      `yaml:"path_length"` // -1: none
	ExtendedKeyUsages  []string `yaml:"extended_key_usages"`
	Policies           []string `yaml:"policies"`
	CRLURL             string   `yaml:"crl_url"`
	OCSPURL            string   `yaml:"ocsp_url"`
	IssuerURL          string   `yaml:"issuer_url"`
	PermittedNames     []string `yaml:"permitted_names"`
	PermittedAddresses []string `yaml:"permitted_addresses"`
}

// CeremonyIntermediate is an intermediate.
type CeremonyIntermediate struct {
	Issuer             string          `yaml:"issuer"`
	Subject            CeremonySubject `yaml:"subject"`
	Key                CeremonyKey     `yaml:"key"`
	NotBefore          string          `yaml:"not_before"`
	Validity           time.Duration   `yaml:"validity"`
	CeremonyExtensions `yaml:",inline"`
	File               string `yaml:"file"`
}

func (c *CeremonyIntermediate) setDefaults() {
	c.ExtendedKeyUsages = []string{"server_auth", "client_auth"}
	c.Policies = []string{anyPolicy}
}

// CeremonyCross is a cross-certificate.
type CeremonyCross struct {
	Certificate        string        `yaml:"certificate"` // the CA that is certified
	Issuer             string        `yaml:"issuer"`
	NotBefore          string        `yaml:"not_before"`
	Validity           time.Duration `yaml:"validity"`
	CeremonyExtensions `yaml:",inline"`
	File               string `yaml:"file"`
}

func (c *CeremonyCross) setDefaults() {
	c.PathLength = -1
	c.ExtendedKeyUsages = []string{"server_auth", "client_auth"}
	c.Policies = []string{anyPolicy}
}

const anyPolicy = "2.5.29.32.0"

// CeremonyOCSPSigner is a delegated OCSP signer.
type CeremonyOCSPSigner struct {
	Issuer    string        `yaml:"issuer"`
	Key       CeremonyKey   `yaml:"key"`
	NotBefore string        `yaml:"not_before"`
	Validity  time.Duration `yaml:"validity"`
	File      string        `yaml:"file"`
}

func (c *CeremonyOCSPSigner) setDefaults() { c.Validity = 365 * day }

// CeremonyCRL is a CRL of a CA, for the certificates of CAs below it.
type CeremonyCRL struct {
	Issuer    string            `yaml:"issuer"`
	Number    int               `yaml:"number"`
	NotBefore string            `yaml:"not_before"`
	Validity  time.Duration     `yaml:"validity"`
	Revoked   []CeremonyRevoked `yaml:"revoked"`
	File      string            `yaml:"file"`
}

func (c *CeremonyCRL) setDefaults() { c.Number, c.Validity = 1, 180*day }

// CeremonyRevoked is an entry of a CRL.
type CeremonyRevoked struct {
	Serial string `yaml:"serial"`
	At     string `yaml:"at"`
	Reason string `yaml:"reason"`
}

// CeremonyChain is a file with several certificates.
type CeremonyChain struct {
	Certificates []string `yaml:"certificates"`
	File         string   `yaml:"file"`
}

// LoadCeremony reads, decodes and validates a ceremony's file. What is wrong
// with its content is an Errors.
func LoadCeremony(file string) (c *Ceremony, data []byte, err error) {
	if data, err = read(file); err != nil {
		return nil, nil, fmt.Errorf("reading the ceremony's file %s: %w", file, err)
	}
	c, err = ParseCeremony(file, data)
	return c, data, err
}

// ParseCeremony decodes and validates a ceremony's file. The name is the one
// that errors give.
func ParseCeremony(name string, data []byte) (*Ceremony, error) {
	if len(data) > maxFile {
		return nil, Errors{{File: name, Message: "the file is larger than 1 MiB; is it the right one?"}}
	}
	c := Ceremony{Usage: "private", Key: CeremonyKeyDefaults{Type: "p384"}}
	d := decoder{file: name, lines: map[string]int{}, near: func(string) []string { return ceremonyKeys() }}
	d.document(data, &c)
	if len(d.errs) == 0 { // or one mistake would be reported twice
		v := ceremonyValidator{validator{&d}}
		v.ceremony(&c)
	}
	if len(d.errs) > 0 {
		d.errs.sort()
		return nil, d.errs
	}
	return &c, nil
}

func ceremonyKeys() []string {
	keys := keysOf(reflect.TypeFor[Ceremony](), "")
	slices.Sort(keys)
	return keys
}

// ceremonyValidator checks a decoded ceremony, and fills in what its parts
// have from the whole.
type ceremonyValidator struct{ validator }

// ceremonyName is what a thing can be called: its files are named after it.
var ceremonyName = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$`)

func (v ceremonyValidator) ceremony(c *Ceremony) {
	v.oneOf("usage", c.Usage, "private", "public")
	v.keyType("key", c.Key)
	if c.Subject.CommonName != "" {
		v.fail("subject.common_name", "each CA has a common name of its own; write it there")
	}
	for name, e := range each(v, "existing", c.Existing) {
		key := "existing." + name
		if e.Certificate == "" {
			v.fail(key, "name the certificate's PEM file, with the key certificate")
		}
		if e.Key != nil {
			if e.Key.File == "" && e.Key.PKCS11 == "" {
				v.fail(key+".key", "name the key's file, or its PKCS#11 URI")
			}
			v.keyPlace(key+".key", *e.Key)
			v.passphrase(key+".key", e.Key, c.Key)
		}
	}
	for name, r := range each(v, "roots", c.Roots) {
		key := "roots." + name
		v.subject(key, &r.Subject, c.Subject)
		v.key(key, name, &r.Key, c.Key)
		v.validity(key, r.NotBefore, r.Validity, 50*365*day)
		v.pathLength(key, r.PathLength)
		r.File = named(r.File, name+".pem")
		c.Roots[name] = r
	}
	for name, i := range each(v, "intermediates", c.Intermediates) {
		key := "intermediates." + name
		v.issuer(key, i.Issuer)
		v.subject(key, &i.Subject, c.Subject)
		v.key(key, name, &i.Key, c.Key)
		v.validity(key, i.NotBefore, i.Validity, 50*365*day)
		v.extensions(key, i.CeremonyExtensions)
		i.File = named(i.File, name+".pem")
		c.Intermediates[name] = i
	}
	for name, x := range each(v, "cross_certificates", c.CrossCertificates) {
		key := "cross_certificates." + name
		v.issuer(key, x.Issuer)
		if x.Certificate == "" {
			v.fail(key, "name the CA that it certifies, with the key certificate")
		}
		v.validity(key, x.NotBefore, x.Validity, 50*365*day)
		v.extensions(key, x.CeremonyExtensions)
		x.File = named(x.File, name+".pem")
		c.CrossCertificates[name] = x
	}
	for name, s := range each(v, "ocsp_signers", c.OCSPSigners) {
		key := "ocsp_signers." + name
		v.issuer(key, s.Issuer)
		v.key(key, name, &s.Key, c.Key)
		v.validity(key, s.NotBefore, s.Validity, 5*365*day)
		s.File = named(s.File, name+".pem")
		c.OCSPSigners[name] = s
	}
	for name, l := range each(v, "crls", c.CRLs) {
		key := "crls." + name
		v.issuer(key, l.Issuer)
		// Baseline Requirements §4.9.7: at most 12 months for the CRLs of CAs.
		v.validity(key, l.NotBefore, l.Validity, 366*day)
		for i, r := range l.Revoked {
			v.revoked(index(key+".revoked", i), r)
		}
		l.File = named(l.File, name+".crl")
		c.CRLs[name] = l
	}
	for name, ch := range each(v, "chains", c.Chains) {
		v.unique("chains."+name+".certificates", ch.Certificates)
		ch.File = named(ch.File, name+".pem")
		c.Chains[name] = ch
	}
}

// each iterates over what has acceptable names, in their order.
func each[T any](v ceremonyValidator, section string, m map[string]T) func(yield func(string, T) bool) {
	return func(yield func(string, T) bool) {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if !ceremonyName.MatchString(name) {
				v.fail(section+"."+name, "%q can't be a name; use lower-case letters, digits, dots and hyphens", name)
			} else if !yield(name, m[name]) {
				return
			}
		}
	}
}

func named(file, usual string) string {
	if file == "" {
		return usual
	}
	return file
}

func (v ceremonyValidator) issuer(key, issuer string) {
	if issuer == "" {
		v.fail(key, "name the CA that issues it, with the key issuer")
	}
}

func (v ceremonyValidator) subject(key string, s *CeremonySubject, usual CeremonySubject) {
	s.Organization = named(s.Organization, usual.Organization)
	s.Country = named(s.Country, usual.Country)
	for _, part := range []struct {
		name, value string
		most        int
		needed      bool
	}{{"common_name", s.CommonName, 64, true}, {"organization", s.Organization, 64, true}} {
		switch {
		case part.value == "" && part.needed:
			v.fail(key, "the subject of a CA has the key subject.%s", part.name)
		case len([]rune(part.value)) > part.most:
			v.fail(key+".subject."+part.name, "has more than %d characters (RFC 5280 Appendix A.1)", part.most)
		}
	}
	if s.Country != "" && !regexp.MustCompile(`^[A-Z]{2}$`).MatchString(s.Country) {
		v.fail(key+".subject.country", "expects two capital letters (ISO 3166-1), such as NZ; found %q", s.Country)
	}
}

func (v ceremonyValidator) keyType(key string, k CeremonyKeyDefaults) {
	v.oneOf(key+".type", k.Type, "rsa", "p256", "p384", "p521", "ed25519")
	switch {
	case k.Bits == 0:
	case k.Type != "rsa":
		v.fail(key+".bits", "is for RSA keys; leave it out")
	case k.Bits < 2048 || k.Bits > 8192 || k.Bits%8 != 0:
		v.fail(key+".bits", "expects 2048 to 8192, in steps of 8; found %d", k.Bits)
	}
}

// key checks a key that is to be made, and fills in what it has not said.
func (v ceremonyValidator) key(of, name string, k *CeremonyKey, usual CeremonyKeyDefaults) {
	key := of + ".key"
	if k.Type == "" {
		k.Type = usual.Type
		if k.Bits == 0 {
			k.Bits = usual.Bits
		}
	}
	v.keyType(key, k.CeremonyKeyDefaults)
	if k.PKCS11 == "" {
		k.File = named(k.File, name+".key")
	}
	v.keyPlace(key, *k)
	v.passphrase(key, k, usual)
}

func (v ceremonyValidator) keyPlace(key string, k CeremonyKey) {
	switch {
	case k.PKCS11 == "":
	case k.File != "":
		v.fail(key+".pkcs11", "the key is in a file already; keep one of file and pkcs11")
	case !strings.HasPrefix(k.PKCS11, "pkcs11:"):
		// The value may hold a PIN: it is not repeated.
		v.fail(key+".pkcs11", "expects the URI of a key on a token, pkcs11:token=NAME;object=KEY?module-path=/PATH/LIBRARY.so&pin-source=file:/PATH")
	case k.PassphraseFile != "" || k.PassphraseEnv != "" || k.Unencrypted:
		v.fail(key+".pkcs11", "a passphrase is for keys in files; name the PIN in the URI, with pin-source")
	}
}

// passphrase fills in where the passphrase comes from.
func (v ceremonyValidator) passphrase(key string, k *CeremonyKey, usual CeremonyKeyDefaults) {
	said := 0
	for _, is := range []bool{k.PassphraseFile != "", k.PassphraseEnv != "", k.Unencrypted} {
		if is {
			said++
		}
	}
	switch {
	case said > 1:
		v.fail(key, "keep one of passphrase_file, passphrase_env and unencrypted")
	case said == 0 && k.PKCS11 == "":
		k.PassphraseFile, k.PassphraseEnv, k.Unencrypted = usual.PassphraseFile, usual.PassphraseEnv, usual.Unencrypted
	}
}

func (v ceremonyValidator) validity(key, notBefore string, validity, most time.Duration) {
	if _, err := ParseTime(notBefore); err != nil {
		v.fail(key+".not_before", "%s", err)
	}
	if validity == 0 {
		v.fail(key, "say how long it is valid, with the key validity")
		return
	}
	v.span(key+".validity", validity, time.Minute, most)
}

// ParseTime reads a moment: RFC 3339, or a day, which begins at midnight UTC.
// Nothing is the zero time.
func ParseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf(`expects a time such as "2026-11-24T08:00:00Z", or a day such as "2026-11-24", in quotes; found %q`, s)
}

func (v ceremonyValidator) pathLength(key string, n int) {
	if n < -1 || n > 8 {
		v.fail(key+".path_length", "expects 0 to 8, or -1 for none; found %d", n)
	}
}

func (v ceremonyValidator) extensions(key string, e CeremonyExtensions) {
	v.pathLength(key, e.PathLength)
	v.unique(key+".extended_key_usages", e.ExtendedKeyUsages)
	for i, usage := range e.ExtendedKeyUsages {
		v.oneOf(index(key+".extended_key_usages", i), usage, "server_auth", "client_auth")
	}
	v.unique(key+".policies", e.Policies)
	for i, policy := range e.Policies {
		if !objectIdentifier.MatchString(policy) {
			v.fail(index(key+".policies", i), "expects an object identifier such as 2.23.140.1.2.1; found %q", policy)
		}
	}
	for _, u := range []struct{ name, value string }{{"crl_url", e.CRLURL}, {"ocsp_url", e.OCSPURL}, {"issuer_url", e.IssuerURL}} {
		if u.value == "" {
			continue
		}
		// RFC 5280 §8: https would need the revocation information of another
		// certificate first.
		if parsed, err := url.Parse(u.value); err != nil || parsed.Scheme != "http" || parsed.Host == "" {
			v.fail(key+"."+u.name, "expects a URL that begins with http://; found %q", u.value)
		}
	}
	v.unique(key+".permitted_names", e.PermittedNames)
	for i, name := range e.PermittedNames {
		if !validHost(name) || name != strings.ToLower(name) {
			v.fail(index(key+".permitted_names", i), "expects a domain name such as corp.example, which permits every name below it too; found %q", name)
		}
	}
	for i, addresses := range e.PermittedAddresses {
		if prefix, err := netip.ParsePrefix(addresses); err != nil || prefix != prefix.Masked() {
			v.fail(index(key+".permitted_addresses", i), "expects a range such as 10.0.0.0/8; found %q", addresses)
		}
	}
}

func (v ceremonyValidator) revoked(key string, r CeremonyRevoked) {
	if r.Serial == "" || r.At == "" {
		v.fail(key, "an entry has the keys serial and at")
	}
	if _, err := ParseTime(r.At); err != nil {
		v.fail(key+".at", "%s", err)
	}
}
