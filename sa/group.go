package sa

import (
	"context"
	"errors"
	"fmt"
	"runtime"
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
// Whoever finds the connection free leads: it runs its own transaction and
// those queued, in its own goroutine, and passes the lead on. So a transaction
// that is alone wakes nobody, which would cost more than its statements.
type groupWriter struct {
	session *session // the leader's
	observe func(group int)

	mu     sync.Mutex
	led    bool          // somebody has the lead
	queue  []*groupWrite // only while led
	closed bool
	free   sync.Cond // on mu: led has become false
}

// groupWrite is a transaction. Its err and panicked are the leader's until
// the turn comes.
type groupWrite struct {
	fn       txFunc
	state    atomic.Int32 // writeQueued, then writeStarted or writeDropped
	turn     chan turn    // one is sent to whoever queued
	err      error
	panicked any
}

const (
	writeQueued int32 = iota
	writeStarted
	writeDropped // the caller left before it was started
)

// turn is what one who queued is told.
type turn int

const (
	turnOver turn = iota // the transaction was run
	turnLead             // run it, and lead
)

func newGroupWriter(s *session, observe func(group int)) *groupWriter {
	w := &groupWriter{session: s, observe: observe}
	w.free.L = &w.mu
	return w
}

// write runs fn as a transaction. When ctx ends before fn was started, fn
// never runs; when it ends later, write still waits for the outcome, which is
// then near.
func (w *groupWriter) write(ctx context.Context, fn txFunc) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	job := &groupWrite{fn: fn}
	lead, err := w.enter(job)
	if err != nil {
		return err
	}
	if !lead {
		select {
		case t := <-job.turn:
			lead = t == turnLead
		case <-ctx.Done():
			if job.state.CompareAndSwap(writeQueued, writeDropped) {
				return ctx.Err()
			}
			lead = <-job.turn == turnLead
		}
	}
	if lead {
		w.lead(job)
	}
	if job.panicked != nil {
		panic(job.panicked) // in the goroutine whose mistake it is
	}
	return job.err
}

// enter takes the lead for the transaction, or else queues it.
func (w *groupWriter) enter(job *groupWrite) (lead bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed:
		return false, errClosed
	case w.led:
		job.turn = make(chan turn, 1)
		w.queue = append(w.queue, job)
		return false, nil
	}
	w.led = true
	return true, nil
}

// tryRead runs fn on the writer's connection if that is free. Its page cache
// is warm, where that of a reader starts afresh after each commit.
func (w *groupWriter) tryRead(fn txFunc) (done bool, err error) {
	w.mu.Lock()
	if w.led || w.closed {
		w.mu.Unlock()
		return false, nil
	}
	w.led = true
	w.mu.Unlock()
	defer w.pass()
	return true, fn(context.Background(), w.session)
}

// close refuses new transactions and returns when those queued are done.
func (w *groupWriter) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for w.led {
		w.free.Wait()
	}
}

// lead runs the leader's transaction with those queued, answers these, and
// passes the lead on.
func (w *groupWriter) lead(own *groupWrite) {
	group := w.gather(own)
	w.observe(len(group))
	w.commit(group)
	w.pass()
	for _, job := range group[1:] {
		job.turn <- turnOver
	}
}

// gather starts what is queued by now, without waiting. Those who are about
// to queue, often because the last commit has just answered them, get the
// processor first: it makes the groups larger by half.
func (w *groupWriter) gather(own *groupWrite) []*groupWrite {
	runtime.Gosched()
	w.mu.Lock()
	defer w.mu.Unlock()
	group := append(make([]*groupWrite, 0, 1+min(len(w.queue), maxGroup)), own)
	for len(group) < maxGroup {
		job := w.next()
		if job == nil {
			break
		}
		group = append(group, job)
	}
	return group
}

// next takes the next transaction from the queue whose caller still waits.
func (w *groupWriter) next() *groupWrite {
	for len(w.queue) > 0 {
		job := w.queue[0]
		w.queue[0] = nil
		if w.queue = w.queue[1:]; len(w.queue) == 0 {
			w.queue = nil
		}
		if job.state.CompareAndSwap(writeQueued, writeStarted) {
			return job
		}
	}
	return nil
}

// pass gives the lead to the next in the queue, or up.
func (w *groupWriter) pass() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if job := w.next(); job != nil {
		job.turn <- turnLead
		return
	}
	w.led = false
	w.free.Broadcast()
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
