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
	"w_dnsname_underscore_in_trd",
}

// lintSources are zlint's sources of rules for certificates of TLS servers and
// clients, and of OCSP signers. The others are about EV, S/MIME, code signing
// and eIDAS.
var lintSources = lint.SourceList{
	lint.RFC3279, lint.RFC5280, lint.RFC5480, lint.RFC5891, lint.RFC6960, lint.RFC6962, lint.RFC8813,
	lint.CABFBaselineRequirements, lint.MozillaRootStorePolicy, lint.AppleRootStorePolicy, lint.ChromeRootStorePolicy, lint.Community,
}

// clientAuthLint is Chrome's rule that certificates of TLS servers, from
// 2027-03-15, are not for clients too.
const clientAuthLint = "e_client_auth_not_allowed"

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
// key that says nothing, and public key operations per certificate are most of
// what linting costs: checkIssuer runs them, once for each issuer.
var issuerLints = []string{"e_cert_issued_by_compromised_emudhra_ca"}

// keyLints ask what key.Check asked before, of the client's key: whether its
// private key is a small number. What key.Check answers with one look-up takes
// the lint 16 additions of points, a tenth of a millisecond.
var keyLints = []string{"e_ecdsa_small_private_key"}

// linter runs the lints of one policy.
type linter struct {
	lints         []*lint.CertificateLint
	configuration lint.Configuration
	fails         lint.LintStatus // from this status on
}

// checkIssuer runs issuerLints on a certificate that the issuer signed.
func checkIssuer(der []byte) error {
	registry, err := lint.GlobalRegistry().Filter(lint.FilterOptions{IncludeNames: issuerLints})
	if err != nil {
		return fmt.Errorf("choosing lints: %w", err)
	}
	l := &linter{lints: registry.CertificateLints().Lints(), configuration: registry.GetConfiguration(), fails: lint.Error}
	_, err = l.checkCertificate(der)
	return err
}

func newLinter(p LintPolicy) (*linter, error) {
	exclude := slices.Concat(p.Exclude, issuerLints, keyLints)
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
func (l *linter) check(tbs []byte, iss *issuer, sign func([]byte) ([]byte, error)) ([]finding, error) {
	signature, err := sign(tbs)
	if err != nil {
		return nil, fmt.Errorf("signing with a throwaway key: %w", err)
	}
	der, err := key.Envelope(tbs, iss.algorithm, signature)
	if err != nil {
		return nil, err
	}
	return l.checkCertificate(der)
}

// checkCertificate gives everything that the lints found, notices too. The
// error is a *lintError when some of it must stop the certificate.
func (l *linter) checkCertificate(der []byte) ([]finding, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parsing a certificate for linting: %w", err)
	}
	var all, failed []finding
	for _, c := range l.lints {
		result := c.Execute(cert, l.configuration)
		if result == nil || result.Status < lint.Notice {
			continue
		}
		f := finding{c.Name, result.Status, result.Details}
		all = append(all, f)
		if result.Status >= l.fails {
			failed = append(failed, f)
		}
	}
	if failed != nil {
		return all, &lintError{failed}
	}
	return all, nil
}
