package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	// dataFormat is the version of what the data folder holds beside the
	// store, which has a schema version of its own. It rises when an older
	// Cairn could damage what a newer one wrote.
	dataFormat = 1
	formatFile = "format"
	lockFile   = "lock"
)

// dataFolder is a data folder in use by this process.
type dataFolder struct {
	path  string
	locks []*os.File
}

// openData opens a data folder, making it if need be. serve has it to itself
// (role empty); of several roles on one machine each is there once. Nothing is
// changed in a folder of a newer version or of another process.
func openData(path, role string) (*dataFolder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, dataError(path, err)
	}
	if _, err := os.ReadDir(path); err != nil {
		return nil, dataError(path, err)
	}
	marked, err := checkFormat(path)
	if err != nil {
		return nil, err
	}
	d := &dataFolder{path: path}
	if err := d.lock(role); err != nil {
		d.close()
		return nil, err
	}
	if !marked {
		if err := writeFormat(path); err != nil {
			d.close()
			return nil, dataError(path, err)
		}
	}
	return d, nil
}

// file is the path of a file in the folder.
func (d *dataFolder) file(name string) string { return filepath.Join(d.path, name) }

// close leaves the folder to others.
func (d *dataFolder) close() {
	for _, f := range d.locks {
		f.Close()
	}
	d.locks = nil
}

func (d *dataFolder) lock(role string) error {
	if role == "" {
		return d.flock(lockFile, syscall.LOCK_EX)
	}
	if err := d.flock(lockFile, syscall.LOCK_SH); err != nil {
		return err
	}
	return d.flock(lockFile+"."+role, syscall.LOCK_EX)
}

func (d *dataFolder) flock(name string, how int) error {
	f, err := os.OpenFile(d.file(name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return dataError(d.path, err)
	}
	d.locks = append(d.locks, f)
	switch err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return fmt.Errorf("the data folder %s is in use by another cairn process; stop that one, or use another folder with --data", d.path)
	case err != nil:
		return fmt.Errorf("locking the data folder %s: %w", d.path, err)
	}
	return nil
}

// checkFormat tells whether the folder has a mark, and refuses one that a
// newer version made.
func checkFormat(path string) (marked bool, err error) {
	mark, err := os.ReadFile(filepath.Join(path, formatFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, dataError(path, err)
	}
	format, err := strconv.Atoi(strings.TrimSpace(string(mark)))
	switch {
	case err != nil || format < 1:
		return false, fmt.Errorf("the file %s does not hold a format number, so the folder is not known to be Cairn's; use another folder with --data", filepath.Join(path, formatFile))
	case format > dataFormat:
		return false, fmt.Errorf("the data folder %s was made by a newer version of Cairn (format %d; this version knows up to %d); run that version, or use another folder with --data", path, format, dataFormat)
	}
	return true, nil
}

// writeFormat marks the folder; the mark is whole or not there.
func writeFormat(path string) error {
	f, err := os.CreateTemp(path, formatFile+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	_, err = fmt.Fprintln(f, dataFormat)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(path, formatFile))
}

// dataError says what to do about a folder that can't be used.
func dataError(path string, err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	switch {
	case errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EEXIST):
		return fmt.Errorf("the data folder %s is not a folder; name another one with --data or the key data", path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the data folder %s can't be read and written by this user (%w); change its owner, or name another folder with --data or the key data", path, err)
	case errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("the data folder %s can't be written (%w); name another folder with --data or the key data", path, err)
	}
	return fmt.Errorf("the data folder %s: %w", path, err)
}
