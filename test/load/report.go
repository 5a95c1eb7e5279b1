package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
)

// Report is everything that one run of the command has measured.
type Report struct {
	CPUs      int       `json:"cpus"`
	GoVersion string    `json:"go_version"`
	Summaries []Summary `json:"summaries"`
	Ratios    []Ratio   `json:"ratios,omitempty"`
	Rounds    []Round   `json:"rounds"`
}

// newReport joins rounds by scenario and server, in the order in which they
// were asked for.
func newReport(rounds []Round, scenarios []Scenario, servers []string) Report {
	r := Report{CPUs: runtime.NumCPU(), GoVersion: runtime.Version(), Rounds: rounds}
	for _, scenario := range scenarios {
		for _, server := range servers {
			var own []Round
			for _, round := range rounds {
				if round.Server == server && round.Scenario == scenario {
					own = append(own, round)
				}
			}
			if len(own) > 0 {
				r.Summaries = append(r.Summaries, summarize(own))
			}
		}
	}
	r.Ratios = ratios(r.Summaries)
	return r
}

// write prints the table and the ratios to w, and all of it to the JSON file
// when there is to be one.
func (r Report) write(w io.Writer, file string) error {
	fmt.Fprintf(w, "%d CPUs shared by server, clients and responder; %s; medians and CPU over all rounds\n\n", r.CPUs, r.GoVersion)
	if err := writeTable(w, r.Summaries); err != nil {
		return err
	}
	if len(r.Ratios) > 0 {
		fmt.Fprintln(w)
	}
	for _, ratio := range r.Ratios {
		fmt.Fprintln(w, ratio)
	}
	if file == "" {
		return nil
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the figures: %w", err)
	}
	if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing the figures: %w", err)
	}
	return nil
}

// line is one round for a reader who watches.
func (r Round) line() string {
	s := fmt.Sprintf("%d done, %s/s, median %s ms, p99 %s ms", r.Count, figure(r.PerSecond), figure(r.MedianMS), figure(r.P99MS))
	if r.serverCPU > 0 {
		s += fmt.Sprintf(", server CPU %s ms each, peak %d MiB", figure(r.ServerCPUMS), r.PeakMemoryBytes>>20)
	}
	if r.BadNonces > 0 {
		s += fmt.Sprintf(", %d bad nonces", r.BadNonces)
	}
	return s + fmt.Sprintf(" (load average before: %s)", r.LoadAverage)
}
