package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/sa"
)

func adminBlockKeyCommand() *cobra.Command {
	var a admin
	var which selection
	var comment, list string
	cmd := &cobra.Command{
		Use:   "block-key",
		Short: "Block a compromised key for good, and revoke what it certifies",
		Long: `Block a key that is known to be compromised. From now on nothing is issued for
it, and the certificates that hold it are revoked for keyCompromise: by the
running CA within a minute, as long as they are no more than ca.revoke_unasked.
cairn admin block-key list tells what became of them. A blocked key stays blocked.

An RSA key given with --key whose exponent is not 65537 is blocked together with
the one of the same modulus and 65537; and what is issued for any exponent is
looked for under that one too.`,
		Example: `  cairn admin block-key --key leaked.pub.pem --comment "found on a code host, report 17"
  cairn admin block-key --list compromised-spki.txt --comment "weekly import"`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.run(cmd, func(ctx context.Context) error {
				if list != "" && which.key == "" && which.keyHash == "" {
					return a.blockListed(ctx, list, cmd.InOrStdin(), comment)
				}
				if list != "" || (which.key == "") == (which.keyHash == "") {
					return errors.New("name the key with one of --key, --key-hash and --list")
				}
				hashes, err := which.blockedHashes()
				if err != nil {
					return err
				}
				for _, hash := range hashes {
					if err := a.blockKey(ctx, hash, comment); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	a.register(cmd)
	cmd.Flags().StringVar(&which.key, "key", "", "the key in the PEM `FILE`: a public key, a certificate or a certificate request")
	cmd.Flags().StringVar(&which.keyHash, "key-hash", "", "the key with the SHA-256 `HASH` of its subject public key info, in hexadecimal")
	cmd.Flags().StringVar(&list, "list", "", "the keys whose hashes, as for --key-hash, are in the `FILE`, one a line; - is the standard input")
	cmd.Flags().StringVar(&comment, "comment", "", "why, for those who read the list")
	cmd.AddCommand(blockedKeysCommand())
	return cmd
}

func (a *admin) blockKey(ctx context.Context, hash [32]byte, comment string) error {
	blocked, err := a.store.KeyBlocked(ctx, hash)
	if err != nil {
		return err
	}
	if blocked {
		_, err := fmt.Fprintf(a.out, "The key %x is blocked already; cairn admin block-key list has more.\n", hash)
		return err
	}
	key := sa.BlockedKey{SPKISHA256: hash, At: a.now(), By: operator(), Comment: comment}
	if err := a.store.BlockKey(ctx, key); err != nil {
		return err
	}
	a.audit.LogAttrs(ctx, slog.LevelWarn, "key blocked", slog.String("spki_sha256", hex.EncodeToString(hash[:])), slog.String("comment", comment))
	_, err = fmt.Fprintf(a.out, "The key %x is blocked. The running CA revokes what it certifies within a minute.\n", hash)
	return err
}

func blockedKeysCommand() *cobra.Command {
	var a admin
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the blocked keys, the newest first",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.run(cmd, a.listBlockedKeys)
		},
	}
	a.register(cmd)
	return cmd
}

// blockedKeyDocument is a blocked key as admin commands print it.
type blockedKeyDocument struct {
	SPKISHA256 string `json:"spki_sha256"`
	At         string `json:"blocked_at"`
	By         string `json:"by"`
	Comment    string `json:"comment,omitempty"`
	SweptAt    string `json:"swept_at,omitempty"`
	Found      int    `json:"certificates"`
	Revoked    int    `json:"revoked"`
}

func (a *admin) listBlockedKeys(ctx context.Context) error {
	keys, err := a.store.BlockedKeys(ctx)
	if err != nil {
		return err
	}
	documents := []blockedKeyDocument{}
	lines := [][]string{{"KEY", "BLOCKED", "BY", "CERTIFICATES", "REVOKED", "COMMENT"}}
	for _, k := range keys {
		d := blockedKeyDocument{
			SPKISHA256: hex.EncodeToString(k.SPKISHA256[:]), At: formatTime(k.At), By: k.By, Comment: k.Comment, Found: k.Sweep.Found, Revoked: k.Sweep.Revoked,
		}
		found, revoked := "not looked for yet", "-"
		if !k.Sweep.At.IsZero() {
			d.SweptAt = formatTime(k.Sweep.At)
			found, revoked = strconv.Itoa(d.Found), strconv.Itoa(d.Revoked)
		}
		documents = append(documents, d)
		lines = append(lines, []string{d.SPKISHA256, d.At, d.By, found, revoked, d.Comment})
	}
	if a.json {
		return a.printJSON(documents)
	}
	return a.printTable(lines)
}
