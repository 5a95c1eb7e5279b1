package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/ca/audit"
	"github.com/cairn-ca/cairn/internal/acme"
)

type auditFlags struct {
	after, since, until, state string
	skip                       []string
	keys                       int
}

func auditCommand() *cobra.Command {
	var a admin
	var f auditFlags
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Read every certificate again and check it",
		Long: `Read every certificate that was issued again, and check it against its profile,
zlint, its order, the authorizations and CAA checks that it relied on, its key and
the list of blocked keys. It changes nothing, and can run beside the CA.

Findings go to stdout, one a line. With any, the command fails; notices do not
count. --state goes on where the last run with the same file ended: run it daily.
docs/audit.md says what each finding means.`,
		Example: `  cairn audit --config cairn.yaml --state /var/lib/cairn/audit.state
  cairn audit --since 2026-11-01 --until 2026-12-01 --json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.run(cmd, func(ctx context.Context) error { return a.auditAll(ctx, f) })
		},
	}
	a.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.after, "after", "", "go on after the serial number `S`, in hexadecimal")
	flags.StringVar(&f.state, "state", "", "keep in the `FILE` how far the audit came, and go on there")
	flags.StringVar(&f.since, "since", "", "only certificates issued at or after the `TIME`, such as 2026-11-01 or 2026-11-01T12:00:00Z")
	flags.StringVar(&f.until, "until", "", "only certificates issued before the `TIME`")
	flags.StringSliceVar(&f.skip, "skip", nil, "leave the `CHECK` out: "+strings.Join(audit.Checks, ", ")+"; may be repeated")
	flags.IntVar(&f.keys, "shared-keys", 1_000_000, "remember up to `N` keys, about 100 MB a million, to find those that accounts share; 0: none")
	return cmd
}

// auditState is what --state keeps.
type auditState struct {
	After string    `json:"after"` // serial number
	At    time.Time `json:"at"`
}

// config reads the flags.
func (f auditFlags) config() (cfg audit.Config, err error) {
	after := f.after
	if f.state != "" && after == "" {
		if after, err = readAuditState(f.state); err != nil {
			return cfg, err
		}
	}
	if after != "" {
		if cfg.After, err = acme.ParseSerial(strings.ReplaceAll(after, ":", "")); err != nil {
			return cfg, fmt.Errorf("--after: %w", err)
		}
	}
	for _, t := range []struct {
		flag, text string
		to         *time.Time
	}{{"--since", f.since, &cfg.Since}, {"--until", f.until, &cfg.Until}} {
		if t.text == "" {
			continue
		}
		if *t.to, err = parseAuditTime(t.text); err != nil {
			return cfg, fmt.Errorf("%s: %w", t.flag, err)
		}
	}
	cfg.Skip = make(map[string]bool)
	for _, check := range f.skip {
		if !slices.Contains(audit.Checks, check) {
			return cfg, fmt.Errorf("--skip: there is no check %q; the checks are %s", check, strings.Join(audit.Checks, ", "))
		}
		cfg.Skip[check] = true
	}
	if f.keys < 0 {
		return cfg, errors.New("--shared-keys: expects 0 or a number of keys")
	}
	cfg.MaxKeys = f.keys
	return cfg, nil
}

func parseAuditTime(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("expects a time such as 2026-11-01 or 2026-11-01T12:00:00Z; found %q", s)
}

func readAuditState(file string) (string, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("--state: %w", err)
	}
	var state auditState
	if err := json.Unmarshal(data, &state); err != nil {
		return "", fmt.Errorf("--state: %s is not the state of an audit: %w; remove it to begin with the first certificate", file, err)
	}
	return state.After, nil
}

// writeAuditState replaces the file whole or not at all.
func writeAuditState(file string, state auditState) error {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return fmt.Errorf("--state: %w", err)
	}
	defer os.Remove(f.Name()) // gone already when all went well
	err = json.NewEncoder(f).Encode(state)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("--state: %w", err)
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return fmt.Errorf("--state: %w", err)
	}
	return nil
}

// inspector holds certificates to the configuration.
func (a *admin) inspector() (*ca.Inspector, error) {
	weak, err := readWeakKeys(a.cfg)
	if err != nil {
		return nil, err
	}
	urls := make(map[acme.IssuerID]string)
	for name, issuer := range a.cfg.CA.Issuers {
		chain, err := readChain(issuer.Chain)
		if err != nil {
			return nil, fmt.Errorf("ca.issuers.%s.chain: %s: %w", name, issuer.Chain, err)
		}
		urls[ca.IssuerIDOf(chain[0])] = issuer.PublicURL
	}
	return ca.NewInspector(ca.InspectorConfig{
		Profiles:   configuredProfiles(a.cfg),
		PublicURL:  configuredAddresses(a.cfg, a.cfg.Listen.ACME, a.cfg.Listen.Public).public,
		IssuerURLs: urls,
		WeakKeys:   weak,
	})
}

// auditAll runs the audit and prints what it finds.
func (a *admin) auditAll(ctx context.Context, f auditFlags) error {
	cfg, err := f.config()
	if err != nil {
		return err
	}
	if cfg.Inspector, err = a.inspector(); err != nil {
		return err
	}
	progress := newProgress(a.tell, "audited", 0)
	cfg.Store, cfg.Now = a.store, a.now
	cfg.Found = a.printFinding
	cfg.Read = func(n int, resume acme.Serial) error {
		progress.add(n)
		if f.state == "" || resume.IsZero() {
			return nil
		}
		return writeAuditState(f.state, auditState{After: resume.String(), At: a.now().UTC()})
	}
	result, err := audit.Run(ctx, cfg)
	progress.done()
	a.recordAudit(ctx, f, result, err)
	if printErr := a.printAudit(result); printErr != nil {
		return errors.Join(err, printErr)
	}
	switch {
	case err != nil && !result.Resume.IsZero():
		return fmt.Errorf("the audit did not come to its end; go on with --after %s: %w", result.Resume, err)
	case err != nil:
		return fmt.Errorf("the audit did not come to its end: %w", err)
	case result.Findings > 0:
		return fmt.Errorf("%d findings; see docs/audit.md", result.Findings)
	}
	return nil
}

// recordAudit writes the run to the audit log.
func (a *admin) recordAudit(ctx context.Context, f auditFlags, r audit.Result, err error) {
	level, outcome := slog.LevelInfo, "complete"
	switch {
	case err != nil:
		level, outcome = slog.LevelError, err.Error()
	case r.Findings > 0:
		level = slog.LevelWarn
	}
	a.audit.LogAttrs(ctx, level, "certificates audited",
		slog.Int("checked", r.Checked), slog.Int("unsigned", r.Unsigned), slog.Int("findings", r.Findings), slog.Int("notices", r.Notices),
		slog.String("after", f.after), slog.String("since", f.since), slog.String("until", f.until), slog.Any("skipped", f.skip),
		slog.String("resume", r.Resume.String()), slog.String("outcome", outcome))
}

type findingDocument struct {
	Serial string `json:"serial"`
	Check  string `json:"check"`
	Detail string `json:"detail"`
	Notice bool   `json:"notice,omitempty"`
}

// printFinding prints one line, in JSON too: there may be many.
func (a *admin) printFinding(f audit.Finding) error {
	if a.json {
		return json.NewEncoder(a.out).Encode(findingDocument{f.Serial.String(), f.Check, f.Detail, f.Notice})
	}
	check := f.Check
	if f.Notice {
		check = "notice: " + check
	}
	_, err := fmt.Fprintf(a.out, "%s  %s  %s\n", f.Serial, check, f.Detail)
	return err
}

type auditDocument struct {
	Checked  int    `json:"checked"`
	Unsigned int    `json:"unsigned"`
	Findings int    `json:"findings"`
	Notices  int    `json:"notices"`
	Resume   string `json:"resume"`
}

func (a *admin) printAudit(r audit.Result) error {
	if a.json {
		return json.NewEncoder(a.out).Encode(auditDocument{r.Checked, r.Unsigned, r.Findings, r.Notices, r.Resume.String()})
	}
	_, err := fmt.Fprintf(a.out, "%d certificates audited, %d recorded and not signed: %d findings, %d notices.\n", r.Checked, r.Unsigned, r.Findings, r.Notices)
	if err == nil && !r.Resume.IsZero() {
		_, err = fmt.Fprintf(a.out, "To audit later ones: --after %s\n", r.Resume)
	}
	return err
}
