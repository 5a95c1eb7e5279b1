package ca

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
)

// HierarchyConfig says where a private hierarchy is, or is to be made.
type HierarchyConfig struct {
	// Folder gets root.pem, chain.pem and keys/.
	Folder string
	// Passphrase opens the keys that are encrypted; nil: none is. Keys that
	// are made here are not.
	Passphrase key.Passphrase
	// IssuerKey is the issuer's key, where that is not in keys/; nil: it is, or
	// is made there.
	IssuerKey key.Key
	Now       func() time.Time
	Random    io.Reader
}

// Hierarchy is a root and an intermediate on disk, ready to issue.
type Hierarchy struct {
	Root       *x509.Certificate
	Issuer     IssuerConfig
	RootFile   string // path of root.pem
	OCSPFolder string // where OCSP signers are kept
}

const (
	rootFile         = "root.pem"
	chainFile        = "chain.pem"
	keyFolder        = "keys"
	rootKeyFile      = "root.key"
	intermediateFile = "intermediate.key"

	rootValidity         = 25 * 365 * 24 * time.Hour
	intermediateValidity = 10 * 365 * 24 * time.Hour
)

// OpenHierarchy opens the hierarchy of a folder, or makes what is not there.
//
// The files are written one by one, whole or not at all, each key before the
// certificate that speaks of it. A start that was cut short is completed by
// the next; what exists is never replaced. The root's key is read only while
// there is no chain yet: afterwards it can be taken away to a safe place.
func OpenHierarchy(cfg HierarchyConfig) (*Hierarchy, error) {
	if err := checkStaged(cfg.Folder); err != nil {
		return nil, err
	}
	keys := filepath.Join(cfg.Folder, keyFolder)
	if err := os.MkdirAll(keys, 0o700); err != nil {
		return nil, fmt.Errorf("making the key folder: %w", err)
	}
	if err := key.RemoveTemporary(keys, cfg.Now()); err != nil {
		return nil, fmt.Errorf("cleaning the key folder: %w", err)
	}
	root, err := cfg.openRoot()
	if err != nil {
		return nil, err
	}
	chain, signer, err := cfg.openIntermediate(root)
	if err != nil {
		return nil, err
	}
	h := &Hierarchy{
		Root: root, RootFile: filepath.Join(cfg.Folder, rootFile), OCSPFolder: keys,
		Issuer: IssuerConfig{Signer: signer, Chains: [][]*x509.Certificate{chain}},
	}
	if k := cfg.IssuerKey; k != nil {
		h.Issuer.Slow, h.Issuer.Available = k.Slow(), k.Available
	}
	return h, h.check(cfg)
}

// check verifies what is on disk: every certificate by its issuer, the key by
// its certificate.
func (h *Hierarchy) check(cfg HierarchyConfig) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(h.Root)
	chain := h.Issuer.Chains[0]
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: cfg.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return fmt.Errorf("%s does not lead to %s: %w; restore both from one backup", chainFile, h.RootFile, err)
	}
	if !key.Equal(chain[0].PublicKey, h.Issuer.Signer.Public()) {
		if cfg.IssuerKey != nil {
			return fmt.Errorf("the first certificate in %s is for another key than the one of ca.issuer_key; name the key that belongs to it, or restore the file from a backup", chainFile)
		}
		return fmt.Errorf("%s/%s is not the key of the first certificate in %s; restore both from one backup", keyFolder, intermediateFile, chainFile)
	}
	return nil
}

func (cfg HierarchyConfig) path(name string) string { return filepath.Join(cfg.Folder, name) }
func (cfg HierarchyConfig) keyPath(name string) string {
	return cfg.path(filepath.Join(keyFolder, name))
}

func (cfg HierarchyConfig) openRoot() (*x509.Certificate, error) {
	certs, err := readCertificates(cfg.path(rootFile))
	switch {
	case err == nil:
		return certs[0], nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if _, err := os.Stat(cfg.path(chainFile)); err == nil {
		return nil, fmt.Errorf("%s is missing though %s is there; restore it from a backup", cfg.path(rootFile), chainFile)
	}
	signer, err := cfg.openKey(rootKeyFile)
	if err != nil {
		return nil, err
	}
	t := cfg.template("Cairn Root", rootValidity)
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := cfg.create(t, nil, signer.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("making the root: %w", err)
	}
	return cfg.write(rootFile, der)
}

func (cfg HierarchyConfig) openIntermediate(root *x509.Certificate) ([]*x509.Certificate, crypto.Signer, error) {
	chain, err := readCertificates(cfg.path(chainFile))
	if err == nil {
		signer, err := cfg.readIssuerKey()
		if err != nil {
			return nil, nil, fmt.Errorf("reading the issuer's key: %w", err)
		}
		return chain, signer, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	rootKey, err := cfg.readKey(rootKeyFile)
	if err != nil {
		return nil, nil, fmt.Errorf("the root's key is needed, as %s is not there yet: %w", chainFile, err)
	}
	signer, err := cfg.openIssuerKey()
	if err != nil {
		return nil, nil, err
	}
	t := cfg.template("Cairn Intermediate", intermediateValidity)
	// digitalSignature: it may sign OCSP answers itself, should it have to.
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	// anyPolicy: profiles choose (Baseline Requirements §7.1.2.10.5).
	policy, err := x509.ParseOID("2.5.29.32.0")
	if err != nil {
		return nil, nil, fmt.Errorf("encoding anyPolicy: %w", err)
	}
	t.Policies = []x509.OID{policy}
	t.MaxPathLenZero = true
	der, err := cfg.create(t, root, signer.Public(), rootKey)
	if err != nil {
		return nil, nil, fmt.Errorf("making the intermediate: %w", err)
	}
	cert, err := cfg.write(chainFile, der)
	if err != nil {
		return nil, nil, err
	}
	return []*x509.Certificate{cert}, signer, nil
}

// template is what CA certificates have in common.
func (cfg HierarchyConfig) template(name string, validity time.Duration) *x509.Certificate {
	now := cfg.Now().UTC().Truncate(time.Second)
	return &x509.Certificate{
		Subject:   pkix.Name{Organization: []string{"Cairn"}, CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(validity - time.Hour - time.Second),
		IsCA: true, BasicConstraintsValid: true,
	}
}

// create makes a CA certificate; with no parent, a self-signed one.
func (cfg HierarchyConfig) create(t, parent *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) ([]byte, error) {
	serial, err := acme.NewSerial(cfg.Now(), cfg.Random)
	if err != nil {
		return nil, err
	}
	t.SerialNumber = serial.Big()
	// Two hierarchies that were made apart must not share a name: chains
	// would be built across them.
	t.Subject.CommonName += " " + serial.String()[8:16]
	cert, _, err := CertifyCA(Certification{
		Template: t, Public: public, Issuer: parent, Signer: signer, Lint: PrivateCALints(), Now: cfg.Now, Random: cfg.Random,
	})
	if err != nil {
		return nil, err
	}
	return cert.Raw, nil
}

// privateCALints are what zlint asks of CAs in public root programs alone: a
// country in the name, and pointers to CRLs and OCSP of the root,
// which a private root that is kept offline does not publish.
var privateCALints = []string{
	"e_ca_country_name_missing",
	"e_sub_ca_crl_distribution_points_missing",
	"e_sub_ca_aia_missing",
}

func (cfg HierarchyConfig) readKey(name string) (crypto.Signer, error) {
	return key.File{Path: cfg.keyPath(name), Passphrase: cfg.Passphrase}.Open()
}

func (cfg HierarchyConfig) readIssuerKey() (crypto.Signer, error) {
	if cfg.IssuerKey != nil {
		return cfg.IssuerKey, nil
	}
	return cfg.readKey(intermediateFile)
}

func (cfg HierarchyConfig) openIssuerKey() (crypto.Signer, error) {
	if cfg.IssuerKey != nil {
		return cfg.IssuerKey, nil
	}
	return cfg.openKey(intermediateFile)
}

func (cfg HierarchyConfig) openKey(name string) (crypto.Signer, error) {
	signer, err := cfg.readKey(name)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return signer, err
	}
	if signer, err = key.Generate(key.P256, cfg.Random); err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	encoded, err := key.Encode(signer)
	if err != nil {
		return nil, err
	}
	return signer, key.Create(cfg.Random, cfg.keyPath(name), encoded, 0o600)
}

// write writes a certificate and reads it back.
func (cfg HierarchyConfig) write(name string, der []byte) (*x509.Certificate, error) {
	if err := key.Create(cfg.Random, cfg.path(name), encodePEM(der), 0o644); err != nil {
		return nil, err
	}
	certs, err := readCertificates(cfg.path(name))
	if err != nil {
		return nil, err
	}
	return certs[0], nil
}

// readCertificates reads the certificates of a PEM file; at least one.
func readCertificates(path string) ([]*x509.Certificate, error) {
	data, err := key.ReadPublic(path)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		if block.Type != key.PEMCertificate {
			return nil, fmt.Errorf("%s has a PEM block %q; it may hold certificates only", path, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w; restore the file from a backup", path, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("%s holds no certificate; restore the file from a backup", path)
	}
	return certs, nil
}
