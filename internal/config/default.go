package config

import "time"

// Default is the configuration without a file. It is valid.
func Default() Config {
	return Config{
		Data: "./cairn-data",
		Listen: Listen{
			ACME:   "127.0.0.1:14000",
			Public: "127.0.0.1:14080",
			Admin:  "127.0.0.1:15000",
		},
		Store: Store{Migrate: true},
		Directory: Directory{
			Challenges:     []string{"http-01", "dns-01", "tls-alpn-01"},
			Authorizations: Authorizations{Lifetime: 30 * day},
			Orders:         Orders{Lifetime: 7 * day},
			Validation:     Validation{Retries: 3, RetryWait: 5 * time.Second, Perspectives: PerspectivePolicy{Mode: "off", Regions: 2}},
			Policy:         Policy{Wildcards: true},
			AutoRenewal:    AutoRenewal{MinLifetime: day, MaxDuration: 365 * day},
		},
		VA: VA{
			ResolverTimeout:  2 * time.Second,
			ResolverAttempts: 3,
			RandomizeCase:    true,
			DNSSECProbe: DNSSECProbe{
				Secure:   []string{"."},
				Bogus:    []string{"dnssec-failed.org", "rhybar.cz"},
				Interval: time.Minute,
				MaxAge:   10 * time.Minute,
			},
			HTTPPort:              80,
			TLSPort:               443,
			AllowPrivateAddresses: true,
			Timeout:               10 * time.Second,
			MaxInFlight:           4096,
			MaxPerAccount:         256,
			MaxPerAddress:         256,
			PerspectiveWait:       time.Second,
		},
		CA: CA{
			CRLShards:     1,
			CRLLifetime:   7 * day,
			CRLDelay:      5 * time.Second,
			RevokeUnasked: 1000,
			OCSPNonce:     "honored",
			OCSPLifetime:  4 * day,
			CT:            defaultCT(),
			PKCS11:        PKCS11{Sessions: 8, Timeout: 10 * time.Second},
		},
		RateLimits:      RateLimits{Enabled: true},
		AnswerWait:      time.Second,
		Log:             Log{Level: "info", Format: "text"},
		ShutdownTimeout: 30 * time.Second,
		RPC:             RPC{Domain: "cairn.internal"},
	}
}
