package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	pebbleModule  = "github.com/letsencrypt/pebble/v2/cmd/pebble"
	pebbleVersion = "v2.10.1"
)

// buildCairn builds the command of this module into dir, as make does.
func buildCairn(ctx context.Context, dir string) (string, error) {
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("looking for the module: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(mod)))
	binary := filepath.Join(dir, "cairn")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, "./cmd/cairn")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	return binary, runBuild(cmd, "cairn")
}

// buildPebble builds Pebble outside this module, so that go.mod knows nothing
// of it.
func buildPebble(ctx context.Context, dir, version string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "install", pebbleModule+"@"+version)
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	return filepath.Join(dir, "pebble"), runBuild(cmd, "pebble "+version)
}

func runBuild(cmd *exec.Cmd, what string) error {
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("building %s: %w\n%s", what, err, out)
	}
	if err != nil {
		return fmt.Errorf("building %s: %w", what, err)
	}
	return nil
}
