package testmode

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/cairn-ca/cairn/ca/key"
)

// PebbleConfig is what a configuration file of Pebble's says.
type PebbleConfig struct {
	// ListenAddress and ManagementListenAddress are host:port; a management
	// address that is empty turns the management interface off.
	ListenAddress           string
	ManagementListenAddress string
	// Certificate and PrivateKey are the files of both listeners' certificate;
	// empty: the test CA issues one.
	Certificate, PrivateKey string
	// HTTPPort and TLSPort are what validations connect to.
	HTTPPort, TLSPort int
	// OCSPResponderURL is written into certificates in place of the test CA's
	// own.
	OCSPResponderURL               string
	ExternalAccountBindingRequired bool
	// ExternalAccountMACKeys are MAC keys by their identifiers.
	ExternalAccountMACKeys map[string][]byte
	CAAIdentities          []string
	// DomainBlocklist are names that are not issued for, nor those below them.
	DomainBlocklist []string
	// RetryAfter is what the Retry-After of authorizations and orders says; 0:
	// they have none.
	RetryAfter RetryAfter
	KeyType    key.Type
	Profiles   []PebbleProfile // sorted by name
	// Unknown are keys of the file that nothing was made of.
	Unknown []string
}

// RetryAfter is how long clients are to wait.
type RetryAfter struct{ Authorization, Order time.Duration }

// PebbleProfile is a certificate profile.
type PebbleProfile struct {
	Name, Description string
	Validity          time.Duration
	CommonName        bool // the first identifier is the common name, too
}

// DefaultPebbleConfig is the configuration that Pebble's own repository has,
// on the loopback interface alone.
func DefaultPebbleConfig() PebbleConfig {
	return PebbleConfig{
		ListenAddress:           "127.0.0.1:14000",
		ManagementListenAddress: "127.0.0.1:15000",
		HTTPPort:                5002,
		TLSPort:                 5001,
		DomainBlocklist:         []string{"blocked-domain.example"},
		RetryAfter:              RetryAfter{Authorization: 3 * time.Second, Order: 5 * time.Second},
		KeyType:                 key.P256,
		Profiles: []PebbleProfile{
			{Name: "default", Description: "Test certificates, valid for 90 days", Validity: defaultValidity},
			{Name: "shortlived", Description: "Test certificates, valid for 6 days", Validity: 6 * 24 * time.Hour},
		},
	}
}

// defaultValidity is that of Pebble's certificates.
const defaultValidity = 90 * 24 * time.Hour

// pebbleFile is the file as it is written. Pebble takes the names of keys in
// any case, as encoding/json does.
type pebbleFile struct {
	ListenAddress                  *string
	ManagementListenAddress        *string
	HTTPPort, TLSPort              *int
	Certificate, PrivateKey        string
	OCSPResponderURL               string
	ExternalAccountBindingRequired bool
	ExternalAccountMACKeys         map[string]string
	CAAIdentities                  []string
	DomainBlocklist                []string
	KeyAlgorithm                   string
	Profiles                       map[string]pebbleProfile
	RetryAfter                     struct{ Authz, Order int }
	CertificateValidityPeriod      uint64
}

type pebbleProfile struct {
	Description       string
	PromoteCommonName bool
	ValidityPeriod    uint64
}

// ParsePebbleConfig reads a configuration file of Pebble's. What the file
// leaves out is as Pebble has it, but for addresses and ports, which are
// those of DefaultPebbleConfig.
func ParsePebbleConfig(data []byte) (PebbleConfig, error) {
	var top struct{ Pebble json.RawMessage }
	if err := json.Unmarshal(data, &top); err != nil {
		return PebbleConfig{}, fmt.Errorf("this is not valid JSON: %w", err)
	}
	if top.Pebble == nil {
		return PebbleConfig{}, errors.New(`there is no key "pebble" in it; is it a configuration of Pebble's?`)
	}
	var file pebbleFile
	if err := json.Unmarshal(top.Pebble, &file); err != nil {
		return PebbleConfig{}, fmt.Errorf("pebble: %w", err)
	}
	cfg := DefaultPebbleConfig()
	cfg.Unknown = unknownKeys(top.Pebble)
	set(&cfg.ListenAddress, file.ListenAddress)
	// Pebble has no management interface unless the file names an address.
	cfg.ManagementListenAddress = ""
	set(&cfg.ManagementListenAddress, file.ManagementListenAddress)
	set(&cfg.HTTPPort, file.HTTPPort)
	set(&cfg.TLSPort, file.TLSPort)
	cfg.Certificate, cfg.PrivateKey = file.Certificate, file.PrivateKey
	cfg.OCSPResponderURL = file.OCSPResponderURL
	cfg.ExternalAccountBindingRequired = file.ExternalAccountBindingRequired
	cfg.CAAIdentities, cfg.DomainBlocklist = file.CAAIdentities, file.DomainBlocklist
	cfg.RetryAfter = RetryAfter{seconds(file.RetryAfter.Authz), seconds(file.RetryAfter.Order)}
	var err error
	if cfg.ExternalAccountMACKeys, err = macKeys(file.ExternalAccountMACKeys); err != nil {
		return PebbleConfig{}, err
	}
	switch file.KeyAlgorithm {
	case "", "rsa":
		cfg.KeyType = key.RSA
	case "ecdsa":
		cfg.KeyType = key.P256
	default:
		return PebbleConfig{}, fmt.Errorf(`pebble.keyAlgorithm: expects "rsa" or "ecdsa"; found %q`, file.KeyAlgorithm)
	}
	if len(file.Profiles) == 0 {
		file.Profiles = map[string]pebbleProfile{"default": {"The default profile", false, file.CertificateValidityPeriod}}
	}
	cfg.Profiles = nil
	for _, name := range slices.Sorted(maps.Keys(file.Profiles)) {
		p := file.Profiles[name]
		cfg.Profiles = append(cfg.Profiles, PebbleProfile{name, p.Description, validity(p.ValidityPeriod), p.PromoteCommonName})
	}
	return cfg, nil
}

func set[T any](into *T, value *T) {
	if value != nil {
		*into = *value
	}
}

func seconds(n int) time.Duration { return time.Duration(max(n, 0)) * time.Second }

// validity is the validity of so many seconds; what is no sensible number is
// the default one, as with Pebble.
func validity(period uint64) time.Duration {
	if period == 0 || period > math.MaxInt64/uint64(time.Second) {
		return defaultValidity
	}
	return time.Duration(period) * time.Second
}

func macKeys(encoded map[string]string) (map[string][]byte, error) {
	keys := make(map[string][]byte, len(encoded))
	for _, id := range slices.Sorted(maps.Keys(encoded)) {
		mac, err := base64.RawURLEncoding.DecodeString(encoded[id])
		if err != nil || len(mac) == 0 || id == "" {
			// The key itself stays out of the message.
			return nil, fmt.Errorf("pebble.externalAccountMACKeys: the key %q is not base64url without padding", id)
		}
		keys[id] = mac
	}
	return keys, nil
}

// unknownKeys are the keys of the object that pebbleFile has no field for.
func unknownKeys(object json.RawMessage) []string {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(object, &all); err != nil {
		return nil // reported already
	}
	var unknown []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		one, err := json.Marshal(map[string]json.RawMessage{name: all[name]})
		if err != nil {
			continue
		}
		decoder := json.NewDecoder(bytes.NewReader(one))
		decoder.DisallowUnknownFields()
		if decoder.Decode(&pebbleFile{}) != nil {
			unknown = append(unknown, name)
		}
	}
	return unknown
}
