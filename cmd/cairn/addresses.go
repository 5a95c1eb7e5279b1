package main

import (
	"net"
	"net/url"
	"strings"

	"github.com/cairn-ca/cairn/internal/config"
)

// addresses are the URLs under which the listeners are reached, known once
// the listeners are bound. They have no trailing slash.
type addresses struct {
	external string // base of ACME URLs
	public   string // base of OCSP, CRL and issuer URLs
}

// configuredAddresses takes the URLs from the configuration, and where that
// has none, from the listeners' addresses: acme and public are the bound
// addresses, or the configured ones in a process without these listeners.
func configuredAddresses(cfg *config.Config, acme, public string) addresses {
	a := addresses{
		external: strings.TrimSuffix(cfg.ExternalURL, "/"),
		public:   strings.TrimRight(cfg.PublicURL, "/"),
	}
	if a.external == "" {
		a.external = "https://" + hostPort("localhost", portOf(acme), "443")
	}
	if a.public == "" {
		host := reachable(cfg.Listen.Public)
		if host == "" {
			host = a.externalHost()
		}
		a.public = "http://" + hostPort(host, portOf(public), "80")
	}
	return a
}

// externalHost is the host name or address in the external URL.
func (a addresses) externalHost() string {
	u, err := url.Parse(a.external)
	if err != nil {
		return "" // the configuration was validated
	}
	return u.Hostname()
}

// directory is the URL of the directory at a path.
func (a addresses) directory(path string) string { return a.external + path }

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// hostPort leaves a scheme's own port out, as URLs are written.
func hostPort(host, port, usual string) string {
	if port == usual {
		if strings.Contains(host, ":") {
			return "[" + host + "]"
		}
		return host
	}
	return net.JoinHostPort(host, port)
}

// reachable is the host to write into a URL for a listener's address, or ""
// where the address is every interface's.
func reachable(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return ""
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		return ""
	}
	return strings.TrimSuffix(host, ".")
}
