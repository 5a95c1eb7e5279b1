package main

import (
	"strings"
	"testing"
)

func TestRatiosAndLimits(t *testing.T) {
	t.Parallel()
	summaries := []Summary{
		{Server: "cairn", Scenario: Scenario{kindIssue, 8, 1}, Count: 9, ServerCPUMS: 2},
		{Server: "pebble", Scenario: Scenario{kindIssue, 8, 1}, Count: 9, ServerCPUMS: 8},
		{Server: "cairn", Scenario: Scenario{kindIssue, 1, 1}, Count: 9, MedianMS: 15},
		{Server: "pebble", Scenario: Scenario{kindIssue, 1, 1}, Count: 9, MedianMS: 20},
		// Ten names are another thing.
		{Server: "cairn", Scenario: Scenario{kindIssue, 8, 10}, Count: 9, ServerCPUMS: 100},
		{Server: "cairn", Scenario: Scenario{kindExistingClient, 1, 1}, Count: 9, MedianMS: 1},
	}
	measured := ratios(summaries)
	if len(measured) != 2 || measured[0].Ratio != 0.25 || measured[1].Ratio != 0.75 {
		t.Fatalf("ratios %+v", measured)
	}
	if got, want := measured[0].String(), "server CPU per issuance: cairn 2.00 ms, pebble 8.00 ms, ratio 0.25"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for _, c := range []struct {
		name   string
		limits limits
		says   []string // nothing: it passes
	}{
		{"nothing asserted", limits{}, nil},
		{"below", limits{cpu: 0.5}, nil},
		{"equal", limits{cpu: 0.25}, nil},
		{"above", limits{cpu: 0.2}, []string{ratioCPU + ": ratio 0.250 is above 0.200"}},
		{"above, and not measured", limits{latency: 0.5}, []string{ratioAlone + ": ratio 0.750", ratioExistingClient + ": not measured"}},
	} {
		err := c.limits.check(measured)
		if (err == nil) != (len(c.says) == 0) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, s := range c.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %v does not say %q", c.name, err, s)
			}
		}
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	s := Scenario{kindIssue, 8, 1}
	if err := writeTable(&b, []Summary{
		{Server: "cairn", Scenario: s, Count: 5, ServerCPUMS: 1.234, LeastCPUMS: 1, MostCPUMS: 1.5, PeakMemoryBytes: 50 << 20},
		{Server: "pebble", Scenario: s, Count: 4},
	}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[1], "issuance, 8 clients") || strings.HasPrefix(lines[2], "issuance") {
		t.Fatalf("table:\n%s", b.String())
	}
	if !strings.Contains(lines[1], "1.23 (1.00..1.50)") || !strings.Contains(lines[1], "50") {
		t.Errorf("table:\n%s", b.String())
	}
	// All columns begin at the same place.
	if strings.Index(lines[0], "server") != strings.Index(lines[2], "pebble") {
		t.Errorf("table:\n%s", b.String())
	}
}

func TestFlagsMakeScenarios(t *testing.T) {
	t.Parallel()
	good := func() *options {
		return &options{duration: 1, stall: 1, most: 1, rounds: 1, clients: 8, names: 10, concurrency: []int{1, 8},
			kinds: []string{kindIssue, kindExistingClient, kindNewOrder, scenarioMany}, polling: Polling{1, 1, 1}}
	}
	got, err := good().scenarios()
	want := []Scenario{{kindIssue, 1, 1}, {kindIssue, 8, 1}, {kindExistingClient, 1, 1}, {kindNewOrder, 8, 1}, {kindIssue, 8, 10}}
	if err != nil || len(got) != len(want) {
		t.Fatalf("%v, %v", got, err)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%d: %+v, want %+v", i, got[i], want[i])
		}
	}
	for name, spoil := range map[string]func(*options){
		"no clients":       func(o *options) { o.concurrency = nil },
		"zero clients":     func(o *options) { o.concurrency = []int{0} },
		"no duration":      func(o *options) { o.duration = 0 },
		"no operations":    func(o *options) { o.most = 0 },
		"unknown scenario": func(o *options) { o.kinds = []string{"nothing"} },
		"shrinking polls":  func(o *options) { o.polling = Polling{2, 1, 1} },
	} {
		o := good()
		spoil(o)
		if _, err := o.scenarios(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
