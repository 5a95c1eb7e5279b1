package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

func adminRenewCommand() *cobra.Command {
	var a admin
	var flags renewFlags
	cmd := &cobra.Command{
		Use:   "renew",
		Short: "Have clients renew certificates earlier than planned",
		Long: `Have clients renew certificates earlier than planned, as before a mass
revocation.

Clients that know ACME Renewal Information (RFC 9773) ask the CA when to renew.
From now on they are told the window from --start to --end; without these, one
that is past: renew at once. Meant is one certificate, by --serial, or all that
were issued in a span of time. Where several orders cover a certificate, the
newest counts.`,
		Example: `  cairn admin renew --serial 1a2b3c... --explanation https://status.example.com/17
  cairn admin renew --issued-from 2026-11-20T08:00:00Z --issued-before 2026-11-24T12:00:00Z \
      --start 2026-11-25T00:00:00Z --end 2026-11-27T00:00:00Z`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.run(cmd, func(ctx context.Context) error {
				order, err := flags.order(a.now())
				if err != nil {
					return err
				}
				return a.orderRenewal(ctx, order, flags.dryRun)
			})
		},
	}
	a.register(cmd)
	cmd.Flags().StringVar(&flags.serial, "serial", "", "the serial number `S` of the certificate, in hexadecimal")
	cmd.Flags().StringVar(&flags.issuedFrom, "issued-from", "", "the certificates issued at or after the time `T`, such as 2026-11-24T08:00:00Z")
	cmd.Flags().StringVar(&flags.issuedBefore, "issued-before", "", "and before the time `T`")
	cmd.Flags().StringVar(&flags.start, "start", "", "the time `T` at which the renewal window begins")
	cmd.Flags().StringVar(&flags.end, "end", "", "the time `T` at which it ends")
	cmd.Flags().StringVar(&flags.explanation, "explanation", "", "the `URL` of a page for the clients' operators that says why")
	cmd.Flags().BoolVar(&flags.dryRun, "dry-run", false, "print the order and change nothing")
	cmd.AddCommand(renewListCommand())
	return cmd
}

// renewFlags are the flags of cairn admin renew.
type renewFlags struct {
	serial                   string
	issuedFrom, issuedBefore string
	start, end               string
	explanation              string
	dryRun                   bool
}

// order is the renewal order that the flags describe.
func (f renewFlags) order(now time.Time) (sa.RenewalOrder, error) {
	order := sa.RenewalOrder{ExplanationURL: f.explanation}
	var err error
	switch {
	case f.serial != "" && (f.issuedFrom != "" || f.issuedBefore != ""):
		return order, errors.New("give either --serial, or --issued-from and --issued-before")
	case f.serial != "":
		if order.Serial, err = acme.ParseSerial(strings.ReplaceAll(f.serial, ":", "")); err != nil {
			return order, fmt.Errorf("--serial: %w", err)
		}
	case f.issuedFrom == "" || f.issuedBefore == "":
		return order, errors.New("say which certificates: with --serial, or with --issued-from and --issued-before")
	}
	for _, t := range []struct {
		flag, value string
		into        *time.Time
	}{
		{"issued-from", f.issuedFrom, &order.IssuedFrom}, {"issued-before", f.issuedBefore, &order.IssuedBefore},
		{"start", f.start, &order.Start}, {"end", f.end, &order.End},
	} {
		if *t.into, err = parseTime(t.value); err != nil {
			return order, fmt.Errorf("--%s: %w", t.flag, err)
		}
	}
	if order.Serial.IsZero() && !order.IssuedFrom.Before(order.IssuedBefore) {
		return order, errors.New("--issued-before must be later than --issued-from")
	}
	switch {
	case order.Start.IsZero() != order.End.IsZero():
		return order, errors.New("--start and --end go together; without them clients renew at once")
	case order.Start.IsZero():
		// RFC 9773 §4.2: a window that is past has clients renew immediately.
		order.End = now.Add(-time.Hour).UTC().Truncate(time.Second)
		order.Start = order.End.Add(-time.Hour)
	case !order.Start.Before(order.End):
		return order, errors.New("--end must be later than --start")
	}
	return order, checkExplanation(order.ExplanationURL)
}

func checkExplanation(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || len(s) > 2048 {
		return fmt.Errorf("--explanation: expects a URL such as https://status.example.com/17; found %q", s)
	}
	return nil
}

// parseTime reads a time with its zone, or a day (UTC); empty: none.
func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC(), nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("expects a time such as 2026-11-24T08:00:00Z, or a day such as 2026-11-24; found %q", s)
	}
	return t, nil
}

func (a *admin) orderRenewal(ctx context.Context, order sa.RenewalOrder, dryRun bool) error {
	order.CreatedAt, order.By = a.now(), operator()
	if !order.Serial.IsZero() {
		cert, err := a.store.Certificate(ctx, order.Serial)
		if errors.Is(err, sa.ErrNotFound) || err == nil && cert.DER == nil {
			return fmt.Errorf("this CA has issued no certificate with the serial number %s", order.Serial)
		}
		if err != nil {
			return err
		}
	}
	var err error
	if order.ID, err = acme.NewID(order.CreatedAt, a.rand); err != nil {
		return err
	}
	if !dryRun {
		if err := a.store.CreateRenewalOrder(ctx, order); err != nil {
			return err
		}
		a.audit.LogAttrs(ctx, slog.LevelWarn, "renewal ordered", slog.String("order", order.ID.String()), slog.String("certificates", renewed(order)),
			slog.Time("start", order.Start), slog.Time("end", order.End), slog.String("explanation", order.ExplanationURL))
	}
	if a.json {
		return a.printJSON(newRenewalDocument(order))
	}
	done := "Clients are told from now on"
	if dryRun {
		done = "Nothing was changed. Clients would be told"
	}
	_, err = fmt.Fprintf(a.out, "%s to renew %s between %s and %s.\n", done, renewed(order), formatTime(order.Start), formatTime(order.End))
	return err
}

// renewed says which certificates an order is about.
func renewed(order sa.RenewalOrder) string {
	if !order.Serial.IsZero() {
		return "the certificate " + order.Serial.String()
	}
	return "the certificates issued from " + formatTime(order.IssuedFrom) + " to " + formatTime(order.IssuedBefore)
}

func renewListCommand() *cobra.Command {
	var a admin
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the renewal orders, the newest first",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.run(cmd, a.listRenewals)
		},
	}
	a.register(cmd)
	return cmd
}

func (a *admin) listRenewals(ctx context.Context) error {
	orders, err := a.store.RenewalOrders(ctx)
	if err != nil {
		return err
	}
	documents := []renewalDocument{}
	lines := [][]string{{"ORDERED", "BY", "CERTIFICATES", "START", "END", "EXPLANATION"}}
	for _, order := range orders {
		documents = append(documents, newRenewalDocument(order))
		explanation := order.ExplanationURL
		if explanation == "" {
			explanation = "-"
		}
		which := order.Serial.String()
		if order.Serial.IsZero() {
			which = formatTime(order.IssuedFrom) + " to " + formatTime(order.IssuedBefore)
		}
		lines = append(lines, []string{formatTime(order.CreatedAt), order.By, which, formatTime(order.Start), formatTime(order.End), explanation})
	}
	if a.json {
		return a.printJSON(documents)
	}
	return a.printTable(lines)
}

// renewalDocument is a renewal order as admin commands print it.
type renewalDocument struct {
	ID           string    `json:"id"`
	Serial       string    `json:"serial,omitempty"`
	IssuedFrom   time.Time `json:"issued_from,omitzero"`
	IssuedBefore time.Time `json:"issued_before,omitzero"`
	Start        time.Time `json:"start"`
	End          time.Time `json:"end"`
	Explanation  string    `json:"explanation,omitempty"`
	CreatedAt    time.Time `json:"created_at"`
	By           string    `json:"by"`
}

func newRenewalDocument(order sa.RenewalOrder) renewalDocument {
	return renewalDocument{
		ID: order.ID.String(), Serial: order.Serial.String(), IssuedFrom: order.IssuedFrom, IssuedBefore: order.IssuedBefore,
		Start: order.Start.UTC(), End: order.End.UTC(), Explanation: order.ExplanationURL, CreatedAt: order.CreatedAt.UTC(), By: order.By,
	}
}
