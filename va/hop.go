package va

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/cairn-ca/cairn/internal/acme"
)

// maxLocation is the longest Location header that is followed, in octets.
const maxLocation = 2048

// hop is one URL on the way of http-01, fit to be asked for.
type hop struct {
	url    *url.URL
	first  string // the URL that the way began at
	target target
	// from is the address that redirected here; not valid at the first hop.
	from netip.AddrPort
}

// String is the URL, quoted.
func (h hop) String() string { return quote(h.url.String()) }

// firstHop is where http-01 begins.
func (m http01) firstHop(t *try) hop {
	h := hop{target: target{port: uint16(m.HTTPPort)}}
	host := t.Identifier.Value()
	if addr := t.Identifier.Addr(); addr.IsValid() {
		h.target.addr = addr
		if addr.Is6() {
			host = "[" + host + "]"
		}
	} else {
		h.target.host = host
	}
	h.url = &url.URL{Scheme: "http", Host: host, Path: "/.well-known/acme-challenge/" + t.Token}
	h.first = h.url.String()
	return h
}

// redirect is where a Location header leads. The reason says why a CA does not
// go there.
func (m http01) redirect(from hop, locations []string) (next hop, reason string) {
	if len(locations) != 1 {
		return hop{}, "a redirect has one Location header"
	}
	if len(locations[0]) > maxLocation {
		return hop{}, "the URL is too long"
	}
	u, err := from.url.Parse(locations[0])
	if err != nil {
		return hop{}, "this is no URL"
	}
	u.Fragment, u.RawFragment = "", ""
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return hop{}, "only http and https are followed"
	case u.User != nil:
		return hop{}, "a URL with a user name or password is not followed"
	case u.Opaque != "" || u.Hostname() == "":
		return hop{}, "the URL has no host"
	case strings.ContainsFunc(u.RequestURI(), func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return hop{}, "the URL has characters that need escaping"
	}
	next = hop{url: u, first: from.first}
	if next.target.port, reason = m.redirectPort(u); reason != "" {
		return hop{}, reason
	}
	host := u.Hostname()
	if addr, err := netip.ParseAddr(host); err == nil {
		// An address of the server's choosing proves nothing about a name, nor
		// about another address.
		if from.target.addr != addr {
			return hop{}, "a redirect to an IP address is not followed"
		}
		next.target.addr = addr
		return next, ""
	}
	id, err := acme.ParseIdentifier(acme.IdentifierDNS, strings.TrimSuffix(host, "."))
	if err != nil || id.IsWildcard() {
		return hop{}, "the host is no DNS name"
	}
	next.target.host = id.Value()
	return next, ""
}

// redirectPort is the port of a URL. One that is not written is the port that
// the configuration has for 80 or 443.
func (m http01) redirectPort(u *url.URL) (port uint16, reason string) {
	if u.Port() == "" {
		if u.Scheme == "https" {
			return uint16(m.TLSPort), ""
		}
		return uint16(m.HTTPPort), ""
	}
	number, err := strconv.ParseUint(u.Port(), 10, 16)
	if err == nil {
		switch int(number) {
		case DefaultHTTPPort, DefaultTLSPort, m.HTTPPort, m.TLSPort:
			return uint16(number), ""
		}
	}
	return 0, "only the ports 80 and 443 are followed"
}
