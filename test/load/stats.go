package main

import (
	"math"
	"slices"
	"time"
)

// quantile is the nearest-rank quantile of sorted: the smallest value that at
// least the share q of all values does not exceed. It is 0 for no values.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// Summary is what one kind of round has shown of one server, over all its
// rounds: counts and times are added up, latencies pooled, and the peak of
// memory is the highest.
type Summary struct {
	Server    string   `json:"server"`
	Scenario  Scenario `json:"scenario"`
	Rounds    int      `json:"rounds"`
	Count     int      `json:"count"`
	PerSecond float64  `json:"per_second"`
	MedianMS  float64  `json:"median_ms"`
	P99MS     float64  `json:"p99_ms"`
	// ServerCPUMS is user and system time of the server process for one
	// operation; LeastCPUMS and MostCPUMS are its least and most in one round.
	ServerCPUMS float64 `json:"server_cpu_ms"`
	LeastCPUMS  float64 `json:"least_server_cpu_ms"`
	MostCPUMS   float64 `json:"most_server_cpu_ms"`
	// GeneratorCPUMS is what the generator itself, with its DNS and web
	// responder, spent on one operation of the same machine.
	GeneratorCPUMS  float64 `json:"generator_cpu_ms"`
	PeakMemoryBytes int64   `json:"peak_memory_bytes"`
	// RequestsPerOperation tells how often the client had to ask, polls included.
	RequestsPerOperation float64 `json:"requests_per_operation"`
	// Repeated is how many rounds hung or failed and were done again.
	Repeated int `json:"repeated"`
}

// summarize joins the rounds that one server has done of one scenario.
func summarize(rounds []Round) Summary {
	var s Summary
	if len(rounds) == 0 {
		return s
	}
	s.Server, s.Scenario, s.Rounds = rounds[0].Server, rounds[0].Scenario, len(rounds)
	var (
		latencies               []time.Duration
		elapsed, server, client time.Duration
		requests                int64
	)
	s.LeastCPUMS = math.Inf(1)
	for _, r := range rounds {
		latencies = append(latencies, r.latencies...)
		elapsed += r.elapsed
		server += r.serverCPU
		client += r.generatorCPU
		requests += r.Requests
		s.PeakMemoryBytes = max(s.PeakMemoryBytes, r.PeakMemoryBytes)
		s.Repeated += r.Attempt - 1
		s.LeastCPUMS = min(s.LeastCPUMS, r.ServerCPUMS)
		s.MostCPUMS = max(s.MostCPUMS, r.ServerCPUMS)
	}
	slices.Sort(latencies)
	s.Count = len(latencies)
	s.MedianMS = milliseconds(quantile(latencies, 0.5))
	s.P99MS = milliseconds(quantile(latencies, 0.99))
	s.PerSecond = perSecond(s.Count, elapsed)
	s.ServerCPUMS = milliseconds(each(server, s.Count))
	s.GeneratorCPUMS = milliseconds(each(client, s.Count))
	if s.Count > 0 {
		s.RequestsPerOperation = float64(requests) / float64(s.Count)
	}
	return s
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func perSecond(count int, elapsed time.Duration) float64 {
	if elapsed <= 0 {
		return 0
	}
	return float64(count) / elapsed.Seconds()
}

// each is total divided by count, 0 when nothing was counted.
func each(total time.Duration, count int) time.Duration {
	if count == 0 {
		return 0
	}
	return total / time.Duration(count)
}
