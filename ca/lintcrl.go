package ca

import (
	"fmt"

	"github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3/lint"
)

// LintCRL lints a CRL of the hierarchy's. The findings are those that stop
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
	lints := registry.RevocationListLints().Lints()
	if len(lints) == 0 {
		return nil, fmt.Errorf("there are no lints for CRLs")
	}
	var all, failed []finding
	for _, l := range lints {
		result := l.Execute(list, registry.GetConfiguration())
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
