package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/internal/responder"
)

// Names of the two servers in the table of blackhole.
const (
	serverIdle  = "idle"
	serverHoles = "holes"
)

// holesReady is how long the server may take until the holes are in flight.
const holesReady = 2 * time.Minute

type blackholeOptions struct {
	options
	cairn     string
	holes     int
	accounts  int
	keep      bool
	mostRatio float64
}

func blackholeCommand() *cobra.Command {
	var o blackholeOptions
	cmd := &cobra.Command{
		Use:   "blackhole",
		Short: "Measure what validations that time out cost the others",
		Long: `Measure issuances on an idle Cairn, and on one with many validations in flight
that never get an answer: of a third of them no question about the name is
answered, of the others the web server accepts the connection and says nothing.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return blackhole(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	o.flags(cmd, []string{kindIssue}, 3)
	f := cmd.Flags()
	f.StringVar(&o.cairn, "cairn", "", "cairn binary; empty: built from this module")
	f.IntVar(&o.holes, "holes", 1000, "how many validations are in flight at least, all the time")
	f.IntVar(&o.accounts, "hole-accounts", 100, "how many accounts they belong to")
	f.BoolVar(&o.keep, "keep", false, "keep the temporary folder with the server's files and logs")
	f.Float64Var(&o.mostRatio, "assert-ratio", 0, "fail when the median is above this multiple of the idle server's")
	return cmd
}

// blackholes is one run of blackhole.
type blackholes struct {
	blackholeOptions
	generator *generator
	answers   *responder.Responder
	near      surroundings
	dir       string
	progress  io.Writer
	// silent are the addresses that accept connections and say nothing.
	silent []netip.Addr
}

func blackhole(ctx context.Context, o blackholeOptions, out, progress io.Writer) error {
	scenarios, err := o.scenarios()
	if err != nil {
		return err
	}
	if o.holes < 1 || o.accounts < 1 {
		return errors.New("--holes and --hole-accounts must be above 0")
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
	if o.cairn == "" {
		fmt.Fprintln(progress, "building cairn")
		if o.cairn, err = buildCairn(ctx, dir); err != nil {
			return err
		}
	}
	b := blackholes{blackholeOptions: o, dir: dir, progress: progress}
	if b.generator, b.answers, err = o.generator(ctx); err != nil {
		return err
	}
	defer b.answers.Close()
	b.near = surroundings{resolver: b.answers.DNSAddr(), httpPort: b.answers.HTTPPort()}
	listeners, err := listenSilently(b.near.httpPort)
	if err != nil {
		return err
	}
	defer listeners.close()
	b.silent = listeners.addrs

	var rounds []Round
	for number := 1; number <= o.rounds; number++ {
		for _, scenario := range scenarios {
			for _, server := range []string{serverIdle, serverHoles} {
				r, err := b.round(ctx, scenario, server, number)
				if err != nil {
					return fmt.Errorf("round %d/%d, %s, %s: %w", number, o.rounds, server, scenario, err)
				}
				rounds = append(rounds, r)
			}
		}
	}
	report := newReport(rounds, scenarios, []string{serverIdle, serverHoles})
	if err := report.write(out, o.json); err != nil {
		return err
	}
	return o.judge(out, report.Summaries)
}

// judge prints the ratios of the medians and checks them.
func (o blackholeOptions) judge(out io.Writer, summaries []Summary) error {
	idle := make(map[Scenario]Summary)
	for _, s := range summaries {
		if s.Server == serverIdle {
			idle[s.Scenario] = s
		}
	}
	fmt.Fprintln(out)
	var failed []error
	for _, s := range summaries {
		before, ok := idle[s.Scenario]
		if s.Server != serverHoles || !ok || before.MedianMS <= 0 {
			continue
		}
		ratio := s.MedianMS / before.MedianMS
		fmt.Fprintf(out, "%s, median: idle %s ms, with %d black holes %s ms, ratio %.2f\n", s.Scenario, figure(before.MedianMS), o.holes, figure(s.MedianMS), ratio)
		if o.mostRatio > 0 && ratio > o.mostRatio {
			failed = append(failed, fmt.Errorf("%s: the ratio %.2f is above %.2f", s.Scenario, ratio, o.mostRatio))
		}
	}
	return errors.Join(failed...)
}

// round measures one scenario on a fresh server.
func (b *blackholes) round(ctx context.Context, scenario Scenario, server string, number int) (Round, error) {
	dir, err := os.MkdirTemp(b.dir, server+"-")
	if err != nil {
		return Round{}, fmt.Errorf("making a temporary folder: %w", err)
	}
	if !b.keep {
		defer os.RemoveAll(dir)
	}
	c := cairn(b.cairn)
	c.prepare = prepareBlackhole
	child, target, err := c.run(ctx, dir, b.near, b.http1)
	if err != nil {
		return Round{}, err
	}
	defer child.stop()
	if b.profile {
		printProfile(b.progress, server, child.pid)
	}
	var r Round
	if server == serverIdle {
		r, err = b.generator.round(ctx, target, scenario, child.pid)
	} else {
		r, err = b.amidHoles(ctx, dir, target, scenario, child.pid)
	}
	return b.finish(r, server, number), errors.Join(err, child.ended())
}

// amidHoles measures while enough validations that get no answer are in flight,
// and fails when it has not seen that they were.
func (b *blackholes) amidHoles(ctx context.Context, dir string, target Target, scenario Scenario, pid int) (Round, error) {
	url, err := adminOf(dir)
	if err != nil {
		return Round{}, err
	}
	gauge := inFlight{target: target, url: url}
	if err := b.dig(ctx, target, gauge); err != nil {
		return Round{}, err
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	watched := make(chan int, 1)
	go func() { watched <- gauge.least(watching) }()
	r, err := b.generator.round(ctx, target, scenario, pid)
	stop()
	least := <-watched
	fmt.Fprintf(b.progress, "at least %d validations were in flight\n", least)
	if err == nil && least < b.holes {
		err = fmt.Errorf("only %d validations were in flight; %d are to be", least, b.holes)
	}
	return r, err
}

func (b *blackholes) finish(r Round, server string, number int) Round {
	r.Server, r.Number, r.Attempt = server, number, 1
	fmt.Fprintf(b.progress, "round %d/%d, %s, %s: %s\n", number, b.options.rounds, r.Scenario, server, r.line())
	return r
}

// dig makes the holes: it responds to challenges that get no answer, until
// enough validations are in flight. There are half as many again as asked for:
// a look-up without an answer fails before its round ends, and then waits for
// the next try.
func (b *blackholes) dig(ctx context.Context, target Target, gauge inFlight) error {
	each := (b.holes*3/2+b.accounts-1)/b.accounts + 1
	ctx, cancel := context.WithTimeoutCause(ctx, holesReady, errors.New("it took too long to get the validations in flight"))
	defer cancel()
	failures := make(chan error, b.accounts)
	var digging sync.WaitGroup
	for i := range b.accounts {
		digging.Go(func() {
			if err := b.digFor(ctx, target, i, each); err != nil {
				failures <- err
			}
		})
	}
	digging.Wait()
	select {
	case err := <-failures:
		return fmt.Errorf("making black holes: %w", err)
	default:
	}
	return gauge.reach(ctx, b.holes)
}

// digFor makes the holes of one account.
func (b *blackholes) digFor(ctx context.Context, target Target, account, holes int) error {
	signer, err := newSigner()
	if err != nil {
		return err
	}
	var count counters
	c := &client{
		http: target.httpClient(), signer: signer, polling: b.polling, responder: b.answers,
		requests: &count.requests, badNonces: &count.badNonces,
	}
	defer c.close()
	// All set out at once.
	c.http.Timeout = time.Minute
	if err := c.discover(ctx, target.Directory); err != nil {
		return err
	}
	if err := c.register(ctx); err != nil {
		return err
	}
	names := randomNames(holes, "hole."+b.suffix)
	for i, name := range names {
		if i%3 == 2 {
			b.answers.SetFailure(name, mdns.TypeANY, responder.Failure{Silent: true})
		} else {
			b.answers.SetAddresses(name, b.silent[(account+i)%len(b.silent)])
		}
	}
	o, err := c.newOrder(ctx, names)
	if err != nil {
		return err
	}
	for _, url := range o.Authorizations {
		var a authorization
		if err := c.fetch(ctx, url, &a); err != nil {
			return err
		}
		for _, challenge := range a.Challenges {
			if challenge.Type != challengeHTTP01 {
				continue
			}
			if _, _, err := c.post(ctx, challenge.URL, []byte("{}")); err != nil {
				return err
			}
		}
	}
	return nil
}

// prepareBlackhole runs Cairn as compare does, but for rate limits, which are
// off, and for tries that last longer than a round.
func prepareBlackhole(binary, dir string, s surroundings) (launch, error) {
	l, err := prepareCairn(binary, dir, s)
	if err != nil {
		return launch{}, err
	}
	config := configOf(dir)
	text, err := os.ReadFile(config)
	if err != nil {
		return launch{}, err
	}
	more := "  timeout: 2m\nrate_limits: {enabled: false}\nvalidation: {retries: 20, retry_wait: 1s}\n"
	return l, os.WriteFile(config, append(text, more...), 0o600)
}

// adminOf is the URL of the metrics of a server that prepareBlackhole has
// prepared.
func adminOf(dir string) (string, error) {
	text, err := os.ReadFile(configOf(dir))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if address, ok := strings.CutPrefix(strings.TrimSpace(line), "admin: 127.0.0.1:"); ok {
			return "https://localhost:" + address + "/metrics", nil
		}
	}
	return "", errors.New("the configuration names no admin listener")
}
