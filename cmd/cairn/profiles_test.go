package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/internal/config"
)

// A profile that the configuration says nothing about is the built-in one.
func TestDefaultProfile(t *testing.T) {
	t.Parallel()
	want := ca.BuiltinProfiles()[0]
	settings := config.DefaultProfile()
	settings.Description = want.Description
	if diff := cmp.Diff(want, profile(want.Name, settings)); diff != "" {
		t.Errorf("(-built in +configured):\n%s", diff)
	}
}

func TestOfferedProfiles(t *testing.T) {
	t.Parallel()
	names := func(cfg config.Config) []string {
		t.Helper()
		profiles, err := offeredProfiles(&cfg, cfg.Directory)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, p := range profiles {
			names = append(names, p.Name)
		}
		return names
	}
	cfg := config.Default()
	if diff := cmp.Diff([]string{"default", "shortlived", "server", "client"}, names(cfg)); diff != "" {
		t.Errorf("without configuration (-want +got):\n%s", diff)
	}
	cfg.CA.Profiles = map[string]config.Profile{"web": config.DefaultProfile(), "server": config.DefaultProfile(), "mail": config.DefaultProfile()}
	if diff := cmp.Diff([]string{"default", "shortlived", "server", "client", "mail", "web"}, names(cfg)); diff != "" {
		t.Errorf("with more profiles (-want +got):\n%s", diff)
	}
	cfg.Directory.Profiles = []string{"web", "shortlived"}
	if diff := cmp.Diff([]string{"web", "shortlived"}, names(cfg)); diff != "" {
		t.Errorf("with a choice (-want +got):\n%s", diff)
	}
	cfg.Directory.Profiles = []string{"none"}
	if _, err := offeredProfiles(&cfg, cfg.Directory); err == nil {
		t.Error("a profile that is not there is offered")
	}
}
