package config

import (
	"regexp"
	"slices"
	"time"
)

// Profile is the settings of one certificate profile. What is left out is as
// in the built-in profile "default".
type Profile struct {
	// Description is what clients read in the directory's metadata.
	Description string `yaml:"description"`
	// Validity is the validity period of certificates.
	Validity time.Duration `yaml:"validity"`
	// Backdate is how long before its issuance a certificate becomes valid.
	Backdate time.Duration `yaml:"backdate"`
	// KeyTypes is the kinds of public keys that are certified.
	KeyTypes []string `yaml:"key_types"`
	// MaxNames bounds the identifiers in one certificate.
	MaxNames int `yaml:"max_names"`
}

var profileName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func (v validator) ca(c *CA) {
	if c.CRLShards < 1 || c.CRLShards > 65536 {
		v.fail("ca.crl_shards", "expects a number from 1 to 65536; found %d", c.CRLShards)
	}
	v.span("ca.crl_lifetime", c.CRLLifetime, time.Minute, 365*day)
	v.span("ca.crl_delay", c.CRLDelay, 0, 24*time.Hour)
	v.span("ca.ocsp_lifetime", c.OCSPLifetime, time.Minute, 365*day)
	names := make([]string, 0, len(c.Profiles))
	for name := range c.Profiles {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		v.profile(name, c.Profiles[name])
	}
}

func (v validator) profile(name string, p Profile) {
	path := "ca.profiles." + name
	if !profileName.MatchString(name) {
		v.fail(path, "%q is not a name for a profile; use letters, digits, dots, hyphens and underscores", name)
	}
	_ = p
}
