package ca

import (
	"errors"
	"fmt"

	"github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3/lint"
)

// crlLintSettings tells zlint that the CRLs cover certificates of CAs, and may
// be valid for longer (Baseline Requirements §7.2).
const crlLintSettings = `[e_crl_next_update_invalid]
SubscriberCRL = false
`

// LintCRL lints a CRL for the certificates of CAs. The findings are those that stop
// nothing; the error is what must stop it.
func LintCRL(der []byte) (findings []string, err error) {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("parsing a CRL for linting: %w", err)
	}
	registry, err := lint.GlobalRegistry().Filter(lint.FilterOptions{IncludeSources: lintSources})
	if err != nil {
		return nil, fmt.Errorf("choosing lints: %w", err)
	}
	settings, err := lint.NewConfigFromString(crlLintSettings)
	if err != nil {
		return nil, fmt.Errorf("configuring the lints: %w", err)
	}
	lints := registry.RevocationListLints().Lints()
	if len(lints) == 0 {
		return nil, errors.New("there are no lints for CRLs")
	}
	var all, failed []finding
	for _, l := range lints {
		result := l.Execute(list, settings)
		if result == nil || result.Status < lint.Notice {
			continue
		}
		f := finding{l.Name, result.Status, result.Details}
		all = append(all, f)
		if result.Status >= lint.Error {
			failed = append(failed, f)
		}
	}
	if failed != nil {
		return findingTexts(all), &lintError{failed}
	}
	return findingTexts(all), nil
}
