package main

import (
	"math"
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	t.Parallel()
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, c := range []struct {
		name   string
		sorted []time.Duration
		q      float64
		want   time.Duration
	}{
		{"nothing", nil, 0.5, 0},
		{"one", []time.Duration{7}, 0.99, 7},
		{"lower of two", []time.Duration{1, 2}, 0.5, 1},
		{"middle of three", []time.Duration{1, 2, 3}, 0.5, 2},
		{"median of a hundred", hundred, 0.5, 50},
		{"99th of a hundred", hundred, 0.99, 99},
		{"least", hundred, 0, 1},
		{"most", hundred, 1, 100},
	} {
		if got := quantile(c.sorted, c.q); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestSummarizePoolsRounds(t *testing.T) {
	t.Parallel()
	round := func(attempt int, serverCPU time.Duration, peak int64, latencies ...time.Duration) Round {
		r := Round{Server: "s", Attempt: attempt, PeakMemoryBytes: peak, Requests: 12,
			latencies: latencies, elapsed: time.Second, serverCPU: serverCPU, generatorCPU: 6 * time.Millisecond}
		r.fill()
		return r
	}
	s := summarize([]Round{
		round(1, 30*time.Millisecond, 5, 3*time.Millisecond, time.Millisecond, 2*time.Millisecond),
		round(3, 10*time.Millisecond, 9, 9*time.Millisecond),
	})
	want := Summary{Server: "s", Rounds: 2, Count: 4, PerSecond: 2, MedianMS: 2, P99MS: 9,
		ServerCPUMS: 10, LeastCPUMS: 10, MostCPUMS: 10, GeneratorCPUMS: 3, PeakMemoryBytes: 9,
		RequestsPerOperation: 6, Repeated: 2}
	if s != want {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
}

func TestNothingDoneIsNotInfinite(t *testing.T) {
	t.Parallel()
	var r Round
	r.fill()
	for _, v := range []float64{r.PerSecond, r.MedianMS, r.ServerCPUMS} {
		if v != 0 || math.IsNaN(v) {
			t.Errorf("a round without operations gives %v", v)
		}
	}
	if s := summarize(nil); s != (Summary{}) {
		t.Errorf("no rounds give %+v", s)
	}
}
