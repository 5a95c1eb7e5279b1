package sa

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// errClosed is returned for what is asked of a closed store.
var errClosed = errors.New("the store is closed")

// maxGroup is how many transactions share a commit at most: enough that the
// commit's cost no longer shows, few enough that the first is answered soon.
const maxGroup = 128

// groupWriter runs write transactions on one connection, one after the other,
// and commits those together that came while the last commit was under way
// (group commit). A transaction that is alone does not wait for company. Each
// is answered once the commit that holds it is durable.
//
// One goroutine, run, owns the session.
type groupWriter struct {
	session *session
	observe func(group int)
	queue   chan *groupWrite
	ended   chan struct{}

	// mu is held for reading while something is put on the queue, and for
	// writing to close it.
	mu     sync.RWMutex
	closed bool
}

// groupWrite is a transaction on the queue. Its err and panicked are written
// by run before it closes done.
type groupWrite struct {
	fn       txFunc
	state    atomic.Int32 // writeQueued, then writeStarted or writeDropped
	err      error
	panicked any
	done     chan struct{}
}

const (
	writeQueued int32 = iota
	writeStarted
	writeDropped // the caller left before it was started
)

func newGroupWriter(s *session, observe func(group int)) *groupWriter {
	w := &groupWriter{session: s, observe: observe, queue: make(chan *groupWrite, maxGroup), ended: make(chan struct{})}
	go w.run()
	return w
}

// write runs fn as a transaction. When ctx ends before fn was started, fn
// never runs; when it ends later, write still waits for the outcome, which is
// then near.
func (w *groupWriter) write(ctx context.Context, fn txFunc) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	job := &groupWrite{fn: fn, done: make(chan struct{})}
	if err := w.enqueue(ctx, job); err != nil {
		return err
	}
	select {
	case <-job.done:
	case <-ctx.Done():
		if job.state.CompareAndSwap(writeQueued, writeDropped) {
			return ctx.Err()
		}
		<-job.done
	}
	if job.panicked != nil {
		panic(job.panicked) // in the goroutine whose mistake it is
	}
	return job.err
}

func (w *groupWriter) enqueue(ctx context.Context, job *groupWrite) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return errClosed
	}
	select {
	case w.queue <- job:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close refuses new transactions and returns when those queued are done.
func (w *groupWriter) close() {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.queue)
	}
	w.mu.Unlock()
	<-w.ended
}

func (w *groupWriter) run() {
	defer close(w.ended)
	group := make([]*groupWrite, 0, maxGroup)
	for job := range w.queue {
		group = w.gather(append(group[:0], job))
		if len(group) == 0 {
			continue
		}
		w.observe(len(group))
		w.commit(group)
		for i, job := range group {
			close(job.done)
			group[i] = nil
		}
	}
}

// gather adds what is queued by now, without waiting, and starts it all.
func (w *groupWriter) gather(group []*groupWrite) []*groupWrite {
	for len(group) < maxGroup {
		select {
		case job, ok := <-w.queue:
			if ok {
				group = append(group, job)
				continue
			}
		default:
		}
		break
	}
	started := group[:0]
	for _, job := range group {
		if job.state.CompareAndSwap(writeQueued, writeStarted) {
			started = append(started, job)
		}
	}
	return started
}

// commit runs the group in one transaction. No answer is given before the
// commit: even a refusal may rest on what another of the group wrote.
func (w *groupWriter) commit(group []*groupWrite) {
	ctx := context.Background() // begun, it is finished: see write
	err := w.transaction(ctx, group)
	if err != nil {
		// The transaction may be gone already; then this does nothing.
		_, _ = w.session.exec(ctx, "ROLLBACK")
		for _, job := range group {
			if job.panicked == nil {
				job.err = err
			}
		}
	}
}

func (w *groupWriter) transaction(ctx context.Context, group []*groupWrite) error {
	if _, err := w.session.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	if len(group) == 1 {
		job := group[0]
		if job.do(ctx, w.session); job.err != nil {
			return job.err
		}
	} else {
		for _, job := range group {
			if err := w.step(ctx, job); err != nil {
				return err
			}
		}
	}
	if _, err := w.session.exec(ctx, "COMMIT"); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}

// step runs one of several transactions so that it can fail alone. The error
// is about the whole group.
func (w *groupWriter) step(ctx context.Context, job *groupWrite) error {
	if _, err := w.session.exec(ctx, "SAVEPOINT step"); err != nil {
		return fmt.Errorf("setting a savepoint: %w", err)
	}
	job.do(ctx, w.session)
	if job.err != nil {
		if _, err := w.session.exec(ctx, "ROLLBACK TO step"); err != nil {
			return fmt.Errorf("rolling back to a savepoint: %w", err)
		}
	}
	if _, err := w.session.exec(ctx, "RELEASE step"); err != nil {
		return fmt.Errorf("releasing a savepoint: %w", err)
	}
	return nil
}

// do runs the transaction's function and keeps its error, and what it
// panicked with for the goroutine that asked.
func (job *groupWrite) do(ctx context.Context, s *session) {
	defer func() {
		if job.panicked = recover(); job.panicked != nil {
			job.err = fmt.Errorf("panic: %v", job.panicked)
		}
	}()
	job.err = job.fn(ctx, s)
}
