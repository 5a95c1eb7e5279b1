package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

type runOptions struct {
	options
	directory string
	root      string
	name      string
	pid       int
}

func runCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Load an ACME server that runs already",
		Long: `Load an ACME server that runs already on this machine.

It must resolve names with the DNS server at --dns (UDP and TCP) and connect to
the port of --http for http-01. With --pid, its CPU time and peak memory are measured.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return load(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	o.flags(cmd, []string{kindIssue}, 1)
	f := cmd.Flags()
	f.StringVar(&o.directory, "directory", "", "directory URL (required)")
	f.StringVar(&o.root, "root", "", "PEM file with the root of the server's TLS certificate; empty: the system's roots")
	f.StringVar(&o.name, "name", "server", "name of the server in the table")
	f.IntVar(&o.pid, "pid", 0, "process of the server")
	f.StringVar(&o.responder.DNSAddr, "dns", "127.0.0.1:8053", "where to answer DNS")
	f.StringVar(&o.responder.HTTPAddr, "http", "127.0.0.1:5002", "where to answer http-01")
	_ = cmd.MarkFlagRequired("directory") // fails for unknown flags only
	return cmd
}

func load(ctx context.Context, o runOptions, out, progress io.Writer) error {
	scenarios, err := o.scenarios()
	if err != nil {
		return err
	}
	target := Target{Directory: o.directory, HTTP1: o.http1}
	if o.root != "" {
		if target.Roots, err = readRoots(o.root); err != nil {
			return err
		}
	}
	generator, answers, err := o.generator(ctx)
	if err != nil {
		return err
	}
	defer answers.Close()

	var (
		rounds []Round
		failed []error
	)
	for number := 1; number <= o.rounds; number++ {
		for _, scenario := range scenarios {
			label := fmt.Sprintf("round %d/%d, %s", number, o.rounds, scenario)
			if o.profile && o.pid != 0 {
				printProfile(progress, label, o.pid)
			}
			r, err := generator.round(ctx, target, scenario, o.pid)
			if err != nil {
				failed = append(failed, fmt.Errorf("%s: %w", label, err))
				fmt.Fprintf(progress, "%s: did not work: %v\n", label, err)
				continue
			}
			r.Server, r.Number, r.Attempt = o.name, number, 1
			fmt.Fprintf(progress, "%s: %s\n", label, r.line())
			rounds = append(rounds, r)
		}
	}
	if err := newReport(rounds, scenarios, []string{o.name}).write(out, o.json); err != nil {
		return err
	}
	return errors.Join(failed...)
}
