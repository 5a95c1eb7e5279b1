package va

import "strings"

// caaValue is the value of an issue or issuewild property (RFC 8659 §4.2).
type caaValue struct {
	issuer     string // empty: nobody
	parameters []caaParameter
}

type caaParameter struct{ tag, value string }

// parseCAAValue reads a value by the grammar
//
//	issue-value = *WSP [issuer-domain-name *WSP] [";" *WSP [parameters *WSP]]
//	parameters  = (parameter *WSP ";" *WSP parameters) / parameter
//	parameter   = tag *WSP "=" *WSP value
//
// and no other: a value that strays from it authorizes nobody.
func parseCAAValue(s string) (v caaValue, ok bool) {
	s = skipWSP(s)
	v.issuer, s = span(s, func(c byte) bool { return isAlphanumeric(c) || c == '-' || c == '.' })
	if v.issuer != "" {
		for label := range strings.SplitSeq(v.issuer, ".") {
			if !isCAALabel(label) {
				return caaValue{}, false
			}
		}
	}
	s = skipWSP(s)
	if s == "" {
		return v, true
	}
	if s[0] != ';' {
		return caaValue{}, false
	}
	if s = skipWSP(s[1:]); s == "" {
		return v, true
	}
	for {
		var p caaParameter
		p.tag, s = span(s, func(c byte) bool { return isAlphanumeric(c) || c == '-' })
		s = skipWSP(s)
		if !isCAALabel(p.tag) || s == "" || s[0] != '=' {
			return caaValue{}, false
		}
		p.value, s = span(skipWSP(s[1:]), func(c byte) bool { return c >= 0x21 && c <= 0x7e && c != ';' })
		v.parameters = append(v.parameters, p)
		if s = skipWSP(s); s == "" {
			return v, true
		}
		if s[0] != ';' {
			return caaValue{}, false
		}
		s = skipWSP(s[1:])
	}
}

// all are the values of the parameters with a tag, in any case.
func (v caaValue) all(tag string) []string {
	var values []string
	for _, p := range v.parameters {
		if strings.EqualFold(p.tag, tag) {
			values = append(values, p.value)
		}
	}
	return values
}

// parseValidationMethods reads the value of the validationmethods parameter
// (RFC 8657 §4).
func parseValidationMethods(s string) (methods []string, ok bool) {
	if s == "" {
		return nil, true
	}
	for method := range strings.SplitSeq(s, ",") {
		if rest := strings.TrimLeftFunc(method, func(r rune) bool { return r < 0x80 && (isAlphanumeric(byte(r)) || r == '-') }); method == "" || rest != "" {
			return nil, false
		}
		methods = append(methods, method)
	}
	return methods, true
}

// isCAALabel is (ALPHA / DIGIT) *( *("-") (ALPHA / DIGIT)).
func isCAALabel(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && s[i] != '-' {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func skipWSP(s string) string { return strings.TrimLeft(s, " \t") }

// span cuts the longest start of s whose octets satisfy f.
func span(s string, f func(byte) bool) (start, rest string) {
	i := 0
	for i < len(s) && f(s[i]) {
		i++
	}
	return s[:i], s[i:]
}
