package key

import (
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// PEM types of the files that Cairn keeps.
const (
	PEMPrivateKey  = "PRIVATE KEY" // PKCS#8
	PEMCertificate = "CERTIFICATE"
)

// maxFile bounds the key and certificate files that are read.
const maxFile = 1 << 20

// ErrExists is wrapped by Create when the file is there already.
var ErrExists = fs.ErrExist

// Encode is a private key in PKCS#8 PEM.
func Encode(signer crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return nil, fmt.Errorf("encoding a private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: PEMPrivateKey, Bytes: der}), nil
}

// Parse reads a private key in PKCS#8 DER.
func Parse(der []byte) (crypto.Signer, error) {
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("reading a PKCS#8 private key: %w", err)
	}
	signer, ok := k.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T can't sign", k)
	}
	if _, err := TypeOf(signer.Public()); err != nil {
		return nil, err
	}
	return signer, nil
}

// File is a private key in a PEM file, of which ParsePEM tells the forms.
type File struct {
	Path string
	// Passphrase opens an encrypted file; nil: the file must not be encrypted.
	Passphrase Passphrase
}

// Open reads the key. Nobody but the file's owner may have access to it.
// Errors name the file.
func (f File) Open() (crypto.Signer, error) {
	data, err := ReadPrivate(f.Path)
	if err != nil {
		return nil, err
	}
	signer, err := ParsePEM(data, f.Passphrase)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path, err)
	}
	return signer, nil
}

// ReadFile reads a private key from a PEM file that is not encrypted. Nobody
// but the file's owner may have access to it. Errors name the file.
func ReadFile(path string) (crypto.Signer, error) { return File{Path: path}.Open() }

// ReadPrivate reads a file that holds a private key, after checking that only
// its owner has access.
func ReadPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err // it names the path already
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading the mode of %s: %w", path, err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %04o, which lets others use the key; run: chmod 600 %s", path, mode, path)
	}
	return readBounded(path, f)
}

// ReadPublic reads a file that holds nothing secret.
func ReadPublic(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readBounded(path, f)
}

func readBounded(path string, r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", path, err)
	case len(data) > maxFile:
		return nil, fmt.Errorf("%s has more than %d bytes and is not a key or certificate file", path, maxFile)
	}
	return data, nil
}

// Create writes a new file, whole or not at all: the data is on the disk before
// the name exists. A file that exists stays as it is, and the error wraps
// ErrExists. mode is 0600 for keys.
func Create(random io.Reader, path string, data []byte, mode os.FileMode) error {
	// A link fails where the name exists, which a rename does not: of two
	// processes that make the same key, one wins and the other sees it.
	return write(random, path, data, mode, os.Link)
}

// Replace writes a file, whole or not at all, in the place of one that may
// exist.
func Replace(random io.Reader, path string, data []byte, mode os.FileMode) error {
	return write(random, path, data, mode, os.Rename)
}

const temporaryMark = ".tmp-"

func write(random io.Reader, path string, data []byte, mode os.FileMode, place func(from, to string) error) (err error) {
	var suffix [8]byte
	if _, err := io.ReadFull(random, suffix[:]); err != nil {
		return fmt.Errorf("naming a temporary file: %w", err)
	}
	temporary := path + temporaryMark + hex.EncodeToString(suffix[:])
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	// After a rename the name is gone and this removes nothing.
	defer os.Remove(temporary)
	if _, err := f.Write(data); err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(fmt.Errorf("writing %s to the disk: %w", path, err), f.Close())
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := place(temporary, path); err != nil {
		return fmt.Errorf("naming %s: %w", path, err)
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes the names in a folder durable.
func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return fmt.Errorf("opening the folder %s: %w", folder, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("writing the folder %s to the disk: %w", folder, err)
	}
	return nil
}

// RemoveTemporary removes what writes that a crash cut short left in a folder:
// temporary files that are older than an hour at now.
func RemoveTemporary(folder string, now time.Time) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.Contains(e.Name(), temporaryMark) {
			continue
		}
		info, err := e.Info()
		if err != nil || now.Sub(info.ModTime()) < time.Hour {
			continue // gone, or perhaps another process's at work
		}
		if err := os.Remove(filepath.Join(folder, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing a temporary file: %w", err)
		}
	}
	return nil
}
