package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

const (
	// macKeySize is the size of MAC keys in octets: RFC 7518 §3.2 wants one as
	// long as the hash at least, and clients may choose HS512.
	macKeySize = 64
	maxKeyID   = 64
	maxComment = 256
)

func adminEABCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "eab",
		Short: "Make, list and revoke keys for external account binding",
		Long: `Make, list and revoke keys for external account binding (RFC 8555 §7.3.4).

A client that makes an account proves with such a key that it is known to the
operator. A directory asks for it when eab.required is set.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(eabCreateCommand(), eabListCommand(), eabRevokeCommand())
	return cmd
}

func eabCreateCommand() *cobra.Command {
	var a admin
	var directory string
	var key sa.ExternalKey
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a key and print it",
		Long: `Make a key and print it, this once: the CA keeps it and does not show it again.

A key binds one account unless it is reusable.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.run(cmd, func(ctx context.Context) (err error) {
				if key.Directory, err = a.directory(directory); err != nil {
					return err
				}
				return a.createKey(ctx, key)
			})
		},
	}
	a.register(cmd)
	cmd.Flags().StringVar(&directory, "directory", "", "the `NAME` of the directory that the key is for")
	cmd.Flags().StringVar(&key.ID, "id", "", "the key identifier `ID` (default: a random one)")
	cmd.Flags().StringVar(&key.Comment, "comment", "", "whose the key is, in a few words of `TEXT`")
	cmd.Flags().BoolVar(&key.Reusable, "reusable", false, "the key may bind any number of accounts")
	return cmd
}

func (a *admin) createKey(ctx context.Context, key sa.ExternalKey) error {
	key.CreatedAt = a.now()
	if key.ID == "" {
		id, err := acme.NewID(key.CreatedAt, a.rand)
		if err != nil {
			return err
		}
		key.ID = id.String()
	}
	if err := checkKey(key); err != nil {
		return err
	}
	key.MAC = make([]byte, macKeySize)
	if _, err := io.ReadFull(a.rand, key.MAC); err != nil {
		return fmt.Errorf("making a key: %w", err)
	}
	switch err := a.store.CreateExternalKey(ctx, key); {
	case errors.Is(err, sa.ErrConflict):
		return fmt.Errorf("the directory %s has a key %q already; choose another --id", key.Directory, key.ID)
	case err != nil:
		return err
	}
	a.audit.LogAttrs(ctx, slog.LevelInfo, "external account key created", slog.String("directory", key.Directory),
		slog.String("key", key.ID), slog.Bool("reusable", key.Reusable), slog.String("comment", key.Comment))
	encoded := base64.RawURLEncoding.EncodeToString(key.MAC)
	if a.json {
		return a.printJSON(newKeyDocument(key, encoded))
	}
	_, err := fmt.Fprintf(a.out, `directory  %s
key id     %s
HMAC key   %s

The HMAC key is not shown again. A client gives both when it makes its account:

  certbot register --eab-kid=%[2]s --eab-hmac-key=%[3]s ...
  lego --eab --kid=%[2]s --hmac=%[3]s ...
`, key.Directory, key.ID, encoded)
	return err
}

// checkKey checks what the operator said of a key. Key identifiers end up in
// command lines: they have no characters that would need quoting there.
func checkKey(key sa.ExternalKey) error {
	if len(key.ID) > maxKeyID || strings.ContainsFunc(key.ID, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-:@+", r))
	}) || strings.HasPrefix(key.ID, "-") {
		return fmt.Errorf("--id: %q can't be a key identifier; use 1 to %d letters, digits and characters of ._-:@+, and no hyphen at the beginning", key.ID, maxKeyID)
	}
	if len(key.Comment) > maxComment || strings.ContainsFunc(key.Comment, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("--comment: expects one line of at most %d bytes", maxComment)
	}
	return nil
}

func eabListCommand() *cobra.Command {
	var a admin
	var directory string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the keys, without the secrets",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.run(cmd, func(ctx context.Context) error {
				directories := directoryNames(a.cfg)
				if directory != "" {
					name, err := a.directory(directory)
					if err != nil {
						return err
					}
					directories = []string{name}
				}
				return a.listKeys(ctx, directories)
			})
		},
	}
	a.register(cmd)
	cmd.Flags().StringVar(&directory, "directory", "", "only those of the directory `NAME`")
	return cmd
}

func (a *admin) listKeys(ctx context.Context, directories []string) error {
	lines := [][]string{{"DIRECTORY", "KEY ID", "STATE", "CREATED", "ACCOUNT", "COMMENT"}}
	documents := []keyDocument{}
	for _, directory := range directories {
		keys, err := a.store.ExternalKeys(ctx, directory)
		if err != nil {
			return err
		}
		for _, key := range keys {
			d := newKeyDocument(key, "")
			documents = append(documents, d)
			account := "-"
			if d.Account != "" {
				account = d.Account
			}
			lines = append(lines, []string{key.Directory, key.ID, d.State, formatTime(key.CreatedAt), account, key.Comment})
		}
	}
	if a.json {
		return a.printJSON(documents)
	}
	return a.printTable(lines)
}

func eabRevokeCommand() *cobra.Command {
	var a admin
	var directory string
	cmd := &cobra.Command{
		Use:   "revoke ID",
		Short: "End a key: it binds no further account",
		Long: `End a key: it binds no further account. The accounts that it has bound stay as
they are.`,
		Args: oneArgument("the key identifier"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.run(cmd, func(ctx context.Context) error {
				name, err := a.directory(directory)
				if err != nil {
					return err
				}
				return a.revokeKey(ctx, name, args[0])
			})
		},
	}
	a.register(cmd)
	cmd.Flags().StringVar(&directory, "directory", "", "the `NAME` of the key's directory")
	return cmd
}

func (a *admin) revokeKey(ctx context.Context, directory, id string) error {
	switch err := a.store.RevokeExternalKey(ctx, directory, id, a.now()); {
	case errors.Is(err, sa.ErrNotFound):
		return fmt.Errorf("the directory %s has no key %q; \"cairn admin eab list\" lists them", directory, id)
	case errors.Is(err, sa.ErrConflict):
		return fmt.Errorf("the key %q is revoked already", id)
	case err != nil:
		return err
	}
	a.audit.LogAttrs(ctx, slog.LevelInfo, "external account key revoked", slog.String("directory", directory), slog.String("key", id))
	key, err := a.store.ExternalKey(ctx, directory, id)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(newKeyDocument(key, ""))
	}
	_, err = fmt.Fprintf(a.out, "the key %s of the directory %s is revoked\n", id, directory)
	return err
}

// keyDocument is a key as admin commands print it.
type keyDocument struct {
	Directory string    `json:"directory"`
	ID        string    `json:"id"`
	HMACKey   string    `json:"hmac_key,omitempty"` // base64url
	State     string    `json:"state"`
	Reusable  bool      `json:"reusable"`
	Comment   string    `json:"comment,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
	Account   string    `json:"account,omitempty"` // that it bound last
}

func newKeyDocument(key sa.ExternalKey, mac string) keyDocument {
	d := keyDocument{
		Directory: key.Directory, ID: key.ID, HMACKey: mac, Reusable: key.Reusable, Comment: key.Comment,
		CreatedAt: key.CreatedAt.UTC(), RevokedAt: key.RevokedAt,
	}
	if !key.Account.IsZero() {
		d.Account = key.Account.String()
	}
	switch {
	case !key.RevokedAt.IsZero():
		d.State = "revoked"
	case key.Reusable:
		d.State = "reusable"
	case d.Account != "":
		d.State = "used"
	default:
		d.State = "unused"
	}
	return d
}
