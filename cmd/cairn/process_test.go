package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cairn-ca/cairn/internal/telemetry"
)

// journal is what happened, in order.
type journal struct {
	mu     sync.Mutex
	events []string
}

func (j *journal) add(event string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, event)
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.events)
}

// fakeServer has one request under way, which ends after its time.
type fakeServer struct {
	journal *journal
	request time.Duration
	stopped chan struct{}
}

func (s *fakeServer) serve() error { <-s.stopped; return nil }

func (s *fakeServer) stop(ctx context.Context) error {
	defer close(s.stopped)
	select {
	case <-time.After(s.request):
		s.journal.add("request finished")
		return nil
	case <-ctx.Done():
		s.journal.add("request cut off")
		return ctx.Err()
	}
}

func newTestProcess(j *journal, request, work time.Duration) *process {
	p := &process{logger: slog.New(slog.DiscardHandler), health: &telemetry.Health{}, shutdown: 10 * time.Second}
	p.addCloser(func() error { j.add("log closed"); return nil })
	p.addCloser(func() error { j.add("store closed"); return nil })
	p.addServer(&fakeServer{journal: j, request: request, stopped: make(chan struct{})})
	p.addLoop("work", func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(work) // of the test's bubble
		j.add("work finished")
		return nil
	})
	return p
}

func TestProcessStopsInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		p := newTestProcess(&j, 3*time.Second, 4*time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		err := p.run(ctx, func() error { j.add("ready"); cancel(); return nil })
		if err != nil {
			t.Error(err)
		}
		want := []string{"ready", "request finished", "work finished", "store closed", "log closed"}
		if diff := cmp.Diff(want, j.all()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got := p.health.NotReady(t.Context()); len(got) != 1 {
			t.Errorf("a stopped process is ready: %q", got)
		}
	})
}

func TestProcessStopsInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		p := newTestProcess(&j, time.Hour, time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		if err := p.run(ctx, func() error { cancel(); return nil }); err != nil {
			t.Errorf("unfinished work is durable, and no error: %v", err)
		}
		if took := time.Since(start); took > 11*time.Second {
			t.Errorf("it took %v to stop", took)
		}
		time.Sleep(time.Minute) // for the loop that was left behind
		if !slices.Contains(j.all(), "request cut off") || !slices.Contains(j.all(), "store closed") {
			t.Errorf("events %q", j.all())
		}
	})
}

func TestProcessEndsWhenAPartFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		p := newTestProcess(&j, 0, 0)
		failure := errors.New("no luck")
		p.addLoop("luck", func(ctx context.Context) error { return failure })
		p.health.Add("never", func(context.Context) error { return errors.New("not ready") })
		err := p.run(t.Context(), func() error { t.Error("ready"); return nil })
		if !errors.Is(err, failure) || err.Error() != "luck: no luck" {
			t.Errorf("error %v", err)
		}
		if !slices.Contains(j.all(), "store closed") {
			t.Errorf("events %q", j.all())
		}
	})
}

func TestProcessIsReadyOnceChecksPass(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		p := newTestProcess(&j, 0, 0)
		start := time.Now()
		p.health.Add("slow", func(context.Context) error {
			if time.Since(start) < 5*time.Second {
				return errors.New("not yet")
			}
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		if err := p.run(ctx, func() error {
			if took := time.Since(start); took < 5*time.Second || took > 6*time.Second {
				t.Errorf("ready after %v", took)
			}
			cancel()
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}
