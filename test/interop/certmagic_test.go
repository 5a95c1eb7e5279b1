package interop

import (
	"context"
	"crypto/x509"
	"testing"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/cairn-ca/cairn/test/harness"
)

// github.com/caddyserver/certmagic: obtains over http-01 and tls-alpn-01 by its
// own listeners, renews and revokes.
func TestCertmagic(t *testing.T) {
	t.Parallel()
	s := harness.Shared(t)
	root, err := s.Root()
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	for _, kind := range []string{"http-01", "tls-alpn-01"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), clientTime)
			defer cancel()
			name := harness.NewName("certmagic")
			var config *certmagic.Config
			cache := certmagic.NewCache(certmagic.CacheOptions{
				GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return config, nil },
				Logger:           zap.NewNop(),
			})
			t.Cleanup(cache.Stop)
			config = certmagic.New(cache, certmagic.Config{Storage: &certmagic.FileStorage{Path: t.TempDir()}, Logger: zap.NewNop()})
			config.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(config, certmagic.ACMEIssuer{
				CA: s.DirectoryURL, Email: "admin@example.org", Agreed: true, TrustedRoots: roots,
				ListenHost: s.ClientAddress(name), AltHTTPPort: s.Names.HTTPPort(), AltTLSALPNPort: s.Names.TLSPort(),
				DisableHTTPChallenge: kind != "http-01", DisableTLSALPNChallenge: kind != "tls-alpn-01",
				Logger: zap.NewNop(),
			})}
			managed := func() []*x509.Certificate {
				t.Helper()
				cert, err := config.CacheManagedCertificate(ctx, name)
				if err != nil {
					t.Fatal(err)
				}
				var got []*x509.Certificate
				for _, der := range cert.Certificate.Certificate {
					parsed, err := x509.ParseCertificate(der)
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, parsed)
				}
				return got
			}
			if err := config.ObtainCertSync(ctx, name); err != nil {
				t.Fatal(err)
			}
			got := managed()
			good(t, s, got, name)
			if err := config.RenewCertSync(ctx, name, true); err != nil {
				t.Fatal(err)
			}
			again := managed()
			renewed(t, s, got, again)
			if err := config.RevokeCert(ctx, name, 4, false); err != nil {
				t.Fatal(err)
			}
			revoked(t, s, again)
		})
	}
}
