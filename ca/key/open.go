package key

import (
	"context"
	"crypto"
	"crypto/rand"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Spec says where a private key is.
type Spec struct {
	// File is the path of a PKCS#8 PEM file; empty for a key elsewhere.
	File string
	// Passphrase opens an encrypted file; nil: the file must not be encrypted.
	Passphrase Passphrase
	// PKCS11 is a key on a PKCS#11 token; nil for a key elsewhere.
	PKCS11 *PKCS11URI
}

// ParseSpec reads how a configuration names a key: the path of a file, or a
// PKCS#11 URI (RFC 7512).
func ParseSpec(s string) (Spec, error) {
	if !IsPKCS11URI(s) {
		return Spec{File: s}, nil
	}
	u, err := ParsePKCS11URI(s)
	if err != nil {
		return Spec{}, err
	}
	return Spec{PKCS11: &u}, nil
}

// IsPKCS11URI tells whether s is written as a PKCS#11 URI, a sound one or not.
func IsPKCS11URI(s string) bool {
	return len(s) >= len(pkcs11Scheme) && strings.EqualFold(s[:len(pkcs11Scheme)], pkcs11Scheme)
}

// String names the key without saying anything secret.
func (s Spec) String() string {
	if s.PKCS11 != nil {
		return s.PKCS11.String()
	}
	return s.File
}

// Key is a private key that is ready to sign. Its methods may be called
// concurrently, Close only once nothing signs any more.
type Key interface {
	crypto.Signer
	io.Closer
	// Available tells, at once and without asking the key's hardware, whether
	// the key can sign as far as is known; what it can't wraps ErrUnavailable.
	Available() error
	// Check finds out whether the key can sign, without signing.
	Check(ctx context.Context) error
	// Slow tells that signing may take long.
	Slow() bool
}

// OpenerConfig is what an Opener works with. The zero value opens keys.
type OpenerConfig struct {
	// Sessions bounds the signatures that are made at once on one token; 0: 8.
	Sessions int
	// Timeout bounds one signature, the wait for a session included; 0: 10
	// seconds.
	Timeout time.Duration
	// RetryAfter is the wait after the first attempt to reach a token that is
	// gone, which doubles with each further one up to RetryAtMost; 0: half a
	// second, and 30 seconds.
	RetryAfter, RetryAtMost time.Duration
	// Getenv finds PINs in the environment (pin-source=env:NAME); nil: none is
	// there.
	Getenv func(string) string

	Now     func() time.Time      // nil: the system's clock
	Random  io.Reader             // names keys; nil: the system's source
	Logger  *slog.Logger          // nil: nothing is logged
	Metrics prometheus.Registerer // may be nil
}

// Opener opens private keys. Those on one PKCS#11 token share its login and
// its sessions. Its methods may be called concurrently.
type Opener struct {
	cfg     OpenerConfig
	metrics pkcs11Metrics

	mu      sync.Mutex
	modules map[string]*pkcs11Module // by path
}

// NewOpener makes an opener.
func NewOpener(cfg OpenerConfig) (*Opener, error) {
	defaults := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	defaults(&cfg.Timeout, 10*time.Second)
	defaults(&cfg.RetryAfter, 500*time.Millisecond)
	defaults(&cfg.RetryAtMost, 30*time.Second)
	if cfg.Sessions <= 0 {
		cfg.Sessions = 8
	}
	if cfg.Getenv == nil {
		cfg.Getenv = func(string) string { return "" }
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	metrics, err := newPKCS11Metrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	return &Opener{cfg: cfg, metrics: metrics, modules: make(map[string]*pkcs11Module)}, nil
}

// Open opens a key. A key on a token is found, makes a signature and has it
// verified before Open returns; from then on it comes back by itself when the
// token was away. Errors say what to do.
func (o *Opener) Open(ctx context.Context, spec Spec) (Key, error) {
	if spec.PKCS11 != nil {
		return o.openPKCS11(ctx, *spec.PKCS11)
	}
	signer, err := File{Path: spec.File, Passphrase: spec.Passphrase}.Open()
	if err != nil {
		return nil, err
	}
	return InMemory(signer), nil
}

// InMemory makes a Key of a private key in this process's memory.
func InMemory(signer crypto.Signer) Key { return memoryKey{signer} }

type memoryKey struct{ crypto.Signer }

func (memoryKey) Close() error                { return nil }
func (memoryKey) Available() error            { return nil }
func (memoryKey) Check(context.Context) error { return nil }
func (memoryKey) Slow() bool                  { return false }
