package ceremony

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// check finds what is wrong with a plan before anything is made. The error
// says everything.
func (p *Plan) check() error {
	c := checker{files: map[string]string{strings.ToLower(TranscriptFile): "the transcript"}, signs: map[string]bool{}, certificates: map[string]bool{}}
	for _, e := range p.Existing {
		c.name(e.Name)
		c.certificates[e.Name] = true
		if e.Key != nil {
			c.signs[e.Name] = true
			c.place(e.Name, *e.Key)
		}
	}
	for _, r := range p.Roots {
		c.ca(r)
		if r.Issuer != "" {
			c.fail(r.Name, "a root has no issuer; make it an intermediate")
		}
	}
	for _, i := range p.Intermediates {
		c.ca(i)
	}
	for _, x := range p.CrossCertificates {
		c.name(x.Name)
		c.file(x.Name, x.File)
		c.validity(x.Name, x.Validity)
		c.certificates[x.Name] = true
	}
	for _, s := range p.OCSPSigners {
		c.name(s.Name)
		c.file(s.Name, s.File)
		c.newKey(s.Name, s.Key)
		c.validity(s.Name, s.Validity)
	}
	for _, l := range p.CRLs {
		c.name(l.Name)
		c.file(l.Name, l.File)
		c.validity(l.Name, l.Validity)
		if l.Number < 1 {
			c.fail(l.Name, "a CRL has a number, greater than that of the one before; 1 for the first")
		}
	}
	for _, ch := range p.Chains {
		c.name(ch.Name)
		c.file(ch.Name, ch.File)
	}
	c.references(p)
	if len(p.Roots)+len(p.Intermediates)+len(p.CrossCertificates)+len(p.OCSPSigners)+len(p.CRLs) == 0 {
		c.errs = append(c.errs, errors.New("the plan makes nothing; name roots, intermediates, cross_certificates, ocsp_signers or crls"))
	}
	return errors.Join(c.errs...)
}

type checker struct {
	names        []string
	files        map[string]string // lower-case path to the artefact whose it is
	signs        map[string]bool   // CAs whose key is at hand
	certificates map[string]bool   // what a chain can have
	errs         []error
}

func (c *checker) fail(name, format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("%s: %w", name, fmt.Errorf(format, args...)))
}

func (c *checker) name(name string) {
	if slices.Contains(c.names, name) {
		c.fail(name, "two things have this name; give each its own")
	}
	c.names = append(c.names, name)
}

func (c *checker) ca(a CA) {
	c.name(a.Name)
	c.file(a.Name, a.File)
	c.newKey(a.Name, a.Key)
	c.validity(a.Name, a.Validity)
	c.signs[a.Name], c.certificates[a.Name] = true, true
	if a.Subject.CommonName == "" || len(a.Subject.Organization) == 0 {
		c.fail(a.Name, "the subject of a CA has a common name and an organization")
	}
}

// file claims a path below the folder. Paths that differ in case alone are one
// on some file systems.
func (c *checker) file(name, path string) {
	if !filepath.IsLocal(path) || filepath.Clean(path) != path || path == "." {
		c.fail(name, "the file %q is not a path below the ceremony's folder", path)
		return
	}
	if other, taken := c.files[strings.ToLower(path)]; taken {
		c.fail(name, "the file %q is that of %s already", path, other)
		return
	}
	c.files[strings.ToLower(path)] = name
}

func (c *checker) newKey(name string, k Key) {
	if c.place(name, k); k.File != "" {
		c.file(name, k.File)
	}
}

func (c *checker) place(name string, k Key) {
	if (k.File == "") == (k.PKCS11 == "") {
		c.fail(name, "a key is in a file or on a PKCS#11 token; name one of them")
	}
}

func (c *checker) validity(name string, v Validity) {
	if v.For < time.Minute {
		c.fail(name, "say how long it is valid")
	}
}

func (c *checker) references(p *Plan) {
	issuer := func(name, issuer string) {
		switch {
		case c.signs[issuer]:
		case slices.Contains(c.names, issuer):
			c.fail(name, "its issuer, %s, has no key in this plan", issuer)
		default:
			c.fail(name, "its issuer, %q, is not in the plan", issuer)
		}
	}
	for _, i := range p.Intermediates {
		issuer(i.Name, i.Issuer)
	}
	for _, x := range p.CrossCertificates {
		issuer(x.Name, x.Issuer)
		if !c.certificates[x.Of] {
			c.fail(x.Name, "the CA that it certifies, %q, is not in the plan", x.Of)
		}
		if x.Of == x.Issuer {
			c.fail(x.Name, "a CA does not cross-certify itself")
		}
	}
	for _, s := range p.OCSPSigners {
		issuer(s.Name, s.Issuer)
	}
	for _, l := range p.CRLs {
		issuer(l.Name, l.Issuer)
	}
	for _, ch := range p.Chains {
		if len(ch.Certificates) == 0 {
			c.fail(ch.Name, "a chain has certificates")
		}
		for _, name := range ch.Certificates {
			if !c.certificates[name] {
				c.fail(ch.Name, "the certificate %q is not in the plan", name)
			}
		}
	}
}
