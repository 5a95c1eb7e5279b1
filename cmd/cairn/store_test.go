package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/config"
	"github.com/cairn-ca/cairn/sa"
)

func TestStoreURL(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	password := file("password", "p@ss w&rd?\n")
	data := &dataFolder{path: "/srv/x"}
	for _, test := range []struct {
		store config.Store
		want  string
	}{
		{config.Store{}, "sqlite:/srv/x/cairn.db"},
		{config.Store{URL: "sqlite:/a/b.db"}, "sqlite:/a/b.db"},
		{config.Store{URL: "postgres://u@h/d"}, "postgres://u@h/d"},
		{config.Store{URL: "postgres://u@h/d?sslmode=disable", PasswordFile: password}, "postgres://u:p%40ss%20w&rd%3F@h/d?sslmode=disable"},
	} {
		got, err := storeURL(test.store, data)
		if err != nil || got != test.want {
			t.Errorf("%+v: %q, %v; want %q", test.store, got, err, test.want)
		}
	}
	for _, path := range []string{file("empty", "\n"), file("two", "secret\nlines\n"), filepath.Join(dir, "missing")} {
		_, err := storeURL(config.Store{URL: "postgres://u@h/d", PasswordFile: path}, data)
		if err == nil || !strings.HasPrefix(err.Error(), "store.password_file: ") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// The password of a store that can't be opened is in no error.
func TestStoreErrorsHidePasswords(t *testing.T) {
	t.Parallel()
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{
		"postgres://u@127.0.0.1:1/d?sslmode=disable&connect_timeout=2",
		"postgres://u@127.0.0.1:1/d?sslmode=perhaps",
		"postgres://u@127.0.0.1:1/d?pool_max_conns=many",
	} {
		full, err := storeURL(config.Store{URL: address, PasswordFile: password}, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond) // it would try for longer
		_, err = sa.Open(ctx, sa.Config{URL: full})
		cancel()
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", address, err)
		}
	}
}
