package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// errHung says that a server stopped answering in the middle of a round.
var errHung = errors.New("the round hung: no operation ended for too long")

// Bounds end a round whatever the server does.
type Bounds struct {
	// Duration is for how long clients begin new operations.
	Duration time.Duration
	// Least is how many operations a round has at least, as long as it takes
	// no more than five times Duration.
	Least int
	// Most is how many operations a round begins at most.
	Most int
	// Stall is how long all clients together may go without ending one
	// operation.
	Stall time.Duration
}

// generator is what all rounds share.
type generator struct {
	polling   Polling
	responder challengeResponder
	suffix    string
	bounds    Bounds
}

// Round is one measurement of one server.
type Round struct {
	Server   string   `json:"server"`
	Scenario Scenario `json:"scenario"`
	// Number counts the rounds of this server and scenario from 1, Attempt the
	// tries at this one: more than 1 means that it hung or failed before.
	Number          int     `json:"number"`
	Attempt         int     `json:"attempt"`
	Count           int     `json:"count"`
	ElapsedSeconds  float64 `json:"elapsed_seconds"`
	PerSecond       float64 `json:"per_second"`
	MedianMS        float64 `json:"median_ms"`
	P99MS           float64 `json:"p99_ms"`
	ServerCPUMS     float64 `json:"server_cpu_ms"`
	GeneratorCPUMS  float64 `json:"generator_cpu_ms"`
	PeakMemoryBytes int64   `json:"peak_memory_bytes"`
	Requests        int64   `json:"requests"`
	BadNonces       int64   `json:"bad_nonces"`
	LoadAverage     string  `json:"load_average_before"`

	latencies    []time.Duration
	elapsed      time.Duration
	serverCPU    time.Duration
	generatorCPU time.Duration
}

// settle is how long a server gets after the last operation to finish what it
// does behind its answers; that belongs to their cost.
const settle = 300 * time.Millisecond

// round makes the clients of s, warms them up and measures them. pid is the
// server's process, 0 when its CPU time and memory cannot be seen.
func (g *generator) round(ctx context.Context, target Target, s Scenario, pid int) (Round, error) {
	r := Round{Scenario: s, LoadAverage: loadAverage()}
	var count counters
	workers, err := g.workers(ctx, target, s, &count)
	defer func() {
		for _, w := range workers {
			w.close()
		}
	}()
	if err != nil {
		return r, err
	}

	operations := make([]operation, len(workers))
	for i, w := range workers {
		operations[i] = w.do
	}
	bounds := g.bounds
	if s.Kind == kindExistingClient {
		// It may sleep as long as a server asks it to.
		bounds.Stall = max(bounds.Stall, time.Minute)
	}
	if n := s.warmUp() * len(workers); n > 0 {
		warm := bounds
		warm.Least, warm.Most = 0, n
		if _, _, err := drive(ctx, operations, warm); err != nil {
			return r, fmt.Errorf("warming up: %w", err)
		}
	}
	count.requests.Store(0)
	count.badNonces.Store(0)

	var before, after [2]time.Duration // server, generator
	if before, err = cpuTimes(pid); err != nil {
		return r, err
	}
	r.latencies, r.elapsed, err = drive(ctx, operations, bounds)
	if err != nil {
		return r, err
	}
	time.Sleep(settle)
	if after, err = cpuTimes(pid); err != nil {
		return r, err
	}
	if pid != 0 {
		if r.PeakMemoryBytes, err = processPeakMemory(pid); err != nil {
			return r, err
		}
	}
	r.serverCPU, r.generatorCPU = after[0]-before[0], after[1]-before[1]
	r.Requests, r.BadNonces = count.requests.Load(), count.badNonces.Load()
	r.fill()
	return r, nil
}

// workers makes the clients of s side by side, as many machines would appear.
func (g *generator) workers(ctx context.Context, target Target, s Scenario, count *counters) ([]worker, error) {
	ctx, cancel := context.WithTimeout(ctx, g.bounds.Duration+requestTimeout)
	defer cancel()
	var workers []worker
	for range s.Concurrency {
		w, err := g.worker(ctx, target, s, count)
		if err != nil {
			return workers, err
		}
		workers = append(workers, w)
	}
	return workers, nil
}

func (r *Round) fill() {
	slices.Sort(r.latencies)
	r.Count = len(r.latencies)
	r.ElapsedSeconds = r.elapsed.Seconds()
	r.PerSecond = perSecond(r.Count, r.elapsed)
	r.MedianMS = milliseconds(quantile(r.latencies, 0.5))
	r.P99MS = milliseconds(quantile(r.latencies, 0.99))
	r.ServerCPUMS = milliseconds(each(r.serverCPU, r.Count))
	r.GeneratorCPUMS = milliseconds(each(r.generatorCPU, r.Count))
}

func cpuTimes(pid int) (times [2]time.Duration, err error) {
	if pid != 0 {
		if times[0], err = processCPU(pid); err != nil {
			return times, err
		}
	}
	times[1], err = ownCPU()
	return times, err
}

// drive repeats the operations, one goroutine each, within bounds. It returns
// how long each took and all together. The first error, or a standstill, ends
// it: a round in which something failed measures nothing.
func drive(ctx context.Context, operations []operation, b Bounds) ([]time.Duration, time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		begun, ended atomic.Int64
		workers      sync.WaitGroup
		watchers     sync.WaitGroup
		latencies    = make([][]time.Duration, len(operations))
		start        = time.Now()
	)
	stop := make(chan struct{})
	watchers.Go(func() { watch(stop, b.Stall, &ended, func() { cancel(errHung) }) })
	goOn := func() bool {
		if ctx.Err() != nil || begun.Add(1) > int64(b.Most) {
			return false
		}
		elapsed := time.Since(start)
		return elapsed < b.Duration || ended.Load() < int64(b.Least) && elapsed < 5*b.Duration
	}
	for i, do := range operations {
		workers.Go(func() {
			for goOn() {
				began := time.Now()
				if err := do(ctx); err != nil {
					cancel(err)
					return
				}
				latencies[i] = append(latencies[i], time.Since(began))
				ended.Add(1)
			}
		})
	}
	workers.Wait()
	elapsed := time.Since(start)
	close(stop)
	watchers.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, elapsed, err
	}
	return slices.Concat(latencies...), elapsed, nil
}

// watch calls hung when count has stood still for limit.
func watch(stop <-chan struct{}, limit time.Duration, count *atomic.Int64, hung func()) {
	ticker := time.NewTicker(max(limit/10, time.Millisecond))
	defer ticker.Stop()
	last, since := count.Load(), time.Now()
	for {
		select {
		case <-stop:
			return
		case now := <-ticker.C:
			if n := count.Load(); n != last {
				last, since = n, now
			} else if now.Sub(since) >= limit {
				hung()
				return
			}
		}
	}
}
