package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// writeTable prints one line for each summary, those of one scenario together.
func writeTable(w io.Writer, summaries []Summary) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "what\tserver\tcount\tper second\tmedian ms\tp99 ms\tserver CPU ms\tpeak MiB\trequests\tgenerator CPU ms\trepeated")
	var last Scenario
	for _, s := range summaries {
		what := s.Scenario.String()
		if s.Scenario == last {
			what = ""
		}
		last = s.Scenario
		cpu, memory := "-", "-"
		if s.ServerCPUMS > 0 {
			cpu = fmt.Sprintf("%s (%s..%s)", figure(s.ServerCPUMS), figure(s.LeastCPUMS), figure(s.MostCPUMS))
		}
		if s.PeakMemoryBytes > 0 {
			memory = fmt.Sprintf("%d", s.PeakMemoryBytes>>20)
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%.1f\t%s\t%d\n",
			what, s.Server, s.Count, figure(s.PerSecond), figure(s.MedianMS), figure(s.P99MS),
			cpu, memory, s.RequestsPerOperation, figure(s.GeneratorCPUMS), s.Repeated)
	}
	return t.Flush()
}

// figure writes three significant digits.
func figure(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// Ratio sets Cairn's figure beside Pebble's: below 1, Cairn is better.
type Ratio struct {
	What   string  `json:"what"`
	Unit   string  `json:"unit"`
	Cairn  float64 `json:"cairn"`
	Pebble float64 `json:"pebble"`
	Ratio  float64 `json:"ratio"`
}

func (r Ratio) String() string {
	return fmt.Sprintf("%s: cairn %s %s, pebble %s %s, ratio %.2f",
		r.What, figure(r.Cairn), r.Unit, figure(r.Pebble), r.Unit, r.Ratio)
}

// The ratios that the project holds itself to.
const (
	ratioCPU            = "server CPU per issuance"
	ratioAlone          = "a client's whole issuance, alone, median"
	ratioExistingClient = "an existing client's whole issuance, alone, median"
)

// ratios compares what both servers have done: CPU at concurrency 8, medians
// at concurrency 1, one name.
func ratios(summaries []Summary) []Ratio {
	find := func(server string, s Scenario) (Summary, bool) {
		for _, summary := range summaries {
			if summary.Server == server && summary.Scenario == s && summary.Count > 0 {
				return summary, true
			}
		}
		return Summary{}, false
	}
	var all []Ratio
	for _, c := range []struct {
		what     string
		scenario Scenario
		value    func(Summary) float64
	}{
		{ratioCPU, Scenario{kindIssue, 8, 1}, func(s Summary) float64 { return s.ServerCPUMS }},
		{ratioAlone, Scenario{kindIssue, 1, 1}, func(s Summary) float64 { return s.MedianMS }},
		{ratioExistingClient, Scenario{kindExistingClient, 1, 1}, func(s Summary) float64 { return s.MedianMS }},
	} {
		ours, ok1 := find("cairn", c.scenario)
		theirs, ok2 := find("pebble", c.scenario)
		if !ok1 || !ok2 || c.value(theirs) <= 0 {
			continue
		}
		r := Ratio{What: c.what, Unit: "ms", Cairn: c.value(ours), Pebble: c.value(theirs)}
		r.Ratio = r.Cairn / r.Pebble
		all = append(all, r)
	}
	return all
}

// limits are the highest ratios that pass; 0 asserts nothing.
type limits struct{ cpu, latency float64 }

// check is an error that names every ratio above its limit, and every one that
// was asked for and not measured.
func (l limits) check(measured []Ratio) error {
	want := map[string]float64{ratioCPU: l.cpu, ratioAlone: l.latency, ratioExistingClient: l.latency}
	var failed []string
	for _, what := range []string{ratioCPU, ratioAlone, ratioExistingClient} {
		limit := want[what]
		if limit <= 0 {
			continue
		}
		found := false
		for _, r := range measured {
			if r.What != what {
				continue
			}
			found = true
			if r.Ratio > limit {
				failed = append(failed, fmt.Sprintf("%s: ratio %.3f is above %.3f", what, r.Ratio, limit))
			}
		}
		if !found {
			failed = append(failed, what+": not measured for both servers")
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("ratios too high or missing: %s", strings.Join(failed, "; "))
	}
	return nil
}
