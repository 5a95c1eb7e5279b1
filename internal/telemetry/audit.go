package telemetry

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// syncEvery is how long a written audit record may wait for its fsync. What
// the records tell about certificates is in the store as well, durably, before
// anybody sees it; the log may lose its last second to a power cut.
const syncEvery = time.Second

// AuditLog is the file or stream that audit records go to: JSON, one record a
// line, appended.
type AuditLog struct {
	mu    sync.Mutex
	w     io.Writer
	file  *os.File // nil: w is a stream, and is left open
	dirty bool
	err   error // the last write's or fsync's
	timer *time.Timer
}

// OpenAuditLog opens a file to append to, and makes it with mode 0600 if it is
// not there.
func OpenAuditLog(path string) (*AuditLog, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the audit log: %w", err)
	}
	return &AuditLog{w: f, file: f}, nil
}

// NewAuditLog writes audit records to a stream.
func NewAuditLog(w io.Writer) *AuditLog { return &AuditLog{w: w} }

// Logger is the logger whose records go here.
func (a *AuditLog) Logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(a, &slog.HandlerOptions{ReplaceAttr: utc}))
}

// Write appends one record. Each is one write to the file, so that records of
// several processes don't mix.
func (a *AuditLog) Write(record []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, err := a.w.Write(record)
	a.err = err
	if err == nil && a.file != nil && !a.dirty {
		a.dirty = true
		a.timer = time.AfterFunc(syncEvery, a.flush)
	}
	return n, err
}

func (a *AuditLog) flush() {
	a.mu.Lock()
	file := a.file
	a.dirty = false
	a.mu.Unlock()
	if file == nil {
		return
	}
	// Records go on being written while the disk works.
	if err := file.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
		a.mu.Lock()
		a.err = err
		a.mu.Unlock()
	}
}

// Check returns the error that the last write or fsync ended with: a CA that
// can't write its audit log is not ready.
func (a *AuditLog) Check() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return fmt.Errorf("writing the audit log: %w", a.err)
	}
	return nil
}

// Close makes the records durable and closes the file; a stream stays open.
func (a *AuditLog) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return nil
	}
	if a.timer != nil {
		a.timer.Stop()
	}
	file := a.file
	a.file = nil
	a.w = closed{}
	// Not every file can be synced (/dev/stdout can't): the error of such a
	// one is not about the records.
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		if err := file.Sync(); err != nil {
			file.Close()
			return fmt.Errorf("closing the audit log: %w", err)
		}
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("closing the audit log: %w", err)
	}
	return nil
}

// closed is what a closed audit log writes to.
type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, os.ErrClosed }
