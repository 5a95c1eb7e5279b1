package testmode

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cairn-ca/cairn/ca/key"
)

func TestParsePebbleConfig(t *testing.T) {
	t.Parallel()
	bare := DefaultPebbleConfig()
	bare.ManagementListenAddress = ""
	bare.DomainBlocklist, bare.RetryAfter, bare.KeyType = nil, RetryAfter{}, key.RSA
	bare.Profiles = []PebbleProfile{{Name: "default", Description: "The default profile", Validity: defaultValidity}}
	bare.ExternalAccountMACKeys = map[string][]byte{}
	for name, test := range map[string]struct {
		json   string
		change func(*PebbleConfig)
	}{
		"nothing": {`{"pebble": {}}`, func(*PebbleConfig) {}},
		"everything": {`{"pebble": {
			"listenAddress": "0.0.0.0:1", "managementListenAddress": "0.0.0.0:2", "httpPort": 3, "tlsPort": 4,
			"certificate": "c.pem", "privateKey": "k.pem", "ocspResponderURL": "http://ocsp",
			"externalAccountBindingRequired": true, "externalAccountMACKeys": {"a": "AQID", "b": "_-8"},
			"caaIdentities": ["ca.example"], "domainBlocklist": ["blocked.example"],
			"retryAfter": {"authz": 7, "order": 8}, "keyAlgorithm": "ecdsa",
			"profiles": {"b": {"description": "second", "validityPeriod": 60, "promoteCommonName": true}, "a": {}}
		}}`, func(c *PebbleConfig) {
			*c = PebbleConfig{
				ListenAddress: "0.0.0.0:1", ManagementListenAddress: "0.0.0.0:2", HTTPPort: 3, TLSPort: 4,
				Certificate: "c.pem", PrivateKey: "k.pem", OCSPResponderURL: "http://ocsp",
				ExternalAccountBindingRequired: true, ExternalAccountMACKeys: map[string][]byte{"a": {1, 2, 3}, "b": {0xff, 0xef}},
				CAAIdentities: []string{"ca.example"}, DomainBlocklist: []string{"blocked.example"},
				RetryAfter: RetryAfter{7 * time.Second, 8 * time.Second}, KeyType: key.P256,
				Profiles: []PebbleProfile{{Name: "a", Validity: defaultValidity}, {"b", "second", time.Minute, true}},
			}
		}},
		"keys in any case": {`{"Pebble": {"LISTENADDRESS": "a:1", "retryafter": {"AUTHZ": 1}}}`, func(c *PebbleConfig) {
			c.ListenAddress, c.RetryAfter.Authorization = "a:1", time.Second
		}},
		"null": {`{"pebble": {"managementListenAddress": null, "externalAccountMACKeys": null}}`, func(*PebbleConfig) {}},
		"the validity of old": {`{"pebble": {"certificateValidityPeriod": 3600}}`, func(c *PebbleConfig) {
			c.Profiles[0].Validity = time.Hour
		}},
		"a validity that is none": {`{"pebble": {"profiles": {"default": {"validityPeriod": 18446744073709551615}}}}`, func(c *PebbleConfig) {
			c.Profiles[0].Description = ""
		}},
		"unknown keys": {`{"pebble": {"z": 1, "strict": true, "httpPort": 5002}}`, func(c *PebbleConfig) { c.Unknown = []string{"strict", "z"} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := bare
			want.Profiles = append([]PebbleProfile(nil), bare.Profiles...)
			test.change(&want)
			got, err := ParsePebbleConfig([]byte(test.json))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for text, want := range map[string]string{
		"":                              "not valid JSON",
		"[]":                            "not valid JSON",
		"{}":                            `no key "pebble"`,
		`{"pebble": []}`:                "pebble:",
		`{"pebble": {"httpPort": "x"}}`: "pebble:",
		`{"pebble": {"keyAlgorithm": "ed25519"}}`:                  `expects "rsa" or "ecdsa"; found "ed25519"`,
		`{"pebble": {"externalAccountMACKeys": {"k": "secret="}}}`: `the key "k" is not base64url`,
		`{"pebble": {"externalAccountMACKeys": {"k": ""}}}`:        `the key "k" is not base64url`,
	} {
		_, err := ParsePebbleConfig([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
