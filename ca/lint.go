package ca

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zmap/zcrypto/x509"
	_ "github.com/zmap/zlint/v3" // it registers the lints
	"github.com/zmap/zlint/v3/lint"

	"github.com/cairn-ca/cairn/ca/key"
)

// LintPolicy says which lints a profile's certificates must pass.
type LintPolicy struct {
	// PrivateNames leaves out the lints that want names and addresses to be
	// public ones: a private CA certifies what is its own.
	PrivateNames bool
	// Exclude names further zlint lints that are not run.
	Exclude []string
	// Warnings stop an issuance too, not errors alone.
	Warnings bool
}

// privateNameLints are those that PrivateNames leaves out.
var privateNameLints = []string{
	"e_dnsname_not_valid_tld",
	"e_subject_contains_reserved_ip",
	"e_ext_san_contains_reserved_ip",
	"e_subject_contains_reserved_arpa_ip",
	"e_san_dns_name_onion_not_ev_cert",
	"w_dnsname_underscore_in_trd",
}

// lintSources are zlint's sources of rules for certificates of TLS servers and
// clients. The others are about EV, S/MIME, code signing and eIDAS.
var lintSources = lint.SourceList{
	lint.RFC3279, lint.RFC5280, lint.RFC5480, lint.RFC5891, lint.RFC6962, lint.RFC8813,
	lint.CABFBaselineRequirements, lint.MozillaRootStorePolicy, lint.AppleRootStorePolicy, lint.Community,
}

func (p LintPolicy) validate() error {
	for _, name := range p.Exclude {
		if lint.GlobalRegistry().CertificateLints().ByName(name) == nil {
			return fmt.Errorf("zlint has no lint %q", name)
		}
	}
	return nil
}

// issuerLints ask whether the issuer's key is one that is known to be lost, by
// verifying the signature with it. On a certificate signed with a throwaway
// key that says nothing, and a public key operation per certificate is most of
// what linting costs.
var issuerLints = []string{"e_cert_issued_by_compromised_emudhra_ca"}

// smallKeyLint finds EC keys whose private key is a small number: the client's
// doing, not the profile's.
const smallKeyLint = "e_ecdsa_small_private_key"

// linter runs the lints of one policy.
type linter struct {
	lints         []*lint.CertificateLint
	configuration lint.Configuration
	fails         lint.LintStatus // from this status on
}

func newLinter(p LintPolicy) (*linter, error) {
	exclude := slices.Concat(p.Exclude, issuerLints)
	if p.PrivateNames {
		exclude = append(exclude, privateNameLints...)
	}
	registry, err := lint.GlobalRegistry().Filter(lint.FilterOptions{IncludeSources: lintSources, ExcludeNames: exclude})
	if err != nil {
		return nil, fmt.Errorf("choosing lints: %w", err)
	}
	l := &linter{lints: registry.CertificateLints().Lints(), configuration: registry.GetConfiguration(), fails: lint.Error}
	if p.Warnings {
		l.fails = lint.Warn
	}
	return l, nil
}

// finding is what a lint found.
type finding struct {
	Lint    string
	Status  lint.LintStatus
	Details string
}

func (f finding) String() string {
	if f.Details == "" {
		return f.Lint
	}
	return f.Lint + " (" + f.Details + ")"
}

// lintError is a certificate that must not be signed.
type lintError struct{ findings []finding }

func (e *lintError) Error() string {
	texts := make([]string, len(e.findings))
	for i, f := range e.findings {
		texts[i] = f.String()
	}
	return "the certificate would break the rules: " + strings.Join(texts, "; ")
}

// check lints a to-be-signed certificate. So that a parser takes it for a
// certificate, it is signed with the issuer's throwaway key.
func (l *linter) check(tbs []byte, iss *issuer, sign func([]byte) ([]byte, error)) error {
	signature, err := sign(tbs)
	if err != nil {
		return fmt.Errorf("signing with a throwaway key: %w", err)
	}
	der, err := key.Envelope(tbs, iss.algorithm, signature)
	if err != nil {
		return err
	}
	return l.checkCertificate(der)
}

func (l *linter) checkCertificate(der []byte) error {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("parsing a certificate for linting: %w", err)
	}
	var failed []finding
	for _, c := range l.lints {
		if result := c.Execute(cert, l.configuration); result != nil && result.Status >= l.fails {
			failed = append(failed, finding{c.Name, result.Status, result.Details})
		}
	}
	if failed != nil {
		return &lintError{failed}
	}
	return nil
}
