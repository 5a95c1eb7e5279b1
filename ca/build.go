package ca

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/cairn-ca/cairn/ca/ct"
	"github.com/cairn-ca/cairn/internal/acme"
)

// template is a profile joined to an issuer: all of a to-be-signed certificate
// that is the same for every certificate of the two, encoded once. Extensions
// stand in the order in which crypto/x509 writes them, and a test holds the
// bytes equal to that package's.
type template struct {
	issuer *issuer
	// usage, and usageRSA for RSA keys, are the key usage extension.
	usage, usageRSA []byte
	beforeSAN       []byte // extended key usage to authority information access
	policies        []byte
	// crl is the URL of a shard's CRL; nil: no CRL distribution point.
	crl   func(shard int) string
	extra []byte
	// profile and templates make the extensions that differ from certificate
	// to certificate.
	profile   string
	templates []ExtensionTemplate
}

// leaf is what differs from certificate to certificate.
type leaf struct {
	serial              acme.Serial
	notBefore, notAfter time.Time
	subject             []byte // DER of the Name; nil: an empty one
	identifiers         []acme.Identifier
	public              crypto.PublicKey
	spki                []byte // DER of its SubjectPublicKeyInfo
	crlShard            int
	poison              bool // it is a precertificate
}

var emptyName = []byte{0x30, 0x00}

func newTemplate(iss *issuer, p *Profile, urls urls) (*template, error) {
	t := &template{issuer: iss, profile: p.Name, templates: p.ExtensionTemplates}
	usage := p.KeyUsage
	if usage == 0 {
		usage = x509.KeyUsageDigitalSignature
	}
	var err error
	// Keys that are not RSA's encipher nothing (RFC 8813 §3, RFC 9295 §3).
	if t.usage, err = keyUsage(usage &^ (x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment)); err != nil {
		return nil, err
	}
	if p.KeyEncipherment {
		usage |= x509.KeyUsageKeyEncipherment
	}
	// RSA keys agree on nothing (RFC 3279 §2.3.1).
	if t.usageRSA, err = keyUsage(usage &^ x509.KeyUsageKeyAgreement); err != nil {
		return nil, err
	}
	b := cryptobyte.NewBuilder(nil)
	usages := make([]asn1.ObjectIdentifier, 0, len(p.ExtendedKeyUsages))
	for _, u := range p.ExtendedKeyUsages {
		oid, err := usageOID(u)
		if err != nil {
			return nil, err
		}
		usages = append(usages, oid)
	}
	for _, o := range p.FurtherExtendedKeyUsages {
		oid, err := parseOID(o)
		if err != nil {
			return nil, err
		}
		usages = append(usages, oid)
	}
	addExtendedKeyUsages(b, usages)
	addExtension(b, oidBasicConstraints, true, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(*cryptobyte.Builder) {}) // cA is FALSE by default
	})
	addAuthorityKeyID(b, iss.certificate.SubjectKeyId)
	if !p.NoOCSP || !p.NoIssuerURL {
		addExtension(b, oidAuthorityInfo, false, func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				if !p.NoOCSP {
					addAccessDescription(b, oidOCSP, urls.ocsp())
				}
				if !p.NoIssuerURL {
					addAccessDescription(b, oidCAIssuers, urls.issuer(iss.id))
				}
			})
		})
	}
	if t.beforeSAN, err = b.Bytes(); err != nil {
		return nil, fmt.Errorf("encoding the extensions of profile %q: %w", p.Name, err)
	}
	if len(p.Policies) > 0 {
		b := cryptobyte.NewBuilder(nil)
		if err := addPolicies(b, p.Policies); err != nil {
			return nil, err
		}
		if t.policies, err = b.Bytes(); err != nil {
			return nil, fmt.Errorf("encoding the policies of profile %q: %w", p.Name, err)
		}
	}
	if !p.NoCRL {
		t.crl = func(shard int) string { return urls.crl(iss.id, shard) }
	}
	b = cryptobyte.NewBuilder(nil)
	if p.MustStaple {
		addExtension(b, oidTLSFeature, false, func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1Int64(5) }) // status_request
		})
	}
	for _, e := range p.Extensions {
		addExtension(b, e.Id, e.Critical, func(b *cryptobyte.Builder) { b.AddBytes(e.Value) })
	}
	if t.extra, err = b.Bytes(); err != nil {
		return nil, fmt.Errorf("encoding the extensions of profile %q: %w", p.Name, err)
	}
	return t, nil
}

// newOCSPSignerTemplate is the template of delegated OCSP signing certificates
// (RFC 6960 §4.2.2.2, Baseline Requirements §7.1.2.8): no pointers to
// revocation information, as nobody would check them.
func newOCSPSignerTemplate(iss *issuer) (*template, error) {
	t := &template{issuer: iss}
	var err error
	if t.usage, err = keyUsage(x509.KeyUsageDigitalSignature); err != nil {
		return nil, err
	}
	t.usageRSA = t.usage
	b := cryptobyte.NewBuilder(nil)
	addExtendedKeyUsages(b, []asn1.ObjectIdentifier{usageOIDs[x509.ExtKeyUsageOCSPSigning]})
	addAuthorityKeyID(b, iss.certificate.SubjectKeyId)
	if t.beforeSAN, err = b.Bytes(); err != nil {
		return nil, fmt.Errorf("encoding the extensions of an OCSP signer: %w", err)
	}
	b = cryptobyte.NewBuilder(nil)
	addExtension(b, oidOCSPNoCheck, false, func(b *cryptobyte.Builder) { b.AddASN1NULL() })
	if t.extra, err = b.Bytes(); err != nil {
		return nil, fmt.Errorf("encoding the extensions of an OCSP signer: %w", err)
	}
	return t, nil
}

// build encodes the TBSCertificate (RFC 5280 §4.1.2).
func (t *template) build(l leaf) ([]byte, error) {
	subject := l.subject
	if subject == nil {
		subject = emptyName
	}
	usage := t.usage
	if _, ok := l.public.(*rsa.PublicKey); ok {
		usage = t.usageRSA
	}
	var own []byte
	for _, e := range t.templates {
		extension, err := e.encode(t.profile, l.identifiers)
		if err != nil {
			return nil, fmt.Errorf("encoding a certificate: %w", err)
		}
		own = append(own, extension...)
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, 1024))
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.Tag(0).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) {
			b.AddASN1Int64(2) // v3
		})
		b.AddASN1BigInt(l.serial.Big())
		b.AddBytes(t.issuer.algorithm.Identifier)
		b.AddBytes(t.issuer.certificate.RawSubject)
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addTime(b, l.notBefore)
			addTime(b, l.notAfter)
		})
		b.AddBytes(subject)
		b.AddBytes(l.spki)
		b.AddASN1(cryptobyte_asn1.Tag(3).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddBytes(usage)
				b.AddBytes(t.beforeSAN)
				if len(l.identifiers) > 0 {
					// RFC 5280 §4.2.1.6: critical exactly when there is no subject.
					addSAN(b, slices.Equal(subject, emptyName), l.identifiers)
				}
				b.AddBytes(t.policies)
				if t.crl != nil {
					addCRLDistributionPoint(b, t.crl(l.crlShard))
				}
				b.AddBytes(t.extra)
				b.AddBytes(own)
				if l.poison {
					b.AddBytes(ct.PoisonExtension())
				}
			})
		})
	})
	tbs, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encoding a certificate: %w", err)
	}
	return tbs, nil
}

// commonNameSubject is the DER of a subject with nothing but a common name.
func commonNameSubject(cn string) ([]byte, error) {
	der, err := asn1.Marshal(pkix.Name{CommonName: cn}.ToRDNSequence())
	if err != nil {
		return nil, fmt.Errorf("encoding a subject: %w", err)
	}
	return der, nil
}

func addTime(b *cryptobyte.Builder, t time.Time) {
	// RFC 5280 §4.1.2.5: UTCTime through 2049.
	if t.Year() < 2050 {
		b.AddASN1UTCTime(t)
	} else {
		b.AddASN1GeneralizedTime(t)
	}
}

func addExtension(b *cryptobyte.Builder, oid asn1.ObjectIdentifier, critical bool, value cryptobyte.BuilderContinuation) {
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		if critical {
			b.AddASN1Boolean(true)
		}
		b.AddASN1(cryptobyte_asn1.OCTET_STRING, value)
	})
}

// keyUsage is the DER of the key usage extension. Only the first eight bits of
// the BIT STRING are ever used.
func keyUsage(u x509.KeyUsage) ([]byte, error) {
	var octet byte
	unused := 8
	for bit := range 8 {
		if u&(1<<bit) != 0 {
			octet |= 0x80 >> bit
			unused = 7 - bit
		}
	}
	b := cryptobyte.NewBuilder(nil)
	addExtension(b, oidKeyUsage, true, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.BIT_STRING, func(b *cryptobyte.Builder) { b.AddBytes([]byte{byte(unused), octet}) })
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encoding a key usage: %w", err)
	}
	return der, nil
}

func addExtendedKeyUsages(b *cryptobyte.Builder, usages []asn1.ObjectIdentifier) {
	addExtension(b, oidExtendedKeyUsage, false, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, oid := range usages {
				b.AddASN1ObjectIdentifier(oid)
			}
		})
	})
}

// addAuthorityKeyID adds the authority key identifier, with nothing but the
// keyIdentifier (Baseline Requirements §7.1.2.11.1).
func addAuthorityKeyID(b *cryptobyte.Builder, id []byte) {
	addExtension(b, oidAuthorityKeyID, false, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(id) })
		})
	})
}

func addAccessDescription(b *cryptobyte.Builder, method asn1.ObjectIdentifier, url string) {
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(method)
		addURI(b, url)
	})
}

// addURI adds a GeneralName of the form uniformResourceIdentifier.
func addURI(b *cryptobyte.Builder, url string) {
	b.AddASN1(cryptobyte_asn1.Tag(6).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte(url)) })
}

func addSAN(b *cryptobyte.Builder, critical bool, ids []acme.Identifier) {
	addExtension(b, oidSubjectAltName, critical, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, id := range ids {
				switch {
				case id.IsDevice():
					id.AddOtherName(b)
				case id.Type() == acme.IdentifierIP:
					b.AddASN1(cryptobyte_asn1.Tag(7).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(id.Addr().AsSlice()) })
				default:
					b.AddASN1(cryptobyte_asn1.Tag(2).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte(id.Value())) })
				}
			}
		})
	})
}

func addPolicies(b *cryptobyte.Builder, policies []string) error {
	oids := make([]asn1.ObjectIdentifier, 0, len(policies))
	for _, p := range policies {
		oid, err := parseOID(p)
		if err != nil {
			return fmt.Errorf("policy %q: %w", p, err)
		}
		oids = append(oids, oid)
	}
	addExtension(b, oidPolicies, false, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, oid := range oids {
				b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oid) })
			}
		})
	})
	return nil
}

// addCRLDistributionPoint adds one distribution point with one URL, without
// reasons or cRLIssuer (Baseline Requirements §7.1.2.11.2).
func addCRLDistributionPoint(b *cryptobyte.Builder, url string) {
	addExtension(b, oidCRLDistribution, false, func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(cryptobyte_asn1.Tag(0).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) { // distributionPoint
					b.AddASN1(cryptobyte_asn1.Tag(0).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) { // fullName
						addURI(b, url)
					})
				})
			})
		})
	})
}
