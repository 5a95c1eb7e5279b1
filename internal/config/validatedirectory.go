package config

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

func (v validator) directory(path string, d *Directory) {
	v.unique(join(path, "profiles"), d.Profiles)
	v.some(join(path, "challenges"), d.Challenges, "http-01", "dns-01", "tls-alpn-01", "onion-csr-01", "dns-account-01", "dns-persist-01", "device-attest-01")
	if slices.Contains(d.Challenges, "device-attest-01") && d.Validation.AttestationRoots == (AttestationRoots{}) {
		v.fail(join(path, "challenges"), "device-attest-01 needs the roots of at least one format of attestation; name a file in %s", join(path, "validation.attestation_roots"))
	}
	v.unique(join(path, "caa_identities"), d.CAAIdentities)
	for i, name := range d.CAAIdentities {
		if _, err := netip.ParseAddr(name); err == nil || !validHost(name) {
			v.fail(index(join(path, "caa_identities"), i), "expects a domain name, such as ca.example.com; found %q", name)
		}
	}
	v.link(join(path, "terms_of_service"), d.TermsOfService)
	v.link(join(path, "website"), d.Website)
	v.span(join(path, "authorizations.lifetime"), d.Authorizations.Lifetime, time.Second, 398*day)
	v.span(join(path, "orders.lifetime"), d.Orders.Lifetime, time.Second, 398*day)
	if slices.Contains(d.Challenges, "onion-csr-01") && d.Orders.Lifetime > 30*day {
		v.fail(join(path, "orders.lifetime"), "is at most 30 days where onion-csr-01 is offered, since its nonces are (RFC 9799 §3.2); found %s", FormatDuration(d.Orders.Lifetime))
	}
	if d.Validation.Retries < 0 || d.Validation.Retries > 20 {
		v.fail(join(path, "validation.retries"), "expects a number from 0 to 20; found %d", d.Validation.Retries)
	}
	v.span(join(path, "validation.retry_wait"), d.Validation.RetryWait, 100*time.Millisecond, time.Hour)
	v.perspectivePolicy(path, d)
	v.policy(join(path, "policy"), &d.Policy)
	v.autoRenewal(join(path, "auto_renewal"), &d.AutoRenewal)
	v.dnsPersist(join(path, "dns_persist"), &d.DNSPersist)
}

var (
	directoryName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)
	directoryPath = regexp.MustCompile(`^(/[A-Za-z0-9._-]+)*/directory$`)
)

// directories checks the named directories; what one has from outside of them
// was checked there.
func (v validator) directories(c *Config) {
	paths := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Directories)) {
		key := "directories." + name
		d := c.Directories[name]
		if !directoryName.MatchString(name) {
			v.fail(key, "%s is no name for a directory: use 1 to 32 lower-case letters, digits and hyphens", strconv.Quote(name))
		}
		path, pathKey := d.path(name), key+".path"
		if d.Path == "" {
			pathKey = key
		}
		switch {
		case !directoryPath.MatchString(path) || len(path) > 128:
			v.fail(pathKey, "expects a path that ends in /directory, such as /lab/directory; found %q", path)
		case slices.Contains(strings.Split(path, "/"), "acme"):
			v.fail(pathKey, "must not have /acme/ in it, which is where the resources of directories are; found %q", path)
		case slices.ContainsFunc(strings.Split(path, "/"), func(s string) bool { return s == "." || s == ".." }):
			v.fail(pathKey, "must have neither . nor .. in it; found %q", path)
		case paths[path] != "":
			v.fail(pathKey, "%s is the path of the directory %s already; give each its own", path, paths[path])
		default:
			paths[path] = name
		}
		v.inherited(key, &d.Directory)
		v.issuerNames(key, c, &d.Directory)
	}
}

// inherited checks the settings of a directory. A mistake that stands outside
// of the directories is not reported again.
func (v validator) inherited(key string, own *Directory) {
	mark := len(v.errs)
	v.directory(key, own)
	reported := slices.Clone(v.errs[:mark])
	v.errs = slices.DeleteFunc(v.errs, func(err Error) bool {
		return err.Line == 0 && slices.ContainsFunc(reported, func(other Error) bool {
			return err.Key == join(key, other.Key) && err.Message == other.Message
		})
	})
}

// policy checks which identifiers are issued for.
func (v validator) policy(path string, p *Policy) {
	v.suffixes(join(path, "allow"), p.Allow)
	v.suffixes(join(path, "deny"), p.Deny)
	key := join(path, "allow_names")
	v.unique(key, p.AllowNames)
	for i, name := range p.AllowNames {
		v.dnsName(index(key, i), name)
	}
	v.prefixes(join(path, "addresses"), p.Addresses)
	v.prefixes(join(path, "deny_addresses"), p.DenyAddresses)
}

func (v validator) suffixes(key string, names []string) {
	v.unique(key, names)
	for i, name := range names {
		switch base := strings.TrimPrefix(strings.TrimPrefix(name, "*"), "."); {
		case name == "":
		case base != name:
			v.fail(index(key, i), "write it as %q: it covers the name itself and every name below it", base)
		case name == "onion": // no name by itself, but a suffix (RFC 7686)
		default:
			v.dnsName(index(key, i), name)
		}
	}
}

// dnsName checks a name in the form that orders have it in.
func (v validator) dnsName(key, name string) {
	if name == "" {
		return // reported already
	}
	id, err := acme.ParseIdentifier(acme.IdentifierDNS, name)
	switch {
	case err != nil:
		v.fail(key, "expects a domain name, such as example.com; found %q", name)
	case id.Value() != name:
		v.fail(key, "write it in lower case, as %q", id.Value())
	}
}

func (v validator) prefixes(key string, prefixes []string) {
	v.unique(key, prefixes)
	for i, s := range prefixes {
		if s == "" {
			continue
		}
		if _, err := ParsePrefix(s); err != nil {
			v.fail(index(key, i), "%s", err)
		}
	}
}

// ParsePrefix reads a range of addresses, such as 10.0.0.0/8, or one address.
func ParsePrefix(s string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		addr, err := netip.ParseAddr(s)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("expects a range of addresses, such as 10.0.0.0/8 or fd00::/8; found %q", s)
		}
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	switch {
	case prefix.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("write a range of IPv4 addresses as such, like 10.0.0.0/8; found %q", s)
	case prefix.Masked() != prefix:
		return netip.Prefix{}, fmt.Errorf("%q is not where a range of that size begins; did you mean %s?", s, prefix.Masked())
	}
	return prefix, nil
}

func (v validator) autoRenewal(path string, a *AutoRenewal) {
	v.span(join(path, "min_lifetime"), a.MinLifetime, time.Second, 398*day)
	v.span(join(path, "max_duration"), a.MaxDuration, time.Minute, 100*365*day)
	if a.MaxDuration < a.MinLifetime {
		v.fail(join(path, "max_duration"), "%s is shorter than one certificate's min_lifetime, %s", FormatDuration(a.MaxDuration), FormatDuration(a.MinLifetime))
	}
}
