package ceremony

import (
	"crypto"
	"errors"
	"fmt"
	"io"

	"github.com/cairn-ca/cairn/ca/key"
)

var errNoTokens = errors.New("keys on PKCS#11 tokens can't be used here; name a file")

// keyMaker makes the keys of a plan.
type keyMaker interface {
	generate(Key) (crypto.Signer, error)
	// existing is the key to sign with in the place of an existing one.
	existing(crypto.Signer) (crypto.Signer, error)
	// encode is the content of the key's file; nil: it has none.
	encode(Key, crypto.Signer) ([]byte, error)
}

// standIns makes the keys of a rehearsal. They live in memory alone, those of
// existing CAs too: a rehearsal signs nothing that anybody could use.
type standIns struct{ random io.Reader }

func (s standIns) generate(k Key) (crypto.Signer, error) { return generate(k, s.random) }

func (s standIns) existing(signer crypto.Signer) (crypto.Signer, error) {
	t, err := key.TypeOf(signer.Public())
	if err != nil {
		return nil, err
	}
	return key.Generate(t, s.random)
}

func (standIns) encode(Key, crypto.Signer) ([]byte, error) { return nil, nil }

// newKeys makes the keys that count.
type newKeys struct {
	tokens      Tokens
	random      io.Reader
	passphrases map[string][]byte // by the key's file
	onTokens    []string          // URIs of keys that were made
}

// prepare fetches every passphrase, before anything is made.
func (n *newKeys) prepare(p Plan) error {
	for _, k := range p.newKeys() {
		switch {
		case k.PKCS11 != "" && n.tokens == nil:
			return errNoTokens
		case k.PKCS11 != "" || k.Passphrase == nil:
			continue
		}
		passphrase, err := k.Passphrase()
		if err == nil && len(passphrase) == 0 {
			err = errors.New("it is empty")
		}
		if err != nil {
			return fmt.Errorf("the passphrase for %s: %w", k.File, err)
		}
		n.passphrases[k.File] = passphrase
	}
	return nil
}

// newKeys are the keys that the plan makes.
func (p Plan) newKeys() []Key {
	var keys []Key
	for _, r := range p.Roots {
		keys = append(keys, r.Key)
	}
	for _, i := range p.Intermediates {
		keys = append(keys, i.Key)
	}
	for _, s := range p.OCSPSigners {
		keys = append(keys, s.Key)
	}
	return keys
}

func (n *newKeys) generate(k Key) (crypto.Signer, error) {
	if k.PKCS11 != "" {
		signer, err := n.tokens.Generate(k.PKCS11, k.Type, k.Bits)
		if err == nil {
			n.onTokens = append(n.onTokens, k.PKCS11)
		}
		return signer, err
	}
	return generate(k, n.random)
}

func generate(k Key, random io.Reader) (crypto.Signer, error) {
	if k.Bits != 0 {
		return key.GenerateSize(k.Type, k.Bits, random)
	}
	return key.Generate(k.Type, random)
}

func (n *newKeys) existing(signer crypto.Signer) (crypto.Signer, error) { return signer, nil }

func (n *newKeys) encode(k Key, signer crypto.Signer) ([]byte, error) {
	switch {
	case k.PKCS11 != "":
		return nil, nil
	case k.Passphrase == nil:
		return key.Encode(signer)
	}
	return key.EncodeEncrypted(n.random, signer, n.passphrases[k.File])
}

// passphrase is that of a key that was made, for reading it back.
func (n *newKeys) passphrase(k Key) key.Passphrase {
	if k.Passphrase == nil {
		return nil
	}
	return func() ([]byte, error) { return n.passphrases[k.File], nil }
}
