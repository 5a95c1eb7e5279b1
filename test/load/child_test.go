package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestChildIsGoneAfterStop(t *testing.T) {
	t.Parallel()
	c, err := startChild(t.Context(), filepath.Join(t.TempDir(), "log"), nil, "sleep", "600")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ended(); err != nil {
		t.Error(err)
	}
	c.stop()
	if err := syscall.Kill(c.pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the process is still there: %v", err)
	}
}

func TestChildThatEndsTellsWhy(t *testing.T) {
	t.Parallel()
	c, err := startChild(t.Context(), filepath.Join(t.TempDir(), "log"), []string{"WHY=port in use"}, "sh", "-c", `echo "$WHY" >&2; exit 3`)
	if err != nil {
		t.Fatal(err)
	}
	err = c.waitReady(t.Context(), time.Minute, func(context.Context) error { return errors.New("no answer") })
	if err == nil || !strings.Contains(err.Error(), "port in use") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error %v", err)
	}
}

func TestNoSuchChild(t *testing.T) {
	t.Parallel()
	if _, err := startChild(t.Context(), filepath.Join(t.TempDir(), "log"), nil, "/no/such/binary"); err == nil {
		t.Error("no error")
	}
}
