package ca

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cairn-ca/cairn/ca/ct"
	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
)

// Profile says what certificates of one kind look like. Everything that
// differs from one kind of certificate to another is here; everything that
// holds for all of them is in the code that builds.
type Profile struct {
	// Name is what newOrder names it by, up to 32 lower-case letters, digits
	// and hyphens.
	Name string
	// Description is for people: the directory shows it beside the name.
	Description string

	// Validity is from notBefore to notAfter, both included (RFC 5280
	// §4.1.2.5): notAfter is notBefore plus Validity minus a second. A client
	// that asks for another notAfter may have less, not more.
	Validity time.Duration
	// Backdate is how long before the moment of signing notBefore lies, for
	// relying parties whose clocks are late. At most 48 hours.
	Backdate time.Duration

	// Keys are the types of key that are certified.
	Keys []key.Type
	// IdentifierTypes are the types of identifier that are certified: dns, ip,
	// permanent-identifier, hardware-module.
	IdentifierTypes []acme.IdentifierType
	// Devices says which certificates have the identifiers of devices in them.
	Devices DevicePolicy
	// MaxNames is how many identifiers a certificate has at most; 0: 100.
	MaxNames int
	// CommonName says what the subject holds.
	CommonName CommonName
	// Subject is what every subject holds besides: its attributes other than
	// the common name. The Baseline Requirements allow none in certificates of
	// validated domains (§7.1.2.7.2).
	Subject pkix.Name
	// NameConstraints bound the names that are certified.
	NameConstraints NameConstraints

	// ExtendedKeyUsages has at least one. serverAuth makes the certificate one
	// that the Baseline Requirements speak of.
	ExtendedKeyUsages []x509.ExtKeyUsage
	// FurtherExtendedKeyUsages are others, by their object identifiers.
	FurtherExtendedKeyUsages []string
	// KeyUsage is the key usage; 0: digitalSignature.
	KeyUsage x509.KeyUsage
	// KeyEncipherment is set in the key usage of RSA certificates, beside
	// digitalSignature: for TLS 1.2 servers with RSA key exchange.
	KeyEncipherment bool
	// Policies are the certificate policies, such as "2.23.140.1.2.1" for
	// domain validation; none: no extension.
	Policies []string
	// MustStaple adds the TLS feature extension (RFC 7633).
	MustStaple bool
	// CT: each certificate has SCTs of public logs (RFC 6962), and is issued
	// once logs have its precertificate.
	CT bool
	// Extensions are added as they stand, after the others.
	Extensions []pkix.Extension
	// ExtensionTemplates are added after them.
	ExtensionTemplates []ExtensionTemplate

	// NoIssuerURL, NoOCSP and NoCRL leave out the pointers to the issuer's
	// certificate, the OCSP responder and the CRL.
	NoIssuerURL, NoOCSP, NoCRL bool

	// Issuers are the issuers that may sign; none: any that is active. Of
	// several, one with a key of the certificate's kind is preferred, then the
	// first one in Config.Issuers.
	Issuers []acme.IssuerID

	Lint LintPolicy
}

// CommonName says what a profile puts into the subject.
type CommonName string

const (
	// CommonNameNone leaves the subject empty, as Baseline Requirements
	// §7.1.2.7.2 recommends.
	CommonNameNone CommonName = ""
	// CommonNameRequested takes the common name that the CSR asks for, where it
	// is one of the identifiers and fits into 64 characters (RFC 5280 appendix A.1);
	// otherwise there is none.
	CommonNameRequested CommonName = "requested"
	// CommonNameFirst is CommonNameRequested; where that gives none, it takes
	// the first identifier that fits.
	CommonNameFirst CommonName = "first"
)

// maxCommonName is ub-common-name of RFC 5280.
const maxCommonName = 64

const (
	day = 24 * time.Hour
	// maxBackdate: Baseline Requirements §7.1.2.7 wants notBefore within 48
	// hours of the signing.
	maxBackdate = 48 * time.Hour
	// shortLived is the validity up to which a certificate is a Short-lived
	// Subscriber Certificate (Baseline Requirements §1.6.1, since 2026-03-15).
	shortLived      = 7 * day
	maxNames        = 100
	policyDV        = "2.23.140.1.2.1"
	maxProfileName  = 32
	defaultBackdate = time.Hour
)

// BuiltinProfiles are the profiles that exist without configuration, `default`
// first.
func BuiltinProfiles() []Profile {
	server := Profile{
		Validity:          90 * day,
		Backdate:          defaultBackdate,
		Keys:              []key.Type{key.RSA, key.P256, key.P384, key.P521},
		IdentifierTypes:   []acme.IdentifierType{acme.IdentifierDNS, acme.IdentifierIP},
		MaxNames:          maxNames,
		ExtendedKeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		KeyEncipherment:   true,
		Policies:          []string{policyDV},
		Lint:              LintPolicy{PrivateNames: true},
	}
	standard := server
	standard.Name = "default"
	standard.Description = "TLS server certificates, valid for 90 days"

	short := server
	short.Name = "shortlived"
	short.Description = "TLS server certificates, valid for 6 days, without revocation pointers"
	short.Validity = 6 * day
	short.NoOCSP, short.NoCRL = true, true
	short.KeyEncipherment = false

	tls := server
	tls.Name = "server"
	tls.Description = "TLS server certificates, valid for 47 days"
	tls.Validity = 47 * day
	tls.KeyEncipherment = false

	client := server
	client.Name = "client"
	client.Description = "TLS client certificates, valid for 90 days"
	client.Keys = append(slices.Clone(server.Keys), key.Ed25519)
	client.ExtendedKeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	client.KeyEncipherment = false
	// The policies that the Baseline Requirements reserve are for TLS servers;
	// and what reads client certificates often reads the common name only.
	client.Policies = nil
	client.CommonName = CommonNameFirst
	// The rule is about what browsers trust as servers; these are for clients.
	client.Lint.Exclude = []string{clientAuthLint}

	return []Profile{standard, short, tls, client, deviceProfile(client)}
}

// serviceProfile is for Cairn's own listeners.
func serviceProfile(validity time.Duration) Profile {
	p := BuiltinProfiles()[0]
	p.Name = ServiceProfile
	p.Description = "listeners of this CA"
	p.Validity = validity
	// Services are each other's clients too.
	p.ExtendedKeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	// The rule is for CAs in Chrome's root store, and would stop the services
	// of this one on 2027-03-15.
	p.Lint.Exclude = []string{clientAuthLint}
	return p
}

// Names of the profiles that certificates of the CA's own are recorded with.
// No profile of the configuration has them.
const (
	ServiceProfile    = "cairn-service"
	OCSPSignerProfile = "cairn-ocsp-signer"
)

// Validate tells what is wrong with the profile.
func (p *Profile) Validate() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("profile %q: %w", p.Name, fmt.Errorf(format, args...))
	}
	if !profileName(p.Name) {
		return fail("a profile's name has 1 to %d lower-case letters, digits and hyphens", maxProfileName)
	}
	switch {
	case p.Validity < time.Minute:
		return fail("validity %s is less than a minute", p.Validity)
	case p.Validity%time.Second != 0 || p.Backdate%time.Second != 0:
		return fail("validity and backdate are whole seconds")
	case p.Backdate < 0 || p.Backdate > maxBackdate:
		return fail("backdate %s is not between 0 and %s", p.Backdate, maxBackdate)
	case p.Backdate >= p.Validity:
		return fail("backdate %s leaves nothing of the validity %s", p.Backdate, p.Validity)
	case len(p.Keys) == 0:
		return fail("it certifies no type of key")
	case len(p.IdentifierTypes) == 0:
		return fail("it certifies no type of identifier")
	case p.MaxNames < 0:
		return fail("a negative maximum of names")
	case len(p.ExtendedKeyUsages) == 0 && len(p.FurtherExtendedKeyUsages) == 0:
		return fail("it has no extended key usage")
	}
	for _, k := range p.Keys {
		switch k {
		case key.RSA, key.P256, key.P384, key.P521, key.Ed25519:
		default:
			return fail("no key type is called %q", k)
		}
	}
	for _, t := range p.IdentifierTypes {
		switch t {
		case acme.IdentifierDNS, acme.IdentifierIP, acme.IdentifierPermanentIdentifier, acme.IdentifierHardwareModule:
		default:
			return fail("identifiers of type %q can't be certified", t)
		}
	}
	if err := p.validateDevices(); err != nil {
		return fail("%w", err)
	}
	switch p.CommonName {
	case CommonNameNone, CommonNameRequested, CommonNameFirst:
	default:
		return fail("common name %q is neither \"\", %q nor %q", p.CommonName, CommonNameRequested, CommonNameFirst)
	}
	for _, o := range p.Policies {
		if _, err := parseOID(o); err != nil {
			return fail("policy %q is no object identifier", o)
		}
	}
	if p.Subject.CommonName != "" || len(p.Subject.ExtraNames) > 0 {
		return fail("the subject's common name is chosen for each certificate")
	}
	if p.KeyUsage&^subscriberKeyUsages != 0 {
		return fail("certificates for subscribers sign neither certificates nor CRLs")
	}
	for _, o := range p.FurtherExtendedKeyUsages {
		switch _, err := parseOID(o); {
		case err != nil:
			return fail("extended key usage %q is no object identifier", o)
		case o == "1.3.6.1.5.5.7.3.9" || o == "2.5.29.37.0":
			return fail("certificates for subscribers can have neither OCSPSigning nor anyExtendedKeyUsage")
		}
	}
	if _, err := p.NameConstraints.parse(); err != nil {
		return fail("%w", err)
	}
	for i, e := range p.ExtensionTemplates {
		if err := e.validate(); err != nil {
			return fail("%w", err)
		}
		if slices.ContainsFunc(p.ExtensionTemplates[:i], func(other ExtensionTemplate) bool { return other.OID == e.OID }) {
			return fail("the extension %s stands there twice", e.OID)
		}
	}
	if slices.Contains(p.ExtendedKeyUsages, x509.ExtKeyUsageOCSPSigning) || slices.Contains(p.ExtendedKeyUsages, x509.ExtKeyUsageAny) {
		return fail("certificates for subscribers can have neither OCSPSigning nor anyExtendedKeyUsage")
	}
	for _, e := range p.Extensions {
		if builtExtensions[e.Id.String()] {
			return fail("the extension %s is built from the profile's other settings", e.Id)
		}
	}
	return p.Lint.validate()
}

// subscriberKeyUsages are those that a certificate of a subscriber can have.
const subscriberKeyUsages = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment | x509.KeyUsageKeyEncipherment |
	x509.KeyUsageDataEncipherment | x509.KeyUsageKeyAgreement

// builtExtensions are those that the builder makes.
var builtExtensions = map[string]bool{
	oidKeyUsage.String(): true, oidExtendedKeyUsage.String(): true, oidBasicConstraints.String(): true,
	oidSubjectKeyID.String(): true, oidAuthorityKeyID.String(): true, oidAuthorityInfo.String(): true,
	oidSubjectAltName.String(): true, oidPolicies.String(): true, oidCRLDistribution.String(): true,
	ct.OIDPoison.String(): true, ct.OIDSCTList.String(): true,
	oidTLSFeature.String(): true, oidOCSPNoCheck.String(): true,
}

func profileName(s string) bool {
	if s == "" || len(s) > maxProfileName {
		return false
	}
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return true
}

// Period is the validity of a certificate signed at now for a client that asked
// for notBefore and notAfter (zero: no wish), in whole seconds and UTC. A wish
// outside of the profile's bounds is a *acme.Problem of type malformed
// (RFC 8555 §7.4): notBefore lies within 48 hours of now, notAfter after both
// now and notBefore, and not beyond the profile's validity.
func (p *Profile) Period(now, notBefore, notAfter time.Time) (from, to time.Time, err error) {
	now = now.UTC().Truncate(time.Second)
	from = notBefore.UTC().Truncate(time.Second)
	switch {
	case notBefore.IsZero():
		from = now.Add(-p.Backdate)
	case from.Before(now.Add(-maxBackdate)) || from.After(now.Add(maxBackdate)):
		return time.Time{}, time.Time{}, acme.NewProblem(acme.Malformed,
			"notBefore %s is more than 48 hours from now; leave it out, or ask for a nearer time", from.Format(time.RFC3339))
	}
	last := from.Add(p.Validity - time.Second)
	to = notAfter.UTC().Truncate(time.Second)
	switch {
	case notAfter.IsZero():
		to = last
	case !to.After(from) || !to.After(now):
		return time.Time{}, time.Time{}, acme.NewProblem(acme.Malformed,
			"notAfter %s is past, or not after notBefore; leave it out, or ask for a later time", to.Format(time.RFC3339))
	case to.After(last):
		return time.Time{}, time.Time{}, acme.NewProblem(acme.Malformed,
			"notAfter %s is beyond the validity of profile %q; ask for %s at most, or leave it out",
			to.Format(time.RFC3339), p.Name, last.Format(time.RFC3339))
	}
	if !to.After(now) {
		return time.Time{}, time.Time{}, acme.NewProblem(acme.Malformed,
			"with notBefore %s the certificate would have expired already; leave notBefore out", from.Format(time.RFC3339))
	}
	return from, to, nil
}

// admits checks the identifiers of an order against the profile.
func (p *Profile) admits(ids []acme.Identifier) *acme.Problem {
	limit := p.MaxNames
	if limit == 0 {
		limit = maxNames
	}
	if len(ids) == 0 {
		return acme.NewProblem(acme.ServerInternal, "the order has no identifiers")
	}
	if len(ids) > limit {
		return acme.NewProblem(acme.RejectedIdentifier, "profile %q allows %d identifiers a certificate; this order has %d", p.Name, limit, len(ids))
	}
	for _, id := range ids {
		if !slices.Contains(p.IdentifierTypes, id.Type()) {
			return acme.NewProblem(acme.RejectedIdentifier, "profile %q does not certify identifiers of type %q; order with another profile", p.Name, id.Type())
		}
	}
	return nil
}

func mergeProfiles(configured []Profile) (map[string]Profile, error) {
	all := make(map[string]Profile)
	for _, p := range BuiltinProfiles() {
		all[p.Name] = p
	}
	seen := make(map[string]bool)
	for _, p := range configured {
		switch {
		case seen[p.Name]:
			return nil, fmt.Errorf("profile %q is configured twice", p.Name)
		case p.Name == ServiceProfile || p.Name == OCSPSignerProfile:
			return nil, fmt.Errorf("profile %q: the name is kept for the CA's own certificates", p.Name)
		}
		seen[p.Name] = true
		all[p.Name] = p
	}
	var problems []error
	for _, p := range all {
		problems = append(problems, p.Validate())
	}
	return all, errors.Join(problems...)
}
