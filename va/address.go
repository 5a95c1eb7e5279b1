package va

import "net/netip"

// reserved are the blocks that no validation connects to for a public CA, with
// the reason: every entry of the IANA special-purpose address registries
// (RFC 6890), also of those that are globally reachable, as the Baseline
// Requirements define a reserved IP address (§1.6.1); multicast; and what
// translates to IPv4 addresses that can't be told from here.
var reserved = []struct {
	prefix netip.Prefix
	reason string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "of this network"},           // RFC 791
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},                  // RFC 1918
	{netip.MustParsePrefix("100.64.0.0/10"), "shared (CGNAT)"},        // RFC 6598
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},                // RFC 1122
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},           // RFC 3927
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},               // RFC 1918
	{netip.MustParsePrefix("192.0.0.0/24"), "reserved for protocols"}, // RFC 6890
	{netip.MustParsePrefix("192.0.2.0/24"), "for documentation"},      // RFC 5737
	{netip.MustParsePrefix("192.31.196.0/24"), "an AS112 sink's"},     // RFC 7535
	{netip.MustParsePrefix("192.52.193.0/24"), "an AMT relay's"},      // RFC 7450
	{netip.MustParsePrefix("192.88.99.0/24"), "a 6to4 relay's"},       // RFC 7526
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},              // RFC 1918
	{netip.MustParsePrefix("192.175.48.0/24"), "an AS112 sink's"},     // RFC 7534
	{netip.MustParsePrefix("198.18.0.0/15"), "for benchmarks"},        // RFC 2544
	{netip.MustParsePrefix("198.51.100.0/24"), "for documentation"},   // RFC 5737
	{netip.MustParsePrefix("203.0.113.0/24"), "for documentation"},    // RFC 5737
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},               // RFC 5771
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},                // RFC 1112, RFC 919
	{netip.MustParsePrefix("::/128"), "unspecified"},                  // RFC 4291
	{netip.MustParsePrefix("::1/128"), "loopback"},                    // RFC 4291
	{netip.MustParsePrefix("64:ff9b::/96"), "translated (NAT64)"},     // RFC 6052
	{netip.MustParsePrefix("64:ff9b:1::/48"), "translated (NAT64)"},   // RFC 8215
	{netip.MustParsePrefix("2001::/32"), "translated (Teredo)"},       // RFC 4380
	{netip.MustParsePrefix("2001::/23"), "reserved for protocols"},    // RFC 2928; ORCHID, AMT, AS112
	{netip.MustParsePrefix("2001:db8::/32"), "for documentation"},     // RFC 3849
	{netip.MustParsePrefix("2002::/16"), "translated (6to4)"},         // RFC 3056
	{netip.MustParsePrefix("2620:4f:8000::/48"), "an AS112 sink's"},   // RFC 7534
	{netip.MustParsePrefix("3fff::/20"), "for documentation"},         // RFC 9637
	{netip.MustParsePrefix("fc00::/7"), "private (unique local)"},     // RFC 4193
	{netip.MustParsePrefix("fe80::/10"), "link-local"},                // RFC 4291
	{netip.MustParsePrefix("fec0::/10"), "private (site-local)"},      // RFC 3879
	{netip.MustParsePrefix("ff00::/8"), "multicast"},                  // RFC 4291
}

// globalUnicast is what IANA gives out of IPv6; all else is reserved
// (RFC 4291 §2.4).
var globalUnicast = netip.MustParsePrefix("2000::/3")

// notPublic says what an address is, when it is not one on the public
// Internet; empty: it is.
func notPublic(addr netip.Addr) string {
	addr = addr.Unmap()
	if !addr.IsValid() || addr.Zone() != "" {
		return "not an address of its own"
	}
	for _, block := range reserved {
		if block.prefix.Contains(addr) {
			return block.reason
		}
	}
	if addr.Is6() && !globalUnicast.Contains(addr) {
		return "reserved"
	}
	return ""
}
