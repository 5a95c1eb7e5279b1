package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"
)

// maxAttempts is how often a round is tried: Pebble can deadlock when several
// clients use it.
const maxAttempts = 10

type compareOptions struct {
	options
	servers       []string
	cairn         string
	pebble        string
	pebbleVersion string
	keep          bool
	limits        limits
}

func compareCommand() *cobra.Command {
	var o compareOptions
	cmd := &cobra.Command{
		Use:   "compare",
		Short: "Measure Cairn beside Pebble, round by round in turn",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return compare(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	o.flags(cmd, []string{kindIssue, kindExistingClient, kindNewOrder, kindNewNonce, scenarioMany}, 3)
	f := cmd.Flags()
	f.StringSliceVar(&o.servers, "servers", []string{"cairn", "pebble"}, "servers, in the order in which they take turns")
	f.StringVar(&o.cairn, "cairn", "", "cairn binary; empty: built from this module")
	f.StringVar(&o.pebble, "pebble", "", "pebble binary; empty: built from the module proxy into a temporary folder")
	f.StringVar(&o.pebbleVersion, "pebble-version", pebbleVersion, "version of Pebble to build")
	f.BoolVar(&o.keep, "keep", false, "keep the temporary folder with the servers' files and logs, and in the log of one that hung its goroutines")
	f.Float64Var(&o.limits.cpu, "assert-cpu-ratio", 0, "fail when Cairn's CPU per issuance at 8 clients is above this share of Pebble's")
	f.Float64Var(&o.limits.latency, "assert-latency-ratio", 0, "fail when Cairn's median, one client alone, is above this share of Pebble's: the generator's and the existing client's")
	return cmd
}

// comparison is one run of compare.
type comparison struct {
	compareOptions
	generator  *generator
	near       surroundings
	dir        string
	contenders []contender
	progress   io.Writer
	rounds     []Round
}

func compare(ctx context.Context, o compareOptions, out, progress io.Writer) (err error) {
	scenarios, err := o.scenarios()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "cairn-load-")
	if err != nil {
		return fmt.Errorf("making a temporary folder: %w", err)
	}
	if o.keep {
		fmt.Fprintln(progress, "files and logs are kept in", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	c := comparison{compareOptions: o, dir: dir, progress: progress}
	if c.contenders, err = c.build(ctx); err != nil {
		return err
	}
	generator, answers, err := o.generator(ctx)
	if err != nil {
		return err
	}
	defer answers.Close()
	c.generator = generator
	c.near = surroundings{resolver: answers.DNSAddr(), httpPort: answers.HTTPPort()}

	failed := c.all(ctx, scenarios)
	report := newReport(c.rounds, scenarios, o.servers)
	if err := report.write(out, o.json); err != nil {
		return err
	}
	return errors.Join(failed, o.limits.check(report.Ratios))
}

// build makes the binaries that were not given.
func (c *comparison) build(ctx context.Context) ([]contender, error) {
	var all []contender
	for _, name := range c.servers {
		var (
			binary string
			err    error
		)
		switch name {
		case "cairn":
			if binary = c.cairn; binary == "" {
				fmt.Fprintln(c.progress, "building cairn")
				binary, err = buildCairn(ctx, c.dir)
			}
			all = append(all, cairn(binary))
		case "pebble":
			if binary = c.pebble; binary == "" {
				fmt.Fprintln(c.progress, "building pebble", c.pebbleVersion)
				binary, err = buildPebble(ctx, c.dir, c.pebbleVersion)
			}
			all = append(all, pebble(binary))
		default:
			err = fmt.Errorf("--servers: %q is neither cairn nor pebble", name)
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// all runs every round, the servers taking turns within each scenario. What
// does not work is left out of the table and returned.
func (c *comparison) all(ctx context.Context, scenarios []Scenario) error {
	var failed []error
	for number := 1; number <= c.options.rounds; number++ {
		for _, scenario := range scenarios {
			for _, contender := range c.contenders {
				if ctx.Err() != nil {
					return errors.Join(append(failed, context.Cause(ctx))...)
				}
				round, err := c.repeat(ctx, contender, scenario, number)
				if err != nil {
					failed = append(failed, err)
					continue
				}
				c.rounds = append(c.rounds, round)
			}
		}
	}
	return errors.Join(failed...)
}

// repeat tries one round until it works, and tells of each time that it did
// not.
func (c *comparison) repeat(ctx context.Context, contender contender, scenario Scenario, number int) (Round, error) {
	label := fmt.Sprintf("round %d/%d, %s, %s", number, c.options.rounds, contender.name, scenario)
	var err error
	for attempt := 1; attempt <= maxAttempts && ctx.Err() == nil; attempt++ {
		var r Round
		if r, err = c.once(ctx, contender, scenario, label); err == nil {
			r.Server, r.Number, r.Attempt = contender.name, number, attempt
			fmt.Fprintf(c.progress, "%s: %s\n", label, r.line())
			return r, nil
		}
		fmt.Fprintf(c.progress, "%s: attempt %d did not work and is repeated: %v\n", label, attempt, err)
	}
	return Round{}, fmt.Errorf("%s: given up: %w", label, err)
}

// once runs one round on a fresh server.
func (c *comparison) once(ctx context.Context, contender contender, scenario Scenario, label string) (Round, error) {
	dir, err := os.MkdirTemp(c.dir, contender.name+"-")
	if err != nil {
		return Round{}, fmt.Errorf("making a temporary folder: %w", err)
	}
	if !c.keep {
		defer os.RemoveAll(dir)
	}
	server, target, err := contender.run(ctx, dir, c.near, c.http1)
	if err != nil {
		return Round{}, err
	}
	defer server.stop()
	if c.profile {
		printProfile(c.progress, label, server.pid)
	}
	r, err := c.generator.round(ctx, target, scenario, server.pid)
	if err == nil {
		return r, nil
	}
	if gone := server.ended(); gone != nil {
		return Round{}, errors.Join(err, gone)
	}
	if c.keep && errors.Is(err, errHung) {
		if failed := server.dump(); failed != nil {
			return Round{}, errors.Join(err, failed)
		}
		err = fmt.Errorf("%w; its goroutines are in %s", err, server.log)
	}
	return Round{}, err
}

// printProfile says how to look into a server while it is under load.
func printProfile(w io.Writer, label string, pid int) {
	fmt.Fprintf(w, "%s: profile it with: perf record -g -p %d -o %s -- sleep 5\n",
		label, pid, filepath.Join(os.TempDir(), "load-"+strconv.Itoa(pid)+".perf"))
}
