package main

import (
	"slices"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/config"
	"github.com/cairn-ca/cairn/va"
	"github.com/cairn-ca/cairn/wfe"
)

// dnsPersist is what clients of a directory need for dns-persist-01; nil: it
// does not offer it.
func (s *services) dnsPersist(d config.ServedDirectory) *wfe.DNSPersist {
	if !slices.Contains(d.Challenges, string(acme.DNSPersist01)) {
		return nil
	}
	offered, advertised := d.DNSPersist.Names(s.caaIdentities(d.Directory))
	prefix := d.DNSPersist.AccountHashPrefix
	if prefix == "" {
		prefix = wfe.AccountHashPrefix(s.addresses.external, d.Path)
	}
	return &wfe.DNSPersist{
		IssuerDomainNames: offered,
		AdvertisedNames:   advertised,
		AccountHashPrefix: prefix,
		AccountURLs:       d.DNSPersist.AccountURLs,
	}
}

// vaDNSPersist is how the directories that offer dns-persist-01 validate it.
func (s *services) vaDNSPersist() map[string]va.DNSPersist {
	settings := make(map[string]va.DNSPersist)
	for _, d := range s.cfg.ServedDirectories() {
		if p := s.dnsPersist(d); p != nil {
			settings[d.Name] = va.DNSPersist{
				IssuerDomainNames:   p.IssuerDomainNames,
				AccountHashPrefixes: append([]string{p.AccountHashPrefix}, d.DNSPersist.FormerAccountHashPrefixes...),
				AccountURLs:         p.AccountURLs,
				Subdomains:          d.Subdomains,
			}
		}
	}
	return settings
}
