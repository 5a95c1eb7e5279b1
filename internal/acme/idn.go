package acme

import (
	"strings"
	"unicode"

	"golang.org/x/net/idna"
)

// badALabel says what is wrong with a lower-case label that begins with
// "xn--"; empty: it is an A-label that IDNA2008 allows to be registered.
func badALabel(label string) string {
	u, err := idna.Registration.ToUnicode(label)
	if err != nil {
		return "the A-label is not valid under IDNA2008"
	}
	if back, err := idna.Registration.ToASCII(u); err != nil || back != label {
		return "the A-label is not the encoding of its U-label"
	}
	// The idna package follows UTS #46, which lets symbols and emoji pass
	// that IDNA2008 does not; and it has no rules for CONTEXTO characters.
	runes := []rune(u)
	for i, r := range runes {
		if !protocolValid(r) && !inContext(runes, i) {
			return "the A-label has a character that IDNA2008 does not allow (RFC 5892)"
		}
	}
	return ""
}

// protocolValid is the LetterDigits category of RFC 5892 §2.1 and the
// exceptions of §2.6. The idna package has refused what is unstable, old or
// unassigned.
func protocolValid(r rune) bool {
	switch r {
	case '-', 0x06FD, 0x06FE, 0x0F0B, 0x3007, // RFC 5892 §2.6, PVALID
		0x200C, 0x200D: // CONTEXTJ: the idna package checks them
		return true
	case 0x0640, 0x07FA, 0x302E, 0x302F, 0x3031, 0x3032, 0x3033, 0x3034, 0x3035, 0x303B: // DISALLOWED
		return false
	}
	return unicode.In(r, unicode.Ll, unicode.Lo, unicode.Lm, unicode.Mn, unicode.Mc, unicode.Nd)
}

// inContext applies the rules of RFC 5892 Appendix A.3 to A.9 to the
// character at i.
func inContext(label []rune, i int) bool {
	at := func(j int) rune {
		if j < 0 || j >= len(label) {
			return 0
		}
		return label[j]
	}
	switch label[i] {
	case 0x00B7: // middle dot
		return at(i-1) == 'l' && at(i+1) == 'l'
	case 0x0375: // Greek lower numeral sign
		return unicode.Is(unicode.Greek, at(i+1))
	case 0x05F3, 0x05F4: // Hebrew geresh, gershayim
		return unicode.Is(unicode.Hebrew, at(i-1))
	case 0x30FB: // katakana middle dot
		return strings.ContainsFunc(string(label), func(r rune) bool {
			return unicode.In(r, unicode.Hiragana, unicode.Katakana, unicode.Han)
		})
	}
	return false
}
