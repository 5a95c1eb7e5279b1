package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/config"
)

// person types at a terminal: what answers a question, once it is asked.
type person struct {
	t        *testing.T
	terminal *os.File
	seen     []byte
}

// waitFor reads until the text was shown.
func (p *person) waitFor(text string) {
	p.t.Helper()
	for b := make([]byte, 1024); !bytes.Contains(p.seen, []byte(text)); {
		n, err := p.terminal.Read(b)
		if p.seen = append(p.seen, b[:n]...); err != nil {
			p.t.Fatalf("%v; waited for %q, and saw\n%s", err, text, p.seen)
		}
	}
	_, p.seen, _ = bytes.Cut(p.seen, []byte(text))
}

func (p *person) answer(question, answer string) {
	p.t.Helper()
	p.waitFor(question)
	if _, err := io.WriteString(p.terminal, answer+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

// A person answers five questions at a terminal; a wrong answer is asked for
// again, and a passphrase is not shown.
func TestInitAsks(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// testscript runs this test binary as cairn under that name.
	binary := filepath.Join(folder, "cairn")
	if err := os.Symlink(executable, binary); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, "init")
	cmd.Dir, cmd.Env = folder, append(os.Environ(), "PATH="+folder+":"+os.Getenv("PATH"))
	terminal, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	// A question that never comes must not hang the test.
	if err := terminal.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil && !errors.Is(err, os.ErrNoDeadline) {
		t.Fatal(err)
	}
	p := &person{t: t, terminal: terminal}
	p.answer("1. The organization's name: ", "")
	p.waitFor("an organization has a name")
	p.answer("1. The organization's name: ", "Test Corp")
	p.answer("[https://localhost:14000]: ", "https://ca.test:9000/x")
	p.answer("[https://localhost:14000]: ", "https://ca.test:9000")
	p.answer("[any]: ", "test, corp.example")
	p.answer("[./cairn-data]: ", "")
	p.answer("5. A passphrase", "short")
	p.waitFor("at least 8 characters")
	p.answer("5. A passphrase", "correct horse")
	p.answer("Again: ", "correct hose")
	p.answer("5. A passphrase", "correct horse")
	p.answer("Again: ", "correct horse")
	p.waitFor("cairn serve --config cairn.yaml")
	if bytes.Contains(p.seen, []byte("correct")) {
		t.Error("the passphrase is shown")
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(filepath.Join(folder, "cairn.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.ExternalURL != "https://ca.test:9000" || cfg.Listen.ACME != ":9000" || cfg.PublicURL != "http://ca.test:14080" || strings.Join(cfg.Directory.Policy.Allow, " ") != "test corp.example" {
		t.Errorf("the configuration is %+v", cfg)
	}
	opened := func() ([]byte, error) { return []byte("correct horse"), nil }
	if _, err := (key.File{Path: filepath.Join(cfg.Data, "keys", "root.key"), Passphrase: opened}).Open(); err != nil {
		t.Error(err)
	}
	if _, err := key.ReadFile(filepath.Join(cfg.Data, "keys", "intermediate.key")); err != nil {
		t.Error(err)
	}
}

// The example of a ceremony can be held.
func TestCeremonyExample(t *testing.T) {
	t.Parallel()
	file, err := filepath.Abs("../../deploy/ceremony.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if err := run(t.Context(), []string{"ceremony", "--dry-run", file}, &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"root root-r1", "cross-certificate root-e1-by-r1", "OCSP signer root-e1-ocsp", "chain issuing-e1-by-r1"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the record lacks %q", want)
		}
	}
	// What it names for tokens is known to the decoder.
	if _, err := config.ParseCeremony("", []byte(`{roots: {r: {subject: {common_name: A, organization: B}, validity: 1d, key: {pkcs11: "pkcs11:object=r"}}}}`)); err != nil {
		t.Error(err)
	}
}
