package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTick is the unit of times in /proc/PID/stat: USER_HZ, which is 100 on
// every Linux that Go runs on (proc(5)).
const clockTick = 10 * time.Millisecond

// processCPU is the user and system time that process pid has used.
func processCPU(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("reading CPU times: %w", err)
	}
	return parseStat(stat)
}

// parseStat reads utime and stime, fields 14 and 15. The second field is the
// name in brackets and may hold blanks and brackets itself.
func parseStat(stat []byte) (time.Duration, error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, errors.New("reading CPU times: no process name in stat")
	}
	fields := strings.Fields(string(stat[end+1:])) // from field 3 on
	if len(fields) < 13 {
		return 0, errors.New("reading CPU times: stat is too short")
	}
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading CPU times: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

// processPeakMemory is the most memory, in bytes, that process pid has held at
// once (VmHWM: resident, code and libraries included).
func processPeakMemory(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("reading peak memory: %w", err)
	}
	return parsePeakMemory(status)
}

func parsePeakMemory(status []byte) (int64, error) {
	for line := range strings.Lines(string(status)) {
		rest, found := strings.CutPrefix(line, "VmHWM:")
		if !found {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading peak memory: %w", err)
		}
		return kib << 10, nil
	}
	return 0, errors.New("reading peak memory: no VmHWM in status")
}

// ownCPU is the user and system time of this process.
func ownCPU() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("reading the generator's CPU time: %w", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}

// loadAverage is how busy the machine has been for a minute; the figures of a
// machine that others use at the same time are worth less.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(b), " ")
	return first
}

// childAttributes make a server end when the thread that started it does, even
// when the generator is killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
