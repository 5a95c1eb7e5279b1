package harness

import (
	"context"
	"fmt"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// Daemon is a server of somebody else's that a test runs.
type Daemon struct{ p *process }

// StartDaemon runs a program until the test ends and waits until ready tells
// that it serves. Its log is shown when the test fails.
func StartDaemon(t testing.TB, cmd *exec.Cmd, ready func(ctx context.Context) bool) *Daemon {
	t.Helper()
	p := &process{name: cmd.Path, cmd: cmd, log: &logBuffer{}, exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	spawn() <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		t.Fatalf("starting %s: %v", cmd.Path, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	d := &Daemon{p}
	t.Cleanup(func() {
		d.Stop()
		if t.Failed() {
			t.Logf("--- log of %v (pid %d)\n%s", cmd.Args, cmd.Process.Pid, p.log.tail(4000))
		}
	})
	if err := d.await(ready); err != nil {
		t.Fatalf("%v\n%s", err, p.log.tail(4000))
	}
	return d
}

func (d *Daemon) await(ready func(ctx context.Context) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), readyTime)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !ready(ctx) {
		select {
		case <-ticker.C:
		case <-d.p.exited:
			return fmt.Errorf("%v ended instead of getting ready: %v", d.p.cmd.Args, d.p.err)
		case <-ctx.Done():
			return fmt.Errorf("%v did not get ready", d.p.cmd.Args)
		}
	}
	return nil
}

// Stop ends the daemon, by SIGTERM and, when that is not enough, by force.
func (d *Daemon) Stop() {
	_ = d.p.cmd.Process.Signal(syscall.SIGTERM) // it fails when it has ended
	select {
	case <-d.p.exited:
	case <-time.After(stopTime):
		d.p.kill()
	}
}

// Addrs chooses n free addresses of 127.0.0.1, for TCP and UDP, that no other
// test chooses until this one ends.
func Addrs(t testing.TB, n int) []string {
	t.Helper()
	r := &reservation{}
	t.Cleanup(r.release)
	addrs, err := r.addrs(n)
	if err != nil {
		t.Fatal(err)
	}
	return addrs
}
