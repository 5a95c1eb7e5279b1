package rpc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

// CertificatesConfig says which certificates MakeCertificates makes.
type CertificatesConfig struct {
	// Domain is where the names are, ROLE.DOMAIN; empty: the constant Domain.
	Domain string
	// Names is the first labels of the names and the names of the files; none:
	// the roles.
	Names []string
	// CALifetime and Lifetime are how long the CA certificate and the others
	// are valid; 0: ten years and two years.
	CALifetime, Lifetime time.Duration
	Now                  func() time.Time
	// Random is where serial numbers come from; nil: crypto/rand. Keys always
	// come from crypto/rand.
	Random io.Reader
}

// backdate allows for clocks that are behind.
const backdate = time.Hour

// AuthorityFile is the name of the internal CA's two files, AuthorityFile.pem
// and AuthorityFile.key: "ca" is a role, whose files have that name.
const AuthorityFile = "internal-ca"

// MakeCertificates makes in dir an internal CA and, for each name, a
// certificate for both ends of mutual TLS and its key (ra.pem, ra.key), and
// returns the paths of the files that it made. It never overwrites: what is
// there already stays and is used, so that a later call adds names, or
// replaces certificates whose two files were removed. Keys have mode 0600, and
// dir, where it is made, 0700. The internal CA's key is needed by later calls
// only; keep it away from the processes.
func MakeCertificates(dir string, cfg CertificatesConfig) ([]string, error) {
	if cfg.Now == nil {
		return nil, errors.New("making certificates needs a clock")
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if cfg.Domain == "" {
		cfg.Domain = Domain
	}
	if len(cfg.Names) == 0 {
		for _, role := range Roles() {
			cfg.Names = append(cfg.Names, string(role))
		}
	}
	if cfg.CALifetime == 0 {
		cfg.CALifetime = 10 * 365 * 24 * time.Hour
	}
	if cfg.Lifetime == 0 {
		cfg.Lifetime = 2 * 365 * 24 * time.Hour
	}
	for _, name := range cfg.Names {
		id, err := acme.ParseIdentifier(acme.IdentifierDNS, name+"."+cfg.Domain)
		if err != nil {
			return nil, fmt.Errorf("the name of a certificate: %w", err)
		}
		if id.IsWildcard() || id.Value() != name+"."+cfg.Domain || filepath.Base(name) != name || name == AuthorityFile {
			return nil, fmt.Errorf("%q can't be the name of a certificate", name)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of certificates: %w", err)
	}
	m := &certificateMaker{dir: dir, cfg: cfg}
	err := m.authority()
	for _, name := range cfg.Names {
		if err == nil {
			err = m.member(name)
		}
	}
	return m.made, err
}

type certificateMaker struct {
	dir    string
	cfg    CertificatesConfig
	issuer tls.Certificate
	made   []string
}

// authority reads or makes the internal CA.
func (m *certificateMaker) authority() error {
	cert, ok, err := m.read(AuthorityFile)
	if err != nil {
		return err
	}
	if ok {
		if !cert.Leaf.IsCA {
			return fmt.Errorf("%s is not a CA's certificate", m.path(AuthorityFile, ".pem"))
		}
		m.issuer = cert
		return nil
	}
	template := m.template(m.cfg.CALifetime)
	template.Subject = pkix.Name{CommonName: "Cairn internal CA"}
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign
	template.PermittedDNSDomainsCritical = true
	template.PermittedDNSDomains = []string{m.cfg.Domain}
	m.issuer, err = m.make(AuthorityFile, template)
	return err
}

// member makes a process's certificate unless it is there.
func (m *certificateMaker) member(name string) error {
	if _, ok, err := m.read(name); ok || err != nil {
		return err
	}
	template := m.template(m.cfg.Lifetime)
	template.Subject = pkix.Name{CommonName: name + "." + m.cfg.Domain}
	template.DNSNames = []string{name + "." + m.cfg.Domain}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	template.BasicConstraintsValid = true
	_, err := m.make(name, template)
	return err
}

func (m *certificateMaker) path(name, extension string) string {
	return filepath.Join(m.dir, name+extension)
}

// read reads a certificate and its key; false: neither is there.
func (m *certificateMaker) read(name string) (tls.Certificate, bool, error) {
	certFile, keyFile := m.path(name, ".pem"), m.path(name, ".key")
	_, certErr := os.Stat(certFile)
	_, keyErr := os.Stat(keyFile)
	switch {
	case errors.Is(certErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist):
		return tls.Certificate{}, false, nil
	case errors.Is(keyErr, fs.ErrNotExist):
		return tls.Certificate{}, false, fmt.Errorf("%s is there but not its key %s; bring the key back, or remove the certificate to have both made", certFile, keyFile)
	case errors.Is(certErr, fs.ErrNotExist):
		return tls.Certificate{}, false, fmt.Errorf("%s is there but not its certificate %s; bring the certificate back, or remove the key to have both made", keyFile, certFile)
	}
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return tls.Certificate{}, false, fmt.Errorf("reading %s and %s: %w", certFile, keyFile, err)
	}
	return cert, true, nil
}

func (m *certificateMaker) template(lifetime time.Duration) *x509.Certificate {
	now := m.cfg.Now()
	return &x509.Certificate{NotBefore: now.Add(-backdate), NotAfter: now.Add(lifetime)}
}

// make makes a key and its certificate, signed by the internal CA or, when
// there is none yet, by itself, and writes both.
func (m *certificateMaker) make(name string, template *x509.Certificate) (tls.Certificate, error) {
	fail := func(err error) (tls.Certificate, error) {
		return tls.Certificate{}, fmt.Errorf("making the certificate of %s: %w", name, err)
	}
	serial, err := acme.NewSerial(m.cfg.Now(), m.cfg.Random)
	if err != nil {
		return fail(err)
	}
	template.SerialNumber = serial.Big()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	parent, signer := template, any(key)
	if m.issuer.Leaf != nil {
		parent, signer = m.issuer.Leaf, m.issuer.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return fail(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fail(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	if err := m.write(m.path(name, ".key"), keyPEM, 0o600); err != nil {
		return fail(err)
	}
	if err := m.write(m.path(name, ".pem"), certPEM, 0o644); err != nil {
		// Half a pair would stop the next call.
		err = errors.Join(err, os.Remove(m.path(name, ".key")))
		m.made = slices.DeleteFunc(m.made, func(p string) bool { return p == m.path(name, ".key") })
		return fail(err)
	}
	return tls.X509KeyPair(certPEM, keyPEM)
}

// write writes a file that must not be there yet, durably.
func (m *certificateMaker) write(path string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	m.made = append(m.made, path)
	return nil
}
