package perspectives

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cairn-ca/cairn/internal/responder"
	"github.com/cairn-ca/cairn/test/harness"
)

// envInside tells the test process that it runs in a network namespace of its
// own; its value says why not, or "yes".
const envInside = "CAIRN_TEST_NAMESPACE"

// unavailable is why there are no network namespaces; empty: there are.
var unavailable string

// The namespace of the process is that of its first thread. It stays the main
// goroutine's, so that no place is made of it.
func init() { runtime.LockOSThread() }

// TestMain runs the tests in a network namespace of their own, so that the
// links that they make are nobody else's and go when they do. Without root's
// rights it takes a user namespace as well, where the kernel lets it.
func TestMain(m *testing.M) {
	switch inside := os.Getenv(envInside); inside {
	case "":
		os.Exit(enter())
	case "yes":
		if err := probe(); err != nil {
			unavailable = err.Error()
		}
	default:
		unavailable = inside
	}
	if unavailable != "" {
		fmt.Fprintln(os.Stderr, "test/perspectives: SKIPPED: no network namespaces here, so that nothing of multi-perspective corroboration is tested end to end:", unavailable)
	}
	harness.Main(m)
}

// enter runs this program again in a namespace and returns its exit status.
func enter() int {
	// The parent-death signal comes when the thread ends that started the
	// child: this one ends with the process.
	run := func(inside string, attr *syscall.SysProcAttr) (int, error) {
		attr.Pdeathsig = syscall.SIGKILL
		cmd := exec.Command(os.Args[0], os.Args[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.Env = append(os.Environ(), envInside+"="+inside)
		cmd.SysProcAttr = attr
		if err := cmd.Start(); err != nil {
			return 0, err
		}
		if err := cmd.Wait(); err != nil && cmd.ProcessState == nil {
			return 0, err
		}
		if !cmd.ProcessState.Exited() {
			return 2, nil
		}
		return cmd.ProcessState.ExitCode(), nil
	}
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	code, err := run("yes", attr)
	if err != nil {
		if code, err = run(err.Error(), &syscall.SysProcAttr{}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
	}
	return code
}

// probe finds out whether places can be made.
func probe() error {
	if err := ip("link", "set", "lo", "up"); err != nil {
		return err
	}
	p, err := newPlace()
	if err != nil {
		return err
	}
	p.leave()
	return nil
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// place is a part of the Internet: a network namespace with its own loopback
// interface and one link to the tests' namespace, where the CA is.
type place struct {
	addr string // its end of the link
	work chan func()
}

var places atomic.Int32

// newPlace makes a place. It lasts until leave is called.
func newPlace() (*place, error) {
	n := places.Add(1)
	p := &place{addr: fmt.Sprintf("10.77.%d.2", n), work: make(chan func())}
	failed := make(chan error)
	go func() {
		// Never unlocked: the thread belongs to the namespace, and ends with
		// this goroutine.
		runtime.LockOSThread()
		err := syscall.Unshare(syscall.CLONE_NEWNET)
		if err != nil {
			err = fmt.Errorf("making a network namespace: %w", err)
		} else {
			err = p.link(fmt.Sprintf("place%d", n), fmt.Sprintf("10.77.%d.1", n))
		}
		failed <- err
		for f := range p.work {
			f()
		}
	}()
	if err := <-failed; err != nil {
		p.leave()
		return nil, err
	}
	return p, nil
}

// link is run in the new namespace. ip runs where its thread is.
func (p *place) link(outer, outerAddr string) error {
	err := ip("link", "set", "lo", "up")
	for _, args := range [][]string{
		{"link", "add", "home", "type", "veth", "peer", "name", outer, "netns", fmt.Sprint(os.Getpid())},
		{"addr", "add", p.addr + "/30", "dev", "home"},
		{"link", "set", "home", "up"},
	} {
		if err == nil {
			err = ip(args...)
		}
	}
	if err != nil {
		return err
	}
	// The other end is in the namespace of the rest of this process.
	done := make(chan error)
	go func() {
		if err := ip("addr", "add", outerAddr+"/30", "dev", outer); err != nil {
			done <- err
			return
		}
		done <- ip("link", "set", outer, "up")
	}()
	return <-done
}

// do runs f in the place.
func (p *place) do(f func() error) error {
	done := make(chan error)
	p.work <- func() { done <- f() }
	return <-done
}

func (p *place) leave() { close(p.work) }

// view starts the DNS, web and TLS servers that are seen from the place, on
// its own loopback interface.
func (p *place) view() (view *responder.Responder, err error) {
	err = p.do(func() error {
		// A socket stays in the namespace that it was made in.
		view, err = responder.Start(context.Background(), responder.Config{Suffixes: []string{harness.Zone}})
		return err
	})
	return view, err
}
