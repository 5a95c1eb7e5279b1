package sa

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// openGroup is a writer with a table to write to.
func openGroup(t *testing.T) (*groupWriter, *[]int) {
	t.Helper()
	db, err := Open(t.Context(), Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "cairn.db"), Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	w := db.engine.(*sqliteEngine).writer
	if err := w.write(t.Context(), func(ctx context.Context, s *session) error {
		_, err := s.exec(ctx, "CREATE TABLE written (n INTEGER PRIMARY KEY)")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var groups []int
	w.observe = func(n int) { groups = append(groups, n) } // the leaders take turns
	return w, &groups
}

func insert(n int) txFunc {
	return func(ctx context.Context, s *session) error {
		_, err := s.exec(ctx, "INSERT INTO written (n) VALUES ($1)", int64(n))
		return err
	}
}

func written(t *testing.T, w *groupWriter) string {
	t.Helper()
	var list string
	if err := w.write(t.Context(), func(ctx context.Context, s *session) error {
		return s.one(ctx, "SELECT coalesce(group_concat(n ORDER BY n), '') FROM written", nil, (*scanText)(&list))
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

// hold lets one transaction run until release is called, and returns when it
// has begun.
func hold(t *testing.T, w *groupWriter) (release func()) {
	t.Helper()
	begun, end := make(chan struct{}), make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		if err := w.write(context.Background(), func(context.Context, *session) error {
			close(begun)
			<-end
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	<-begun
	return func() { close(end); done.Wait() }
}

// queued waits until n transactions are queued.
func queued(w *groupWriter, n int) {
	for {
		w.mu.Lock()
		length := len(w.queue)
		w.mu.Unlock()
		if length == n {
			return
		}
		runtime.Gosched()
	}
}

// group queues the transactions, in their order, behind one that is held, and
// returns what each came to.
func group(t *testing.T, w *groupWriter, fns ...txFunc) []error {
	t.Helper()
	release := hold(t, w)
	errs := make([]error, len(fns))
	var done sync.WaitGroup
	for i, fn := range fns {
		done.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					errs[i] = fmt.Errorf("panic: %v", p)
				}
			}()
			errs[i] = w.write(context.Background(), fn)
		})
		queued(w, i+1)
	}
	release()
	done.Wait()
	return errs
}

func TestGroupSharesACommit(t *testing.T) {
	t.Parallel()
	w, groups := openGroup(t)
	for i, err := range group(t, w, insert(1), insert(2), insert(3)) {
		if err != nil {
			t.Errorf("transaction %d: %v", i, err)
		}
	}
	if got := written(t, w); got != "1,2,3" {
		t.Errorf("written: %s", got)
	}
	if got := fmt.Sprint(*groups); got != "[1 3 1]" {
		t.Errorf("groups of %s, want the three in one", got)
	}
}

func TestGroupMemberFailsAlone(t *testing.T) {
	t.Parallel()
	failed := errors.New("no")
	for name, fail := range map[string]func(context.Context, *session) error{
		"error": func(context.Context, *session) error { return failed },
		"panic": func(context.Context, *session) error { panic(failed) },
		"statement": func(ctx context.Context, s *session) error {
			return insert(1)(ctx, s)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := openGroup(t)
			errs := group(t, w, insert(1), func(ctx context.Context, s *session) error {
				if err := insert(2)(ctx, s); err != nil {
					return err
				}
				return fail(ctx, s)
			}, insert(3))
			if errs[0] != nil || errs[1] == nil || errs[2] != nil {
				t.Errorf("errors: %v", errs)
			}
			if got := written(t, w); got != "1,3" {
				t.Errorf("written: %s", got)
			}
		})
	}
}

func TestGroupLeaderFailsAlone(t *testing.T) {
	t.Parallel()
	w, _ := openGroup(t)
	errs := group(t, w, func(ctx context.Context, s *session) error {
		return errors.Join(insert(1)(ctx, s), errors.New("no"))
	}, insert(2))
	if errs[0] == nil || errs[1] != nil {
		t.Errorf("errors: %v", errs)
	}
	if got := written(t, w); got != "2" {
		t.Errorf("written: %s", got)
	}
}

func TestLoneTransactionFails(t *testing.T) {
	t.Parallel()
	w, _ := openGroup(t)
	failed := errors.New("no")
	if err := w.write(t.Context(), func(ctx context.Context, s *session) error {
		return errors.Join(insert(1)(ctx, s), failed)
	}); !errors.Is(err, failed) {
		t.Errorf("error %v", err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a panic was swallowed")
			}
		}()
		_ = w.write(t.Context(), func(context.Context, *session) error { panic("no") })
	}()
	if got := written(t, w); got != "" {
		t.Errorf("written: %s", got)
	}
}

// A COMMIT that fails is told to everybody who wrote.
func TestCommitFails(t *testing.T) {
	t.Parallel()
	w, _ := openGroup(t)
	for i, err := range group(t, w, insert(1), func(ctx context.Context, s *session) error {
		// The transaction ends under the group's hands.
		_, err := s.exec(ctx, "ROLLBACK")
		return err
	}, insert(3)) {
		if err == nil {
			t.Errorf("transaction %d was answered as durable", i)
		}
	}
	if got := written(t, w); got != "" {
		t.Errorf("written: %s", got)
	}
}

func TestCanceledTransactionNeverStarts(t *testing.T) {
	t.Parallel()
	w, _ := openGroup(t)
	release := hold(t, w)
	ctx, cancel := context.WithCancel(t.Context())
	err := make(chan error)
	go func() { err <- w.write(ctx, insert(1)) }()
	queued(w, 1)
	cancel()
	if err := <-err; !errors.Is(err, context.Canceled) { // while the other still runs
		t.Errorf("error %v", err)
	}
	release()
	if got := written(t, w); got != "" {
		t.Errorf("written: %s", got)
	}
}

// Once started, a transaction's outcome is told even to one who no longer
// wanted it.
func TestCanceledTransactionThatStarted(t *testing.T) {
	t.Parallel()
	w, _ := openGroup(t)
	ctx, cancel := context.WithCancel(t.Context())
	if err := w.write(ctx, func(ctx context.Context, s *session) error {
		cancel()
		return insert(1)(ctx, s)
	}); err != nil {
		t.Error(err)
	}
	if got := written(t, w); got != "1" {
		t.Errorf("written: %s", got)
	}
}

func TestWriterCloseWaitsForTheQueue(t *testing.T) {
	t.Parallel()
	w, _ := openGroup(t)
	release := hold(t, w)
	errs := make(chan error, 2)
	for i := range 2 {
		go func() { errs <- w.write(context.Background(), insert(i)) }()
		queued(w, i+1)
	}
	closed := make(chan struct{})
	go func() { w.close(); close(closed) }()
	for { // until close has shut the door
		w.mu.Lock()
		shut := w.closed
		w.mu.Unlock()
		if shut {
			break
		}
		runtime.Gosched()
	}
	select {
	case <-closed:
		t.Error("closed while a transaction ran")
	default:
	}
	release()
	<-closed
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if err := w.write(t.Context(), insert(9)); !errors.Is(err, errClosed) {
		t.Errorf("error %v", err)
	}
}

func TestReadsUseTheWriterOnlyWhileItIsFree(t *testing.T) {
	t.Parallel()
	w, _ := openGroup(t)
	read := func(context.Context, *session) error { return nil }
	if done, err := w.tryRead(read); !done || err != nil {
		t.Errorf("free: %v, %v", done, err)
	}
	release := hold(t, w)
	if done, _ := w.tryRead(read); done {
		t.Error("read in the middle of a transaction")
	}
	release()
	// One who queues behind a read is served.
	var wrote error
	var done sync.WaitGroup
	_, _ = w.tryRead(func(context.Context, *session) error {
		done.Go(func() { wrote = w.write(context.Background(), insert(1)) })
		queued(w, 1)
		return nil
	})
	done.Wait()
	if wrote != nil {
		t.Error(wrote)
	}
}
