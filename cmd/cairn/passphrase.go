package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/config"
)

// envKeyPassphrase is where the passphrase of the CA's keys is, when no file
// has it.
const envKeyPassphrase = "CAIRN_KEY_PASSPHRASE"

// keyPassphrase opens the keys in the data folder that are encrypted.
func keyPassphrase(c config.CA) key.Passphrase {
	if c.KeyPassphraseFile != "" {
		return func() ([]byte, error) {
			passphrase, err := key.ReadPassphrase(c.KeyPassphraseFile)
			if err != nil {
				return nil, fmt.Errorf("ca.key_passphrase_file: %w", err)
			}
			return passphrase, nil
		}
	}
	return func() ([]byte, error) {
		passphrase, err := passphraseInEnv(envKeyPassphrase)
		if errors.Is(err, errNotSet) {
			return nil, fmt.Errorf("the key is encrypted; name the file with its passphrase with the key ca.key_passphrase_file, or set %s in the environment", envKeyPassphrase)
		}
		return passphrase, err
	}
}

var errNotSet = errors.New("is not set in the environment")

func passphraseInEnv(name string) ([]byte, error) {
	passphrase := os.Getenv(name)
	if passphrase == "" {
		return nil, fmt.Errorf("%s %w", name, errNotSet)
	}
	return []byte(passphrase), nil
}

// terminal is where a person answers questions, if there is one.
type terminal struct {
	in  *os.File
	out io.Writer // questions
}

// interactive tells whether a person can be asked.
func (t terminal) interactive() bool { return term.IsTerminal(int(t.in.Fd())) }

// ask reads one line, the answer to a question.
func (t terminal) ask(question string) (string, error) {
	if _, err := fmt.Fprint(t.out, question); err != nil {
		return "", err
	}
	// Octet by octet: what follows may be a passphrase, which another reader
	// takes.
	var line []byte
	for b := make([]byte, 1); ; {
		n, err := t.in.Read(b)
		switch {
		case n == 1 && b[0] == '\n':
			return string(bytes.TrimSpace(line)), nil
		case n == 1 && len(line) < 4096:
			line = append(line, b[0])
		case n == 1:
			return "", errors.New("the answer is too long")
		case err != nil:
			return "", fmt.Errorf("reading the answer: %w", err)
		}
	}
}

// secret reads a passphrase, which is not shown.
func (t terminal) secret(question string) ([]byte, error) {
	if _, err := fmt.Fprint(t.out, question); err != nil {
		return nil, err
	}
	passphrase, err := term.ReadPassword(int(t.in.Fd()))
	fmt.Fprintln(t.out)
	if err != nil {
		return nil, fmt.Errorf("reading the passphrase: %w", err)
	}
	return passphrase, nil
}

// minPassphrase is what a person who chooses one is held to, in bytes.
const minPassphrase = 8

// newSecret reads a passphrase that is to be remembered: twice.
func (t terminal) newSecret(question string) ([]byte, error) {
	for {
		one, err := t.secret(question)
		if err != nil || len(one) == 0 {
			return one, err
		}
		if len(one) < minPassphrase {
			fmt.Fprintf(t.out, "A passphrase has at least %d characters.\n", minPassphrase)
			continue
		}
		other, err := t.secret("Again: ")
		if err != nil {
			return nil, err
		}
		if bytes.Equal(one, other) {
			return one, nil
		}
		fmt.Fprintln(t.out, "The two are not the same.")
	}
}

// passphraseSource is where a command finds the passphrase of a key: the first
// of a file, a variable of the environment, and a person.
type passphraseSource struct {
	what     string // for people: "the key r1.key"
	file     string
	env      string
	terminal terminal
	chosen   bool   // the passphrase is a new one
	hint     string // what to name when there is nobody to ask
}

func (s passphraseSource) get() ([]byte, error) {
	switch {
	case s.file != "":
		return key.ReadPassphrase(s.file)
	case s.env != "":
		passphrase, err := passphraseInEnv(s.env)
		if !errors.Is(err, errNotSet) || s.env != envKeyPassphrase {
			return passphrase, err
		}
	}
	if !s.terminal.interactive() {
		return nil, fmt.Errorf("%s needs a passphrase, and there is no terminal to ask at; %s", s.what, s.hint)
	}
	if !s.chosen {
		return s.terminal.secret("Passphrase of " + s.what + ": ")
	}
	passphrase, err := s.terminal.newSecret("New passphrase for " + s.what + ": ")
	if err == nil && len(passphrase) == 0 {
		err = errors.New("the passphrase is empty")
	}
	return passphrase, err
}

// once keeps a passphrase, so that a person is asked once.
func once(p key.Passphrase) key.Passphrase {
	var kept []byte
	return func() ([]byte, error) {
		if kept != nil {
			return kept, nil
		}
		passphrase, err := p()
		if err == nil {
			kept = passphrase
		}
		return passphrase, err
	}
}
