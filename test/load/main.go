// Command load puts ACME servers under load and measures them.
//
//	go run ./test/load compare            Cairn beside Pebble, one table
//	go run ./test/load blackhole          what validations that time out cost others
//	go run ./test/load run --directory URL --root FILE
//
// compare builds both servers, runs each round on a fresh one, alternating,
// and ends them; blackhole does so with Cairn alone. run loads a server that is
// there already. All answer http-01 and DNS themselves, on loopback.
// docs/performance.md says how it is measured.
//
// Figures go to stdout, progress to stderr. The exit status is 0 only when all
// rounds worked, and all ratios that were asserted hold.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/internal/responder"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use:           "load",
		Short:         "Put ACME servers under load and measure them",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetArgs(args)
	root.AddCommand(compareCommand(), blackholeCommand(), runCommand())
	return root.ExecuteContext(ctx)
}

// options are the flags that both commands have.
type options struct {
	duration    time.Duration
	stall       time.Duration
	most        int
	rounds      int
	concurrency []int
	kinds       []string
	clients     int
	names       int
	suffix      string
	http1       bool
	profile     bool
	json        string
	polling     Polling
	responder   responder.Config
}

func (o *options) flags(cmd *cobra.Command, kinds []string, rounds int) {
	f := cmd.Flags()
	f.DurationVar(&o.duration, "duration", 10*time.Second, "how long a round begins operations")
	f.DurationVar(&o.stall, "stall", 5*time.Second, "how long a server may end no operation before the round is called hung")
	f.IntVar(&o.most, "most", 500_000, "most operations in a round")
	f.IntVar(&o.rounds, "rounds", rounds, "measured rounds of each scenario and server")
	f.IntSliceVar(&o.concurrency, "concurrency", []int{1, 8}, "numbers of clients for whole issuances")
	f.IntVar(&o.clients, "clients", 8, "number of clients for new-order, new-nonce and many-names")
	f.StringSliceVar(&o.kinds, "scenarios", kinds, "what to measure: issue, existing-client, new-order, new-nonce, many-names")
	f.IntVar(&o.names, "names", 10, "names in an order of many-names")
	f.StringVar(&o.suffix, "suffix", "load.example.com", "domain under which random names are asked for")
	f.BoolVar(&o.http1, "http1", false, "speak HTTP/1.1 instead of HTTP/2")
	f.BoolVar(&o.profile, "profile", false, "print, before each round, the command that profiles the server while it runs")
	f.StringVar(&o.json, "json", "", "file to write all figures to")
	f.DurationVar(&o.polling.Start, "poll-start", 10*time.Millisecond, "wait before the first poll; it doubles each time")
	f.DurationVar(&o.polling.Max, "poll-max", 640*time.Millisecond, "longest wait between polls")
	f.IntVar(&o.polling.Limit, "poll-limit", 40, "most polls of one resource")
}

// scenarioMany is how the flag names whole issuances of many names.
const scenarioMany = "many-names"

// scenarios are what the flags ask for, in the order in which they run.
func (o *options) scenarios() ([]Scenario, error) {
	if len(o.concurrency) == 0 {
		return nil, fmt.Errorf("--concurrency names no number of clients")
	}
	for _, n := range o.concurrency {
		if n < 1 {
			return nil, fmt.Errorf("--concurrency %d: there is at least one client", n)
		}
	}
	if o.duration <= 0 || o.stall <= 0 || o.most < 1 || o.rounds < 1 || o.clients < 1 || o.names < 1 ||
		o.polling.Start <= 0 || o.polling.Max < o.polling.Start || o.polling.Limit < 1 {
		return nil, fmt.Errorf("durations, counts and polling intervals must be above 0, and --poll-max not below --poll-start")
	}
	var all []Scenario
	for _, kind := range o.kinds {
		switch kind {
		case kindIssue:
			for _, n := range o.concurrency {
				all = append(all, Scenario{kindIssue, n, 1})
			}
		case kindExistingClient:
			all = append(all, Scenario{kindExistingClient, 1, 1})
		case kindNewOrder, kindNewNonce:
			all = append(all, Scenario{kind, o.clients, 1})
		case scenarioMany:
			all = append(all, Scenario{kindIssue, o.clients, o.names})
		default:
			return nil, fmt.Errorf("--scenarios: %q is none of issue, existing-client, new-order, new-nonce, many-names", kind)
		}
	}
	return all, nil
}

// generator starts the responder and returns what rounds share. close ends the
// responder.
func (o *options) generator(ctx context.Context) (*generator, *responder.Responder, error) {
	config := o.responder
	config.Suffixes = []string{o.suffix}
	answers, err := responder.Start(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	return &generator{
		polling:   o.polling,
		responder: answers,
		suffix:    o.suffix,
		bounds:    Bounds{Duration: o.duration, Least: 3, Most: o.most, Stall: o.stall},
	}, answers, nil
}
