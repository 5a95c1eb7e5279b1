package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/ca/ceremony"
	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/config"
)

func ceremonyCommand() *cobra.Command {
	var dryRun bool
	var folder string
	cmd := &cobra.Command{
		Use:   "ceremony FILE",
		Short: "Make roots, intermediates, cross-certificates, CRLs and OCSP signers",
		Long: `Make roots, intermediates, cross-certificates, CRLs and OCSP signers.

FILE is a YAML file that says what is to be made; docs/ceremony.md documents it.
Every certificate and CRL is linted before a key signs it. The record of the
ceremony is printed and kept in transcript.txt, and everything is read back from
the disk and verified before it gets its name. A file that exists is never
replaced; a ceremony that is cut short leaves nothing, or is completed by the
next one.

With --dry-run everything is made and linted with keys that live in memory
alone, the record is printed, and nothing is written.`,
		Args: oneArgument("the file that says what is to be made"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, data, err := config.LoadCeremony(args[0])
			if err != nil {
				return err
			}
			if folder != "" {
				file.Folder = folder
			}
			if file.Folder == "" {
				return fmt.Errorf("%s: name the folder for the files, with the key folder or with --folder", args[0])
			}
			keys, err := key.NewOpener(key.OpenerConfig{Getenv: os.Getenv})
			if err != nil {
				return err
			}
			defer keys.Close()
			plan, err := ceremonyPlan(file, terminal{os.Stdin, cmd.ErrOrStderr()})
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			sum := sha256.Sum256(data)
			header := append(recordHeader(), ceremony.Line{Name: "plan", Value: args[0]},
				ceremony.Line{Name: "plan's SHA-256", Value: hex.EncodeToString(sum[:])}, ceremony.Line{Name: "folder", Value: file.Folder})
			err = ceremony.Run(ceremony.Config{
				Plan: plan, Folder: file.Folder, DryRun: dryRun, Header: header, Tokens: tokens{cmd.Context(), keys}, Out: cmd.OutOrStdout(), Now: time.Now, Random: rand.Reader,
			})
			if errors.Is(err, ceremony.ErrResumed) {
				return fmt.Errorf("%s: %w; see %s there", file.Folder, err, ceremony.TranscriptFile)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "make, lint and print everything, and write nothing")
	cmd.Flags().StringVar(&folder, "folder", "", "the `DIR` for the files; overrides the key folder of the file")
	return cmd
}

// tokens opens and makes keys on PKCS#11 tokens for a ceremony.
type tokens struct {
	ctx  context.Context
	keys *key.Opener
}

func (t tokens) Open(uri string) (crypto.Signer, error) {
	spec, err := key.ParseSpec(uri)
	if err != nil {
		return nil, err
	}
	return t.keys.Open(t.ctx, spec)
}

func (t tokens) Generate(uri string, kind key.Type, bits int) (crypto.Signer, error) {
	u, err := key.ParsePKCS11URI(uri)
	if err != nil {
		return nil, err
	}
	return t.keys.GeneratePKCS11(t.ctx, u, kind, bits)
}

// recordHeader is what the record of a ceremony or an import says about who
// made it, and with what.
func recordHeader() []ceremony.Line {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return []ceremony.Line{{Name: "by", Value: operator() + " on " + host}, {Name: "software", Value: "cairn " + buildVersion()}}
}
