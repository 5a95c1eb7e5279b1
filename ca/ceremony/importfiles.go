package ceremony

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/cairn-ca/cairn/ca/key"
)

// PEMFiles is a hierarchy in PEM files.
type PEMFiles struct {
	Root  string // the root certificate
	Chain string // the issuing certificate, and those between it and the root
	Key   string // its key
	// Signer is its key, where that is not in a file.
	Signer crypto.Signer
	// Passphrase opens Key, where it is encrypted.
	Passphrase key.Passphrase
}

// ReadPEM reads a hierarchy from PEM files. The certificates may be in any
// order, and all in one file. Encrypted tells whether the issuing
// certificate's key was.
func ReadPEM(f PEMFiles) (m Material, encrypted bool, err error) {
	m.Issuer = f.Signer
	if m.Issuer == nil {
		data, err := key.ReadPrivate(f.Key)
		if err != nil {
			return Material{}, false, err
		}
		if m.Issuer, err = key.ParsePEM(data, f.Passphrase); err != nil {
			return Material{}, false, fmt.Errorf("%s: %w", f.Key, err)
		}
		encrypted = key.Encrypted(data)
	}
	certs, err := readCertificates(f.Chain)
	if err != nil {
		return Material{}, false, err
	}
	if err := m.complete(certs, f.Chain, f.Root); err != nil {
		return Material{}, false, err
	}
	return m, encrypted, nil
}

// complete arranges the certificates of one file and those of the file with
// the root, if there is one.
func (m *Material) complete(certs []*x509.Certificate, from, rootFile string) (err error) {
	if rootFile != "" {
		roots, err := readCertificates(rootFile)
		if err != nil {
			return err
		}
		certs = append(certs, roots...)
	}
	if m.Root, m.Chain, err = arrange(certs, m.Issuer); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	if m.Root == nil {
		return fmt.Errorf("%s: the issuer of %q, %q, is not there; name the root certificate too, and what is between", from, m.Chain[len(m.Chain)-1].Subject, m.Chain[len(m.Chain)-1].Issuer)
	}
	return nil
}

func readCertificates(path string) ([]*x509.Certificate, error) {
	data, err := key.ReadPublic(path)
	if err != nil {
		return nil, err
	}
	certs, err := parseCertificates(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return certs, nil
}

// ReadPKCS12 reads a hierarchy from a PKCS#12 file (RFC 7292). The root may be
// in a PEM file of its own; empty: it is in the PKCS#12 file.
func ReadPKCS12(path, root string, passphrase key.Passphrase) (Material, error) {
	data, err := key.ReadPrivate(path)
	if err != nil {
		return Material{}, err
	}
	secret := []byte{}
	if passphrase != nil {
		if secret, err = passphrase(); err != nil {
			return Material{}, err
		}
	}
	m, certs, err := parsePKCS12(data, string(secret))
	if err != nil {
		return Material{}, fmt.Errorf("%s: %w", path, err)
	}
	return m, m.complete(certs, path, root)
}

func parsePKCS12(data []byte, passphrase string) (m Material, certs []*x509.Certificate, err error) {
	private, cert, others, err := pkcs12.DecodeChain(data, passphrase)
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword):
		return Material{}, nil, key.ErrPassphrase
	case err != nil:
		return Material{}, nil, fmt.Errorf("reading PKCS#12: %w", err)
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return Material{}, nil, fmt.Errorf("a key of type %T can't sign", private)
	}
	if _, err := key.TypeOf(signer.Public()); err != nil {
		return Material{}, nil, err
	}
	if len(others) >= maxCertificates {
		return Material{}, nil, fmt.Errorf("there are more than %d certificates in it", maxCertificates)
	}
	return Material{Issuer: signer}, append([]*x509.Certificate{cert}, others...), nil
}

// stepConfig is what is read of step-ca's config/ca.json.
type stepConfig struct {
	Root     stepPaths `json:"root"`
	Crt      string    `json:"crt"`
	Key      string    `json:"key"`
	Password string    `json:"password"`
}

// stepPaths is one path or several.
type stepPaths []string

// UnmarshalJSON reads a string or a list of them.
func (p *stepPaths) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*p = stepPaths{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(p))
}

// ReadStepCA reads the hierarchy of a step-ca folder ($STEPPATH). Where its
// config/ca.json is there, that says which files they are; paths in it that
// are not there, as in a folder that was copied, are looked for in the folder.
// Without a passphrase, the one in ca.json or in secrets/password counts. The
// passphrase that is returned is that of the key; nil: it is not encrypted.
func ReadStepCA(folder string, passphrase key.Passphrase) (m Material, used []byte, err error) {
	cfg := stepConfig{}
	data, err := key.ReadPublic(filepath.Join(folder, "config", "ca.json"))
	switch {
	case err == nil:
		if err := json.Unmarshal(data, &cfg); err != nil {
			return Material{}, nil, fmt.Errorf("reading %s: %w", filepath.Join(folder, "config", "ca.json"), err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return Material{}, nil, err
	}
	files := PEMFiles{
		Chain: stepFile(folder, cfg.Crt, "certs", "intermediate_ca.crt"),
		Key:   stepFile(folder, cfg.Key, "secrets", "intermediate_ca_key"),
		Passphrase: func() ([]byte, error) {
			var err error
			if passphrase != nil {
				used, err = passphrase()
			} else {
				used, err = stepPassphrase(folder, cfg)
			}
			return used, err
		},
	}
	if len(cfg.Root) > 0 {
		files.Root = stepFile(folder, cfg.Root[0], "certs", "root_ca.crt")
	} else {
		files.Root = stepFile(folder, "", "certs", "root_ca.crt")
	}
	if strings.Contains(cfg.Key, ":") {
		return Material{}, nil, fmt.Errorf("the folder's key is kept elsewhere (%.40q); only keys in files can be imported", cfg.Key)
	}
	m, _, err = ReadPEM(files)
	return m, used, err
}

// stepFile is a file of the folder: the one that ca.json names, or the usual
// one.
func stepFile(folder, named, sub, usual string) string {
	if named == "" {
		return filepath.Join(folder, sub, usual)
	}
	if _, err := os.Stat(named); err == nil {
		return named
	}
	return filepath.Join(folder, sub, filepath.Base(named))
}

func stepPassphrase(folder string, cfg stepConfig) ([]byte, error) {
	if cfg.Password != "" {
		return []byte(cfg.Password), nil
	}
	path := filepath.Join(folder, "secrets", "password")
	passphrase, err := key.ReadPassphrase(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("the key is encrypted; name the file with its passphrase")
	}
	return passphrase, err
}
