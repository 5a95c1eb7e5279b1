package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// operatorReasons are the reasons that an operator may give: those that
// Baseline Requirements §7.2.2 allows in a CRL.
var operatorReasons = append(append([]acme.RevocationReason{}, acme.SubscriberReasons...), acme.ReasonPrivilegeWithdrawn)

func parseReason(s string) (acme.RevocationReason, error) {
	var names []string
	for _, r := range operatorReasons {
		if strings.EqualFold(s, r.String()) {
			return r, nil
		}
		names = append(names, r.String())
	}
	if s == "" {
		return 0, fmt.Errorf("say why with --reason: %s", strings.Join(names, ", "))
	}
	return 0, fmt.Errorf("--reason: there is no reason %q; give one of %s", s, strings.Join(names, ", "))
}

func adminRevokeCommand() *cobra.Command {
	var a admin
	var which selection
	var reason string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "revoke",
		Short: "Revoke certificates",
		Long: `Revoke certificates that have not expired: by serial number, account, key, name,
issuer or a list.

OCSP says so at the next query, the CRL within ca.crl_delay. Clients that know
ACME Renewal Information (RFC 9773) are told to renew at once. A revocation can't
be undone; look with --dry-run first. One that is revoked stays as it is, but
that keyCompromise replaces another reason.

Where there is time until a deadline, cairn admin incident lets clients renew
before their certificates are revoked.`,
		Example: `  cairn admin revoke --serial 1a2b3c... --reason cessationOfOperation
  cairn admin revoke --name example.com --subdomains --reason privilegeWithdrawn --dry-run
  cairn admin revoke --list serials.txt --reason superseded --max 50000`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.run(cmd, func(ctx context.Context) error {
				why, err := parseReason(reason)
				if err != nil {
					return err
				}
				certs, err := a.selected(ctx, which, cmd.InOrStdin())
				if err != nil {
					return err
				}
				return a.revoke(ctx, certs, why, dryRun)
			})
		},
	}
	a.register(cmd)
	which.register(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "the `REASON`: unspecified, keyCompromise, affiliationChanged, superseded, cessationOfOperation or privilegeWithdrawn")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print which certificates are meant and change nothing")
	return cmd
}

// revoke revokes certificates and prints what came of it.
func (a *admin) revoke(ctx context.Context, certs []chosen, reason acme.RevocationReason, dryRun bool) error {
	report := revokeDocument{Reason: reason.String(), DryRun: dryRun, Certificates: []chosenDocument{}}
	progress := newProgress(a.tell, "revoked", len(certs))
	for _, c := range certs {
		report.Certificates = append(report.Certificates, newChosenDocument(c))
		changes := c.Revocation == nil || reason == acme.ReasonKeyCompromise && c.Revocation.Reason != reason
		if !changes {
			report.Before++
			continue
		}
		if dryRun {
			report.Revoked++
			continue
		}
		switch done, err := a.revokeOne(ctx, c, reason); {
		case err != nil:
			return fmt.Errorf("after %d revocations: %w", report.Revoked, err)
		case done:
			report.Revoked++
		default:
			report.Before++
		}
		progress.add(1)
	}
	if !dryRun && len(certs) > 0 {
		progress.done()
	}
	return a.printRevoked(report)
}

// revokeOne is false when somebody else was first.
func (a *admin) revokeOne(ctx context.Context, c chosen, reason acme.RevocationReason) (bool, error) {
	revocation := acme.Revocation{
		Serial: c.Serial, Issuer: c.Issuer, CRLShard: c.CRLShard, At: a.now(), Reason: reason, NotAfter: c.NotAfter, By: operator(),
	}
	err := a.store.Revoke(ctx, revocation)
	if errors.Is(err, sa.ErrConflict) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	a.audit.LogAttrs(ctx, slog.LevelWarn, "certificate revoked",
		slog.String("serial", c.Serial.String()), slog.String("issuer", c.Issuer.String()),
		slog.Any("names", c.names()), slog.String("reason", reason.String()))
	return true, nil
}

// revokeDocument is what cairn admin revoke prints.
type revokeDocument struct {
	Reason       string           `json:"reason"`
	DryRun       bool             `json:"dry_run"`
	Revoked      int              `json:"revoked"` // with dry_run: would be
	Before       int              `json:"revoked_before"`
	Certificates []chosenDocument `json:"certificates"`
}

func (a *admin) printRevoked(report revokeDocument) error {
	if a.json {
		return a.printJSON(report)
	}
	if len(report.Certificates) == 0 {
		_, err := fmt.Fprintln(a.out, "No certificate that has not expired is meant.")
		return err
	}
	if err := a.printTable(chosenLines(report.Certificates)); err != nil {
		return err
	}
	done := "Revoked"
	if report.DryRun {
		done = "Nothing was changed. Would be revoked"
	}
	text := fmt.Sprintf("%s: %d, for %s.", done, report.Revoked, report.Reason)
	if report.Before > 0 {
		text += fmt.Sprintf(" Revoked before: %d.", report.Before)
	}
	_, err := io.WriteString(a.out, text+"\n")
	return err
}

// shownCertificates is how many certificates a table has at most.
const shownCertificates = 50

func chosenLines(certs []chosenDocument) [][]string {
	lines := [][]string{{"SERIAL", "STATUS", "EXPIRES", "NAMES"}}
	for i, c := range certs {
		if i == shownCertificates {
			lines = append(lines, []string{fmt.Sprintf("... and %d more; --json has all", len(certs)-i)})
			break
		}
		names := strings.Join(c.Names, " ")
		if len(names) > 80 {
			names = names[:77] + "..."
		}
		lines = append(lines, []string{c.Serial, c.Status, formatTime(c.NotAfter), names})
	}
	return lines
}
