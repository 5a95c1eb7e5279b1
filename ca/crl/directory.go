package crl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/sa"
)

// Directory is a target on disk: a web server serves it, at the address that
// certificates name. Files are readable by all and replaced in one step.
type Directory struct {
	Path string
	Now  func() time.Time
}

// leftFor is how long a temporary file is left alone: another process may be
// at it.
const leftFor = time.Hour

// Name implements Target.
func (d Directory) Name() string { return "directory" }

// Shared implements Target: each process keeps its machine's directory, and
// where two keep the same one, no harm is done.
func (d Directory) Shared() bool { return false }

func (d Directory) path(name string) string { return filepath.Join(d.Path, filepath.FromSlash(name)) }

// Number implements Target.
func (d Directory) Number(_ context.Context, name string) (int64, error) {
	file, err := os.Open(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading the CRL that is there: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, fmt.Errorf("reading the CRL that is there: %w", err)
	}
	there, err := open(io.NewSectionReader(file, 0, info.Size()))
	if err != nil {
		return 0, nil //nolint:nilerr // something else is there, which the CRL replaces
	}
	return there.number(), nil
}

// Put implements Target.
func (d Directory) Put(_ context.Context, name string, crl sa.CRL, der *io.SectionReader) (err error) {
	path := d.path(name)
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("making the folder: %w", err)
	}
	d.clean(folder)
	file, err := os.CreateTemp(folder, temporaryPrefix+"*")
	if err != nil {
		return fmt.Errorf("making a temporary file: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	_, err = io.Copy(file, der)
	if err == nil {
		err = file.Chmod(0o644)
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("writing a temporary file: %w", err)
	}
	// Web servers make Last-Modified and ETag of it; so several machines that
	// serve the same CRL agree on them.
	if err := os.Chtimes(file.Name(), time.Time{}, crl.ThisUpdate); err != nil {
		return fmt.Errorf("dating the file: %w", err)
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return fmt.Errorf("replacing the file: %w", err)
	}
	return syncFolder(folder)
}

const temporaryPrefix = ".new-"

// clean removes what a process left that died while it wrote.
func (d Directory) clean(folder string) {
	list, err := os.ReadDir(folder)
	if err != nil {
		return // the next step says it
	}
	for _, entry := range list {
		if !strings.HasPrefix(entry.Name(), temporaryPrefix) {
			continue
		}
		if info, err := entry.Info(); err == nil && d.Now().Sub(info.ModTime()) > leftFor {
			_ = os.Remove(filepath.Join(folder, entry.Name()))
		}
	}
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening the folder: %w", err)
	}
	if err := errors.Join(folder.Sync(), folder.Close()); err != nil {
		return fmt.Errorf("syncing the folder: %w", err)
	}
	return nil
}
