package main

import (
	"testing"

	"github.com/cairn-ca/cairn/internal/config"
)

func TestConfiguredAddresses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name                   string
		configure              func(*config.Config)
		boundACME, boundPublic string
		want                   addresses
	}{
		{"as it comes", func(*config.Config) {}, "127.0.0.1:14000", "127.0.0.1:14080", addresses{"https://localhost:14000", "http://127.0.0.1:14080"}},
		{"any port", func(c *config.Config) { c.Listen.ACME, c.Listen.Public = "127.0.0.1:0", "localhost:0" }, "127.0.0.1:4711", "127.0.0.1:4712", addresses{"https://localhost:4711", "http://localhost:4712"}},
		{"the schemes' own ports", func(c *config.Config) { c.Listen.Public = "[2001:db8::1]:80" }, "[::]:443", "[2001:db8::1]:80", addresses{"https://localhost", "http://[2001:db8::1]"}},
		{"every interface", func(c *config.Config) { c.Listen.Public, c.ExternalURL = ":14080", "https://ca.example:14000" }, "[::]:14000", "[::]:14080", addresses{"https://ca.example:14000", "http://ca.example:14080"}},
		{"given", func(c *config.Config) { c.ExternalURL, c.PublicURL = "https://ca.example/", "http://pki.example/x/" }, "127.0.0.1:1", "127.0.0.1:2", addresses{"https://ca.example", "http://pki.example/x"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := config.Default()
			test.configure(&cfg)
			if got := configuredAddresses(&cfg, test.boundACME, test.boundPublic); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}
