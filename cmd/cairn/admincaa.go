package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/internal/config"
	"github.com/cairn-ca/cairn/va"
)

func adminCAACommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "caa",
		Short: "Explain what CAA records permit",
		Args:  noArguments,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(caaCheckCommand())
	return cmd
}

func caaCheckCommand() *cobra.Command {
	var a admin
	var flags caaFlags
	cmd := &cobra.Command{
		Use:   "check NAME",
		Short: "Say, step by step, whether CAA lets this CA issue for a name",
		Long: `Say, step by step, whether CAA lets this CA issue for a name (RFC 8659, with
the parameters of RFC 8657).

The records are looked up now, with the resolvers of the configuration, and
judged as for a certificate of the given account and validation method. A CA
need not run, and none need exist: the configuration is all that is read.

The exit status is 0 when CAA permits issuance, and 1 when it does not or the
records can't be looked up.`,
		Example: `  cairn admin caa check www.example.com
  cairn admin caa check '*.example.com' --account-uri https://ca.example/acct/x --method dns-01 --json`,
		Args: oneArgument("the name to check"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if a.cfg, err = a.load(); err != nil {
				return err
			}
			a.out = cmd.OutOrStdout()
			req, err := flags.request(&a, args[0])
			if err != nil {
				return err
			}
			return a.checkCAA(cmd.Context(), req)
		},
	}
	a.register(cmd)
	cmd.Flags().StringVar(&flags.directory, "directory", "", "the `NAME` of the directory that the certificate is ordered in")
	cmd.Flags().StringVar(&flags.accountURI, "account-uri", "", "the `URL` of the account that orders it (default: an account that no record names)")
	cmd.Flags().StringVar(&flags.method, "method", "", "the challenge `TYPE` that control is proven with (default: the first that the directory offers for the name)")
	cmd.Flags().BoolVar(&flags.wildcard, "wildcard", false, "check for the wildcard name *.NAME")
	return cmd
}

// caaFlags are the flags of cairn admin caa check.
type caaFlags struct {
	directory, accountURI, method string
	wildcard                      bool
}

// request is what the flags ask.
func (f caaFlags) request(a *admin, name string) (va.CAARequest, error) {
	directory, err := a.directory(f.directory)
	if err != nil {
		return va.CAARequest{}, err
	}
	id, err := acme.ParseIdentifier(acme.IdentifierDNS, strings.ToLower(strings.TrimSuffix(name, ".")))
	if err != nil {
		return va.CAARequest{}, fmt.Errorf("%q can't be checked: %w", name, err)
	}
	if id.IsOnion() {
		return va.CAARequest{}, fmt.Errorf("%q can't be checked: the CAA records of onion services are not in the DNS; clients send them with the order (RFC 9799)", name)
	}
	req := va.CAARequest{Directory: directory, Identifier: id.Base(), Wildcard: id.IsWildcard() || f.wildcard, AccountURL: f.accountURI}
	offered := challengesOf(a.cfg, directory)
	switch {
	case f.method != "" && !slices.Contains(offered, f.method):
		return va.CAARequest{}, fmt.Errorf("--method: the directory %s does not offer %q; it offers %s", directory, f.method, strings.Join(offered, ", "))
	case f.method != "":
		req.Method = acme.ChallengeType(f.method)
	case req.Wildcard && slices.Contains(offered, string(acme.DNS01)):
		req.Method = acme.DNS01 // a wildcard needs a proof in the DNS
	default:
		req.Method = acme.ChallengeType(offered[0])
	}
	return req, nil
}

// challengesOf are the challenge types of a directory; there is one at least.
func challengesOf(cfg *config.Config, directory string) []string {
	for _, d := range cfg.ServedDirectories() {
		if d.Name == directory {
			return d.Challenges
		}
	}
	return nil
}

func (a *admin) checkCAA(ctx context.Context, req va.CAARequest) error {
	discard := slog.New(slog.DiscardHandler)
	s := &services{
		cfg: a.cfg, addresses: configuredAddresses(a.cfg, a.cfg.Listen.ACME, a.cfg.Listen.Public),
		now: time.Now, random: rand.Reader, logger: discard, audit: discard,
	}
	cfg, err := s.vaConfig()
	if err != nil {
		return err
	}
	v, err := va.New(cfg)
	if err != nil {
		return fmt.Errorf("setting up validation: %w", err)
	}
	probing, stop := context.WithCancel(ctx)
	probes := make(chan error)
	go func() { probes <- v.Run(probing) }()
	defer func() { stop(); <-probes }()
	decision := v.ExplainCAA(ctx, req)
	if ctx.Err() != nil {
		return errors.New("stopped before there was a decision")
	}
	identities := s.directoryCAAIdentities()[req.Directory]
	doc := newCAADocument(req, identities, decision)
	if a.json {
		err = a.printJSON(doc)
	} else {
		err = doc.print(a.out)
	}
	if err == nil && !doc.Permitted {
		err = fmt.Errorf("CAA does not permit to issue for %s", doc.Name)
	}
	return err
}

// caaDocument is a decision as it is printed.
type caaDocument struct {
	Name       string              `json:"name"`
	Directory  string              `json:"directory"`
	Identities []string            `json:"identities"`
	Method     string              `json:"method"`
	AccountURI string              `json:"account_uri,omitempty"`
	Permitted  bool                `json:"permitted"`
	Reason     string              `json:"reason"`
	Problem    *caaProblem         `json:"problem,omitempty"`
	FoundAt    string              `json:"found_at,omitempty"`
	Records    []string            `json:"records,omitempty"`
	Lookups    []caaLookupDocument `json:"lookups"`
	Judgements []caaJudgementDoc   `json:"judgements,omitempty"`
	CheckedAt  time.Time           `json:"checked_at"`
}

type caaProblem struct {
	Type    string `json:"type"`
	Detail  string `json:"detail"`
	MayHeal bool   `json:"may_heal"`
}

type caaLookupDocument struct {
	Name          string   `json:"name"`
	Resolver      string   `json:"resolver,omitempty"`
	Outcome       string   `json:"outcome"`
	Authenticated bool     `json:"authenticated"`
	Aliases       []string `json:"aliases,omitempty"`
	Detail        string   `json:"detail,omitempty"`
}

type caaJudgementDoc struct {
	Record     string         `json:"record"`
	Permits    bool           `json:"permits"`
	Reason     string         `json:"reason,omitempty"`
	Issuer     string         `json:"issuer,omitempty"`
	Parameters []caaParameter `json:"parameters,omitempty"`
}

type caaParameter struct {
	Tag   string `json:"tag"`
	Value string `json:"value"`
}

func newCAADocument(req va.CAARequest, identities []string, d va.CAADecision) caaDocument {
	name := req.Identifier
	if req.Wildcard {
		name = name.Wildcard()
	}
	doc := caaDocument{
		Name: name.Value(), Directory: req.Directory, Identities: identities, Method: string(req.Method), AccountURI: req.AccountURL,
		Permitted: d.Problem == nil, FoundAt: d.FoundAt, Records: d.Records, CheckedAt: d.CheckedAt.Truncate(time.Second),
	}
	for _, l := range d.Lookups {
		doc.Lookups = append(doc.Lookups, caaLookupDocument(l))
	}
	for _, j := range d.Judgements {
		judgement := caaJudgementDoc{Record: j.Record, Permits: j.Permits, Reason: j.Reason, Issuer: j.Issuer}
		for _, p := range j.Parameters {
			judgement.Parameters = append(judgement.Parameters, caaParameter(p))
		}
		doc.Judgements = append(doc.Judgements, judgement)
	}
	switch {
	case d.Problem != nil:
		doc.Problem = &caaProblem{Type: string(d.Problem.Type), Detail: d.Problem.Detail, MayHeal: d.MayHeal}
		doc.Reason = d.Problem.Detail
	case d.FoundAt == "":
		doc.Reason = "no name up to the root has CAA records: every CA may issue"
	case len(d.Judgements) == 0:
		doc.Reason = fmt.Sprintf("the CAA records of %s do not restrict who may issue", d.FoundAt)
	default:
		doc.Reason = fmt.Sprintf("the CAA record %s of %s permits it", d.Judgements[len(d.Judgements)-1].Record, d.FoundAt)
	}
	return doc
}

// print writes the decision for a person.
func (d caaDocument) print(w io.Writer) error {
	var b strings.Builder
	account := cmp.Or(d.AccountURI, "none given: records with an accounturi permit nobody")
	fmt.Fprintf(&b, "name        %s\ndirectory   %s\nthis CA is  %s\nmethod      %s\naccount     %s\n\n",
		d.Name, d.Directory, strings.Join(d.Identities, ", "), d.Method, account)
	for _, l := range d.Lookups {
		fmt.Fprintf(&b, "look up CAA of %s", l.Name)
		if l.Resolver != "" {
			fmt.Fprintf(&b, " at %s", l.Resolver)
		}
		for _, alias := range l.Aliases {
			fmt.Fprintf(&b, ", an alias of %s", alias)
		}
		fmt.Fprintf(&b, ": %s", l.Outcome)
		if l.Authenticated {
			b.WriteString(", authenticated")
		}
		if l.Detail != "" {
			fmt.Fprintf(&b, " [%s]", l.Detail)
		}
		b.WriteByte('\n')
	}
	for _, record := range d.Records {
		fmt.Fprintf(&b, "  record %s\n", record)
	}
	for _, j := range d.Judgements {
		fmt.Fprintf(&b, "judge %s\n", j.Record)
		if j.Issuer != "" {
			fmt.Fprintf(&b, "  issuer %s\n", j.Issuer)
		}
		for _, p := range j.Parameters {
			fmt.Fprintf(&b, "  parameter %s = %s\n", p.Tag, p.Value)
		}
		fmt.Fprintf(&b, "  it %s\n", cmp.Or(j.Reason, "permits this CA"))
	}
	verdict := "permitted"
	if !d.Permitted {
		verdict = "not permitted"
	}
	fmt.Fprintf(&b, "\n%s: %s\n", verdict, d.Reason)
	_, err := io.WriteString(w, b.String())
	return err
}
