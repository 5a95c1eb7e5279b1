package key

import (
	"bytes"
	"fmt"
)

// maxPassphrase is more than any passphrase has, in bytes.
const maxPassphrase = 1024

// ReadPassphrase reads a passphrase from a file. The line's end is not part of
// it. Who may read the file is its owner's affair: a container's secrets, for
// one, are mounted with modes of their own.
func ReadPassphrase(path string) ([]byte, error) {
	data, err := ReadPublic(path)
	if err != nil {
		return nil, fmt.Errorf("reading a passphrase: %w", err)
	}
	passphrase := bytes.TrimRight(data, "\r\n")
	if len(passphrase) == 0 || len(passphrase) > maxPassphrase || bytes.ContainsAny(passphrase, "\r\n\x00") {
		return nil, fmt.Errorf("%s must hold one line, the passphrase", path)
	}
	return passphrase, nil
}

// PassphraseFile is the passphrase in a file.
func PassphraseFile(path string) Passphrase {
	return func() ([]byte, error) { return ReadPassphrase(path) }
}
