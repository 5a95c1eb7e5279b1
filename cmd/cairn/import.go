package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/ca/ceremony"
	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/config"
)

// importer is the flags of cairn import.
type importer struct {
	settings
	pem            ceremony.PEMFiles
	pkcs12, step   string
	passphraseFile string
	rootKey        string
	rootPassphrase string
	encryptWith    string
	unencrypted    bool
	terminal       terminal
}

func importCommand() *cobra.Command {
	var i importer
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Take over the root and the intermediate of another CA",
		Long: `Take over the root and the intermediate of another CA.

They come from PEM files (--root, --chain, --key), from a PKCS#12 file
(--pkcs12), or from the folder of a step-ca (--step). The chain, the keys, what
the certificates allow, how long they are valid and how strong their keys are is
checked, and everything is put into the data folder, from which "cairn serve"
issues with it. The root's key is not needed. A data folder that has a CA
already is left as it is. With --chain and no --key, the key is the one that
ca.issuer_key of the configuration names on a PKCS#11 token, and stays there.

Keys that were encrypted stay encrypted, with the same passphrase; the key
ca.key_passphrase_file of the configuration, or CAIRN_KEY_PASSPHRASE in the
environment, opens them then.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			i.terminal = terminal{os.Stdin, cmd.ErrOrStderr()}
			return i.run(cmd)
		},
	}
	i.settings.register(cmd)
	f := cmd.Flags()
	f.StringVar(&i.pem.Root, "root", "", "the root certificate, a PEM `FILE`")
	f.StringVar(&i.pem.Chain, "chain", "", "the issuing certificate, and what is between it and the root, a PEM `FILE`")
	f.StringVar(&i.pem.Key, "key", "", "the issuing certificate's key, a PEM `FILE`")
	f.StringVar(&i.rootKey, "root-key", "", "the root's key, a PEM `FILE` (default: it is not imported)")
	f.StringVar(&i.pkcs12, "pkcs12", "", "a PKCS#12 `FILE` with the issuing certificate, its key and its issuers")
	f.StringVar(&i.step, "step", "", "the folder `DIR` of a step-ca ($STEPPATH)")
	f.StringVar(&i.passphraseFile, "passphrase-file", "", "the `FILE` with the passphrase of the issuing certificate's key, or of the PKCS#12 file")
	f.StringVar(&i.rootPassphrase, "root-passphrase-file", "", "the `FILE` with the passphrase of the root's key")
	f.StringVar(&i.encryptWith, "encrypt-with", "", "encrypt the keys in the data folder with the passphrase in `FILE`")
	f.BoolVar(&i.unencrypted, "unencrypted", false, "keep the keys in the data folder without a passphrase")
	cmd.MarkFlagsMutuallyExclusive("encrypt-with", "unencrypted")
	return cmd
}

func (i *importer) run(cmd *cobra.Command) error {
	cfg, err := i.load()
	if err != nil {
		return err
	}
	elsewhere, done, err := i.openElsewhere(cmd.Context(), cfg)
	if err != nil {
		return err
	}
	defer done()
	m, passphrase, from, err := i.read()
	if err != nil {
		return err
	}
	if err := m.Check(time.Now()); err != nil {
		return err // before there is a data folder
	}
	switch {
	case i.unencrypted:
		passphrase = nil
	case i.encryptWith != "":
		if passphrase, err = key.ReadPassphrase(i.encryptWith); err != nil {
			return err
		}
	}
	data, err := openData(cfg.Data, "")
	if err != nil {
		return err
	}
	defer data.close()
	err = ceremony.Import(ceremony.ImportConfig{
		Material: m, KeyElsewhere: elsewhere, Folder: data.path, Passphrase: passphrase, Header: append(recordHeader(), ceremony.Line{Name: "from", Value: from}),
		Out: cmd.OutOrStdout(), Now: time.Now, Random: rand.Reader,
	})
	if err != nil {
		return err
	}
	out := "\nThe CA is in place. Start it with:\n\n  cairn serve --data " + shellQuote(cfg.Data) + "\n"
	if i.file != "" {
		out = "\nThe CA is in place. Start it with:\n\n  cairn serve --config " + shellQuote(i.file) + " --data " + shellQuote(cfg.Data) + "\n"
	}
	if passphrase != nil && elsewhere == "" {
		out += fmt.Sprintf("\nIts keys are encrypted: name the file with their passphrase with the key\nca.key_passphrase_file, or set %s.\n", envKeyPassphrase)
	}
	_, err = fmt.Fprint(cmd.OutOrStdout(), out)
	return err
}

// openElsewhere opens the key of ca.issuer_key where that is on a PKCS#11
// token and --chain comes without --key: it stays there. elsewhere is empty
// when the key is in a file.
func (i *importer) openElsewhere(ctx context.Context, cfg *config.Config) (elsewhere string, done func(), err error) {
	done = func() {}
	if i.pem.Chain == "" || i.pem.Key != "" || !key.IsPKCS11URI(cfg.CA.IssuerKey) {
		return "", done, nil
	}
	keys, err := key.NewOpener(key.OpenerConfig{Getenv: os.Getenv})
	if err != nil {
		return "", done, err
	}
	if i.pem.Signer, err = (tokens{ctx, keys}).Open(cfg.CA.IssuerKey); err != nil {
		return "", done, errors.Join(fmt.Errorf("ca.issuer_key: %w", err), keys.Close())
	}
	return cfg.CA.IssuerKey, func() { keys.Close() }, nil
}

// read reads the hierarchy from where the flags say. passphrase is that of the
// issuing certificate's key; nil: it was not encrypted.
func (i *importer) read() (m ceremony.Material, passphrase []byte, from string, err error) {
	opened := once(i.passphrase("the key", i.passphraseFile, envKeyPassphrase, "--passphrase-file"))
	encrypted := false
	switch {
	case i.pkcs12 != "" && i.step == "" && i.pem.Chain == "" && i.pem.Key == "":
		from, encrypted = i.pkcs12, true
		m, err = ceremony.ReadPKCS12(i.pkcs12, i.pem.Root, opened)
	case i.step != "" && i.pkcs12 == "" && i.pem.Chain == "" && i.pem.Key == "" && i.pem.Root == "":
		from = i.step
		var p key.Passphrase // step-ca's folder may have it
		if i.passphraseFile != "" || os.Getenv(envKeyPassphrase) != "" {
			p = opened
		}
		m, passphrase, err = ceremony.ReadStepCA(i.step, p)
		return i.withRootKey(m, passphrase, from, err)
	case i.pem.Chain != "" && (i.pem.Key != "" || i.pem.Signer != nil) && i.pkcs12 == "" && i.step == "":
		from = i.pem.Chain
		files := i.pem
		files.Passphrase = opened
		m, encrypted, err = ceremony.ReadPEM(files)
	default:
		return m, nil, "", errors.New("say what to import: --chain and --key (or ca.issuer_key on a token), with --root where the chain has no root; or --pkcs12; or --step")
	}
	if err == nil && encrypted {
		if passphrase, err = opened(); len(passphrase) == 0 {
			passphrase = nil // PKCS#12 knows empty ones
		}
	}
	return i.withRootKey(m, passphrase, from, err)
}

// withRootKey adds the root's key, if it is to be imported.
func (i *importer) withRootKey(m ceremony.Material, passphrase []byte, from string, err error) (ceremony.Material, []byte, string, error) {
	if err != nil || i.rootKey == "" {
		return m, passphrase, from, err
	}
	m.RootKey, err = key.File{Path: i.rootKey, Passphrase: i.passphrase("the root's key", i.rootPassphrase, "", "--root-passphrase-file")}.Open()
	return m, passphrase, from, err
}

func (i *importer) passphrase(what, file, env, flag string) key.Passphrase {
	return passphraseSource{what: what, file: file, env: env, terminal: i.terminal, hint: "name a file with " + flag}.get
}
