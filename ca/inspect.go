package ca

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/zmap/zlint/v3/lint"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
)

// InspectorConfig is what certificates are held to. It is of the same
// configuration as the authority's that issued them.
type InspectorConfig struct {
	// Profiles replace or join the built-in ones.
	Profiles []Profile
	// PublicURL and OCSPURL are those of Config.
	PublicURL, OCSPURL string
	// IssuerURLs are the PublicURL of the issuers that have their own.
	IssuerURLs map[acme.IssuerID]string
	// WeakKeys may be nil.
	WeakKeys *key.WeakKeys
}

// Inspector looks at certificates that were issued before. It holds no key, and
// may be used concurrently.
type Inspector struct {
	profiles map[string]*compiled
	urls     urls
	own      map[acme.IssuerID]string
	weak     *key.WeakKeys
}

// The checks of an Inspector.
const (
	CheckRecord    = "record"    // the certificate is the one that the record speaks of
	CheckSignature = "signature" // the issuer that it names signed it
	CheckProfile   = "profile"   // it is what the profile says, and nothing else
	CheckLint      = "lint"      // zlint
	CheckKey       = "key"       // the key is fit to be certified
)

// Deviation is something that is wrong with a certificate.
type Deviation struct{ Check, Detail string }

// NewInspector makes an inspector.
func NewInspector(cfg InspectorConfig) (*Inspector, error) {
	profiles, err := mergeProfiles(cfg.Profiles)
	if err != nil {
		return nil, err
	}
	profiles[ServiceProfile] = serviceProfile(serviceValidity)
	i := &Inspector{profiles: make(map[string]*compiled), urls: urls{strings.TrimSuffix(cfg.PublicURL, "/"), cfg.OCSPURL}, own: cfg.IssuerURLs, weak: cfg.WeakKeys}
	for name, p := range profiles {
		l, err := newLinter(p.Lint)
		if err != nil {
			return nil, fmt.Errorf("profile %q: %w", name, err)
		}
		i.profiles[name] = &compiled{Profile: p, linter: l}
	}
	signer, err := newOCSPSignerProfile()
	if err != nil {
		return nil, err
	}
	i.profiles[OCSPSignerProfile] = &signer.compiled
	return i, nil
}

// Inspect checks a signed certificate and returns what it holds, nil when it
// can't be parsed. ids are the order's identifiers; nil: those in the
// certificate, whatever they are. The names of an issuer's certificates are in
// their order in the store, the preferred one first.
func (i *Inspector) Inspect(cert acme.Certificate, issuer *x509.Certificate, ids []acme.Identifier) (*x509.Certificate, []Deviation) {
	parsed, err := x509.ParseCertificate(cert.Signed())
	if err != nil {
		return nil, []Deviation{{CheckRecord, fmt.Sprintf("the certificate can't be parsed: %v", err)}}
	}
	var found []Deviation
	fail := func(check, format string, args ...any) {
		found = append(found, Deviation{check, fmt.Sprintf(format, args...)})
	}
	if parsed.SerialNumber.Cmp(cert.Serial.Big()) != 0 {
		fail(CheckRecord, "the certificate has the serial number %x", parsed.SerialNumber)
	}
	if err := checkSigned(cert.Signed(), parsed.RawTBSCertificate, issuer.PublicKey); err != nil {
		fail(CheckSignature, "%v", err)
	}
	if _, err := key.Check(parsed.PublicKey); err != nil {
		fail(CheckKey, "%v", err)
	}
	if i.weak.Has(parsed.PublicKey, parsed.RawSubjectPublicKeyInfo) {
		fail(CheckKey, "the key is one of a list of weak keys")
	}
	p := i.profiles[cert.Profile]
	if p == nil {
		fail(CheckProfile, "no profile %q is configured", cert.Profile)
		return parsed, found
	}
	if ids == nil {
		ids = identifiersOf(parsed)
	}
	if p.Devices == DevicesRequested && len(acme.DevicesIn(parsed)) == 0 {
		ids = slices.DeleteFunc(slices.Clone(ids), acme.Identifier.IsDevice)
	}
	where := i.urls
	if own := i.own[cert.Issuer]; own != "" {
		where = urls{base: strings.TrimSuffix(own, "/")}
	}
	r, err := newRules(&p.Profile, issuer, where)
	if err != nil {
		fail(CheckProfile, "%v", err)
		return parsed, found
	}
	for _, d := range r.deviations(parsed.RawTBSCertificate, facts{
		serial: cert.Serial, at: cert.RecordedAt, notBefore: cert.NotBefore, notAfter: cert.NotAfter,
		identifiers: ids, spki: parsed.RawSubjectPublicKeyInfo, crlShard: cert.CRLShard,
		poison: p.CT && cert.DER == nil, scts: p.CT && cert.DER != nil,
	}) {
		fail(CheckProfile, "%s", d)
	}
	return parsed, append(found, p.linter.inspect(cert.Signed())...)
}

// inspect gives what lints would have stopped.
func (l *linter) inspect(der []byte) []Deviation {
	_, err := l.checkCertificate(der)
	var broken *lintError
	if !errors.As(err, &broken) {
		if err != nil {
			return []Deviation{{CheckLint, err.Error()}}
		}
		return nil
	}
	var found []Deviation
	for _, f := range broken.findings {
		status := f.Status
		if status == lint.Fatal {
			status = lint.Error
		}
		found = append(found, Deviation{CheckLint, status.String() + " " + f.String()})
	}
	return found
}

// identifiersOf are the names in a certificate, in their order.
func identifiersOf(cert *x509.Certificate) []acme.Identifier {
	var ids []acme.Identifier
	for _, name := range cert.DNSNames {
		if id, err := acme.ParseIdentifier(acme.IdentifierDNS, name); err == nil {
			ids = append(ids, id)
		}
	}
	for _, ip := range cert.IPAddresses {
		if addr, ok := netip.AddrFromSlice(ip); ok {
			ids = append(ids, acme.IdentifierFromIP(addr))
		}
	}
	return acme.UniqueIdentifiers(append(ids, acme.DevicesIn(cert)...))
}
