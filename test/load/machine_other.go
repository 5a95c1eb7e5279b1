//go:build !linux

package main

import (
	"errors"
	"syscall"
	"time"
)

var errNotLinux = errors.New("CPU time and memory of a server are measured on Linux only (/proc)")

func processCPU(int) (time.Duration, error) { return 0, errNotLinux }
func processPeakMemory(int) (int64, error)  { return 0, errNotLinux }
func ownCPU() (time.Duration, error)        { return 0, errNotLinux }
func loadAverage() string                   { return "unknown" }
func childAttributes() *syscall.SysProcAttr { return nil }
