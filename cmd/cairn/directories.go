package main

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/config"
	"github.com/cairn-ca/cairn/ra"
	"github.com/cairn-ca/cairn/wfe"
)

// raDirectories are the directories as the registration authority knows them.
func (s *services) raDirectories() ([]ra.Directory, error) {
	var directories []ra.Directory
	for _, d := range s.cfg.ServedDirectories() {
		offered, err := offeredProfiles(s.cfg, d.Directory)
		if err != nil {
			return nil, fmt.Errorf("directory %q: %w", d.Name, err)
		}
		policy, err := namePolicy(d.Policy)
		if err != nil {
			return nil, fmt.Errorf("directory %q: %w", d.Name, err)
		}
		directories = append(directories, ra.Directory{
			Name:                    d.Name,
			Profiles:                raProfiles(offered),
			Challenges:              challengeTypes(d.Challenges),
			TermsOfService:          d.TermsOfService,
			ExternalAccountRequired: d.EAB.Required,
			Policy:                  policy,
			PendingLifetime:         d.Orders.Lifetime,
			ValidLifetime:           d.Authorizations.Lifetime,
			ReuseAuthorizations:     d.Authorizations.Reuse,
			PreAuthorization:        d.PreAuthorization,
			Subdomains:              d.Subdomains,
			AutoRenewal:             autoRenewal(d.AutoRenewal),
			Retries:                 d.Validation.Retries,
			RetryWait:               d.Validation.RetryWait,
		})
	}
	return directories, nil
}

// wfeDirectories are the directories as the front end knows them.
func (s *services) wfeDirectories() ([]wfe.Directory, error) {
	var directories []wfe.Directory
	for _, d := range s.cfg.ServedDirectories() {
		offered, err := offeredProfiles(s.cfg, d.Directory)
		if err != nil {
			return nil, fmt.Errorf("directory %q: %w", d.Name, err)
		}
		profiles := make(map[string]string, len(offered))
		for _, p := range offered {
			profiles[p.Name] = p.Description
		}
		directories = append(directories, wfe.Directory{
			Name:                    d.Name,
			Path:                    d.Path,
			TermsOfService:          d.TermsOfService,
			Website:                 d.Website,
			CAAIdentities:           s.caaIdentities(d.Directory),
			Profiles:                profiles,
			ExternalAccountRequired: d.EAB.Required,
			PreAuthorization:        d.PreAuthorization,
			Subdomains:              d.Subdomains,
			OnionServices:           slices.Contains(d.Challenges, string(acme.OnionCSR01)),
			AutoRenewal:             autoRenewal(d.AutoRenewal),
			DNSPersist:              s.dnsPersist(d),
		})
	}
	return directories, nil
}

// accountURL makes the URLs of accounts, byte for byte as the front end does.
func (s *services) accountURL() func(directory string, account acme.ID) string {
	paths := make(map[string]string)
	for _, d := range s.cfg.ServedDirectories() {
		paths[d.Name] = d.Path
	}
	return func(directory string, account acme.ID) string {
		path, ok := paths[directory]
		if !ok {
			// A directory that is not served any more: nothing is issued to its
			// accounts, and no record may mean them by accident.
			return ""
		}
		return wfe.AccountURL(s.addresses.external, path, account)
	}
}

// caaIdentities are the names by which CAA records may mean this CA, where a
// directory has these settings.
func (s *services) caaIdentities(d config.Directory) []string {
	if len(d.CAAIdentities) > 0 {
		return d.CAAIdentities
	}
	return []string{s.addresses.externalHost()}
}

// directoryCAAIdentities are the same by directory.
func (s *services) directoryCAAIdentities() map[string][]string {
	identities := make(map[string][]string)
	for _, d := range s.cfg.ServedDirectories() {
		identities[d.Name] = s.caaIdentities(d.Directory)
	}
	return identities
}

func raProfiles(offered []ca.Profile) []ra.Profile {
	profiles := make([]ra.Profile, len(offered))
	for i, p := range offered {
		profiles[i] = ra.Profile{Name: p.Name, MaxNames: p.MaxNames, Identifiers: p.IdentifierTypes, Validity: p.Validity}
	}
	return profiles
}

func challengeTypes(names []string) []acme.ChallengeType {
	types := make([]acme.ChallengeType, len(names))
	for i, name := range names {
		types[i] = acme.ChallengeType(name)
	}
	return types
}

func autoRenewal(c config.AutoRenewal) *ra.AutoRenewalPolicy {
	if !c.Enabled {
		return nil
	}
	return &ra.AutoRenewalPolicy{MinLifetime: c.MinLifetime, MaxDuration: c.MaxDuration, AllowGet: c.AllowGet}
}

func namePolicy(c config.Policy) (ra.NamePolicy, error) {
	p := ra.NamePolicy{
		Allow:                        c.Allow,
		Deny:                         c.Deny,
		AllowNames:                   c.AllowNames,
		NoWildcards:                  !c.Wildcards,
		PublicNamesOnly:              c.PublicNamesOnly,
		WildcardsBelowPublicSuffixes: c.WildcardsBelowPublicSuffixes,
	}
	var err error
	if p.Addresses, err = prefixes(c.Addresses); err != nil {
		return ra.NamePolicy{}, fmt.Errorf("policy.addresses: %w", err)
	}
	if p.DenyAddresses, err = prefixes(c.DenyAddresses); err != nil {
		return ra.NamePolicy{}, fmt.Errorf("policy.deny_addresses: %w", err)
	}
	return p, nil
}

func prefixes(list []string) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for _, s := range list {
		prefix, err := config.ParsePrefix(s)
		if err != nil {
			return nil, err
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, nil
}

// directoryNames are the names of the directories, for messages.
func directoryNames(cfg *config.Config) []string {
	if len(cfg.Directories) == 0 {
		return []string{config.DefaultDirectory}
	}
	return slices.Sorted(maps.Keys(cfg.Directories))
}
