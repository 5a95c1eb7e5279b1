package dns

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

const (
	// maxExtendedErrors is how many of a resolver's explanations are shown,
	// maxExtraText how many octets of the text of each.
	maxExtendedErrors = 3
	maxExtraText      = 300
)

// extendedError is what the resolver says about its answer (RFC 8914), for a
// person, printable and bounded; empty if it says nothing.
func extendedError(m *dns.Msg) string {
	opt := m.IsEdns0()
	if opt == nil {
		return ""
	}
	var said []string
	for _, option := range opt.Option {
		ede, ok := option.(*dns.EDNS0_EDE)
		if !ok {
			continue
		}
		if len(said) == maxExtendedErrors {
			said = append(said, "and more")
			break
		}
		s := fmt.Sprintf("EDE %d", ede.InfoCode)
		if name := dns.ExtendedErrorCodeToString[ede.InfoCode]; name != "" {
			s += " " + name
		}
		if ede.ExtraText != "" {
			s += ": " + printableUpTo(maxExtraText, ede.ExtraText)
		}
		said = append(said, s)
	}
	return strings.Join(said, "; ")
}
