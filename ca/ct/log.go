// Package ct is the CA's side of Certificate Transparency (RFC 6962): it
// submits certificates to logs, checks what they answer, and puts the SCTs
// into certificates. Logs of static-ct-api take submissions the same way.
package ct

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Log is a log that certificates can be submitted to.
type Log struct {
	// Name is for people and metrics.
	Name string
	// Operator is who runs it, the same text for all logs of one operator.
	Operator string
	// URL is the submission prefix, to which ct/v1/add-pre-chain is added.
	URL string
	// Key is the log's public key, ID the SHA-256 of its SPKI.
	Key crypto.PublicKey
	ID  [32]byte
	// NotAfterStart and NotAfterEnd bound the notAfter of the certificates that
	// the log takes: the first is included, the second is not. Zero: no bound.
	NotAfterStart, NotAfterEnd time.Time
}

// LogConfig is a log as configurations have it.
type LogConfig struct {
	Name, Operator, URL        string
	Key                        string // base64 of the SPKI's DER
	NotAfterStart, NotAfterEnd time.Time
}

// NewLog reads a log's configuration.
func NewLog(c LogConfig) (*Log, error) {
	fail := func(format string, args ...any) (*Log, error) {
		return nil, fmt.Errorf("log %q: %w", c.Name, fmt.Errorf(format, args...))
	}
	if c.Name == "" || c.Operator == "" {
		return fail("a log needs a name and an operator")
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return fail("%q is not the URL of a log, such as https://ct.example.org/2027h1/", c.URL)
	}
	spki, err := base64.StdEncoding.DecodeString(c.Key)
	if err != nil {
		return fail("the key is not the base64 of a public key")
	}
	public, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return fail("reading its key: %w", err)
	}
	switch public.(type) {
	case *ecdsa.PublicKey, *rsa.PublicKey:
	default:
		return fail("its key is neither ECDSA nor RSA (RFC 6962 §2.1.4)")
	}
	if !c.NotAfterStart.IsZero() && !c.NotAfterEnd.IsZero() && !c.NotAfterStart.Before(c.NotAfterEnd) {
		return fail("its shard ends before it begins")
	}
	return &Log{
		Name: c.Name, Operator: c.Operator, URL: strings.TrimSuffix(c.URL, "/") + "/", Key: public, ID: sha256.Sum256(spki),
		NotAfterStart: c.NotAfterStart, NotAfterEnd: c.NotAfterEnd,
	}, nil
}

// takes tells whether the log's shard has certificates of that notAfter.
func (l *Log) takes(notAfter time.Time) bool {
	return (l.NotAfterStart.IsZero() || !notAfter.Before(l.NotAfterStart)) && (l.NotAfterEnd.IsZero() || notAfter.Before(l.NotAfterEnd))
}

// checkLogs checks that the logs are distinct.
func checkLogs(logs []*Log) error {
	ids, names := make(map[[32]byte]string), make(map[string]bool)
	for _, l := range logs {
		if other, ok := ids[l.ID]; ok {
			return fmt.Errorf("the logs %q and %q have the same key", other, l.Name)
		}
		if names[l.Name] {
			return fmt.Errorf("two logs are called %q", l.Name)
		}
		ids[l.ID], names[l.Name] = l.Name, true
	}
	if len(logs) == 0 {
		return errors.New("there are no logs")
	}
	return nil
}
