package config

import (
	"regexp"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

// perspectiveName fits a DNS label behind "perspective-".
var perspectiveName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

func (v validator) perspectives(c *VA) {
	taken := map[string]bool{}
	for i, p := range c.Perspectives {
		key := index("va.perspectives", i)
		switch {
		case !perspectiveName.MatchString(p.Name):
			v.fail(join(key, "name"), "%q is no name for a perspective: use 1 to 32 lower-case letters, digits and hyphens", p.Name)
		case taken[p.Name]:
			v.fail(join(key, "name"), "another perspective has the name %s already; give each its own", p.Name)
		}
		taken[p.Name] = true
		if _, err := acme.ParseRegion(p.Region); err != nil {
			v.fail(join(key, "region"), "%s", err)
		}
		if len(p.Addresses) == 0 {
			v.fail(key, "name one address at least, as in addresses: [10.1.2.3:9010]")
		}
		v.unique(join(key, "addresses"), p.Addresses)
		for n, address := range p.Addresses {
			v.hostPort(index(join(key, "addresses"), n), address, false)
		}
	}
	v.span("va.perspective_wait", c.PerspectiveWait, time.Millisecond, time.Minute)
}

// perspectivePolicy checks what a directory asks of perspectives. Whether
// there are enough of them, the validation authority finds out: it alone has
// va.perspectives.
func (v validator) perspectivePolicy(path string, d *Directory) {
	p := d.Validation.Perspectives
	key := join(path, "validation.perspectives")
	v.oneOf(join(key, "mode"), p.Mode, "off", "shadow", "required")
	if most := len(acme.Regions); p.Regions < 1 || p.Regions > most {
		v.fail(join(key, "regions"), "expects a number from 1 to %d; found %d", most, p.Regions)
	}
	if d.Public && p.Mode != "required" {
		// Baseline Requirements §3.2.2.9.
		v.fail(join(path, "public"), "a public directory needs remote perspectives; set validation.perspectives.mode to required, and name them in va.perspectives")
	}
}
