package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/internal/config"
	"github.com/cairn-ca/cairn/internal/responder"
)

// demoZone is the domain of the names that the demonstration gets
// certificates for; only the demonstration's own DNS server knows it.
const demoZone = "demo.example"

// demoTime is far more than the demonstration takes.
const demoTime = 2 * time.Minute

func demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Show the whole road: issue over each challenge, verify, revoke, OCSP, CRL",
		Long: `Show the whole road in a temporary folder, on the loopback interface only.

The demonstration starts a CA, and a DNS and web server that answer its
challenges. It obtains a certificate over each challenge type, verifies the
chains, revokes one certificate, and shows that OCSP and the CRL say so. It
exits with status 0 when all of that worked, and otherwise says what failed.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return demo(cmd.Context(), cmd.OutOrStdout())
		},
	}
}

// demo runs the demonstration and removes what it made.
func demo(ctx context.Context, out io.Writer) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, demoTime, fmt.Errorf("the demonstration took longer than %s", demoTime))
	defer cancel()
	dir, err := os.MkdirTemp("", "cairn-demo-")
	if err != nil {
		return fmt.Errorf("making a folder for the demonstration: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	names, err := responder.Start(ctx, responder.Config{Suffixes: []string{demoZone}})
	if err != nil {
		return err
	}
	defer names.Close()
	say := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }

	say("Starting a CA in %s, with a DNS and web server beside it on loopback.", dir)
	ca, err := startDemoCA(ctx, dir, names)
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := ca.stop(); err == nil {
			err = stopErr
		}
		if err != nil {
			err = fmt.Errorf("%w; the CA's log ends:\n%s", err, ca.log.end())
		}
	}()
	d := &demonstration{names: names, where: ca.where, say: say}
	if err := d.run(ctx); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	say("\nEverything worked. \"cairn serve\" starts a CA that stays.")
	return nil
}

// demoCA is a CA that runs beside the demonstration.
type demoCA struct {
	where serving
	log   *logTail
	quit  context.CancelFunc
	ended chan error
}

// startDemoCA starts what cairn serve runs, and waits until it is ready.
func startDemoCA(ctx context.Context, dir string, names *responder.Responder) (*demoCA, error) {
	cfg := config.Default()
	cfg.Data = filepath.Join(dir, "data")
	const anyPort = "127.0.0.1:0"
	cfg.Listen = config.Listen{ACME: anyPort, Public: anyPort, Admin: anyPort}
	cfg.VA.Resolvers = []string{names.DNSAddr()}
	cfg.VA.HTTPPort, cfg.VA.TLSPort = names.HTTPPort(), names.TLSPort()
	cfg.CA.CRLDelay = 500 * time.Millisecond
	cfg.ShutdownTimeout = 5 * time.Second

	ctx, quit := context.WithCancel(ctx)
	ca := &demoCA{log: &logTail{}, quit: quit, ended: make(chan error, 1)}
	ready := make(chan serving, 1)
	go func() {
		ca.ended <- serve(ctx, &cfg, streams{stdout: ca.log, stderr: ca.log}, func(s serving) error { ready <- s; return nil })
	}()
	select {
	case ca.where = <-ready:
		return ca, nil
	case err := <-ca.ended:
		quit()
		if err == nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("starting the CA: %w; its log ends:\n%s", err, ca.log.end())
	}
}

// stop ends the CA as SIGTERM does.
func (c *demoCA) stop() error {
	c.quit()
	if err := <-c.ended; err != nil {
		return fmt.Errorf("stopping the CA: %w", err)
	}
	return nil
}

// logTail keeps the last lines of a log.
type logTail struct {
	mu    sync.Mutex
	lines []string
}

const tailLines = 20

// Write takes one record, which is one line.
func (l *logTail) Write(record []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, strings.TrimRight(string(record), "\n"))
	if len(l.lines) > tailLines {
		l.lines = slices.Delete(l.lines, 0, len(l.lines)-tailLines)
	}
	return len(record), nil
}

func (l *logTail) end() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}
