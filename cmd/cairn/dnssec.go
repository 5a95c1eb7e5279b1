package main

import (
	"crypto/x509"
	"fmt"
	"os"

	"github.com/cairn-ca/cairn/internal/config"
	"github.com/cairn-ca/cairn/va/dns"
)

// dnssecProbe is how resolvers prove that they validate; nil when no directory
// asks for that: nobody's names are looked up without need.
func dnssecProbe(cfg *config.Config) *dns.Probe {
	for _, required := range directoryRequireDNSSEC(cfg) {
		if required {
			p := cfg.VA.DNSSECProbe
			return &dns.Probe{Secure: p.Secure, Bogus: p.Bogus, Interval: p.Interval, MaxAge: p.MaxAge}
		}
	}
	return nil
}

// directoryRequireDNSSEC tells, by directory, whether its validations rely
// only on resolvers that validate.
func directoryRequireDNSSEC(cfg *config.Config) map[string]bool {
	required := make(map[string]bool)
	for _, d := range cfg.ServedDirectories() {
		required[d.Name] = d.Validation.RequireDNSSECResolver
	}
	return required
}

// resolverRoots reads whom the certificates of resolvers must come from; nil
// for no file: the system's roots.
func resolverRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the roots of the DNS resolvers (va.resolver_roots): %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s, named by va.resolver_roots, has no certificate in it; it must be a PEM file", file)
	}
	return roots, nil
}
