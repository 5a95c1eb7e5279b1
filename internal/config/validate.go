package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/resolver"
)

// validator checks a decoded configuration and notes what is wrong with the
// line that the key stood on.
type validator struct{ *decoder }

func (v validator) fail(key, format string, args ...any) {
	v.decoder.fail(v.lines[key], key, format, args...)
}

func (v validator) config(c *Config) {
	if c.Data == "" {
		v.fail("data", "name a folder, such as ./cairn-data")
	}
	v.listeners(&c.Listen)
	v.externalURL("external_url", c.ExternalURL)
	v.publicURL("public_url", c.PublicURL)
	v.store(&c.Store)
	v.directory("", &c.Directory)
	if len(c.Directories) == 0 {
		v.issuerNames("", c, &c.Directory)
	}
	v.directories(c)
	v.va(&c.VA)
	v.ca(&c.CA)
	v.span("answer_wait", c.AnswerWait, 0, time.Minute)
	v.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	v.oneOf("log.format", c.Log.Format, "text", "json")
	v.span("shutdown_timeout", c.ShutdownTimeout, 0, time.Hour)
	v.rpc(&c.RPC)
}

func (v validator) listeners(l *Listen) {
	taken := map[string]string{}
	for _, listener := range []struct{ key, address string }{
		{"listen.acme", l.ACME}, {"listen.public", l.Public}, {"listen.admin", l.Admin},
	} {
		if !v.hostPort(listener.key, listener.address, true) || strings.HasSuffix(listener.address, ":0") {
			continue
		}
		if other, ok := taken[listener.address]; ok {
			v.fail(listener.key, "%s is the address of %s already; give each listener its own port", listener.address, other)
		}
		taken[listener.address] = listener.key
	}
}

// hostPort checks host:port; anyPort admits port 0 and an empty host.
func (v validator) hostPort(key, address string, anyPort bool) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		v.fail(key, "expects host:port, such as 127.0.0.1:14000; found %q", address)
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 && !anyPort {
		v.fail(key, "%q is not a port; expects a number from %d to 65535", port, map[bool]int{true: 0, false: 1}[anyPort])
		return false
	}
	if host == "" && !anyPort {
		v.fail(key, "expects host:port; the host is missing in %q", address)
		return false
	}
	if host != "" && !validHost(host) {
		v.fail(key, "%q is neither a host name nor an IP address", host)
		return false
	}
	return true
}

// validHost accepts an IP address or a host name.
func validHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return true
}

// base checks the URL that others are built on.
func (v validator) base(key, value, scheme, example string) *url.URL {
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "" || !validHost(u.Hostname()):
		v.fail(key, "expects a URL such as %s; found %q", example, value)
	case u.Scheme != scheme:
		v.fail(key, "must begin with %s://, as in %s; found %q", scheme, example, value)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		v.fail(key, "must have neither a user, a query nor a fragment; found %q", u.Redacted())
	case u.Port() != "" && !validPort(u.Port()):
		v.fail(key, "%q is not a port; expects a number from 1 to 65535", u.Port())
	default:
		return u
	}
	return nil
}

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

func (v validator) externalURL(key, value string) {
	if value == "" {
		return
	}
	// RFC 8555 §6.1: an ACME server is reached over HTTPS only.
	u := v.base(key, value, "https", "https://acme.example.com")
	if u != nil && u.Path != "" && u.Path != "/" {
		v.fail(key, "must have no path: clients find the directory at /directory below it; found %q", value)
	}
}

func (v validator) publicURL(key, value string) {
	if value == "" {
		return
	}
	// RFC 5280 §8: a relying party that checks the server's certificate to
	// fetch a CRL would need that CRL first.
	v.base(key, value, "http", "http://pki.example.com")
}

// postgresURL checks a URL that store.password_file may go with. It is not
// repeated: it may hold a password.
func (v validator) postgresURL(key, value, passwordFile string) {
	u, err := url.Parse(value)
	if err != nil || u.Opaque != "" {
		v.fail(key, "is not a PostgreSQL URL; expects postgres://USER@HOST:PORT/DATABASE")
	} else if _, has := u.User.Password(); has && passwordFile != "" {
		v.fail("store.password_file", "%s has a password as well; take it out of the URL", key)
	} else if u.User.Username() == "" && passwordFile != "" {
		v.fail("store.password_file", "%s must name the user that the password is for, as in postgres://USER@HOST:PORT/DATABASE", key)
	}
}

func (v validator) store(s *Store) {
	if s.ReplicaURL != "" {
		if scheme, _, _ := strings.Cut(s.ReplicaURL, ":"); scheme != "postgres" && scheme != "postgresql" {
			v.fail("store.replica_url", "expects postgres://USER@HOST:PORT/DATABASE")
		} else {
			v.postgresURL("store.replica_url", s.ReplicaURL, s.PasswordFile)
		}
	}
	if s.URL == "" {
		if s.PasswordFile != "" && s.ReplicaURL == "" {
			v.fail("store.password_file", "is for PostgreSQL only; set store.url to a postgres:// URL, or leave it out")
		}
		return
	}
	scheme, rest, _ := strings.Cut(s.URL, ":")
	switch scheme {
	case "sqlite":
		if rest == "" {
			v.fail("store.url", "name the file, as in sqlite:/var/lib/cairn/cairn.db")
		}
		if s.PasswordFile != "" {
			v.fail("store.password_file", "is for PostgreSQL only; leave it out with SQLite")
		}
	case "postgres", "postgresql":
		v.postgresURL("store.url", s.URL, s.PasswordFile)
	default:
		// The value may hold a password: it is not repeated.
		v.fail("store.url", "expects postgres://USER@HOST:PORT/DATABASE or sqlite:PATH")
	}
}

// link checks a URL that is only shown to people.
func (v validator) link(key, value string) {
	if value == "" {
		return
	}
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		v.fail(key, "expects a URL such as https://example.com/terms; found %q", value)
	}
}

func (v validator) va(c *VA) {
	for i, entry := range c.Resolvers {
		if _, err := resolver.Parse(entry); err != nil {
			v.fail(index("va.resolvers", i), "%s", err)
		}
	}
	v.span("va.resolver_timeout", c.ResolverTimeout, 10*time.Millisecond, time.Minute)
	if c.ResolverAttempts < 1 || c.ResolverAttempts > 10 {
		v.fail("va.resolver_attempts", "expects a number from 1 to 10; found %d", c.ResolverAttempts)
	}
	v.dnssecProbe(&c.DNSSECProbe)
	for _, port := range []struct {
		key    string
		number int
	}{{"va.http_port", c.HTTPPort}, {"va.tls_port", c.TLSPort}} {
		if port.number < 1 || port.number > 65535 {
			v.fail(port.key, "expects a port from 1 to 65535; found %d", port.number)
		}
	}
	v.span("va.timeout", c.Timeout, 100*time.Millisecond, 5*time.Minute)
	for _, bound := range []struct {
		key    string
		number int
	}{{"va.max_in_flight", c.MaxInFlight}, {"va.max_per_account", c.MaxPerAccount}, {"va.max_per_address", c.MaxPerAddress}} {
		if bound.number < 1 || bound.number > 1_000_000 {
			v.fail(bound.key, "expects a number from 1 to 1000000; found %d", bound.number)
		}
	}
	v.perspectives(c)
}

func (v validator) dnssecProbe(p *DNSSECProbe) {
	for _, list := range []struct {
		key   string
		names []string
	}{{"va.dnssec_probe.secure", p.Secure}, {"va.dnssec_probe.bogus", p.Bogus}} {
		if len(list.names) == 0 {
			v.fail(list.key, "name one at least, or leave the key out")
		}
		v.unique(list.key, list.names)
		for i, name := range list.names {
			if name != "" && name != "." && !validHost(name) {
				v.fail(index(list.key, i), "expects a domain name; found %q", name)
			}
		}
	}
	v.span("va.dnssec_probe.interval", p.Interval, 100*time.Millisecond, day)
	v.span("va.dnssec_probe.max_age", p.MaxAge, 100*time.Millisecond, day)
	if p.MaxAge < p.Interval {
		v.fail("va.dnssec_probe.max_age", "%s is shorter than the time from one probe to the next, %s", FormatDuration(p.MaxAge), FormatDuration(p.Interval))
	}
}

func (v validator) rpc(r *RPC) {
	if r.Listen != "" {
		v.hostPort("rpc.listen", r.Listen, true)
	}
	if !validHost(r.Domain) {
		v.fail("rpc.domain", "expects a domain name, such as cairn.internal; found %q", r.Domain)
	}
	for _, service := range []struct {
		name               string
		addresses, clients []string
	}{
		{"ra", r.Services.RA, r.Clients.RA}, {"va", r.Services.VA, r.Clients.VA},
		{"ca", r.Services.CA, r.Clients.CA}, {"sa", r.Services.SA, r.Clients.SA},
		{"perspective", nil, r.Clients.Perspective},
	} {
		key := "rpc.services." + service.name
		v.unique(key, service.addresses)
		for i, address := range service.addresses {
			v.hostPort(index(key, i), address, false)
		}
		key = "rpc.clients." + service.name
		v.unique(key, service.clients)
		for i, name := range service.clients {
			if !validHost(name) {
				v.fail(index(key, i), "expects a DNS name from the client's certificate, such as wfe.cairn.internal; found %q", name)
			}
		}
	}
}

func (v validator) oneOf(key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		v.fail(key, "expects one of %s; found %q", strings.Join(allowed, ", "), value)
	}
}

// span checks that a duration lies between two bounds, both included.
func (v validator) span(key string, d, least, most time.Duration) {
	if d < least || d > most {
		v.fail(key, "expects a time from %s to %s; found %s", FormatDuration(least), FormatDuration(most), FormatDuration(d))
	}
}

func (v validator) unique(key string, values []string) {
	for i, value := range values {
		if value == "" {
			v.fail(index(key, i), "is empty")
		} else if slices.Contains(values[:i], value) {
			v.fail(index(key, i), "%q is listed twice", value)
		}
	}
}

func index(key string, i int) string { return fmt.Sprintf("%s[%d]", key, i) }
