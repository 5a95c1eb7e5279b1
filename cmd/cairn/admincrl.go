package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/ca/crl"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

func adminCRLCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "crl",
		Short: "List the CRLs, print their addresses, restore lost revocations",
		Args:  noArguments,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(crlListCommand(), crlURLsCommand(), crlRestoreCommand())
	return cmd
}

func crlListCommand() *cobra.Command {
	var a admin
	var issuer string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the published CRLs: number, thisUpdate, nextUpdate, entries",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.run(cmd, func(ctx context.Context) error {
				list, err := a.crls(ctx, issuer)
				if err != nil {
					return err
				}
				return a.printCRLs(ctx, list)
			})
		},
	}
	a.register(cmd)
	cmd.Flags().StringVar(&issuer, "issuer", "", "only those of the issuer with the identifier `I`")
	return cmd
}

func crlURLsCommand() *cobra.Command {
	var a admin
	var issuer string
	cmd := &cobra.Command{
		Use:   "urls",
		Short: "Print the addresses of all CRLs, as JSON",
		Long: `Print the addresses of all published CRLs as JSON, byte for byte as certificates
and CRLs have them.

With --issuer it is an array: what the CCADB asks for as "JSON Array of
Partitioned CRLs". Without it is an object with an array for each issuer.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.run(cmd, func(ctx context.Context) error {
				list, err := a.crls(ctx, issuer)
				if err != nil {
					return err
				}
				urls := make(map[string][]string)
				for _, c := range list {
					is, err := crl.Inspect(sa.OpenCRL(ctx, a.store, c))
					if err != nil {
						return fmt.Errorf("reading CRL %d of issuer %s: %w", c.Shard, c.Issuer, err)
					}
					urls[c.Issuer.String()] = append(urls[c.Issuer.String()], is.URL)
				}
				encoder := json.NewEncoder(a.out)
				encoder.SetIndent("", "  ")
				if issuer != "" {
					return encoder.Encode(append([]string{}, urls[list[0].Issuer.String()]...))
				}
				return encoder.Encode(urls)
			})
		},
	}
	a.register(cmd)
	cmd.Flags().StringVar(&issuer, "issuer", "", "only those of the issuer with the identifier `I`, as an array")
	return cmd
}

func crlRestoreCommand() *cobra.Command {
	var a admin
	var from string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Take revocations that the store lost over from published CRLs",
		Long: `Take revocations that the store lost over from published CRLs.

A CRL that lacks an entry of the one before is not published, and cairn serve
does not start then. Where there is no better backup of the store, this command
records the revocations again: those that the CRLs in the store have, or those of
a CRL in a file, such as one fetched from where it is published before an older
backup is put to use. The signature of each CRL is verified first.

Where the certificate is lost, too, its expiry is not known: the entry stays as
long as the issuer is valid.`,
		Example: `  cairn admin crl restore --dry-run
  cairn admin crl restore --from /srv/www/crl/0a1b.../0.crl`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.run(cmd, func(ctx context.Context) error { return a.restoreCRLs(ctx, from, dryRun) })
		},
	}
	a.register(cmd)
	cmd.Flags().StringVar(&from, "from", "", "a CRL in `FILE`, DER or PEM, in place of those in the store")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print which revocations are lost and change nothing")
	return cmd
}

// crls lists the CRLs of an issuer, or of all; there is one at least.
func (a *admin) crls(ctx context.Context, issuer string) ([]sa.CRL, error) {
	issuers, err := a.store.Issuers(ctx)
	if err != nil {
		return nil, err
	}
	var all []sa.CRL
	for _, i := range issuers {
		if issuer != "" && i.ID.String() != issuer {
			continue
		}
		for page := (sa.CRLPage{Issuer: i.ID, Limit: 100}); ; {
			some, err := a.store.CRLs(ctx, page)
			if err != nil {
				return nil, err
			}
			for _, c := range some {
				whole, err := a.store.CRL(ctx, c.Issuer, c.Shard)
				if err != nil {
					return nil, err
				}
				all = append(all, whole)
			}
			if len(some) < page.Limit {
				break
			}
			page.From = some[len(some)-1].Shard + 1
		}
	}
	if len(all) == 0 {
		return nil, errors.New("there is no such CRL; the signing authority makes them when it starts, and cairn admin crl list shows all")
	}
	return all, nil
}

type crlDocument struct {
	Issuer     string `json:"issuer"`
	Shard      int    `json:"shard"`
	Number     int64  `json:"number"`
	ThisUpdate string `json:"thisUpdate"`
	NextUpdate string `json:"nextUpdate"`
	Entries    int    `json:"entries"`
	Size       int64  `json:"size"`
	URL        string `json:"url"`
}

func (a *admin) printCRLs(ctx context.Context, list []sa.CRL) error {
	documents := make([]crlDocument, len(list))
	lines := [][]string{{"ISSUER", "SHARD", "NUMBER", "THIS UPDATE", "NEXT UPDATE", "ENTRIES", "BYTES"}}
	for i, c := range list {
		is, err := crl.Inspect(sa.OpenCRL(ctx, a.store, c))
		if err != nil {
			return fmt.Errorf("reading CRL %d of issuer %s: %w", c.Shard, c.Issuer, err)
		}
		d := crlDocument{
			Issuer: c.Issuer.String(), Shard: c.Shard, Number: c.Number, ThisUpdate: c.ThisUpdate.UTC().Format(time.RFC3339),
			NextUpdate: c.NextUpdate.UTC().Format(time.RFC3339), Entries: is.Entries, Size: c.Size, URL: is.URL,
		}
		documents[i] = d
		lines = append(lines, []string{
			d.Issuer, strconv.Itoa(d.Shard), strconv.FormatInt(d.Number, 10), formatTime(c.ThisUpdate), formatTime(c.NextUpdate),
			strconv.Itoa(d.Entries), strconv.FormatInt(d.Size, 10),
		})
	}
	if a.json {
		return a.printJSON(documents)
	}
	return a.printTable(lines)
}

// source is a CRL that revocations are taken from.
type source struct {
	issuer acme.IssuerID
	shard  int
	der    *io.SectionReader
}

type restoredDocument struct {
	Serial    string `json:"serial"`
	Issuer    string `json:"issuer"`
	Shard     int    `json:"shard"`
	RevokedAt string `json:"revokedAt"`
	Reason    string `json:"reason"`
}

func (a *admin) restoreCRLs(ctx context.Context, from string, dryRun bool) error {
	var sources []source
	if from != "" {
		s, err := readCRLFile(from)
		if err != nil {
			return err
		}
		sources = append(sources, s)
	} else {
		list, err := a.crls(ctx, "")
		if err != nil {
			return err
		}
		for _, c := range list {
			sources = append(sources, source{c.Issuer, c.Shard, sa.OpenCRL(ctx, a.store, c)})
		}
	}
	restored := []restoredDocument{}
	for _, s := range sources {
		issuer, err := a.issuerCertificate(ctx, s.issuer)
		if err != nil {
			return err
		}
		if err := crl.Verify(s.der, issuer); err != nil {
			return fmt.Errorf("CRL %d of issuer %s: %w", s.shard, s.issuer, err)
		}
		err = crl.Missing(ctx, a.store, s.issuer, s.shard, s.der, func(r acme.Revocation) error {
			if err := a.restore(ctx, r, issuer.NotAfter, dryRun); err != nil {
				return err
			}
			restored = append(restored, restoredDocument{r.Serial.String(), r.Issuer.String(), r.CRLShard, r.At.Format(time.RFC3339), r.Reason.String()})
			return nil
		})
		if err != nil {
			return fmt.Errorf("CRL %d of issuer %s: %w", s.shard, s.issuer, err)
		}
	}
	if a.json {
		return a.printJSON(restored)
	}
	for _, r := range restored {
		if _, err := fmt.Fprintf(a.out, "%s revoked at %s, %s\n", r.Serial, r.RevokedAt, r.Reason); err != nil {
			return err
		}
	}
	end := "restored"
	if dryRun {
		end = "lost; nothing was changed"
	}
	_, err := fmt.Fprintf(a.out, "%d revocations %s\n", len(restored), end)
	return err
}

// restore records a revocation again.
func (a *admin) restore(ctx context.Context, r acme.Revocation, issuerNotAfter time.Time, dryRun bool) error {
	cert, err := a.store.Certificate(ctx, r.Serial)
	switch {
	case err == nil:
		r.NotAfter = cert.NotAfter
	case errors.Is(err, sa.ErrNotFound):
		r.NotAfter = issuerNotAfter
	default:
		return err
	}
	if dryRun {
		return nil
	}
	r.By = operator()
	if err := a.store.RestoreRevocation(ctx, r); err != nil && !errors.Is(err, sa.ErrConflict) {
		return err
	}
	a.audit.LogAttrs(ctx, slog.LevelInfo, "revocation restored from a CRL",
		slog.String("serial", r.Serial.String()), slog.String("issuer", r.Issuer.String()), slog.Int("shard", r.CRLShard), slog.String("reason", r.Reason.String()))
	return nil
}

func (a *admin) issuerCertificate(ctx context.Context, id acme.IssuerID) (*x509.Certificate, error) {
	issuer, err := a.store.Issuer(ctx, id)
	if errors.Is(err, sa.ErrNotFound) {
		return nil, fmt.Errorf("the store knows no issuer %s: the CRL is another CA's", id)
	}
	if err != nil {
		return nil, err
	}
	if len(issuer.Chains) == 0 || len(issuer.Chains[0]) == 0 {
		return nil, fmt.Errorf("the store has no certificate of issuer %s", id)
	}
	cert, err := x509.ParseCertificate(issuer.Chains[0][0])
	if err != nil {
		return nil, fmt.Errorf("parsing the certificate of issuer %s: %w", id, err)
	}
	return cert, nil
}

// maxCRLFile bounds a CRL that is read from a file, in bytes.
const maxCRLFile = 1 << 30

func readCRLFile(path string) (source, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxCRLFile {
		err = fmt.Errorf("%s has more than %d bytes", path, maxCRLFile)
	}
	if err != nil {
		return source{}, fmt.Errorf("--from: %w", err)
	}
	der, err := os.ReadFile(path)
	if err != nil {
		return source{}, fmt.Errorf("--from: %w", err)
	}
	if block, _ := pem.Decode(der); block != nil {
		der = block.Bytes
	}
	s := source{der: io.NewSectionReader(bytes.NewReader(der), 0, int64(len(der)))}
	is, err := crl.Inspect(s.der)
	if err != nil {
		return source{}, fmt.Errorf("--from: reading %s: %w", path, err)
	}
	var ok bool
	if s.issuer, s.shard, ok = crl.Place(is.URL); !ok {
		return source{}, fmt.Errorf("--from: %s does not name an address of this CA's as its own", path)
	}
	return s, nil
}
