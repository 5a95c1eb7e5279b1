// Package resolver is the form in which a configuration names the recursive
// DNS resolvers to ask.
//
//	127.0.0.1  127.0.0.1:8053  [::1]:53   UDP, and TCP where UDP won't do
//	tcp://192.0.2.1:53                    TCP alone
//	tls://dns.example:853                 DNS over TLS (RFC 7858)
//	https://dns.example/dns-query         DNS over HTTPS (RFC 8484)
//
// Without a port it is 53, 853 or 443. The last two have the server's
// certificate name its host. One that is reached at an address but has its
// certificate for a name says so after a #: tls://192.0.2.1#dns.example.
package resolver

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Transport is how a resolver is asked.
type Transport string

// The transports.
const (
	Plain Transport = "plain" // UDP, then TCP
	TCP   Transport = "tcp"
	TLS   Transport = "tls"
	HTTPS Transport = "https"
)

var defaultPorts = map[Transport]uint16{Plain: 53, TCP: 53, TLS: 853, HTTPS: 443}

// Endpoint is where and how a resolver is asked. The zero value is none.
type Endpoint struct {
	Transport Transport
	// Host is an IP address or, with TLS and HTTPS, a host name.
	Host string
	Port uint16
	// ServerName is whom the server's certificate must name, and the Host of
	// HTTPS requests; empty with Plain and TCP.
	ServerName string
	// Path is the request target of HTTPS.
	Path string
}

// Parse reads one entry of a configuration.
func Parse(s string) (Endpoint, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return address(Plain, s)
	}
	switch scheme {
	case "tcp":
		return address(TCP, rest)
	case "tls", "https":
		return secured(Transport(scheme), s)
	}
	return Endpoint{}, fmt.Errorf("expects the address of a resolver such as 127.0.0.1:8053, tls://HOST:853 or https://HOST/dns-query; found %q", s)
}

// address reads what can only be an IP address: the names of resolvers would
// be looked up by whom?
func address(t Transport, s string) (Endpoint, error) {
	bare := s
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		bare = s[1 : len(s)-1]
	}
	if addr, err := netip.ParseAddr(bare); err == nil {
		return Endpoint{Transport: t, Host: addr.String(), Port: defaultPorts[t]}, nil
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil || ap.Port() == 0 {
		return Endpoint{}, fmt.Errorf("expects the IP address of a resolver, with or without its port, such as 127.0.0.1:8053; found %q", s)
	}
	return Endpoint{Transport: t, Host: ap.Addr().String(), Port: ap.Port()}, nil
}

// secured reads the URL of a resolver that is reached over TLS.
func secured(t Transport, s string) (Endpoint, error) {
	example := "tls://dns.example:853"
	if t == HTTPS {
		example = "https://dns.example/dns-query"
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Opaque != "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || len(s) > 1024 {
		return Endpoint{}, fmt.Errorf("expects a URL such as %s; found %q", example, s)
	}
	e := Endpoint{Transport: t, Host: u.Hostname(), Port: defaultPorts[t]}
	addr, notAddress := netip.ParseAddr(e.Host)
	if notAddress == nil {
		e.Host = addr.String()
	} else if !isHostName(e.Host) {
		return Endpoint{}, fmt.Errorf("%q is neither a host name nor an IP address, in %q", e.Host, s)
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return Endpoint{}, fmt.Errorf("%q is not a port, in %q; expects a number from 1 to 65535", port, s)
		}
		e.Port = uint16(n)
	}
	e.ServerName = u.Fragment
	switch {
	case e.ServerName == "":
		e.ServerName = e.Host
	case notAddress != nil:
		return Endpoint{}, fmt.Errorf("the name after # is for a resolver at an IP address; take it out of %q", s)
	case !isHostName(e.ServerName):
		return Endpoint{}, fmt.Errorf("%q, after #, is not a host name, in %q", e.ServerName, s)
	}
	switch path := u.EscapedPath(); {
	case t == HTTPS && (path == "" || path == "/"):
		return Endpoint{}, fmt.Errorf("expects the path of the resolver, most often https://%s/dns-query; found %q", u.Host, s)
	case t == HTTPS:
		e.Path = path
	case path != "" && path != "/":
		return Endpoint{}, fmt.Errorf("expects a URL without a path, such as %s; found %q", example, s)
	}
	return e, nil
}

func isHostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
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

// Address is host:port.
func (e Endpoint) Address() string {
	return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
}

// Loopback tells whether the resolver is on this machine.
func (e Endpoint) Loopback() bool {
	addr, err := netip.ParseAddr(e.Host)
	return err == nil && addr.Unmap().IsLoopback()
}

// String is the endpoint as Parse reads it, with its port.
func (e Endpoint) String() string {
	if e.Transport == Plain {
		return e.Address()
	}
	s := string(e.Transport) + "://" + e.Address() + e.Path
	if e.ServerName != "" && e.ServerName != e.Host {
		s += "#" + e.ServerName
	}
	return s
}
