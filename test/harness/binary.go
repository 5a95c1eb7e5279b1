package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// Environment variables that the tests read.
const (
	// envBinary names a cairn binary to use instead of building one; `make
	// test` builds one for all test packages.
	envBinary = "CAIRN_TEST_BINARY"
	// envRace, when it is not empty, builds with the race detector.
	envRace = "CAIRN_TEST_RACE"
)

// Binary is the path of the cairn binary under test. It is built at most once
// in a test process.
func Binary() (string, error) { return binary() }

var binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv(envBinary); path != "" {
		return filepath.Abs(path)
	}
	dir, err := scratch()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "cairn")
	args := []string{"build", "-o", path}
	if os.Getenv(envRace) != "" {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "github.com/cairn-ca/cairn/cmd/cairn")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building cairn: %w\n%s", err, out)
	}
	return path, nil
})

// scratch is a folder that lives as long as the test process; Main removes it.
var scratch = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "cairn-test-")
	if err != nil {
		return "", fmt.Errorf("making a folder for the test run: %w", err)
	}
	atExit(func() error { return os.RemoveAll(dir) })
	return dir, nil
})
