package main

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"iter"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/ca/ceremony"
	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/config"
)

// ceremonyPlan turns a ceremony's file into a plan, and reads the certificates
// that it names.
func ceremonyPlan(f *config.Ceremony, t terminal) (ceremony.Plan, error) {
	var p ceremony.Plan
	if f.Usage == "private" {
		p.Lint = ca.PrivateCALints()
	}
	for name, e := range byName(f.Existing) {
		existing, err := existingCA(name, e, t)
		if err != nil {
			return p, fmt.Errorf("existing.%s: %w", name, err)
		}
		p.Existing = append(p.Existing, existing)
	}
	for name, r := range byName(f.Roots) {
		c := ceremony.CA{Name: name, File: r.File, Subject: subject(r.Subject), Key: newKey(r.Key, t)}
		c.PathLength = pathLength(r.PathLength)
		if err := setValidity(&c.Validity, r.NotBefore, r.Validity); err != nil {
			return p, fmt.Errorf("roots.%s: %w", name, err)
		}
		p.Roots = append(p.Roots, c)
	}
	for name, i := range byName(f.Intermediates) {
		c := ceremony.CA{Name: name, File: i.File, Subject: subject(i.Subject), Key: newKey(i.Key, t), Issuer: i.Issuer}
		err := setValidity(&c.Validity, i.NotBefore, i.Validity)
		if err == nil {
			c.Extensions, err = extensions(i.CeremonyExtensions)
		}
		if err != nil {
			return p, fmt.Errorf("intermediates.%s: %w", name, err)
		}
		p.Intermediates = append(p.Intermediates, c)
	}
	for name, x := range byName(f.CrossCertificates) {
		c := ceremony.Cross{Name: name, File: x.File, Of: x.Certificate, Issuer: x.Issuer}
		err := setValidity(&c.Validity, x.NotBefore, x.Validity)
		if err == nil {
			c.Extensions, err = extensions(x.CeremonyExtensions)
		}
		if err != nil {
			return p, fmt.Errorf("cross_certificates.%s: %w", name, err)
		}
		p.CrossCertificates = append(p.CrossCertificates, c)
	}
	for name, s := range byName(f.OCSPSigners) {
		c := ceremony.OCSPSigner{Name: name, File: s.File, Key: newKey(s.Key, t), Issuer: s.Issuer}
		if err := setValidity(&c.Validity, s.NotBefore, s.Validity); err != nil {
			return p, fmt.Errorf("ocsp_signers.%s: %w", name, err)
		}
		p.OCSPSigners = append(p.OCSPSigners, c)
	}
	for name, l := range byName(f.CRLs) {
		c := ceremony.CRL{Name: name, File: l.File, Issuer: l.Issuer, Number: int64(l.Number)}
		err := setValidity(&c.Validity, l.NotBefore, l.Validity)
		if err == nil {
			c.Revoked, err = revoked(l.Revoked)
		}
		if err != nil {
			return p, fmt.Errorf("crls.%s: %w", name, err)
		}
		p.CRLs = append(p.CRLs, c)
	}
	for name, c := range byName(f.Chains) {
		p.Chains = append(p.Chains, ceremony.Chain{Name: name, File: c.File, Certificates: c.Certificates})
	}
	return p, nil
}

// byName iterates in the order of names, so that a plan's artefacts are always
// made in the same order.
func byName[T any](m map[string]T) iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if !yield(name, m[name]) {
				return
			}
		}
	}
}

func existingCA(name string, e config.CeremonyExisting, t terminal) (ceremony.Existing, error) {
	c := ceremony.Existing{Name: name, Issuer: e.Issuer}
	data, err := key.ReadPublic(e.Certificate)
	if err != nil {
		return c, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != key.PEMCertificate {
		return c, fmt.Errorf("%s does not begin with a certificate in PEM form", e.Certificate)
	}
	if c.Certificate, err = x509.ParseCertificate(block.Bytes); err != nil {
		return c, fmt.Errorf("%s: %w", e.Certificate, err)
	}
	if e.Key != nil {
		k := keyOf(*e.Key, t, false)
		c.Key = &k
	}
	return c, nil
}

func newKey(k config.CeremonyKey, t terminal) ceremony.Key { return keyOf(k, t, true) }

func keyOf(k config.CeremonyKey, t terminal, isNew bool) ceremony.Key {
	made := ceremony.Key{Type: key.Type(k.Type), Bits: k.Bits, File: k.File, PKCS11: k.PKCS11}
	if k.File != "" && !k.Unencrypted {
		made.Passphrase = once(passphraseSource{
			what: "the key " + k.File, file: k.PassphraseFile, env: k.PassphraseEnv, terminal: t, chosen: isNew,
			hint: "give it the key passphrase_file, passphrase_env or unencrypted",
		}.get)
	}
	return made
}

func subject(s config.CeremonySubject) pkix.Name {
	name := pkix.Name{Organization: []string{s.Organization}, CommonName: s.CommonName}
	if s.Country != "" {
		name.Country = []string{s.Country}
	}
	return name
}

func pathLength(n int) *int {
	if n < 0 {
		return nil
	}
	return &n
}

func setValidity(v *ceremony.Validity, notBefore string, validity time.Duration) (err error) {
	v.For = validity
	v.NotBefore, err = config.ParseTime(notBefore)
	return err
}

func extensions(e config.CeremonyExtensions) (ceremony.Extensions, error) {
	x := ceremony.Extensions{
		PathLength: pathLength(e.PathLength), CRLURL: e.CRLURL, OCSPURL: e.OCSPURL, IssuerURL: e.IssuerURL, PermittedNames: e.PermittedNames,
	}
	for _, usage := range e.ExtendedKeyUsages {
		x.ExtendedKeyUsages = append(x.ExtendedKeyUsages, extendedKeyUsages[usage])
	}
	for _, policy := range e.Policies {
		oid, err := x509.ParseOID(policy)
		if err != nil {
			return x, fmt.Errorf("the policy %s: %w", policy, err)
		}
		x.Policies = append(x.Policies, oid)
	}
	for _, addresses := range e.PermittedAddresses {
		_, network, err := net.ParseCIDR(addresses)
		if err != nil {
			return x, fmt.Errorf("permitted_addresses: %w", err)
		}
		x.PermittedAddresses = append(x.PermittedAddresses, network)
	}
	return x, nil
}

func revoked(entries []config.CeremonyRevoked) ([]ceremony.Revoked, error) {
	var all []ceremony.Revoked
	for _, e := range entries {
		r := ceremony.Revoked{}
		var err error
		if r.Serial, err = acme.ParseSerial(e.Serial); err != nil {
			return nil, fmt.Errorf("the serial number %q: %w", e.Serial, err)
		}
		if r.At, err = config.ParseTime(e.At); err != nil {
			return nil, err
		}
		if r.Reason, err = caReason(e.Reason); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// caReasons are the reasons for which a CA's certificate is revoked (Baseline
// Requirements §7.2.2), by their names in RFC 5280 §5.3.1. One is always given.
var caReasons = []acme.RevocationReason{
	acme.ReasonKeyCompromise, acme.ReasonAffiliationChanged, acme.ReasonSuperseded, acme.ReasonCessationOfOperation, acme.ReasonPrivilegeWithdrawn,
}

func caReason(name string) (acme.RevocationReason, error) {
	names := make([]string, len(caReasons))
	for i, reason := range caReasons {
		if names[i] = reason.String(); names[i] == name {
			return reason, nil
		}
	}
	return 0, fmt.Errorf("a CA's certificate is not revoked for the reason %q; give one of %s", name, strings.Join(names, ", "))
}
