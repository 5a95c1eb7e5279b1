// Cairn is a complete ACME certificate authority.
//
//	cairn serve        runs the whole CA in one process
//	cairn demo         shows what it does, in a temporary folder
//	cairn init         asks five questions and makes a private CA
//	cairn ceremony     makes roots, intermediates and what belongs to them
//	cairn import       takes over the root and the intermediate of another CA
//	cairn config       checks or shows a configuration
//	cairn admin        operates a CA: external account keys, renewal, revocation, CAA
//	cairn audit        reads every certificate again and checks it
//	cairn migrate      brings the store's schema up to date
//	cairn wfe, ra, va, sa, ca, ocsp
//	                   runs one role of a CA that is split over processes
//	cairn mtls         makes the certificates that roles know each other by
//	cairn version      tells which Cairn this is
//
// What a command found out goes to stdout; the log and errors go to stderr. A
// command that fails prints what is wrong and what to do about it, and exits
// with status 1. docs/configuration.md documents the configuration file.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks to finish; from then on another one ends the
	// process as if it had never been caught.
	context.AfterFunc(ctx, stop)
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintln(os.Stderr, "cairn: "+line)
		}
		os.Exit(1)
	}
}

// run runs the command that the arguments name. It returns once the command is
// done, or, told to stop by ctx, has finished what it had begun.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	root := &cobra.Command{
		Use:           "cairn",
		Short:         "A complete ACME certificate authority",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArguments,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; see '%s --help'", err, cmd.CommandPath())
	})
	root.AddCommand(
		serveCommand(),
		initCommand(),
		ceremonyCommand(),
		importCommand(),
		configCommand(),
		adminCommand(),
		auditCommand(),
		migrateCommand(),
		mtlsCommand(),
		demoCommand(),
		versionCommand(),
	)
	root.AddCommand(roleCommands()...)
	return root.ExecuteContext(ctx)
}

// noArguments refuses arguments, and says so in the words of the command line.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		return fmt.Errorf("there is no command %q; see '%s --help'", cmd.CommandPath()+" "+args[0], cmd.CommandPath())
	}
	return fmt.Errorf("%s takes no argument %q; see '%[1]s --help'", cmd.CommandPath(), args[0])
}

// oneArgument demands exactly one argument, and says what it is.
func oneArgument(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("%s needs one argument, %s", cmd.CommandPath(), what)
		}
		return nil
	}
}
