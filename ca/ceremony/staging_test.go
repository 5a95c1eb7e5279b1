package ceremony

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/ca"
	"github.com/cairn-ca/cairn/ca/key"
)

// made is a ceremony that was held, as a maker and its staged files.
func made(t *testing.T) (*maker, []file) {
	t.Helper()
	cfg := config(t, wholePlan())
	keys := &newKeys{random: rand.Reader, passphrases: map[string][]byte{}}
	if err := keys.prepare(cfg.Plan); err != nil {
		t.Fatal(err)
	}
	m := &maker{Config: cfg, now: time.Now(), keys: keys}
	if err := m.make(); err != nil {
		t.Fatal(err)
	}
	return m, m.files()
}

// What is on the disk is verified, whatever is in memory.
func TestVerify(t *testing.T) {
	t.Parallel()
	m, all := made(t)
	for _, test := range []struct {
		name   string
		change func(path string, data []byte) []byte
	}{
		{"nothing", nil},
		{"the certificate of another", func(path string, data []byte) []byte {
			if path == "r1.pem" {
				return dataOf(all, "r2.pem")
			}
			return data
		}},
		{"the key of another", func(path string, data []byte) []byte {
			if path == "keys/r1.key" {
				return dataOf(all, "keys/ocsp.key")
			}
			return data
		}},
		{"a damaged key", func(path string, data []byte) []byte {
			if path == "keys/policy.key" {
				return data[:len(data)-40]
			}
			return data
		}},
		{"a damaged CRL", func(path string, data []byte) []byte {
			if path == "r1.crl" {
				data = bytes.Clone(data)
				data[len(data)-1] ^= 1
			}
			return data
		}},
		{"a short chain", func(path string, data []byte) []byte {
			if path == "full.pem" {
				return dataOf(all, "a.pem")
			}
			return data
		}},
		{"a long chain", func(path string, data []byte) []byte {
			if path == "full.pem" {
				return append(bytes.Clone(data), dataOf(all, "r2.pem")...)
			}
			return data
		}},
	} {
		folder := t.TempDir()
		for _, f := range all {
			data := f.data
			if test.change != nil {
				data = test.change(f.path, data)
			}
			path := filepath.Join(folder, f.path)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, data, f.mode)); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.verify(folder); (err == nil) != (test.change == nil) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func dataOf(all []file, path string) []byte {
	for _, f := range all {
		if f.path == path {
			return f.data
		}
	}
	return nil
}

// A signer without what relying parties look for is not verified.
func TestVerifyOCSPSigner(t *testing.T) {
	t.Parallel()
	m, _ := made(t)
	for _, a := range m.artefacts {
		if a.cert == nil {
			continue
		}
		if err := verifyOCSPSigner(a.cert); (err == nil) != (a.kind == "OCSP signer") {
			t.Errorf("%s: %v", a.name, err)
		}
	}
}

var errFault = errors.New("a fault")

// A run that fails, or is killed, leaves nothing, or is completed by the next.
func TestCutShort(t *testing.T) {
	t.Parallel()
	all := []file{{"keys/k", []byte("key"), 0o600}, {"c.pem", []byte("certificate"), 0o644}, {"transcript.txt", []byte("record"), 0o644}}
	open := func(t *testing.T, path string) *folder {
		t.Helper()
		f, err := openFolder(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(f.close)
		return f
	}
	t.Run("verification fails", func(t *testing.T) {
		t.Parallel()
		f := open(t, t.TempDir())
		if err := f.put(rand.Reader, all, func(string) error { return errFault }); !errors.Is(err, errFault) {
			t.Error(err)
		}
		if left := files(t, f.path); len(left) > 0 {
			t.Errorf("it left %v", left)
		}
	})
	t.Run("one at a time", func(t *testing.T) {
		t.Parallel()
		f := open(t, t.TempDir())
		if _, err := openFolder(f.path); err == nil || !strings.Contains(err.Error(), "at work") {
			t.Error(err)
		}
	})
	// A kill before the mark: the next run starts afresh.
	t.Run("killed early", func(t *testing.T) {
		t.Parallel()
		path := t.TempDir()
		stage(t, path, all[:2])
		f := open(t, path)
		if left := files(t, path); len(left) > 0 {
			t.Errorf("it left %v", left)
		}
		if err := f.put(rand.Reader, all, func(string) error { return nil }); err != nil {
			t.Error(err)
		}
	})
	// A kill after the mark, with any number of files in place.
	for placed := range len(all) + 1 {
		t.Run("killed late", func(t *testing.T) {
			t.Parallel()
			path := t.TempDir()
			mark := file{completeMark, []byte("keys/k\nc.pem\ntranscript.txt\n"), 0o600}
			stage(t, path, append(append([]file{}, all...), mark))
			for _, f := range all[:placed] {
				target := filepath.Join(path, f.path)
				if err := errors.Join(os.MkdirAll(filepath.Dir(target), 0o700), os.Link(filepath.Join(path, ca.StagingFolder, f.path), target)); err != nil {
					t.Fatal(err)
				}
			}
			// Until then nothing works with what is half there.
			if _, err := ca.OpenHierarchy(ca.HierarchyConfig{Folder: path, Now: time.Now, Random: rand.Reader}); err == nil || !strings.Contains(err.Error(), "cut short") {
				t.Errorf("the hierarchy is opened: %v", err)
			}
			if _, err := openFolder(path); !errors.Is(err, ErrResumed) {
				t.Errorf("the next run: %v", err)
			}
			if got := content(t, path); len(got) != len(all) || got["keys/k"] != "key" || got["c.pem"] != "certificate" {
				t.Errorf("there is %q", got)
			}
			open(t, path)
		})
	}
	// Somebody else took a name meanwhile: that file stays, and ours all go.
	t.Run("a name is taken", func(t *testing.T) {
		t.Parallel()
		f := open(t, t.TempDir())
		err := f.put(rand.Reader, all, func(string) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		other := open(t, t.TempDir())
		stage(t, other.path, all)
		theirs := filepath.Join(other.path, "c.pem")
		if err := os.WriteFile(theirs, []byte("theirs"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := other.place([]string{"keys/k", "c.pem", "transcript.txt"}); !errors.Is(err, fs.ErrExist) {
			t.Error(err)
		}
		if got := content(t, other.path); len(got) != 1 || got["c.pem"] != "theirs" {
			t.Errorf("there is %q", got)
		}
	})
	t.Run("a hostile mark", func(t *testing.T) {
		t.Parallel()
		path := t.TempDir()
		stage(t, path, []file{{completeMark, []byte("../../etc/passwd\n"), 0o600}})
		if _, err := openFolder(path); err == nil || errors.Is(err, ErrResumed) {
			t.Error(err)
		}
	})
}

func stage(t *testing.T, folder string, all []file) {
	t.Helper()
	for _, f := range all {
		path := filepath.Join(folder, ca.StagingFolder, f.path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := key.Create(rand.Reader, path, f.data, f.mode); err != nil {
			t.Fatal(err)
		}
	}
}
