package crl

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
)

// spoolMemory is how many bytes a spool holds in memory.
const spoolMemory = 1 << 20

// spool holds bytes that are written once and then read: in memory when they
// are few, in a temporary file otherwise.
type spool struct {
	folder string // of the temporary file; empty: the system's
	memory []byte
	file   *os.File
	out    *bufio.Writer // of file
	size   int64
}

// Write implements io.Writer.
func (s *spool) Write(p []byte) (int, error) {
	s.size += int64(len(p))
	if s.file == nil {
		if len(s.memory)+len(p) <= spoolMemory {
			s.memory = append(s.memory, p...)
			return len(p), nil
		}
		if err := s.spill(); err != nil {
			return 0, err
		}
	}
	n, err := s.out.Write(p)
	if err != nil {
		return n, fmt.Errorf("writing a CRL's temporary file: %w", err)
	}
	return n, nil
}

func (s *spool) spill() error {
	file, err := os.CreateTemp(s.folder, ".crl-*.tmp")
	if err != nil {
		return fmt.Errorf("making a CRL's temporary file: %w", err)
	}
	// Without a name it is gone with the process, however that ends. Where a
	// file that is open can't be removed, close removes it.
	_ = os.Remove(file.Name())
	s.file, s.out = file, bufio.NewWriterSize(file, 64<<10)
	if _, err := s.out.Write(s.memory); err != nil {
		return fmt.Errorf("writing a CRL's temporary file: %w", err)
	}
	s.memory = nil
	return nil
}

// reader reads all that was written so far.
func (s *spool) reader() (*io.SectionReader, error) {
	if s.file == nil {
		return io.NewSectionReader(memory(s.memory), 0, s.size), nil
	}
	if err := s.out.Flush(); err != nil {
		return nil, fmt.Errorf("writing a CRL's temporary file: %w", err)
	}
	return io.NewSectionReader(s.file, 0, s.size), nil
}

func (s *spool) close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if removeErr := os.Remove(s.file.Name()); removeErr != nil && !errors.Is(removeErr, os.ErrNotExist) {
		err = errors.Join(err, removeErr)
	}
	return err
}

// memory is bytes to read at any place.
type memory []byte

// ReadAt implements io.ReaderAt.
func (m memory) ReadAt(p []byte, offset int64) (int, error) {
	if offset >= int64(len(m)) {
		return 0, io.EOF
	}
	n := copy(p, m[offset:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// joined is several sections, one after the other.
type joined []*io.SectionReader

func (j joined) size() (size int64) {
	for _, part := range j {
		size += part.Size()
	}
	return size
}

func (j joined) reader() *io.SectionReader { return io.NewSectionReader(j, 0, j.size()) }

// ReadAt implements io.ReaderAt.
func (j joined) ReadAt(p []byte, offset int64) (n int, err error) {
	for _, part := range j {
		if offset >= part.Size() {
			offset -= part.Size()
			continue
		}
		want := min(int64(len(p)-n), part.Size()-offset)
		got, err := part.ReadAt(p[n:n+int(want)], offset)
		n += got
		if int64(got) < want {
			return n, err
		}
		if n == len(p) {
			return n, nil
		}
		offset = 0
	}
	return n, io.EOF
}
