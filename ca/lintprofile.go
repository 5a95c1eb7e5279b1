package ca

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
)

// rules say all of what a certificate of a profile is. They are made apart from
// the builder, with another encoder, and know a closed world: what they do not
// ask for must not be there.
type rules struct {
	profile   *Profile
	issuer    *x509.Certificate
	issuerID  acme.IssuerID
	algorithm []byte // DER of the signature's AlgorithmIdentifier
	urls      urls
}

// facts are what one certificate was issued for.
type facts struct {
	serial              acme.Serial
	at                  time.Time // of the recording
	notBefore, notAfter time.Time
	identifiers         []acme.Identifier
	spki                []byte
	crlShard            int
	// poison tells a precertificate (RFC 6962 §3.1), scts a certificate that has
	// the SCTs of one: whatever they are.
	poison, scts bool
}

func newRules(p *Profile, issuer *x509.Certificate, u urls) (rules, error) {
	algorithm, err := key.AlgorithmOf(issuer.PublicKey)
	if err != nil {
		return rules{}, err
	}
	return rules{profile: p, issuer: issuer, issuerID: IssuerIDOf(issuer), algorithm: algorithm.Identifier, urls: u}, nil
}

// conform refuses a to-be-signed certificate that is not what its profile and
// its order say.
func (c *CA) conform(ctx context.Context, p *compiled, t *template, l leaf, tbs []byte) error {
	r, err := newRules(&p.Profile, t.issuer.certificate, c.urlsOf(t.issuer))
	if err != nil {
		return err
	}
	deviations := r.deviations(tbs, facts{
		serial: l.serial, at: c.Now(), notBefore: l.notBefore, notAfter: l.notAfter, identifiers: l.identifiers, spki: l.spki, crlShard: l.crlShard, poison: l.poison,
	})
	if len(deviations) == 0 {
		return nil
	}
	c.metrics.lints.WithLabelValues("cairn_profile", "error").Inc()
	c.Logger.LogAttrs(ctx, slog.LevelError, "a certificate that is not what its profile says was not signed",
		slog.String("serial", l.serial.String()), slog.String("profile", p.Name), slog.Any("deviations", deviations))
	return acme.NewProblem(acme.ServerInternal, "the certificate would not be what the profile says: %s; tell the CA's operator", cutFindings(deviations[0]))
}

// tbsCertificate is RFC 5280 §4.1 without the fields that no certificate has
// today, issuerUniqueID and subjectUniqueID.
type tbsCertificate struct {
	Version      int `asn1:"optional,explicit,default:0,tag:0"`
	SerialNumber *big.Int
	Algorithm    asn1.RawValue
	Issuer       asn1.RawValue
	Validity     struct{ NotBefore, NotAfter time.Time }
	Subject      asn1.RawValue
	SPKI         asn1.RawValue
	Extensions   []pkix.Extension `asn1:"explicit,tag:3"`
}

// deviations tells, in words, where a to-be-signed certificate is not what the
// rules say; none: it is.
func (r rules) deviations(tbs []byte, f facts) []string {
	var cert tbsCertificate
	if rest, err := asn1.Unmarshal(tbs, &cert); err != nil || len(rest) > 0 {
		return []string{"it can't be read as a to-be-signed certificate"}
	}
	var found []string
	fail := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	// Whatever the parser lets pass, such as a FALSE that DER leaves out, comes
	// out otherwise.
	if again, err := asn1.Marshal(cert); err != nil || !bytes.Equal(again, tbs) {
		fail("it is not encoded in DER as it is always encoded")
	}
	if cert.Version != 2 {
		fail("its version is not v3")
	}
	if octets := f.serial.Bytes(); len(octets) != 20 || cert.SerialNumber.Cmp(f.serial.Big()) != 0 {
		fail("its serial number is %x; expects %s, of 20 octets", cert.SerialNumber, f.serial)
	}
	if !bytes.Equal(cert.Algorithm.FullBytes, r.algorithm) {
		fail("its signature algorithm is not the issuer's")
	}
	if !bytes.Equal(cert.Issuer.FullBytes, r.issuer.RawSubject) {
		fail("its issuer is not byte for byte the subject of the issuer's certificate")
	}
	if !bytes.Equal(cert.SPKI.FullBytes, f.spki) {
		fail("its key is not the one that was asked for")
	}
	found = append(found, r.period(cert.Validity.NotBefore, cert.Validity.NotAfter, f)...)
	found = append(found, r.subject(cert.Subject.FullBytes, f.identifiers)...)
	expected, err := r.extensions(cert, f)
	if err != nil {
		return append(found, err.Error())
	}
	return append(found, compareExtensions(cert.Extensions, expected)...)
}

// isSigner tells whether the certificates are those of delegated OCSP signers.
func (r rules) isSigner() bool { return r.profile.Name == OCSPSignerProfile }

func (r rules) period(notBefore, notAfter time.Time, f facts) []string {
	var found []string
	fail := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	if !notBefore.Equal(f.notBefore.Truncate(time.Second)) || !notAfter.Equal(f.notAfter.Truncate(time.Second)) {
		fail("it is valid from %s to %s; expects %s to %s", notBefore, notAfter, f.notBefore, f.notAfter)
	}
	longest := r.profile.Validity
	if r.isSigner() {
		longest = ocspSignerValidity + 2*time.Hour
	}
	switch {
	case !notAfter.After(notBefore):
		fail("it ends before it begins")
	case notAfter.Sub(notBefore)+time.Second > longest:
		fail("it is valid for %s, longer than the profile's %s", notAfter.Sub(notBefore)+time.Second, longest)
	}
	// A second for what was cut off, and the clocks of two look-ups.
	if apart := f.at.Sub(notBefore); apart > maxBackdate+time.Second || apart < -maxBackdate-time.Second {
		fail("its notBefore %s is more than 48 hours from its recording at %s", notBefore, f.at.UTC())
	}
	if notAfter.After(r.issuer.NotAfter) {
		fail("it ends after its issuer's certificate")
	}
	return found
}

// subject holds the subject to the profile: its attributes and, where the
// profile has one, a common name that is one of the identifiers.
func (r rules) subject(der []byte, ids []acme.Identifier) []string {
	var name pkix.RDNSequence
	if rest, err := asn1.Unmarshal(der, &name); err != nil || len(rest) > 0 {
		return []string{"its subject can't be read"}
	}
	if r.isSigner() {
		if len(name) == 0 {
			return []string{"an OCSP signer has a subject"}
		}
		return nil
	}
	fits := func(id acme.Identifier) bool { return len(commonNameOf(id)) <= maxCommonName }
	commonNames := []string{""}
	if r.profile.CommonName != CommonNameNone {
		if r.profile.CommonName == CommonNameFirst && slices.ContainsFunc(ids, fits) {
			commonNames = nil
		}
		for _, id := range ids {
			if fits(id) {
				commonNames = append(commonNames, commonNameOf(id))
			}
		}
	}
	for _, cn := range commonNames {
		want := r.profile.Subject
		want.CommonName = cn
		if again, err := asn1.Marshal(want.ToRDNSequence()); err == nil && bytes.Equal(again, der) {
			return nil
		}
	}
	return []string{fmt.Sprintf("its subject %q is not the profile's, with a common name that is one of the order's identifiers where the profile has one", name)}
}

// extensions are those that the certificate must have.
func (r rules) extensions(cert tbsCertificate, f facts) ([]pkix.Extension, error) {
	public, err := x509.ParsePKIXPublicKey(f.spki)
	if err != nil {
		return nil, fmt.Errorf("its key can't be read: %w", err)
	}
	var list []pkix.Extension
	add := func(oid asn1.ObjectIdentifier, critical bool, value any) {
		der, marshalErr := asn1.Marshal(value)
		if marshalErr != nil {
			err = fmt.Errorf("encoding extension %s: %w", oid, marshalErr)
		}
		list = append(list, pkix.Extension{Id: oid, Critical: critical, Value: der})
	}
	_, isRSA := public.(*rsa.PublicKey)
	add(oidKeyUsage, true, r.usage(isRSA))
	add(oidAuthorityKeyID, false, struct {
		ID []byte `asn1:"tag:0"`
	}{r.issuer.SubjectKeyId})
	if r.isSigner() {
		add(oidExtendedKeyUsage, false, []asn1.ObjectIdentifier{usageOIDs[x509.ExtKeyUsageOCSPSigning]})
		add(oidOCSPNoCheck, false, asn1.NullRawValue)
		return list, err
	}
	keyType, typeErr := key.TypeOf(public)
	if typeErr != nil || !slices.Contains(r.profile.Keys, keyType) {
		return nil, fmt.Errorf("the profile does not certify %s keys", keyType)
	}
	var usages []asn1.ObjectIdentifier
	for _, u := range r.profile.ExtendedKeyUsages {
		usages = append(usages, usageOIDs[u])
	}
	for _, u := range r.profile.FurtherExtendedKeyUsages {
		oid, err := parseOID(u)
		if err != nil {
			return nil, err
		}
		usages = append(usages, oid)
	}
	add(oidExtendedKeyUsage, false, usages)
	add(oidBasicConstraints, true, struct{}{}) // cA is FALSE by default
	names, err := alternativeNames(f.identifiers)
	if err != nil {
		return nil, err
	}
	add(oidSubjectAltName, bytes.Equal(cert.Subject.FullBytes, emptyName), names)
	r.pointers(add, f)
	if len(r.profile.Policies) > 0 {
		var policies []struct{ ID asn1.ObjectIdentifier }
		for _, p := range r.profile.Policies {
			oid, err := parseOID(p)
			if err != nil {
				return nil, err
			}
			policies = append(policies, struct{ ID asn1.ObjectIdentifier }{oid})
		}
		add(oidPolicies, false, policies)
	}
	if r.profile.MustStaple {
		add(oidTLSFeature, false, []int{5}) // status_request, RFC 7633
	}
	list = append(list, r.profile.Extensions...)
	for _, e := range r.profile.ExtensionTemplates {
		oid, oidErr := parseOID(e.OID)
		value, valueErr := e.value(r.profile.Name, f.identifiers)
		if err := errors.Join(oidErr, valueErr); err != nil {
			return nil, err
		}
		list = append(list, pkix.Extension{Id: oid, Critical: e.Critical, Value: value})
	}
	if f.poison {
		add(oidPoison, true, asn1.NullRawValue)
	}
	if f.scts {
		list = append(list, pkix.Extension{Id: oidSCTs, Value: extensionOf(cert.Extensions, oidSCTs)})
	}
	return list, err
}

var (
	oidPoison = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 3}
	oidSCTs   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}
)

// extensionOf is the value of an extension; nil: there is none.
func extensionOf(list []pkix.Extension, oid asn1.ObjectIdentifier) []byte {
	for _, e := range list {
		if e.Id.Equal(oid) {
			return e.Value
		}
	}
	return nil
}

// usage is the key usage: RSA keys agree on nothing, and others encipher
// nothing.
func (r rules) usage(isRSA bool) asn1.BitString {
	usage := r.profile.KeyUsage
	if usage == 0 || r.isSigner() {
		usage = x509.KeyUsageDigitalSignature
	}
	if isRSA {
		if r.profile.KeyEncipherment {
			usage |= x509.KeyUsageKeyEncipherment
		}
		usage &^= x509.KeyUsageKeyAgreement
	} else {
		usage &^= x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment
	}
	bits := asn1.BitString{Bytes: []byte{0}}
	for bit := range 8 {
		if usage&(1<<bit) != 0 {
			bits.Bytes[0] |= 0x80 >> bit
			bits.BitLength = bit + 1
		}
	}
	return bits
}

// pointers adds where to ask about the certificate and its issuer.
func (r rules) pointers(add func(asn1.ObjectIdentifier, bool, any), f facts) {
	type access struct {
		Method   asn1.ObjectIdentifier
		Location asn1.RawValue
	}
	var about []access
	if !r.profile.NoOCSP {
		about = append(about, access{oidOCSP, uri(r.urls.ocsp())})
	}
	if !r.profile.NoIssuerURL {
		about = append(about, access{oidCAIssuers, uri(r.urls.issuer(r.issuerID))})
	}
	if len(about) > 0 {
		add(oidAuthorityInfo, false, about)
	}
	if !r.profile.NoCRL {
		type pointName struct {
			Full []asn1.RawValue `asn1:"tag:0"`
		}
		type point struct {
			Name pointName `asn1:"tag:0"`
		}
		add(oidCRLDistribution, false, []point{{pointName{[]asn1.RawValue{uri(r.urls.crl(r.issuerID, f.crlShard))}}}})
	}
}

func uri(s string) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(s)}
}

// alternativeNames are the GeneralNames of identifiers.
func alternativeNames(ids []acme.Identifier) ([]asn1.RawValue, error) {
	var names []asn1.RawValue
	for _, id := range ids {
		name := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 2, Bytes: []byte(id.Value())}
		switch {
		case id.IsDevice():
			var b cryptobyte.Builder
			id.AddOtherName(&b)
			der, err := b.Bytes()
			if err != nil {
				return nil, fmt.Errorf("encoding the name of a device: %w", err)
			}
			name = asn1.RawValue{FullBytes: der}
		case id.Type() == acme.IdentifierIP:
			name.Tag, name.Bytes = 7, id.Addr().AsSlice()
		}
		names = append(names, name)
	}
	return names, nil
}

// compareExtensions finds what is missing, different, there twice or not
// expected.
func compareExtensions(got, expected []pkix.Extension) []string {
	var found []string
	seen := make(map[string]bool, len(got))
	for _, e := range got {
		oid := e.Id.String()
		if seen[oid] {
			found = append(found, fmt.Sprintf("the extension %s is there twice", oid))
			continue
		}
		seen[oid] = true
		i := slices.IndexFunc(expected, func(x pkix.Extension) bool { return x.Id.Equal(e.Id) })
		switch {
		case i < 0:
			found = append(found, fmt.Sprintf("the extension %s is none of the profile's", oid))
		case e.Critical != expected[i].Critical:
			found = append(found, fmt.Sprintf("the extension %s is critical: %v", oid, e.Critical))
		case !bytes.Equal(e.Value, expected[i].Value):
			found = append(found, fmt.Sprintf("the extension %s holds %x; expects %x", oid, e.Value, expected[i].Value))
		}
	}
	for _, x := range expected {
		if !seen[x.Id.String()] {
			found = append(found, fmt.Sprintf("the extension %s is missing", x.Id))
		}
	}
	return found
}
