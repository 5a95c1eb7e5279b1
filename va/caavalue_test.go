package va

import (
	"slices"
	"strings"
	"testing"
)

func TestParseCAAValue(t *testing.T) {
	t.Parallel()
	p := func(pairs ...string) (parameters []caaParameter) {
		for pair := range slices.Chunk(pairs, 2) {
			parameters = append(parameters, caaParameter{pair[0], pair[1]})
		}
		return parameters
	}
	for _, c := range []struct {
		value      string
		ok         bool
		issuer     string
		parameters []caaParameter
	}{
		{"", true, "", nil},
		{" \t", true, "", nil},
		{";", true, "", nil},
		{" ; ", true, "", nil},
		{"ca.example", true, "ca.example", nil},
		{" ca.example\t", true, "ca.example", nil},
		{"ca.example;", true, "ca.example", nil},
		{"c-a.example ; a=b", true, "c-a.example", p("a", "b")},
		{"ca.example; a = b ;c=", true, "ca.example", p("a", "b", "c", "")},
		{"ca.example; a=b=c:/?", true, "ca.example", p("a", "b=c:/?")},
		{"; a=b", true, "", p("a", "b")},
		{"localca", true, "localca", nil},
		{"ca.example; a=b;", false, "", nil},
		{"ca.example;;", false, "", nil},
		{"ca.example; a", false, "", nil},
		{"ca.example; =b", false, "", nil},
		{"ca.example; -a=b", false, "", nil},
		{"ca.example; a-=b", false, "", nil},
		{"ca.example; a_b=c", false, "", nil},
		{"ca.example; a=b c", false, "", nil},
		{"ca.example; a=b\x00", false, "", nil},
		{"ca.example; a=\u00fc", false, "", nil},
		{"ca.example a=b", false, "", nil},
		{"ca..example", false, "", nil},
		{".ca.example", false, "", nil},
		{"ca.example.", false, "", nil},
		{"-ca.example", false, "", nil},
		{"ca-.example", false, "", nil},
		{"c_a.example", false, "", nil},
		{"ca.example\n", false, "", nil},
		{"\"ca.example\"", false, "", nil},
	} {
		v, ok := parseCAAValue(c.value)
		if ok != c.ok || v.issuer != c.issuer || !slices.Equal(v.parameters, c.parameters) {
			t.Errorf("%q: %+v %v", c.value, v, ok)
		}
	}
}

func FuzzCAAValue(f *testing.F) {
	for _, s := range []string{"", ";", "ca.example", "ca.example; a=b; c = d", "ca.example; validationmethods=dns-01,http-01", "ca.example;", "; x=", " \tca ; a=b;", "a\x00b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, ok := parseCAAValue(s)
		if !ok {
			if v.issuer != "" || v.parameters != nil {
				t.Errorf("%q is malformed, and yet %+v", s, v)
			}
			return
		}
		// What was understood, written in the plainest way, means the same.
		plain := v.issuer
		for _, p := range v.parameters {
			plain += ";" + p.tag + "=" + p.value
		}
		again, ok := parseCAAValue(plain)
		if !ok || again.issuer != v.issuer || !slices.Equal(again.parameters, v.parameters) {
			t.Errorf("%q is %+v, but %q is %+v", s, v, plain, again)
		}
		// And it has all that was written but white space.
		squeeze := strings.NewReplacer(" ", "", "\t", "")
		if got := squeeze.Replace(plain); got != squeeze.Replace(s) && got+";" != squeeze.Replace(s) {
			t.Errorf("%q was read as %q", s, plain)
		}
		for _, list := range v.all("validationmethods") {
			if methods, ok := parseValidationMethods(list); ok && strings.Join(methods, ",") != list {
				t.Errorf("%q was read as %q", list, methods)
			}
		}
	})
}
