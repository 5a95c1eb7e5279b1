package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/config"
)

// Each directory is served at its path and says what it has.
func TestDirectories(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	lab := cfg.Directory
	lab.EAB.Required = true
	lab.Profiles = []string{"shortlived"}
	lab.CAAIdentities = []string{"lab.example"}
	lab.PreAuthorization, lab.Subdomains = true, true
	lab.AutoRenewal = config.AutoRenewal{Enabled: true, MinLifetime: time.Hour, MaxDuration: 48 * time.Hour, AllowGet: true}
	cfg.Directories = map[string]config.NamedDirectory{
		"a-lab":   {Directory: lab},
		"default": {Directory: cfg.Directory},
	}
	withServer(t, cfg, func(where serving) {
		c := client(t, where)
		base := strings.TrimSuffix(where.Directory, "/directory")
		want := []directoryURL{{"a-lab", base + "/a-lab/directory"}, {"default", base + "/directory"}}
		if diff := cmp.Diff(want, where.Directories); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		var printed strings.Builder
		if err := where.print(&printed, cfg); err != nil {
			t.Error(err)
		}
		for _, d := range want {
			if !strings.Contains(printed.String(), "  directory  "+d.URL+"  ("+d.Name+")\n") {
				t.Errorf("%s is not printed in:\n%s", d.URL, printed.String())
			}
		}
		for url, want := range map[string]map[string]any{
			want[0].URL: {
				"externalAccountRequired": true, "subdomainAuthAllowed": true, "caaIdentities": []any{"lab.example"},
				"auto-renewal": map[string]any{"min-lifetime": 3600., "max-duration": 172800., "allow-certificate-get": true},
			},
			want[1].URL: {"externalAccountRequired": nil, "subdomainAuthAllowed": nil, "caaIdentities": []any{"localhost"}, "auto-renewal": nil},
		} {
			resp, err := c.Get(url)
			if err != nil {
				t.Error(err)
				continue
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Errorf("GET %s: %s, %v", url, resp.Status, err)
			}
			var document struct {
				NewAccount, NewAuthz string
				Meta                 map[string]any
			}
			if err := json.Unmarshal(body, &document); err != nil {
				t.Error(err)
			}
			got := map[string]any{}
			for key := range want {
				got[key] = document.Meta[key]
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", url, diff)
			}
			prefix := strings.TrimSuffix(url, "/directory") + "/acme/"
			if !strings.HasPrefix(document.NewAccount, prefix) || (document.NewAuthz != "") != (want["subdomainAuthAllowed"] == true) {
				t.Errorf("%s: %s", url, body)
			}
		}
	})
}

func TestDirectoryWiring(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	lab := config.NamedDirectory{Directory: cfg.Directory}
	lab.Policy = config.Policy{
		Allow: []string{"lab.example"}, Deny: []string{"x.lab.example"}, AllowNames: []string{"www.example.com"},
		PublicNamesOnly: true, WildcardsBelowPublicSuffixes: true,
		Addresses: []string{"10.0.0.0/8"}, DenyAddresses: []string{"10.1.0.0/16", "fd00::1"},
	}
	lab.Authorizations.Reuse = true
	cfg.Directories = map[string]config.NamedDirectory{"lab": lab, "default": {Directory: cfg.Directory}}
	s := services{cfg: &cfg, addresses: addresses{external: "https://ca.example"}}
	directories, err := s.raDirectories()
	if err != nil {
		t.Fatal(err)
	}
	if len(directories) != 2 || directories[0].Name != "default" || directories[0].Policy.NoWildcards || directories[0].ReuseAuthorizations {
		t.Errorf("got %+v", directories)
	}
	d := directories[1]
	if !d.Policy.NoWildcards || !d.Policy.PublicNamesOnly || !d.Policy.WildcardsBelowPublicSuffixes || !d.ReuseAuthorizations ||
		len(d.Policy.Allow) != 1 || len(d.Policy.Deny) != 1 || len(d.Policy.AllowNames) != 1 ||
		len(d.Policy.Addresses) != 1 || len(d.Policy.DenyAddresses) != 2 || d.Policy.DenyAddresses[1].Bits() != 128 {
		t.Errorf("got %+v", d)
	}
	var id acme.ID
	url := s.accountURL()
	for name, want := range map[string]string{
		"default": "https://ca.example/acme/acct/" + id.String(), "lab": "https://ca.example/lab/acme/acct/" + id.String(), "gone": "",
	} {
		if got := url(name, id); got != want {
			t.Errorf("the URL of an account of %s is %q, want %q", name, got, want)
		}
	}
}
