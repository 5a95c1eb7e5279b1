package ceremony

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/ca/key"
)

// completeMark is the file in the staging folder that says that everything is
// there and verified. It lists the files, a path in each line.
const completeMark = "COMPLETE"

// ErrResumed is wrapped by the error of a run that completed one before it,
// which was cut short, and did nothing else.
var ErrResumed = errors.New("the run before this one was cut short; what it had made is complete and in place now, and this run made nothing")

// folder puts files into a folder: all or none, and never in the place of one
// that exists. This process alone is at work in it.
type folder struct {
	path string
	lock *os.File
}

// openFolder opens a folder, making it if need be, and completes or undoes
// what a run before left there.
func openFolder(path string) (*folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder: %w", err)
	}
	lock, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the folder: %w", err)
	}
	f := &folder{path: path, lock: lock}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.close()
		return nil, fmt.Errorf("another ceremony or import is at work in %s (%w)", path, err)
	}
	if err := f.recover(); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *folder) close() { f.lock.Close() }

func (f *folder) file(name string) string { return filepath.Join(f.path, name) }
func (f *folder) staged(name string) string {
	return filepath.Join(f.path, ca.StagingFolder, name)
}

// recover takes up what a crash left. Without the mark nothing had been put in
// place yet.
func (f *folder) recover() error {
	mark, err := os.ReadFile(f.staged(completeMark))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f.unstage()
	case err != nil:
		return fmt.Errorf("reading what was staged: %w", err)
	}
	paths := strings.Split(strings.TrimSuffix(string(mark), "\n"), "\n")
	for _, path := range paths {
		if !filepath.IsLocal(path) {
			return fmt.Errorf("%s names %q, which is not below the folder; remove %s", f.staged(completeMark), path, f.staged(""))
		}
	}
	if err := f.place(paths); err != nil {
		return err
	}
	return ErrResumed
}

func (f *folder) unstage() error {
	if err := os.RemoveAll(f.staged("")); err != nil {
		return fmt.Errorf("removing the staging folder: %w", err)
	}
	return nil
}

// vacant refuses paths that are taken.
func (f *folder) vacant(paths []string) error {
	var taken []string
	for _, path := range paths {
		switch _, err := os.Lstat(f.file(path)); {
		case err == nil:
			taken = append(taken, f.file(path))
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("looking for %s: %w", f.file(path), err)
		}
	}
	if len(taken) > 0 {
		return fmt.Errorf("%s: %w, and nothing is ever overwritten; choose another folder", strings.Join(taken, ", "), fs.ErrExist)
	}
	return nil
}

// put writes the files, has them verified as they are on the disk, and puts
// them in place.
func (f *folder) put(random io.Reader, files []file, verify func(staged string) error) (err error) {
	if err := os.Mkdir(f.staged(""), 0o700); err != nil {
		return fmt.Errorf("making the staging folder: %w", err)
	}
	complete := false
	defer func() {
		if !complete {
			err = errors.Join(err, f.unstage())
		}
	}()
	paths := make([]string, len(files))
	for i, file := range files {
		paths[i] = file.path
		if err := os.MkdirAll(filepath.Dir(f.staged(file.path)), 0o700); err != nil {
			return fmt.Errorf("making a folder: %w", err)
		}
		if err := key.Create(random, f.staged(file.path), file.data, file.mode); err != nil {
			return err
		}
		if err := syncFolders(f.staged(""), filepath.Dir(f.staged(file.path))); err != nil {
			return err
		}
		back, err := os.ReadFile(f.staged(file.path))
		if err != nil || !bytes.Equal(back, file.data) {
			return errors.Join(fmt.Errorf("%s was read back from the disk otherwise than it was written", file.path), err)
		}
	}
	if err := verify(f.staged("")); err != nil {
		return fmt.Errorf("verifying what was written: %w", err)
	}
	if err := f.vacant(paths); err != nil {
		return err
	}
	if err := key.Create(random, f.staged(completeMark), []byte(strings.Join(paths, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	complete = true
	return f.place(paths)
}

// place gives the staged files their names. What is in place already is left;
// when another file has a name, what this run placed is taken back.
func (f *folder) place(paths []string) error {
	var placed []string
	for _, path := range paths {
		target := f.file(path)
		err := os.MkdirAll(filepath.Dir(target), 0o700)
		if err == nil {
			err = os.Link(f.staged(path), target)
		}
		if errors.Is(err, fs.ErrExist) && sameFile(f.staged(path), target) {
			err = nil
		}
		if err == nil {
			placed = append(placed, target)
			err = syncFolders(f.path, filepath.Dir(target))
		}
		if err != nil {
			errs := []error{fmt.Errorf("putting %s in place: %w", target, err)}
			for _, path := range placed {
				errs = append(errs, os.Remove(path))
			}
			return errors.Join(append(errs, f.unstage())...)
		}
	}
	return f.unstage()
}

func sameFile(a, b string) bool {
	one, err := os.Lstat(a)
	if err != nil {
		return false
	}
	other, err := os.Lstat(b)
	return err == nil && os.SameFile(one, other)
}

// syncFolders makes the names in a folder durable, and those of the folders
// between it and the one that all is in.
func syncFolders(top, folder string) error {
	for {
		d, err := os.Open(folder)
		if err != nil {
			return fmt.Errorf("opening the folder %s: %w", folder, err)
		}
		err = errors.Join(d.Sync(), d.Close())
		if err != nil {
			return fmt.Errorf("writing the folder %s to the disk: %w", folder, err)
		}
		if filepath.Clean(folder) == filepath.Clean(top) {
			return nil
		}
		folder = filepath.Dir(folder)
	}
}
