package main

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/cairn-ca/cairn/internal/config"
	"github.com/cairn-ca/cairn/va/dns"
)

// The names of the probe are looked up only when a directory asks for it, and
// the configuration's defaults are the resolver's.
func TestDNSSECProbe(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	if p := dnssecProbe(&cfg); p != nil {
		t.Errorf("nobody asks for it: %+v", p)
	}
	public := config.NamedDirectory{Directory: cfg.Directory}
	public.Validation.RequireDNSSECResolver = true
	cfg.Directories = map[string]config.NamedDirectory{"default": {Directory: cfg.Directory}, "public": public}
	want := &dns.Probe{Secure: dns.DefaultSecureNames, Bogus: dns.DefaultBogusNames, Interval: dns.DefaultProbeInterval, MaxAge: dns.DefaultProbeMaxAge}
	if p := dnssecProbe(&cfg); !reflect.DeepEqual(p, want) {
		t.Errorf("got %+v, want %+v", p, want)
	}
	if got := directoryRequireDNSSEC(&cfg); !reflect.DeepEqual(got, map[string]bool{"default": false, "public": true}) {
		t.Errorf("got %v", got)
	}
	if cfg.VA.ResolverTimeout != dns.DefaultTimeout || cfg.VA.ResolverAttempts != dns.DefaultAttempts {
		t.Errorf("the defaults differ: %+v", cfg.VA)
	}
}

func TestResolverRoots(t *testing.T) {
	t.Parallel()
	if roots, err := resolverRoots(""); roots != nil || err != nil {
		t.Errorf("no file: %v, %v", roots, err)
	}
	file := filepath.Join(t.TempDir(), "roots.pem")
	if _, err := resolverRoots(file); err == nil {
		t.Error("an absent file is read")
	}
	if err := os.WriteFile(file, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := resolverRoots(file); err == nil {
		t.Error("a file without a certificate is read")
	}
}
