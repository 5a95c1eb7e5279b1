// Package ceremony makes the hierarchy of a CA by a written plan, and takes
// over hierarchies that others made.
//
// A ceremony runs in four steps. Everything in the plan is made once with keys
// that live in memory alone, so that each certificate and CRL is linted before
// a key that matters is used; a dry run ends here. Then it is made in earnest.
// What came of it is written to a staging folder, read back from there and
// verified without anything that is still in memory. Only then the files get
// their names, and a crash on the way is completed or undone by the next run.
// A file that exists is never replaced.
//
// The record of the ceremony, which a person reads and keeps, says of each
// artefact what it is; it is printed and is one of the files.
package ceremony

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/ca/key"
)

// TranscriptFile is the record of a ceremony in its folder.
const TranscriptFile = "transcript.txt"

// Tokens opens and makes the keys on PKCS#11 tokens.
type Tokens interface {
	// Open opens the key that the URI (RFC 7512) names.
	Open(uri string) (crypto.Signer, error)
	// Generate makes the key that the URI names. One that exists is an error.
	// bits is the size of an RSA key; 0: the usual one.
	Generate(uri string, t key.Type, bits int) (crypto.Signer, error)
}

// Config is what a ceremony works with.
type Config struct {
	Plan Plan
	// Folder gets the files.
	Folder string
	// DryRun makes and lints everything, and keeps nothing: no file is
	// written, and no key but the throw-away ones of the dry run signs.
	DryRun bool
	// Header is what the record says about the ceremony as a whole: who, with
	// which plan.
	Header []Line
	// Tokens may be nil: keys are in files then.
	Tokens Tokens
	Out    io.Writer // gets the record
	Now    func() time.Time
	Random io.Reader
}

// Line is a line of the record: what, and its value.
type Line struct{ Name, Value string }

// Run holds the ceremony. When it returns nil, every file is in place and was
// verified, unless it was a dry run.
func Run(cfg Config) error {
	if err := cfg.Plan.check(); err != nil {
		return fmt.Errorf("the plan can't be carried out:\n%w", err)
	}
	existing, err := cfg.openExisting()
	if err != nil {
		return err
	}
	now := cfg.Now().UTC().Truncate(time.Second)
	rehearsal := &maker{Config: cfg, now: now, keys: standIns{cfg.Random}, existing: existing}
	if err := rehearsal.make(); err != nil {
		return err
	}
	if cfg.DryRun {
		return cfg.print(rehearsal.record(true))
	}
	folder, err := openFolder(cfg.Folder)
	if err != nil {
		return err
	}
	defer folder.close()
	if err := folder.vacant(rehearsal.paths()); err != nil {
		return err
	}
	keys := &newKeys{tokens: cfg.Tokens, random: cfg.Random, passphrases: map[string][]byte{}}
	if err := keys.prepare(cfg.Plan); err != nil {
		return err
	}
	m := &maker{Config: cfg, now: now, keys: keys, existing: existing}
	record, err := m.makeAndWrite(folder)
	if err != nil && len(keys.onTokens) > 0 {
		return fmt.Errorf("%w; no file is left of it, but on the token there are now the keys %s: remove them before the next try", err, strings.Join(keys.onTokens, ", "))
	}
	if err != nil {
		return err
	}
	return cfg.print(record)
}

func (m *maker) makeAndWrite(f *folder) (record []byte, err error) {
	if err := m.make(); err != nil {
		return nil, err
	}
	record = m.record(false)
	return record, f.put(m.Random, append(m.files(), file{TranscriptFile, record, 0o644}), m.verify)
}

func (cfg Config) print(record []byte) error {
	if _, err := io.Copy(cfg.Out, bytes.NewReader(record)); err != nil {
		return fmt.Errorf("printing the record: %w", err)
	}
	return nil
}

// openExisting opens the keys of existing CAs, by name.
func (cfg Config) openExisting() (map[string]crypto.Signer, error) {
	signers := map[string]crypto.Signer{}
	for _, e := range cfg.Plan.Existing {
		if e.Key == nil {
			continue
		}
		signer, err := cfg.open(*e.Key)
		if err != nil {
			return nil, fmt.Errorf("opening the key of %s: %w", e.Name, err)
		}
		if !key.Equal(signer.Public(), e.Certificate.PublicKey) {
			return nil, fmt.Errorf("%s is not the key of the certificate of %s", e.Key, e.Name)
		}
		signers[e.Name] = signer
	}
	return signers, nil
}

func (cfg Config) open(k Key) (crypto.Signer, error) {
	if k.PKCS11 == "" {
		return key.File{Path: k.File, Passphrase: k.Passphrase}.Open()
	}
	if cfg.Tokens == nil {
		return nil, errNoTokens
	}
	return cfg.Tokens.Open(k.PKCS11)
}

// certificate is a certificate of the ceremony, made or existing.
type certificate struct {
	*x509.Certificate
	signer crypto.Signer // nil: its key signs nothing here
	issuer string        // name; empty: itself, or one that is not there
}

// certification is what all certificates of a ceremony are made with.
func (m *maker) certification() ca.Certification {
	return ca.Certification{Lint: m.Plan.Lint, Now: m.Now, Random: m.Random}
}
