package ceremony

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/ca/key"
)

// Material is a hierarchy that others made.
type Material struct {
	Root *x509.Certificate
	// Chain begins with the issuing certificate, each issued by the next, the
	// last one by the root, which is not in it.
	Chain []*x509.Certificate
	// Issuer is the issuing certificate's key.
	Issuer crypto.Signer
	// RootKey may be nil: an issuing CA needs none.
	RootKey crypto.Signer
}

// ImportConfig is what an import works with.
type ImportConfig struct {
	Material
	// KeyElsewhere is where the issuing certificate's key stays, as on a
	// PKCS#11 token; empty: it is put into the folder.
	KeyElsewhere string
	// Folder is the data folder that gets the hierarchy.
	Folder string
	// Passphrase encrypts the keys in the folder; nil: they are not encrypted.
	Passphrase []byte
	Header     []Line
	Out        io.Writer // gets the record
	Now        func() time.Time
	Random     io.Reader
}

// Import checks a hierarchy and puts it into a data folder, in the places
// where the signing authority looks for it: all of it, or nothing.
func Import(cfg ImportConfig) error {
	if err := cfg.Check(cfg.Now()); err != nil {
		return err
	}
	record, err := cfg.record()
	if err != nil {
		return err
	}
	var chain []byte
	for _, cert := range cfg.Chain {
		chain = append(chain, encodeCertificate(cert)...)
	}
	files := []file{{ca.RootFile, encodeCertificate(cfg.Root), 0o644}, {ca.ChainFile, chain, 0o644}, {TranscriptFile, record, 0o644}}
	for path, signer := range map[string]crypto.Signer{ca.IssuerKeyFile: cfg.Issuer, ca.RootKeyFile: cfg.RootKey} {
		if signer == nil || path == ca.IssuerKeyFile && cfg.KeyElsewhere != "" {
			continue
		}
		encoded, err := cfg.encode(signer)
		if err != nil {
			return err
		}
		files = append(files, file{path, encoded, 0o600})
	}
	folder, err := openFolder(cfg.Folder)
	if err != nil {
		return err
	}
	defer folder.close()
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = f.path
	}
	if err := folder.vacant(paths); err != nil {
		return fmt.Errorf("the data folder has a CA already: %w", err)
	}
	if err := folder.put(cfg.Random, files, cfg.verify); err != nil {
		return err
	}
	if _, err := cfg.Out.Write(record); err != nil {
		return fmt.Errorf("printing the record: %w", err)
	}
	return nil
}

func (cfg ImportConfig) encode(signer crypto.Signer) ([]byte, error) {
	if cfg.Passphrase == nil {
		return key.Encode(signer)
	}
	return key.EncodeEncrypted(cfg.Random, signer, cfg.Passphrase)
}

// Check tells whether Cairn can issue with the hierarchy, and relying parties
// can follow it.
func (m Material) Check(now time.Time) error {
	if m.Root == nil {
		return errors.New("the root certificate is missing")
	}
	if len(m.Chain) == 0 || m.Issuer == nil {
		return errors.New("an issuing certificate below the root and its key are needed; one for a root that exists is made with cairn ceremony")
	}
	if err := checkRoot(m.Root, now); err != nil {
		return fmt.Errorf("the root %q: %w", m.Root.Subject, err)
	}
	for i, cert := range m.Chain {
		if err := checkIntermediate(cert, append(slices.Clone(m.Chain[i+1:]), m.Root)[0], now); err != nil {
			return fmt.Errorf("the certificate %q: %w", cert.Subject, err)
		}
	}
	issuing := m.Chain[0]
	if !key.Equal(issuing.PublicKey, m.Issuer.Public()) {
		return fmt.Errorf("the key is not that of the issuing certificate %q", issuing.Subject)
	}
	if issuing.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return fmt.Errorf("the certificate %q may not sign CRLs, and Cairn publishes them; have it issued anew with the key usage cRLSign", issuing.Subject)
	}
	if m.RootKey != nil && !key.Equal(m.Root.PublicKey, m.RootKey.Public()) {
		return fmt.Errorf("the root's key is not that of the root %q", m.Root.Subject)
	}
	between := x509.NewCertPool()
	for _, cert := range m.Chain[1:] {
		between.AddCert(cert)
	}
	roots := x509.NewCertPool()
	roots.AddCert(m.Root)
	// Path lengths and name constraints (RFC 5280 §6).
	if _, err := issuing.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return fmt.Errorf("the chain does not lead from %q to the root %q: %w", issuing.Subject, m.Root.Subject, err)
	}
	return nil
}

func checkRoot(root *x509.Certificate, now time.Time) error {
	if !bytes.Equal(root.RawIssuer, root.RawSubject) || root.CheckSignatureFrom(root) != nil {
		return errors.New("it is not self-signed, so it is no root; name the certificate at the top")
	}
	return checkCA(root, now)
}

func checkIntermediate(cert, issuer *x509.Certificate, now time.Time) error {
	if bytes.Equal(cert.RawIssuer, cert.RawSubject) {
		return errors.New("it is self-signed; a chain has no root, and a root does not issue to subscribers")
	}
	if err := cert.CheckSignatureFrom(issuer); err != nil {
		return fmt.Errorf("it was not issued by %q, which follows it: %w", issuer.Subject, err)
	}
	return checkCA(cert, now)
}

func checkCA(cert *x509.Certificate, now time.Time) error {
	switch {
	case !cert.BasicConstraintsValid || !cert.IsCA:
		return errors.New("it is not a CA's: its basic constraints do not say so")
	case cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return errors.New("its key usage does not allow it to issue certificates")
	case len(cert.SubjectKeyId) == 0:
		return errors.New("it has no subject key identifier, which certificates below it point to")
	case now.Before(cert.NotBefore):
		return fmt.Errorf("it is not valid before %s", cert.NotBefore.UTC().Format(time.RFC3339))
	case !now.Before(cert.NotAfter):
		return fmt.Errorf("it expired at %s", cert.NotAfter.UTC().Format(time.RFC3339))
	}
	if _, err := key.Check(cert.PublicKey); err != nil {
		return fmt.Errorf("its key is not fit to sign with: %w", err)
	}
	return nil
}

// record is what was imported, for people.
func (cfg ImportConfig) record() ([]byte, error) {
	var r recorder
	r.line("Import of", cfg.Now().UTC().Truncate(time.Second).Format(time.RFC3339))
	for _, l := range cfg.Header {
		r.field(l.Name, l.Value)
	}
	place := func(path string, signer crypto.Signer) string {
		switch {
		case signer == nil:
			return "not imported"
		case path == ca.IssuerKeyFile && cfg.KeyElsewhere != "":
			return cfg.KeyElsewhere
		case cfg.Passphrase != nil:
			return path + " (encrypted)"
		}
		return path + " (not encrypted)"
	}
	one := func(kind, file string, cert *x509.Certificate) error {
		r.heading(kind, "")
		r.field("file", file)
		r.certificate(cert)
		r.field("SHA-256", colons(sum(cert.Raw)))
		findings, err := ca.LintCertificate(ca.PrivateCALints(), cert.Raw)
		r.lints(findings)
		return err
	}
	if err := one("root", ca.RootFile, cfg.Root); err != nil {
		return nil, err
	}
	r.field("key in", place(ca.RootKeyFile, cfg.RootKey))
	for i, cert := range cfg.Chain {
		if err := one("intermediate", ca.ChainFile, cert); err != nil {
			return nil, err
		}
		if i == 0 {
			r.field("key in", place(ca.IssuerKeyFile, cfg.Issuer))
		}
	}
	return r.Bytes(), nil
}

// verify reads back what was written, and checks it as it was checked before.
func (cfg ImportConfig) verify(staged string) error {
	var m Material
	for _, f := range []struct {
		path string
		into *[]*x509.Certificate
	}{{ca.ChainFile, &m.Chain}, {ca.RootFile, new([]*x509.Certificate)}} {
		data, err := key.ReadPublic(filepath.Join(staged, f.path))
		if err != nil {
			return err
		}
		if *f.into, err = parseCertificates(data); err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
		if f.path == ca.RootFile {
			m.Root = (*f.into)[0]
		}
	}
	var passphrase key.Passphrase
	if cfg.Passphrase != nil {
		passphrase = func() ([]byte, error) { return cfg.Passphrase, nil }
	}
	var err error
	if cfg.KeyElsewhere != "" {
		m.Issuer = cfg.Issuer
	} else if m.Issuer, err = (key.File{Path: filepath.Join(staged, ca.IssuerKeyFile), Passphrase: passphrase}).Open(); err != nil {
		return err
	}
	if cfg.RootKey != nil {
		if m.RootKey, err = (key.File{Path: filepath.Join(staged, ca.RootKeyFile), Passphrase: passphrase}).Open(); err != nil {
			return err
		}
	}
	return m.Check(cfg.Now())
}

// maxCertificates bounds the certificates in one file.
const maxCertificates = 16

// parseCertificates reads PEM with certificates, at least one. Blocks of other
// kinds are an error, but for keys, which files of this sort have as well.
func parseCertificates(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		if block.Type != key.PEMCertificate {
			continue
		}
		if len(certs) == maxCertificates {
			return nil, fmt.Errorf("there are more than %d certificates in it", maxCertificates)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("there is no certificate in PEM form in it")
	}
	return certs, nil
}

// arrange sorts certificates in any order into the chain of the key's
// certificate. What does not belong to it is left out. The root is nil when it
// is not among them.
func arrange(certs []*x509.Certificate, signer crypto.Signer) (root *x509.Certificate, chain []*x509.Certificate, err error) {
	i := slices.IndexFunc(certs, func(c *x509.Certificate) bool { return key.Equal(c.PublicKey, signer.Public()) })
	if i < 0 {
		return nil, nil, errors.New("none of the certificates is for the key")
	}
	next := certs[i]
	for range len(certs) {
		if bytes.Equal(next.RawIssuer, next.RawSubject) {
			return next, chain, nil
		}
		chain = append(chain, next)
		i := slices.IndexFunc(certs, func(c *x509.Certificate) bool {
			return !c.Equal(next) && bytes.Equal(c.RawSubject, next.RawIssuer) && next.CheckSignatureFrom(c) == nil
		})
		if i < 0 {
			return nil, chain, nil
		}
		next = certs[i]
	}
	return nil, nil, errors.New("the certificates issue each other in a circle")
}
