package main

import (
	"maps"
	"slices"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/config"
)

// checkIssuerKeys finds what is wrong with the names of the issuers' keys and
// can be seen without looking for them.
func checkIssuerKeys(cfg *config.Config, file string) error {
	var errs config.Errors
	check := func(name, spec string) {
		if _, err := key.ParseSpec(spec); err != nil {
			errs = append(errs, config.Error{File: file, Key: name, Message: err.Error()})
		}
	}
	check("ca.issuer_key", cfg.CA.IssuerKey)
	for _, name := range slices.Sorted(maps.Keys(cfg.CA.Issuers)) {
		check("ca.issuers."+name+".key", cfg.CA.Issuers[name].Key)
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}
