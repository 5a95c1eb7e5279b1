package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/config"
	"github.com/cairn-ca/cairn/sa"
)

func adminIncidentCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "incident",
		Short: "Revoke certificates by a deadline, after their clients could renew",
		Long: `Revoke certificates by a deadline, after their clients could renew.

An incident is a set of certificates that must be revoked: within 24 hours or
5 days, depending on why, where the Baseline Requirements (§4.9.1.1) bind the CA.
Opening it tells the clients to renew (RFC 9773), spread over three quarters of
the time; show tells how far that has come; revoke revokes what is left, and
close ends it. The metrics cairn_incident_* count down meanwhile.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(openIncidentCommand(), listIncidentsCommand(), showIncidentCommand(), revokeIncidentCommand(), closeIncidentCommand())
	return cmd
}

// incidentFlags are the flags of cairn admin incident open.
type incidentFlags struct {
	selection
	reason, within, since string
	comment, explanation  string
	dryRun                bool
}

func openIncidentCommand() *cobra.Command {
	var a admin
	var flags incidentFlags
	cmd := &cobra.Command{
		Use:   "open",
		Short: "Open an incident and tell the clients of its certificates to renew",
		Example: `  cairn admin incident open --list affected.txt --reason superseded --within 5d \
      --comment "wrong policy OID, bug 17" --explanation https://status.example.com/17`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.run(cmd, func(ctx context.Context) error { return a.openIncident(ctx, flags, cmd.InOrStdin()) })
		},
	}
	a.register(cmd)
	flags.selection.register(cmd)
	cmd.Flags().StringVar(&flags.reason, "reason", "", "the `REASON` that the certificates will be revoked for, as in cairn admin revoke")
	cmd.Flags().StringVar(&flags.within, "within", "", "the deadline: `DURATION` after the incident became known, such as 24h or 5d")
	cmd.Flags().StringVar(&flags.since, "since", "", "the time `T` at which it became known, such as 2026-11-24T08:00:00Z; without it, now")
	cmd.Flags().StringVar(&flags.comment, "comment", "", "what happened, for those who read the list")
	cmd.Flags().StringVar(&flags.explanation, "explanation", "", "the `URL` of a page for the clients' operators that says why")
	cmd.Flags().BoolVar(&flags.dryRun, "dry-run", false, "print which certificates are meant and change nothing")
	return cmd
}

func (f incidentFlags) incident(now time.Time) (sa.Incident, error) {
	incident := sa.Incident{Comment: f.comment, OpenedAt: now, OpenedBy: operator()}
	var err error
	if incident.Reason, err = parseReason(f.reason); err != nil {
		return incident, err
	}
	if f.within == "" {
		return incident, errors.New("say by when they must be revoked with --within, such as 24h or 5d")
	}
	within, err := config.ParseDuration(f.within)
	if err != nil || within <= 0 {
		return incident, fmt.Errorf("--within: expects a duration such as 24h or 5d; found %q", f.within)
	}
	since, err := parseTime(f.since)
	if err != nil {
		return incident, fmt.Errorf("--since: %w", err)
	}
	if since.IsZero() {
		since = now
	}
	incident.Deadline = since.Add(within)
	if !incident.Deadline.After(now) {
		return incident, fmt.Errorf("the deadline, %s, has passed: revoke them with cairn admin revoke", formatTime(incident.Deadline))
	}
	return incident, checkExplanation(f.explanation)
}

func (a *admin) openIncident(ctx context.Context, f incidentFlags, stdin io.Reader) error {
	now := a.now()
	incident, err := f.incident(now)
	if err != nil {
		return err
	}
	certs, err := a.selected(ctx, f.selection, stdin)
	if err != nil {
		return err
	}
	var left []chosen
	for _, c := range certs {
		if c.Revocation == nil {
			left = append(left, c)
		}
	}
	if len(left) == 0 {
		return errors.New("no certificate that has neither expired nor is revoked is meant; nothing was done")
	}
	if incident.ID, err = acme.NewID(now, a.rand); err != nil {
		return err
	}
	incident.Progress = sa.IncidentProgress{Certificates: len(left), Outstanding: len(left)}
	if !f.dryRun {
		if err := a.storeIncident(ctx, incident, left, f.explanation); err != nil {
			return err
		}
	}
	document := newIncidentDocument(incident)
	for _, c := range left {
		document.List = append(document.List, newChosenDocument(c))
	}
	if a.json {
		return a.printJSON(document)
	}
	if err := a.printTable(chosenLines(document.List)); err != nil {
		return err
	}
	if f.dryRun {
		_, err = fmt.Fprintf(a.out, "Nothing was changed. The incident would have %d certificates and end at %s.\n", len(left), formatTime(incident.Deadline))
		return err
	}
	_, err = fmt.Fprintf(a.out, "Incident %s is open: %d certificates, to be revoked by %s. Their clients are told to renew.\n", incident.ID, len(left), formatTime(incident.Deadline))
	return err
}

func (a *admin) storeIncident(ctx context.Context, incident sa.Incident, certs []chosen, explanation string) error {
	serials := make([]acme.Serial, len(certs))
	orders := make([]sa.RenewalOrder, len(certs))
	// Whole seconds, as clients are told; the last quarter is for those who
	// renew late, and for the operator.
	start := incident.OpenedAt.UTC().Truncate(time.Second)
	end := start.Add(incident.Deadline.Sub(incident.OpenedAt) * 3 / 4).Truncate(time.Second).Add(time.Second)
	for i, c := range certs {
		id, err := acme.NewID(incident.OpenedAt, a.rand)
		if err != nil {
			return err
		}
		serials[i] = c.Serial
		orders[i] = sa.RenewalOrder{
			ID: id, Serial: c.Serial, Start: start, End: end, ExplanationURL: explanation, CreatedAt: incident.OpenedAt, By: incident.OpenedBy,
		}
	}
	if err := a.store.OpenIncident(ctx, incident, serials, orders); err != nil {
		return err
	}
	texts := make([]string, len(serials))
	for i, serial := range serials {
		texts[i] = serial.String()
	}
	a.audit.LogAttrs(ctx, slog.LevelWarn, "incident opened", slog.String("incident", incident.ID.String()), slog.String("reason", incident.Reason.String()),
		slog.Time("deadline", incident.Deadline), slog.String("comment", incident.Comment), slog.Any("serials", texts))
	return nil
}

// incidentDocument is an incident as admin commands print it.
type incidentDocument struct {
	ID           string           `json:"id"`
	Reason       string           `json:"reason"`
	Deadline     time.Time        `json:"deadline"`
	Comment      string           `json:"comment,omitempty"`
	OpenedAt     time.Time        `json:"opened_at"`
	OpenedBy     string           `json:"opened_by"`
	ClosedAt     time.Time        `json:"closed_at,omitzero"`
	Certificates int              `json:"certificates"`
	Revoked      int              `json:"revoked"`
	Expired      int              `json:"expired"`
	Outstanding  int              `json:"outstanding"`
	Overdue      bool             `json:"overdue"`
	List         []chosenDocument `json:"outstanding_certificates,omitempty"`
}

func newIncidentDocument(i sa.Incident) incidentDocument {
	return incidentDocument{
		ID: i.ID.String(), Reason: i.Reason.String(), Deadline: i.Deadline.UTC(), Comment: i.Comment, OpenedAt: i.OpenedAt.UTC(), OpenedBy: i.OpenedBy,
		ClosedAt: i.ClosedAt, Certificates: i.Progress.Certificates, Revoked: i.Progress.Revoked, Expired: i.Progress.Expired, Outstanding: i.Progress.Outstanding,
	}
}

func listIncidentsCommand() *cobra.Command {
	var a admin
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the incidents, the newest first",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.run(cmd, a.listIncidents)
		},
	}
	a.register(cmd)
	return cmd
}

func (a *admin) listIncidents(ctx context.Context) error {
	incidents, err := a.store.Incidents(ctx, false)
	if err != nil {
		return err
	}
	documents := []incidentDocument{}
	lines := [][]string{{"INCIDENT", "DEADLINE", "STATUS", "CERTIFICATES", "REVOKED", "EXPIRED", "OUTSTANDING", "COMMENT"}}
	for _, i := range incidents {
		d := newIncidentDocument(i)
		status := a.incidentStatus(i)
		d.Overdue = status == "overdue"
		documents = append(documents, d)
		lines = append(lines, []string{
			d.ID, formatTime(d.Deadline), status, strconv.Itoa(d.Certificates), strconv.Itoa(d.Revoked), strconv.Itoa(d.Expired), strconv.Itoa(d.Outstanding), d.Comment,
		})
	}
	if a.json {
		return a.printJSON(documents)
	}
	return a.printTable(lines)
}

func (a *admin) incidentStatus(i sa.Incident) string {
	switch {
	case !i.ClosedAt.IsZero():
		return "closed"
	case i.Progress.Outstanding == 0:
		return "done"
	case !a.now().Before(i.Deadline):
		return "overdue"
	}
	return "open"
}

// incident finds the incident that an argument names.
func (a *admin) incident(ctx context.Context, arg string) (sa.Incident, error) {
	incidents, err := a.store.Incidents(ctx, false)
	if err != nil {
		return sa.Incident{}, err
	}
	for _, i := range incidents {
		if i.ID.String() == arg {
			return i, nil
		}
	}
	return sa.Incident{}, fmt.Errorf("there is no incident %q; cairn admin incident list lists them", arg)
}

// outstanding are an incident's certificates that are neither revoked nor
// expired.
func (a *admin) outstanding(ctx context.Context, incident acme.ID) ([]chosen, error) {
	var list []chosen
	after := acme.Serial{}
	for {
		certs, err := a.store.IncidentCertificates(ctx, incident, after, inventoryPage)
		if err != nil {
			return nil, err
		}
		for _, cert := range certs {
			if cert.Signed() == nil || cert.Revocation != nil || !cert.NotAfter.After(a.now()) {
				continue
			}
			c, err := choose(cert)
			if err != nil {
				return nil, err
			}
			list = append(list, c)
		}
		if len(certs) < inventoryPage {
			return list, nil
		}
		after = certs[len(certs)-1].Serial
	}
}

// incidentCommand is a command about one incident.
func incidentCommand(use, short string, do func(a *admin, ctx context.Context, incident sa.Incident) error) *cobra.Command {
	var a admin
	cmd := &cobra.Command{
		Use:   use + " INCIDENT",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.run(cmd, func(ctx context.Context) error {
				incident, err := a.incident(ctx, args[0])
				if err != nil {
					return err
				}
				return do(&a, ctx, incident)
			})
		},
	}
	a.register(cmd)
	return cmd
}

func showIncidentCommand() *cobra.Command {
	return incidentCommand("show", "Show an incident and the certificates that are neither revoked nor expired", (*admin).showIncident)
}

func (a *admin) showIncident(ctx context.Context, incident sa.Incident) error {
	certs, err := a.outstanding(ctx, incident.ID)
	if err != nil {
		return err
	}
	document := newIncidentDocument(incident)
	document.Overdue = a.incidentStatus(incident) == "overdue"
	replaced := 0
	for _, c := range certs {
		d := newChosenDocument(c)
		certID := acme.NewCertID(c.parsed.AuthorityKeyId, c.Serial)
		if d.Successor, err = a.store.Replaced(ctx, certID.String()); err != nil {
			return err
		}
		if d.Successor {
			replaced++
			d.Status = "replaced"
		}
		document.List = append(document.List, d)
	}
	if a.json {
		return a.printJSON(document)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Incident %s, %s: opened %s by %s, to be revoked for %s by %s.\n", document.ID, a.incidentStatus(incident),
		formatTime(document.OpenedAt), document.OpenedBy, document.Reason, formatTime(document.Deadline))
	if document.Comment != "" {
		fmt.Fprintf(&b, "%s\n", document.Comment)
	}
	fmt.Fprintf(&b, "Of %d certificates %d are revoked, %d have expired and %d are left, of which %d have a successor.\n",
		document.Certificates, document.Revoked, document.Expired, document.Outstanding, replaced)
	if _, err := io.WriteString(a.out, b.String()); err != nil || len(document.List) == 0 {
		return err
	}
	return a.printTable(chosenLines(document.List))
}

func revokeIncidentCommand() *cobra.Command {
	return incidentCommand("revoke", "Revoke what is left of an incident", func(a *admin, ctx context.Context, incident sa.Incident) error {
		certs, err := a.outstanding(ctx, incident.ID)
		if err != nil {
			return err
		}
		return a.revoke(ctx, certs, incident.Reason, false)
	})
}

func closeIncidentCommand() *cobra.Command {
	var anyway bool
	cmd := incidentCommand("close", "Close an incident that has no certificates left", func(a *admin, ctx context.Context, incident sa.Incident) error {
		if n := incident.Progress.Outstanding; n > 0 && !anyway {
			return fmt.Errorf("%d certificates of the incident are neither revoked nor expired; revoke them first, or close it with --anyway", n)
		}
		err := a.store.CloseIncident(ctx, incident.ID, a.now())
		if errors.Is(err, sa.ErrConflict) {
			return errors.New("the incident is closed already")
		}
		if err != nil {
			return err
		}
		a.audit.LogAttrs(ctx, slog.LevelWarn, "incident closed", slog.String("incident", incident.ID.String()), slog.Int("outstanding", incident.Progress.Outstanding))
		_, err = fmt.Fprintf(a.out, "Incident %s is closed.\n", incident.ID)
		return err
	})
	cmd.Flags().BoolVar(&anyway, "anyway", false, "close it though certificates are left")
	return cmd
}
