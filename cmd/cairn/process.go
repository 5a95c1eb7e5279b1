package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cairn-ca/cairn/internal/telemetry"
)

// process is what runs in one operating system process: listeners that take
// requests, and loops that do durable work. It is put together by the wiring
// and then run once.
type process struct {
	logger *slog.Logger
	health *telemetry.Health
	// shutdown is how long run may finish what was begun.
	shutdown time.Duration

	servers []stopper
	loops   []loop
	closers []func() error
}

// stopper is a server of requests.
type stopper interface {
	// serve serves until stop; nil after stop.
	serve() error
	// stop takes no more requests and finishes those under way, until ctx
	// ends.
	stop(ctx context.Context) error
}

// loop is work that goes on until its context ends.
type loop struct {
	name string
	run  func(context.Context) error
}

func (p *process) addServer(s stopper) { p.servers = append(p.servers, s) }
func (p *process) addLoop(name string, run func(context.Context) error) {
	p.loops = append(p.loops, loop{name, run})
}

// addCloser has close call f, after those that were added later.
func (p *process) addCloser(f func() error) { p.closers = append(p.closers, f) }

// close releases what the process holds; run does it too.
func (p *process) close() error {
	var errs []error
	for i := len(p.closers) - 1; i >= 0; i-- {
		errs = append(errs, p.closers[i]())
	}
	p.closers = nil
	return errors.Join(errs...)
}

// run runs everything until ctx ends or a part fails, then stops in order: no
// more requests are taken and those under way are finished; the loops finish
// what they are at; the store and the logs are closed. The function ready is
// called once, when every health check passes.
func (p *process) run(ctx context.Context, ready func() error) error {
	failed := make(chan error, len(p.servers)+len(p.loops)+1)
	fail := func(err error) {
		if err != nil {
			failed <- err
		}
	}
	looping, stopLoops := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLoops()
	var loops, servers sync.WaitGroup
	for _, l := range p.loops {
		loops.Go(func() {
			if err := l.run(looping); err != nil && looping.Err() == nil {
				fail(fmt.Errorf("%s: %w", l.name, err))
			}
		})
	}
	for _, s := range p.servers {
		servers.Go(func() { fail(s.serve()) })
	}
	waiting, stopWaiting := context.WithCancel(ctx)
	var waiter sync.WaitGroup
	// Whoever hears from /readyz that this process is ready finds it said in its
	// output, too, even if they stop it at once.
	var started atomic.Bool
	p.health.Add(startCheck, func(context.Context) error {
		if !started.Load() {
			return errors.New("this process is starting")
		}
		return nil
	})
	waiter.Go(func() {
		if p.awaitReady(waiting) {
			started.Store(true)
			fail(ready())
		}
	})

	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
		p.logger.Info("stopping; a second signal stops at once", "within", p.shutdown)
	}
	stopWaiting()
	waiter.Wait()
	p.health.Drain()
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.shutdown)
	defer cancel()
	p.stopServers(deadline)
	servers.Wait()
	stopLoops()
	if !waitFor(deadline, &loops) {
		p.logger.Warn("work was left unfinished; it is durable, and the next start takes it up", "after", p.shutdown)
	}
	return errors.Join(err, p.close())
}

// Checks are quick, and a start that is not ready at once is soon.
const readyPoll = 20 * time.Millisecond

// startCheck is the health check that passes once all others have.
const startCheck = "start"

// awaitReady waits until everything is ready; false when ctx ended first.
func (p *process) awaitReady(ctx context.Context) bool {
	ticker := time.NewTicker(readyPoll)
	defer ticker.Stop()
	for {
		if left := p.health.NotReady(ctx); len(left) == 1 && strings.HasPrefix(left[0], startCheck+":") {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
}

func (p *process) stopServers(ctx context.Context) {
	var stopping sync.WaitGroup
	for _, s := range p.servers {
		stopping.Go(func() {
			if err := s.stop(ctx); err != nil {
				p.logger.Warn("stopping a listener", "error", err)
			}
		})
	}
	stopping.Wait()
}

// waitFor waits for the group until ctx ends, and tells whether it was done.
func waitFor(ctx context.Context, group *sync.WaitGroup) bool {
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}
