package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/internal/config"
	"github.com/cairn-ca/cairn/internal/telemetry"
	"github.com/cairn-ca/cairn/sa"
)

func adminCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "admin",
		Short: "Operate a CA: external account keys, renewal, revocation, CRLs, CAA",
		Long: `Operate a CA: external account keys, renewal, revocation, CRLs, CAA.

The commands below work on the store that the configuration names, beside a
running cairn serve or without one. Run them as the user that it runs as. Each
change is written to the audit log. caa reads no store.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(adminEABCommand(), adminRenewCommand(), adminRevokeCommand(), adminBlockKeyCommand(), adminIncidentCommand(), adminCAACommand(), adminCRLCommand())
	return cmd
}

// admin is what a command of an operator's works with.
type admin struct {
	settings
	json bool

	cfg   *config.Config
	store *sa.DB
	audit *slog.Logger
	out   io.Writer
	tell  io.Writer // of what goes on meanwhile
	now   func() time.Time
	rand  io.Reader
}

// register adds the flags that every admin command has.
func (a *admin) register(cmd *cobra.Command) {
	a.settings.register(cmd)
	cmd.Flags().BoolVar(&a.json, "json", false, "print JSON")
}

// run runs an operator's command on the store. What it changed is in the audit
// log when run returns nil.
func (a *admin) run(cmd *cobra.Command, do func(context.Context) error) (err error) {
	if a.cfg, err = a.load(); err != nil {
		return err
	}
	a.out, a.tell, a.now, a.rand = cmd.OutOrStdout(), cmd.ErrOrStderr(), time.Now, rand.Reader
	store, err := openStoreOf(cmd.Context(), a.cfg, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	a.store = store
	audit, err := openAdminAudit(a.cfg, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, audit.Check(), audit.Close()) }()
	a.audit = audit.Logger().With("service", "admin", "by", operator())
	return do(cmd.Context())
}

// openStoreOf opens the store of a CA that exists. It makes nothing and
// migrates nothing: that is the CA's own to do. The lock of the data folder
// keeps a second CA away, not an operator: SQLite itself lets several
// processes share a store.
func openStoreOf(ctx context.Context, cfg *config.Config, stderr io.Writer) (*sa.DB, error) {
	data := &dataFolder{path: cfg.Data}
	if cfg.Store.URL == "" {
		if _, err := checkFormat(cfg.Data); err != nil {
			return nil, err
		}
		if _, err := os.Stat(data.file(storeFile)); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no store in the data folder %s; name the CA's folder with --data, or start the CA first", cfg.Data)
		}
	}
	url, err := storeURL(cfg.Store, data)
	if err != nil {
		return nil, err
	}
	logger, err := telemetry.NewLogger(stderr, telemetry.LogConfig(cfg.Log))
	if err != nil {
		return nil, err
	}
	store, err := sa.Open(ctx, sa.Config{URL: url, Now: time.Now, Logger: logger.With("service", "sa")})
	if err != nil {
		return nil, storeError(cfg, err)
	}
	return store, nil
}

// openAdminAudit opens the audit log that cairn serve writes to. Where it
// writes to a stream, or there is no data folder, the records go to stderr:
// stdout has the command's answer.
func openAdminAudit(cfg *config.Config, stderr io.Writer) (*telemetry.AuditLog, error) {
	switch file := cfg.Audit.File; {
	case file == "-", file == "" && cfg.Store.URL != "":
		return telemetry.NewAuditLog(stderr), nil
	case file == "":
		return telemetry.OpenAuditLog(filepath.Join(cfg.Data, auditFile))
	default:
		return telemetry.OpenAuditLog(file)
	}
}

// operator says who runs the command, in the words of acme.Revocation.By.
func operator() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return "operator " + name
}

// directory is the directory that a flag names: one that is configured or,
// with no flag, the only one.
func (a *admin) directory(flag string) (string, error) {
	names := directoryNames(a.cfg)
	switch {
	case flag == "" && len(names) == 1:
		return names[0], nil
	case flag == "":
		return "", fmt.Errorf("the CA has several directories; name one with --directory: %s", strings.Join(names, ", "))
	}
	for _, name := range names {
		if name == flag {
			return name, nil
		}
	}
	return "", fmt.Errorf("there is no directory %q; the directories are %s", flag, strings.Join(names, ", "))
}

// printJSON prints a value as JSON.
func (a *admin) printJSON(v any) error {
	encoder := json.NewEncoder(a.out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// printTable prints lines in columns.
func (a *admin) printTable(lines [][]string) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, line := range lines {
		fmt.Fprintln(w, strings.Join(line, "\t"))
	}
	return w.Flush()
}

// formatTime is a time as operators read and write it; "-" for none.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
