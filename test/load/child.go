package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// drain is how long a server may take to end after SIGTERM before it is killed.
const drain = 10 * time.Second

// child is a server that the generator has started.
type child struct {
	pid    int
	log    string // file with what it wrote to stdout and stderr
	cancel context.CancelFunc
	done   chan struct{}
	err    error // how it ended, once done is closed
}

// startChild runs command with env added to this process's environment. The
// child gets SIGTERM when ctx ends or stop is called.
func startChild(ctx context.Context, log string, env []string, command ...string) (*child, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("making a log file: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = childAttributes()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = drain

	c := &child{log: log, cancel: cancel, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel ends the child with the thread that started it, so the
		// thread must stay for as long (prctl(2), PR_SET_PDEATHSIG).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer out.Close()
		err := cmd.Start()
		started <- err
		if err == nil {
			c.err = cmd.Wait()
		}
		close(c.done)
	}()
	if err := <-started; err != nil {
		cancel()
		return nil, fmt.Errorf("starting %s: %w", command[0], err)
	}
	c.pid = cmd.Process.Pid
	return c, nil
}

// stop ends the child and waits until it is gone.
func (c *child) stop() {
	c.cancel()
	<-c.done
}

// dump ends a server that hangs with SIGQUIT: a Go program writes the stacks of
// all its goroutines to its log first.
func (c *child) dump() error {
	if err := syscall.Kill(c.pid, syscall.SIGQUIT); err != nil {
		return fmt.Errorf("asking the hung server for its stacks: %w", err)
	}
	select {
	case <-c.done:
	case <-time.After(drain):
		c.stop()
	}
	return nil
}

// ended says whether the child has ended by itself, and what it said last.
func (c *child) ended() error {
	select {
	case <-c.done:
		return fmt.Errorf("the server ended (%v); its last lines:\n%s", c.err, c.tail())
	default:
		return nil
	}
}

// tail is the end of the child's log.
func (c *child) tail() []byte {
	const most = 2000
	b, err := os.ReadFile(c.log)
	if err != nil {
		return []byte(err.Error())
	}
	if len(b) > most {
		b = b[len(b)-most:]
	}
	return bytes.TrimSpace(b)
}

// waitReady polls ready until it gives no error, the child ends, or limit has
// passed.
func (c *child) waitReady(ctx context.Context, limit time.Duration, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-c.done:
			return c.ended()
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("the server is not ready after %s: %w; its last lines:\n%s", limit, err, c.tail()))
		case <-ticker.C:
		}
	}
}
