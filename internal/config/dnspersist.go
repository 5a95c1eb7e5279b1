package config

import (
	"net/url"
	"slices"
	"strings"

	"github.com/cairn-ca/cairn/internal/acme"
)

// DNSPersist is the settings of dns-persist-01, where it is among the
// challenges (draft-ietf-acme-dns-persist).
type DNSPersist struct {
	// IssuerDomainNames is the names that mean this CA in records, each of
	// them a CAA identity; empty: the CAA identities, ten at most.
	IssuerDomainNames []string `yaml:"issuer_domain_names"`
	// AdvertisedNames is those of the issuer domain names that the directory
	// shows, for records that are made before there is a challenge; empty: all.
	AdvertisedNames []string `yaml:"advertised_names"`
	// AccountHashPrefix is what hashed account URIs begin with, up to a slash;
	// empty: a URL below the directory's accounts.
	AccountHashPrefix string `yaml:"account_hash_prefix"`
	// FormerAccountHashPrefixes is what records may still begin them with.
	FormerAccountHashPrefixes []string `yaml:"former_account_hash_prefixes"`
	// AccountURLs accepts records that name an account by its URL.
	AccountURLs bool `yaml:"account_urls"`
}

// maxIssuerDomainNames is how many a challenge may have
// (draft-ietf-acme-dns-persist).
const maxIssuerDomainNames = 10

// Names are the issuer domain names of a directory with the given CAA
// identities: those that its challenges offer, and those that it shows itself.
func (p DNSPersist) Names(identities []string) (offered, advertised []string) {
	offered, advertised = p.IssuerDomainNames, p.AdvertisedNames
	if len(offered) == 0 {
		offered = normalNames(identities)
		offered = offered[:min(len(offered), maxIssuerDomainNames)]
	}
	if len(advertised) == 0 {
		advertised = offered
	}
	return offered, advertised
}

// normalNames are domain names in lower case, without a trailing dot and
// without repetitions.
func normalNames(names []string) []string {
	var normal []string
	for _, name := range names {
		if name = strings.ToLower(strings.TrimSuffix(name, ".")); !slices.Contains(normal, name) {
			normal = append(normal, name)
		}
	}
	return normal
}

// dnsPersist checks what the settings are, as they stand.
func (v validator) dnsPersist(path string, p *DNSPersist) {
	for _, list := range []struct {
		key   string
		names []string
	}{{join(path, "issuer_domain_names"), p.IssuerDomainNames}, {join(path, "advertised_names"), p.AdvertisedNames}} {
		v.unique(list.key, list.names)
		for i, name := range list.names {
			if name != "" && !isIssuerDomainName(name) {
				v.fail(index(list.key, i), "expects a domain name in lower case, without a trailing dot, such as ca.example.com; found %q", name)
			}
		}
	}
	if n := len(p.IssuerDomainNames); n > maxIssuerDomainNames {
		v.fail(join(path, "issuer_domain_names"), "expects at most %d names, which is what a challenge may have; found %d", maxIssuerDomainNames, n)
	}
	if p.AccountHashPrefix != "" {
		v.accountHashPrefix(join(path, "account_hash_prefix"), p.AccountHashPrefix)
	}
	key := join(path, "former_account_hash_prefixes")
	v.unique(key, p.FormerAccountHashPrefixes)
	for i, prefix := range p.FormerAccountHashPrefixes {
		if prefix != "" {
			v.accountHashPrefix(index(key, i), prefix)
		}
	}
}

func isIssuerDomainName(name string) bool {
	id, err := acme.ParseIdentifier(acme.IdentifierDNS, name)
	return err == nil && !id.IsWildcard() && id.Value() == name
}

// accountHashPrefix checks a URI that the value of an accounturi parameter can
// begin with (RFC 8659 §4.2).
func (v validator) accountHashPrefix(key, prefix string) {
	const most = 200
	u, err := url.Parse(prefix)
	plain := func(r rune) bool { return r > ' ' && r < 0x7f && r != ';' }
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || !validHost(u.Hostname()) || u.User != nil || strings.ContainsAny(prefix, "?#"):
		v.fail(key, "expects a URL such as https://ca.example.com/account-hash/; found %q", prefix)
	case !strings.HasSuffix(prefix, "/"):
		v.fail(key, "must end in a slash; found %q", prefix)
	case len(prefix) > most || strings.ContainsFunc(prefix, func(r rune) bool { return !plain(r) }):
		v.fail(key, "must have at most %d characters, all printable ASCII, and no semicolon; found %q", most, prefix)
	}
}

// issuerNames checks, of a directory that is served with dns-persist-01, that
// what it shows is what its challenges offer, and that what these offer are CAA
// identities: otherwise a record could be for another CA than CAA is.
func (v validator) issuerNames(path string, c *Config, d *Directory) {
	if !slices.Contains(d.Challenges, string(acme.DNSPersist01)) {
		return
	}
	identities := normalNames(d.CAAIdentities)
	if len(identities) == 0 {
		host := "localhost"
		if u, err := url.Parse(c.ExternalURL); err == nil && u.Host != "" {
			host = u.Hostname()
		}
		identities = normalNames([]string{host})
	}
	offered, advertised := d.DNSPersist.Names(identities)
	names, shown := join(path, "dns_persist.issuer_domain_names"), join(path, "dns_persist.advertised_names")
	for _, name := range offered {
		switch {
		case len(d.DNSPersist.IssuerDomainNames) == 0 && !isIssuerDomainName(name):
			v.fail(join(path, "caa_identities"), "dns-persist-01 needs domain names that mean this CA, and %q is none; set caa_identities", name)
		case !slices.Contains(identities, name):
			v.fail(names, "%q is none of the CAA identities, %s; add it to caa_identities", name, strings.Join(identities, ", "))
		}
	}
	for _, name := range advertised {
		if !slices.Contains(offered, name) {
			v.fail(shown, "%q is none of the issuer domain names, %s", name, strings.Join(offered, ", "))
		}
	}
}
