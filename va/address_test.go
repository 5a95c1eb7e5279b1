package va

import (
	"net/netip"
	"testing"
)

// specialPurpose are the blocks of the IANA IPv4 and IPv6 Special-Purpose
// Address Registries as of 2025, and of the multicast registries.
var specialPurpose = []string{
	// iana-ipv4-special-registry
	"0.0.0.0/8", "0.0.0.0/32", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.0.0/29", "192.0.0.8/32", "192.0.0.9/32", "192.0.0.10/32", "192.0.0.170/32", "192.0.0.171/32",
	"192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.88.99.2/32", "192.168.0.0/16", "192.175.48.0/24",
	"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "255.255.255.255/32",
	// iana-ipv6-special-registry, but for ::ffff:0:0/96, which stands for IPv4
	"::1/128", "::/128", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64",
	"2001::/23", "2001::/32", "2001:1::1/128", "2001:1::2/128", "2001:1::3/128", "2001:2::/48", "2001:3::/32", "2001:4:112::/48",
	"2001:10::/28", "2001:20::/28", "2001:30::/28", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20", "5f00::/16",
	"fc00::/7", "fe80::/10",
	// multicast (RFC 5771, RFC 4291), site-local (RFC 3879)
	"224.0.0.0/4", "ff00::/8", "fec0::/10",
}

// Nothing in a special-purpose block counts as public, and what is right
// beside one does, unless it is in another.
func TestSpecialPurposeRegistries(t *testing.T) {
	t.Parallel()
	var blocks []netip.Prefix
	for _, s := range specialPurpose {
		blocks = append(blocks, netip.MustParsePrefix(s))
	}
	special := func(addr netip.Addr) bool {
		for _, block := range blocks {
			if block.Contains(addr) {
				return true
			}
		}
		return addr.Is6() && !netip.MustParsePrefix("2000::/3").Contains(addr) // not given out: RFC 4291 §2.4
	}
	for _, block := range blocks {
		first, last := block.Addr(), lastOf(block)
		for _, addr := range []netip.Addr{first, last} {
			if notPublic(addr) == "" {
				t.Errorf("%s of %s counts as public", addr, block)
			}
			if addr.Is4() && notPublic(netip.AddrFrom16(addr.As16())) == "" {
				t.Errorf("::ffff:%s counts as public", addr)
			}
		}
		for _, addr := range []netip.Addr{first.Prev(), last.Next()} {
			if addr.IsValid() && (notPublic(addr) == "") == special(addr) {
				t.Errorf("%s beside %s: %q", addr, block, notPublic(addr))
			}
		}
	}
}

func lastOf(p netip.Prefix) netip.Addr {
	octets := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(octets)*8; bit++ {
		octets[bit/8] |= 1 << (7 - bit%8)
	}
	addr, _ := netip.AddrFromSlice(octets)
	return addr
}
