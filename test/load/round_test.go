package main

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// takes is an operation that takes d.
func takes(d time.Duration) operation {
	return func(context.Context) error {
		time.Sleep(d)
		return nil
	}
}

func TestDriveBounds(t *testing.T) {
	t.Parallel()
	failure := errors.New("no")
	for _, c := range []struct {
		name       string
		operations []operation
		bounds     Bounds
		count      int
		elapsed    time.Duration
		err        error
	}{
		{"ends after its duration, the last operations whole",
			[]operation{takes(3 * time.Second), takes(4 * time.Second)},
			Bounds{Duration: 10 * time.Second, Most: 100, Stall: time.Minute}, 4 + 3, 12 * time.Second, nil},
		{"ends at the most operations",
			[]operation{takes(time.Second), takes(time.Second)},
			Bounds{Duration: time.Hour, Most: 6, Stall: time.Minute}, 6, 3 * time.Second, nil},
		{"goes on for the least operations",
			[]operation{takes(8 * time.Second)},
			Bounds{Duration: 10 * time.Second, Least: 3, Most: 100, Stall: time.Minute}, 3, 24 * time.Second, nil},
		{"but not for ever",
			[]operation{takes(30 * time.Second)},
			Bounds{Duration: 10 * time.Second, Least: 3, Most: 100, Stall: time.Minute}, 2, 60 * time.Second, nil},
		{"ends at an error",
			[]operation{takes(time.Second), func(context.Context) error { time.Sleep(5 * time.Second); return failure }},
			Bounds{Duration: time.Hour, Most: 100, Stall: time.Minute}, 0, 5 * time.Second, failure},
		{"ends when nothing ends",
			[]operation{func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
			Bounds{Duration: time.Hour, Most: 100, Stall: 5 * time.Second}, 0, 5 * time.Second, errHung},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				latencies, elapsed, err := drive(t.Context(), c.operations, c.bounds)
				if !errors.Is(err, c.err) || err != nil && c.err == nil {
					t.Fatalf("error %v, want %v", err, c.err)
				}
				if len(latencies) != c.count {
					t.Errorf("%d operations, want %d", len(latencies), c.count)
				}
				if elapsed < c.elapsed || elapsed > c.elapsed+time.Second {
					t.Errorf("took %s, want %s", elapsed, c.elapsed)
				}
			})
		})
	}
}

func TestDriveEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, _, err := drive(ctx, []operation{takes(time.Second)}, Bounds{Duration: time.Hour, Most: 1000, Stall: time.Minute})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

func TestAStandstillIsSeenAmongProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		// Works for a while, then never ends again.
		do := func(ctx context.Context) error {
			if n.Add(1) <= 20 {
				time.Sleep(time.Second)
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}
		_, elapsed, err := drive(t.Context(), []operation{do}, Bounds{Duration: time.Hour, Most: 1000, Stall: 5 * time.Second})
		if !errors.Is(err, errHung) || elapsed < 25*time.Second || elapsed > 26*time.Second {
			t.Errorf("error %v after %s", err, elapsed)
		}
	})
}

func TestPolling(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := Polling{Start: 10 * time.Millisecond, Max: 50 * time.Millisecond, Limit: 6}
		start := time.Now()
		var asked []time.Duration
		ask := func() (bool, error) {
			asked = append(asked, time.Since(start)/time.Millisecond)
			return false, nil
		}
		if err := p.until(t.Context(), "it", ask); err == nil {
			t.Error("polling without an end is no error")
		}
		if want := []time.Duration{10, 30, 70, 120, 170, 220}; !slices.Equal(asked, want) {
			t.Errorf("asked after %d ms, want %d", asked, want)
		}

		asked = nil
		if err := p.until(t.Context(), "it", func() (bool, error) { return len(asked) == 0, nil }); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errHung)
		if err := p.until(ctx, "it", ask); !errors.Is(err, errHung) {
			t.Errorf("ended round: %v", err)
		}
	})
}
