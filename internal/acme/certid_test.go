package acme

import (
	"errors"
	"testing"
)

func TestCertID(t *testing.T) {
	t.Parallel()
	// The example of RFC 9773 §4.1: serial 00:87:65:43:21.
	const example = "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
	id, err := ParseCertID(example)
	if err != nil {
		t.Fatal(err)
	}
	if id.Serial().String() != "87654321" || len(id.AuthorityKeyID()) != 20 || id.String() != example {
		t.Errorf("got serial %s, key identifier %x, %s", id.Serial(), id.AuthorityKeyID(), id)
	}
	if NewCertID(id.AuthorityKeyID(), id.Serial()) != id {
		t.Errorf("NewCertID makes another")
	}
	for _, bad := range []string{
		"", ".", "aYhb", "aYhb.", ".AIdl", "aYhb.AIdl.AIdl", "aYhb=.AIdlQyE", "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE=",
		"aYhb.h2VDIQ",    // serial without its leading zero: negative
		"aYhb.AABl",      // one zero too many
		"aYhb.AA",        // zero
		"aY+b.AIdlQyE",   // standard base64
		"aYhb.AIdlQyE\n", // line break
		"aYhb.AIdlQyF",   // stray bits
		"aYhb.AP________________________________", // longer than any serial
	} {
		_, err := ParseCertID(bad)
		var p *Problem
		if !errors.As(err, &p) || p.Type != Malformed {
			t.Errorf("ParseCertID(%q): %v, want malformed", bad, err)
		}
	}
}

func FuzzParseCertID(f *testing.F) {
	f.Add("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE")
	f.Add("AA.AQ")
	f.Add(".")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := ParseCertID(s); err == nil && id.String() != s {
			t.Errorf("%q came back as %q", s, id)
		}
	})
}
