package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOpenDataIsMarkedAndPrivate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a", "b")
	d, err := openData(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if mark, err := os.ReadFile(d.file(formatFile)); err != nil || string(mark) != "1\n" {
		t.Errorf("mark %q, %v", mark, err)
	}
	if left, err := filepath.Glob(d.file("format.*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// Who may use a data folder while another process does.
func TestDataFolderSharing(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		first, second string
		want          bool
	}{
		{"", "", false}, {"", "ca", false}, {"ca", "", false}, {"ca", "ca", false}, {"ca", "sa", true},
	} {
		path := t.TempDir()
		first, err := openData(path, test.first)
		if err != nil {
			t.Fatal(err)
		}
		second, err := openData(path, test.second)
		if (err == nil) != test.want {
			t.Errorf("%q beside %q: %v", test.second, test.first, err)
		}
		if err == nil {
			second.close()
		} else if !strings.Contains(err.Error(), "in use by another cairn process") {
			t.Errorf("%q beside %q: %v", test.second, test.first, err)
		}
		first.close()
		third, err := openData(path, test.second)
		if err != nil {
			t.Errorf("after the first is gone: %v", err)
			continue
		}
		third.close()
	}
}
