package main

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/config"
)

// configuredProfiles are the profiles of the configuration, by name.
func configuredProfiles(cfg *config.Config) []ca.Profile {
	var profiles []ca.Profile
	for _, name := range slices.Sorted(maps.Keys(cfg.CA.Profiles)) {
		profiles = append(profiles, profile(name, cfg.CA.Profiles[name]))
	}
	return profiles
}

var extendedKeyUsages = map[string]x509.ExtKeyUsage{
	"server_auth": x509.ExtKeyUsageServerAuth,
	"client_auth": x509.ExtKeyUsageClientAuth,

	"code_signing":     x509.ExtKeyUsageCodeSigning,
	"email_protection": x509.ExtKeyUsageEmailProtection,
	"time_stamping":    x509.ExtKeyUsageTimeStamping,
}

var keyUsages = map[string]x509.KeyUsage{
	"digital_signature":  x509.KeyUsageDigitalSignature,
	"content_commitment": x509.KeyUsageContentCommitment,
	"key_encipherment":   x509.KeyUsageKeyEncipherment,
	"data_encipherment":  x509.KeyUsageDataEncipherment,
	"key_agreement":      x509.KeyUsageKeyAgreement,
}

// profile turns the settings of a profile into a profile of the CA.
func profile(name string, c config.Profile) ca.Profile {
	// What the configuration has no key for is as in the built-in profile.
	p := ca.BuiltinProfiles()[0]
	p.Name = name
	p.Description = c.Description
	p.Validity = c.Validity
	p.Backdate = c.Backdate
	p.Keys = nil
	for _, t := range c.KeyTypes {
		p.Keys = append(p.Keys, key.Type(t))
	}
	p.IdentifierTypes = nil
	for _, t := range c.Identifiers {
		p.IdentifierTypes = append(p.IdentifierTypes, acme.IdentifierType(t))
	}
	p.Devices = ca.DevicePolicy(c.DeviceIdentifiers)
	if c.DeviceIdentifiers == "always" {
		p.Devices = ca.DevicesAlways
	}
	p.MaxNames = c.MaxNames
	p.CommonName = ca.CommonName(c.CommonName)
	if c.CommonName == "none" {
		p.CommonName = ca.CommonNameNone
	}
	p.ExtendedKeyUsages = nil
	for _, usage := range c.ExtendedKeyUsages {
		if known, ok := extendedKeyUsages[usage]; ok {
			p.ExtendedKeyUsages = append(p.ExtendedKeyUsages, known)
		} else {
			p.FurtherExtendedKeyUsages = append(p.FurtherExtendedKeyUsages, usage)
		}
	}
	for _, usage := range c.KeyUsages {
		p.KeyUsage |= keyUsages[usage]
	}
	if p.KeyUsage == x509.KeyUsageDigitalSignature {
		p.KeyUsage = 0 // as it is by default
	}
	p.Subject = profileSubject(c.Subject)
	p.NameConstraints = ca.NameConstraints(c.NameConstraints)
	for _, e := range c.Extensions {
		p.ExtensionTemplates = append(p.ExtensionTemplates, ca.ExtensionTemplate{
			OID: e.OID, Critical: e.Critical, Encoding: ca.ExtensionEncoding(e.Encoding), Value: e.Value,
		})
	}
	p.Lint = ca.LintPolicy{PrivateNames: c.Lints.PrivateNames, Exclude: c.Lints.Exclude, Warnings: c.Lints.Warnings}
	p.KeyEncipherment = c.KeyEncipherment
	p.Policies = c.Policies
	p.MustStaple = c.MustStaple
	p.CT = c.CT
	p.NoIssuerURL, p.NoOCSP, p.NoCRL = !c.IssuerURL, !c.OCSP, !c.CRL
	return p
}

func profileSubject(c config.Subject) pkix.Name {
	var name pkix.Name
	for _, attribute := range []struct {
		value string
		into  *[]string
	}{
		{c.Country, &name.Country}, {c.Organization, &name.Organization}, {c.OrganizationalUnit, &name.OrganizationalUnit},
		{c.Locality, &name.Locality}, {c.Province, &name.Province},
	} {
		if attribute.value != "" {
			*attribute.into = []string{attribute.value}
		}
	}
	return name
}

// profilesWithIssuers are the profiles of the configuration with the issuers
// that may sign for them.
func profilesWithIssuers(cfg *config.Config, byName map[string]acme.IssuerID) ([]ca.Profile, error) {
	profiles := configuredProfiles(cfg)
	for i := range profiles {
		for _, name := range cfg.CA.Profiles[profiles[i].Name].Issuers {
			id, ok := byName[name]
			if !ok {
				return nil, fmt.Errorf("ca.profiles.%s.issuers: there is no issuer %q; the issuers are %s", profiles[i].Name, name,
					strings.Join(slices.Sorted(maps.Keys(byName)), ", "))
			}
			profiles[i].Issuers = append(profiles[i].Issuers, id)
		}
	}
	return profiles, nil
}

// offeredProfiles are the profiles that a directory names, in its order, or all
// that it can issue with, the default one first: without device-attest-01 there
// is no use for profiles that certify devices alone.
func offeredProfiles(cfg *config.Config, d config.Directory) ([]ca.Profile, error) {
	names := d.Profiles
	all := ca.BuiltinProfiles()
	for _, p := range configuredProfiles(cfg) {
		if i := slices.IndexFunc(all, func(q ca.Profile) bool { return q.Name == p.Name }); i >= 0 {
			all[i] = p
		} else {
			all = append(all, p)
		}
	}
	if len(names) == 0 {
		if !slices.Contains(d.Challenges, string(acme.DeviceAttest01)) {
			all = slices.DeleteFunc(all, func(p ca.Profile) bool { return p.DevicesOnly() })
		}
		return all, nil
	}
	var offered []ca.Profile
	for _, name := range names {
		i := slices.IndexFunc(all, func(p ca.Profile) bool { return p.Name == name })
		if i < 0 {
			known := make([]string, len(all))
			for i, p := range all {
				known[i] = p.Name
			}
			slices.Sort(known)
			return nil, fmt.Errorf("there is no profile %q; the profiles are %s", name, strings.Join(known, ", "))
		}
		offered = append(offered, all[i])
	}
	return offered, nil
}

// checkProfiles finds what is wrong with the profiles and can't be seen from
// the file alone.
func checkProfiles(cfg *config.Config, file string) error {
	var errs config.Errors
	for _, p := range configuredProfiles(cfg) {
		if err := p.Validate(); err != nil {
			errs = append(errs, config.Error{File: file, Key: "ca.profiles." + p.Name, Message: err.Error()})
		}
	}
	if _, err := offeredProfiles(cfg, cfg.Directory); err != nil {
		errs = append(errs, config.Error{File: file, Key: "profiles", Message: err.Error()})
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Directories)) {
		d := cfg.Directories[name]
		if slices.Equal(d.Profiles, cfg.Directory.Profiles) {
			continue // reported already
		}
		if _, err := offeredProfiles(cfg, d.Directory); err != nil {
			errs = append(errs, config.Error{File: file, Key: "directories." + name + ".profiles", Message: err.Error()})
		}
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}
