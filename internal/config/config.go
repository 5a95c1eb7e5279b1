// Package config is Cairn's one configuration file: its types, its defaults,
// its strict decoding and its validation.
//
// No key is required: Default describes a complete CA on the loopback
// interface. An unknown key, a value of the wrong type or a value that cannot
// work is an error with its file, line and key, and all of them are reported
// at once. Secrets are never in the file: a key whose name ends in _file names
// the file that holds one.
//
// docs/configuration.md is the operator's page about these types; a test holds
// the two equal.
package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Config is the whole configuration.
type Config struct {
	// Data is the data folder: store, keys, certificates, audit log.
	Data   string `yaml:"data"`
	Listen Listen `yaml:"listen"`
	// ExternalURL is the base of the URLs in ACME answers: https, without a
	// path. Empty: https://localhost and the port of Listen.ACME.
	ExternalURL string `yaml:"external_url"`
	// PublicURL is the base of the OCSP, CRL and issuer URLs in certificates:
	// http. Empty: http:// and Listen.Public.
	PublicURL string `yaml:"public_url"`
	// PublicFiles is a folder whose CRLs and certificates the public listener
	// serves; empty: none.
	PublicFiles string `yaml:"public_files"`
	Store       Store  `yaml:"store"`
	// Directory is the settings of the one directory or, with Directories, what
	// each of those has where it says nothing.
	Directory Directory `yaml:",inline"`
	// Directories is the ACME directories by name; empty: one, named "default".
	Directories map[string]NamedDirectory `yaml:"directories"`
	VA          VA                        `yaml:"va"`
	CA          CA                        `yaml:"ca"`
	RateLimits  RateLimits                `yaml:"rate_limits"`
	// AnswerWait is how long the answer to a challenge response or a finalize
	// request waits for its result; 0: not at all.
	AnswerWait time.Duration `yaml:"answer_wait"`
	Log        Log           `yaml:"log"`
	Audit      Audit         `yaml:"audit"`
	// ShutdownTimeout is how long a process that was told to stop may finish
	// what it has begun.
	ShutdownTimeout time.Duration `yaml:"shutdown_timeout"`
	RPC             RPC           `yaml:"rpc"`
}

// Listen is the addresses of the listeners, host:port. Port 0 takes a free
// one.
type Listen struct {
	ACME   string `yaml:"acme"`   // HTTPS: the directory and ACME resources
	Public string `yaml:"public"` // plain HTTP: OCSP, CRLs, issuers
	Admin  string `yaml:"admin"`  // HTTPS: metrics and health
}

// Store says where the store is.
type Store struct {
	// URL is postgres://... or sqlite:PATH; empty: SQLite in the data folder.
	URL string `yaml:"url"`
	// ReplicaURL is a read replica of the store, postgres://..., which the role
	// ocsp asks in place of the role sa; empty: it asks that.
	ReplicaURL string `yaml:"replica_url"`
	// PasswordFile holds the password of the PostgreSQL user.
	PasswordFile string `yaml:"password_file"`
	// Migrate brings an older schema up to date when the store is opened.
	Migrate bool `yaml:"migrate"`
}

// VA is the settings of validation.
type VA struct {
	// Resolvers is the recursive resolvers to ask, as package resolver reads
	// them; empty: the system's.
	Resolvers []string `yaml:"resolvers"`
	// ResolverTimeout is how long one resolver has for an answer,
	// ResolverAttempts how often a question is asked.
	ResolverTimeout  time.Duration `yaml:"resolver_timeout"`
	ResolverAttempts int           `yaml:"resolver_attempts"`
	// ResolverRoots is a PEM file of whom the certificates of resolvers over
	// TLS and HTTPS must come from; empty: the system's roots.
	ResolverRoots string `yaml:"resolver_roots"`
	// RandomizeCase asks for names in random letter case over UDP.
	RandomizeCase bool        `yaml:"randomize_case"`
	DNSSECProbe   DNSSECProbe `yaml:"dnssec_probe"`
	HTTPPort      int         `yaml:"http_port"` // that http-01 connects to
	TLSPort       int         `yaml:"tls_port"`  // that tls-alpn-01 connects to
	// AllowPrivateAddresses lets validation connect to addresses that are not
	// on the public Internet.
	AllowPrivateAddresses bool `yaml:"allow_private_addresses"`
	// Timeout bounds one try of one challenge.
	Timeout time.Duration `yaml:"timeout"`
	// MaxInFlight, MaxPerAccount and MaxPerAddress bound the tries that run at
	// once: in all, for one account, and connected to one address.
	MaxInFlight   int `yaml:"max_in_flight"`
	MaxPerAccount int `yaml:"max_per_account"`
	MaxPerAddress int `yaml:"max_per_address"`
	// Perspectives is the remote network perspectives.
	Perspectives []Perspective `yaml:"perspectives"`
	// PerspectiveWait is how long answers of perspectives are waited for that
	// do not matter to the result any more.
	PerspectiveWait time.Duration `yaml:"perspective_wait"`
}

// Perspective is a remote network perspective.
type Perspective struct {
	Name string `yaml:"name"`
	// Region is the Regional Internet Registry that it is in the region of.
	Region string `yaml:"region"`
	// Addresses is where its processes are, host:port.
	Addresses []string `yaml:"addresses"`
}

// DNSSECProbe is how resolvers prove that they validate with DNSSEC, for
// directories that require it.
type DNSSECProbe struct {
	Secure []string `yaml:"secure"` // names that are signed
	Bogus  []string `yaml:"bogus"`  // names that are signed wrongly
	// Interval is from one probe to the next, MaxAge how long a proof counts
	// while probes come to no result.
	Interval time.Duration `yaml:"interval"`
	MaxAge   time.Duration `yaml:"max_age"`
}

// CA is the settings of signing and revocation.
type CA struct {
	// Profiles is the certificate profiles by name; empty: the built-in ones.
	Profiles map[string]Profile `yaml:"profiles"`
	// Issuers are the issuers besides the one in the data folder, by name.
	Issuers map[string]Issuer `yaml:"issuers"`
	// DefaultIssuerInactive has the issuer in the data folder sign no more
	// certificates of subscribers.
	DefaultIssuerInactive bool `yaml:"default_issuer_inactive"`
	// CRLShards is the number of CRLs that the certificates of an issuer are
	// spread over.
	CRLShards int `yaml:"crl_shards"`
	// CRLLifetime is from a CRL's thisUpdate to its nextUpdate.
	CRLLifetime time.Duration `yaml:"crl_lifetime"`
	// CRLDelay is the longest time from a revocation to the CRL that has it.
	CRLDelay time.Duration `yaml:"crl_delay"`
	// CRLPublish is where CRLs are published besides the public listener.
	CRLPublish CRLPublish `yaml:"crl_publish"`
	// RevokeUnasked is how many certificates are revoked for one blocked key
	// without an operator's word.
	RevokeUnasked int `yaml:"revoke_unasked"`
	// OCSPLifetime is from an OCSP response's thisUpdate to its nextUpdate.
	OCSPLifetime time.Duration `yaml:"ocsp_lifetime"`
	// OCSPNonce is what becomes of the nonces in OCSP requests: honored or
	// ignored.
	OCSPNonce string `yaml:"ocsp_nonce"`
	// OCSPSigners is the folder that the role ocsp takes the delegated OCSP
	// signers from; empty: keys, in the data folder.
	OCSPSigners string `yaml:"ocsp_signers"`
	// IssuerKey is where the issuer's key is: a file, or a PKCS#11 URI (RFC
	// 7512); empty: keys/intermediate.key, in the data folder.
	IssuerKey string `yaml:"issuer_key"`
	PKCS11    PKCS11 `yaml:"pkcs11"`
	// AlternateChains is PEM files, each with a chain for the issuer that
	// clients can choose: first a certificate with the issuer's key and name.
	AlternateChains []string `yaml:"alternate_chains"`
	// WeakKeys is files with hashes of keys that are not certified, in the
	// formats of Debian's and the CA/Browser Forum's lists of weak keys.
	WeakKeys []string `yaml:"weak_keys"`
	// CT is the logs of Certificate Transparency.
	CT CT `yaml:"ct"`
	// KeyPassphraseFile is a file with the passphrase of the keys in the data
	// folder, where they are encrypted; empty: CAIRN_KEY_PASSPHRASE in the
	// environment has it.
	KeyPassphraseFile string `yaml:"key_passphrase_file"`
}

// PKCS11 is how keys on PKCS#11 tokens are used.
type PKCS11 struct {
	// Sessions bounds the signatures that are made at once on one token.
	Sessions int `yaml:"sessions"`
	// Timeout bounds one signature.
	Timeout time.Duration `yaml:"timeout"`
}

// Issuer is an issuing CA.
type Issuer struct {
	// Chain is a PEM file: the issuing certificate and those above it.
	Chain string `yaml:"chain"`
	// Key is where its key is: a file, or a PKCS#11 URI.
	Key string `yaml:"key"`
	// PublicURL is the base of the URLs in its certificates; empty: that of
	// the CA.
	PublicURL string `yaml:"public_url"`
	// Inactive issuers sign no more certificates of subscribers.
	Inactive bool `yaml:"inactive"`
}

// RateLimits is the switch of all rate limits.
type RateLimits struct {
	Enabled bool `yaml:"enabled"`
}

// Log is the settings of the log on stderr.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // text or json
}

// Audit says where the audit log goes.
type Audit struct {
	// File is a path, or "-" for stdout; empty: audit.log in the data folder
	// under serve, stdout in a role.
	File string `yaml:"file"`
}

// RPC is the settings of a process that runs one role.
type RPC struct {
	// Listen is the address of the role's own gRPC server, host:port.
	Listen string `yaml:"listen"`
	// Domain is where the names in the roles' certificates are: ra.DOMAIN and
	// so on.
	Domain string `yaml:"domain"`
	TLS    RPCTLS `yaml:"tls"`
	// Services is where the other roles are.
	Services RPCServices `yaml:"services"`
	// Clients is, for each service, the names that may call it: DNS names in
	// the client's certificate.
	Clients RPCClients `yaml:"clients"`
}

// RPCTLS is the files of mutual TLS between roles, PEM.
type RPCTLS struct {
	CA   string `yaml:"ca"`
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// RPCServices is the addresses of each service, host:port; calls are spread
// over all of them.
type RPCServices struct {
	RA []string `yaml:"ra"`
	VA []string `yaml:"va"`
	CA []string `yaml:"ca"`
	SA []string `yaml:"sa"`
}

// RPCClients is the names that may call each service.
type RPCClients struct {
	RA          []string `yaml:"ra"`
	VA          []string `yaml:"va"`
	CA          []string `yaml:"ca"`
	SA          []string `yaml:"sa"`
	Perspective []string `yaml:"perspective"`
}

// maxFile is more than any sensible configuration has, in bytes.
const maxFile = 1 << 20

// Load reads, decodes and validates a configuration file; an empty name gives
// the defaults. What is wrong with the file's content is an Errors.
func Load(file string) (*Config, error) {
	if file == "" {
		c := Default()
		return &c, nil
	}
	data, err := read(file)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration file %s: %w", file, err)
	}
	return Parse(file, data)
}

func read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		var pathErr *os.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}

// Parse decodes and validates a configuration over the defaults. The name is
// the one that errors give.
func Parse(name string, data []byte) (*Config, error) {
	if len(data) > maxFile {
		return nil, Errors{{File: name, Message: "the file is larger than 1 MiB; is it the right one?"}}
	}
	c := Default()
	d := decoder{file: name, lines: map[string]int{}, near: keysNear}
	d.document(data, &c)
	v := validator{decoder: &d}
	v.config(&c)
	if len(d.errs) > 0 {
		d.errs.sort()
		return nil, d.errs
	}
	return &c, nil
}
