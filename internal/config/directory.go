package config

import (
	"maps"
	"slices"
	"time"
)

// Directory is the settings that each ACME directory has its own of.
type Directory struct {
	// Public tells that the public relies on the certificates: what the
	// Baseline Requirements ask of remote perspectives holds.
	Public bool `yaml:"public"`
	EAB    EAB  `yaml:"eab"`
	// Profiles names the profiles that are offered, the default one first;
	// empty: all that the CA has.
	Profiles []string `yaml:"profiles"`
	// Challenges is the challenge types that are offered, in the order in
	// which clients see them.
	Challenges []string `yaml:"challenges"`
	// CAAIdentities is the issuer domain names that CAA records may name to
	// allow this CA (RFC 8659 §4.2); empty: the host of the external URL.
	CAAIdentities []string `yaml:"caa_identities"`
	// TermsOfService and Website are the URLs in the directory's metadata
	// (RFC 8555 §7.1.1); empty: none.
	TermsOfService string         `yaml:"terms_of_service"`
	Website        string         `yaml:"website"`
	Authorizations Authorizations `yaml:"authorizations"`
	Orders         Orders         `yaml:"orders"`
	Validation     Validation     `yaml:"validation"`
	Policy         Policy         `yaml:"policy"`
	// PreAuthorization lets clients authorize identifiers before they order
	// (RFC 8555 §7.4.1).
	PreAuthorization bool `yaml:"pre_authorization"`
	// Subdomains lets one authorization cover the names below its own
	// (RFC 9444).
	Subdomains  bool        `yaml:"subdomains"`
	AutoRenewal AutoRenewal `yaml:"auto_renewal"`
	DNSPersist  DNSPersist  `yaml:"dns_persist"`
}

// NamedDirectory is one of several directories.
type NamedDirectory struct {
	// Path is where the directory is below the external URL. Empty:
	// /directory for the one named "default", /NAME/directory for others.
	Path string `yaml:"path"`
	// Directory begins as the settings outside of the directories.
	Directory `yaml:",inline"`
}

// Policy says which identifiers a directory issues for.
type Policy struct {
	// Allow and Deny are DNS names that cover themselves and every name below.
	// With Allow or AllowNames, no other name is issued for.
	Allow []string `yaml:"allow"`
	Deny  []string `yaml:"deny"`
	// AllowNames is names that are allowed exactly as they stand.
	AllowNames []string `yaml:"allow_names"`
	Wildcards  bool     `yaml:"wildcards"`
	// PublicNamesOnly refuses names that are not below a public suffix.
	PublicNamesOnly bool `yaml:"public_names_only"`
	// WildcardsBelowPublicSuffixes allows names such as *.co.uk.
	WildcardsBelowPublicSuffixes bool `yaml:"wildcards_below_public_suffixes"`
	// Addresses and DenyAddresses are ranges of IP addresses, in CIDR form.
	// With Addresses, no other address is issued for.
	Addresses     []string `yaml:"addresses"`
	DenyAddresses []string `yaml:"deny_addresses"`
}

// AutoRenewal is certificates that the CA renews by itself (RFC 8739).
type AutoRenewal struct {
	Enabled bool `yaml:"enabled"`
	// MinLifetime is the shortest life of one certificate that can be asked
	// for.
	MinLifetime time.Duration `yaml:"min_lifetime"`
	// MaxDuration is the longest time from the first certificate to the end.
	MaxDuration time.Duration `yaml:"max_duration"`
	// AllowGet lets clients ask that anyone can fetch the certificate.
	AllowGet bool `yaml:"allow_get"`
}

// EAB is external account binding (RFC 8555 §7.3.4).
type EAB struct {
	Required bool `yaml:"required"`
}

// Authorizations is the settings of authorizations that are valid.
type Authorizations struct {
	// Lifetime is how long a valid authorization is relied on.
	Lifetime time.Duration `yaml:"lifetime"`
	// Reuse lets new orders rely on valid authorizations that the account has
	// already.
	Reuse bool `yaml:"reuse"`
}

// Orders is the settings of orders.
type Orders struct {
	// Lifetime is how long a client has to fulfil an order and its
	// authorizations.
	Lifetime time.Duration `yaml:"lifetime"`
}

// Validation is how a directory's validations are tried.
type Validation struct {
	// Retries is how often a validation that may heal is tried again
	// (RFC 8555 §8.2).
	Retries int `yaml:"retries"`
	// RetryWait is the wait before the first retry, doubled for each one
	// after it.
	RetryWait time.Duration `yaml:"retry_wait"`
	// AttestationRoots is, for each format of device-attest-01, the PEM file
	// with the roots that attestations must chain to; empty: the format is not
	// accepted.
	AttestationRoots AttestationRoots `yaml:"attestation_roots"`
	// RequireDNSSECResolver has the validations rely only on resolvers that
	// have proven to validate with DNSSEC.
	RequireDNSSECResolver bool `yaml:"require_dnssec_resolver"`
	// Perspectives is what is asked of the remote perspectives.
	Perspectives PerspectivePolicy `yaml:"perspectives"`
}

// AttestationRoots is PEM files with root certificates, by the attestation
// statement format.
type AttestationRoots struct {
	Apple      string `yaml:"apple"`
	TPM        string `yaml:"tpm"`
	AndroidKey string `yaml:"android_key"`
	Step       string `yaml:"step"`
}

// PerspectivePolicy is what a directory asks of the remote perspectives.
type PerspectivePolicy struct {
	Mode string `yaml:"mode"` // off, shadow or required
	// Regions is in how many regions those that corroborate must stand.
	Regions int `yaml:"regions"`
}

// DefaultDirectory is the name of the directory of a configuration that names
// none, and DefaultDirectoryPath its path. Accounts are stored under the name.
const (
	DefaultDirectory     = "default"
	DefaultDirectoryPath = "/directory"
)

// ServedDirectory is a directory with its name, its path filled in.
type ServedDirectory struct {
	Name string
	NamedDirectory
}

// ServedDirectories are the directories of the configuration, one at least,
// sorted by name.
func (c *Config) ServedDirectories() []ServedDirectory {
	if len(c.Directories) == 0 {
		return []ServedDirectory{{DefaultDirectory, NamedDirectory{DefaultDirectoryPath, c.Directory}}}
	}
	var served []ServedDirectory
	for _, name := range slices.Sorted(maps.Keys(c.Directories)) {
		d := c.Directories[name]
		d.Path = d.path(name)
		served = append(served, ServedDirectory{name, d})
	}
	return served
}

// path is the path of the directory of the given name.
func (d NamedDirectory) path(name string) string {
	switch {
	case d.Path != "":
		return d.Path
	case name == DefaultDirectory:
		// So that a CA that gets a second directory keeps the URLs of its
		// first: account URLs never change.
		return DefaultDirectoryPath
	}
	return "/" + name + DefaultDirectoryPath
}
