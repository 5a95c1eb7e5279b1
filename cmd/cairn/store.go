package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"github.com/cairn-ca/cairn/internal/config"
	"github.com/cairn-ca/cairn/sa"
)

// storeFile is the embedded store's file in the data folder.
const storeFile = "cairn.db"

// maxPassword is more than any password has, in bytes.
const maxPassword = 4096

// storeURL is the URL to open the store with, its password included.
func storeURL(cfg config.Store, data *dataFolder) (string, error) {
	if cfg.URL == "" {
		return "sqlite:" + data.file(storeFile), nil
	}
	if cfg.PasswordFile == "" {
		return cfg.URL, nil
	}
	password, err := readPassword(cfg.PasswordFile)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(cfg.URL)
	if err != nil {
		// Not err itself: it quotes the URL.
		return "", errors.New("store.url: is not a URL")
	}
	// In the place where errors of the database's client hide it.
	u.User = url.UserPassword(u.User.Username(), password)
	return u.String(), nil
}

// readPassword reads a password from a file; the line's end is not part of it.
func readPassword(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		var pathErr *fs.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		return "", fmt.Errorf("store.password_file: reading %s: %w", path, err)
	}
	password := strings.TrimRight(string(data), "\r\n")
	if password == "" || len(password) > maxPassword || strings.ContainsAny(password, "\r\n\x00") {
		return "", fmt.Errorf("store.password_file: %s must hold one line, the password", path)
	}
	return password, nil
}

// storeError says what to do about a store that can't be opened, where the
// error itself does not.
func storeError(cfg *config.Config, err error) error {
	if errors.Is(err, sa.ErrSchema) || cfg.Store.URL == "" {
		return err
	}
	return fmt.Errorf("%w; check store.url and that the database is reachable", err)
}
