package harness

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// stopTime is how long a process may take to end after SIGTERM.
const stopTime = 40 * time.Second

// process is one running cairn.
type process struct {
	name   string
	cmd    *exec.Cmd
	log    *logBuffer
	exited chan struct{} // closed once err is set
	err    error
}

// spawn starts processes from one thread that never ends: the kernel sends a
// child's parent-death signal when the thread that started it ends, not the
// process.
var spawn = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// startProcess runs the binary; both its outputs go to the log. The process is
// killed when the test process ends, however it ends.
func startProcess(name string, args []string) (*process, error) {
	path, err := Binary()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, log: &logBuffer{}, exited: make(chan struct{})}
	p.cmd = exec.Command(path, args...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	spawn() <- func() { started <- p.cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting cairn %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// stop sends SIGTERM and waits for exit status 0.
func (p *process) stop() error {
	select {
	case <-p.exited:
		return fmt.Errorf("cairn %s ended before it was told to: %v", p.name, p.err)
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stopping cairn %s: %w", p.name, err)
	}
	select {
	case <-p.exited:
	case <-time.After(stopTime):
		p.kill()
		return fmt.Errorf("cairn %s did not end within %v of SIGTERM", p.name, stopTime)
	}
	if p.err != nil {
		return fmt.Errorf("cairn %s did not exit with status 0 after SIGTERM: %w", p.name, p.err)
	}
	return nil
}

// kill is kill -9; it returns when the process is gone.
func (p *process) kill() {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		panic(err) // it is our own child
	}
	<-p.exited
}

// logBuffer keeps what a process wrote.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// tail is the end of the log.
func (l *logBuffer) tail(size int) string {
	s := l.String()
	if len(s) > size {
		s = "[...]" + s[len(s)-size:]
	}
	return s
}
