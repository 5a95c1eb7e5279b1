package main

import (
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, stat string
		want       time.Duration
		good       bool
	}{
		{"plain", "12 (cairn) S 1 2 3 4 5 6 7 8 9 10 120 30 0 0 20 0 9 0 1", 1500 * time.Millisecond, true},
		{"a name with brackets and blanks", "12 (a) (b c) R 1 2 3 4 5 6 7 8 9 10 1 2 0 0", 30 * time.Millisecond, true},
		{"short", "12 (cairn) S 1 2", 0, false},
		{"no name", "12 cairn S", 0, false},
		{"no number", "12 (cairn) S 1 2 3 4 5 6 7 8 9 10 x 30", 0, false},
	} {
		got, err := parseStat([]byte(c.stat))
		if got != c.want || (err == nil) != c.good {
			t.Errorf("%s: %s, %v", c.name, got, err)
		}
	}
}

func TestParsePeakMemory(t *testing.T) {
	t.Parallel()
	if got, err := parsePeakMemory([]byte("Name:\tcairn\nVmPeak:\t  99 kB\nVmHWM:\t  1024 kB\n")); got != 1<<20 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
	for _, bad := range []string{"", "VmHWM:\tmuch kB\n"} {
		if _, err := parsePeakMemory([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestOwnProcess(t *testing.T) {
	t.Parallel()
	if peak, err := processPeakMemory(os.Getpid()); err != nil || peak < 1<<20 {
		t.Errorf("peak memory %d, %v", peak, err)
	}
	if _, err := processCPU(os.Getpid()); err != nil {
		t.Error(err)
	}
	if own, err := ownCPU(); err != nil || own <= 0 {
		t.Errorf("own CPU %s, %v", own, err)
	}
}
