package crl

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// envProcess makes the test binary a publisher on what is in the folder that it
// names: a process of TestTwoProcesses.
const envProcess = "CAIRN_TEST_CRL_PROCESS"

func TestMain(m *testing.M) {
	folder := os.Getenv(envProcess)
	if folder == "" {
		os.Exit(m.Run())
	}
	if err := publishFrom(folder); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// publishFrom publishes until the standard input ends, and prints its audit
// log.
func publishFrom(folder string) (err error) {
	der, err := os.ReadFile(filepath.Join(folder, "issuer.der"))
	if err != nil {
		return err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	if der, err = os.ReadFile(filepath.Join(folder, "issuer.key")); err != nil {
		return err
	}
	signer, err := x509.ParseECPrivateKey(der)
	if err != nil {
		return err
	}
	store, err := openStore(context.Background(), folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	p, err := NewPublisher(Config{
		Store: store, Issuers: []Issuer{{ID: acme.IssuerID{7}, Certificate: cert, Signer: signer}}, Shards: 1, URL: url, Owner: rand.Text(),
		Delay: 2 * minPoll, Now: time.Now, Random: rand.Reader,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)), Audit: slog.New(slog.NewJSONHandler(os.Stdout, nil)),
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return p.Run(ctx)
}

// openStore opens the store of a fixture with a clock that goes on.
func openStore(ctx context.Context, folder string) (*sa.DB, error) {
	return sa.Open(ctx, sa.Config{URL: "sqlite:" + filepath.Join(folder, "cairn.db"), Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
}

// Two processes on one store: each CRL is made by exactly one of them.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	signer, err := x509.MarshalECPrivateKey(f.key)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"issuer.der": f.issuer.Certificate.Raw, "issuer.key": signer} {
		if err := os.WriteFile(filepath.Join(f.folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	type published struct {
		Msg     string
		Number  int64
		Entries int
	}
	records := make(chan published, 100)
	var processes []*exec.Cmd
	var inputs []io.Closer
	read := make(chan struct{}, 2)
	for range 2 {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env, cmd.Stderr = append(os.Environ(), envProcess+"="+f.folder), os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() {
			defer func() { read <- struct{}{} }()
			for lines := bufio.NewScanner(out); lines.Scan(); {
				var record published
				if json.Unmarshal(lines.Bytes(), &record) == nil && record.Msg == "CRL published" {
					records <- record
				}
			}
		}()
		processes, inputs = append(processes, cmd), append(inputs, in)
	}
	store, err := openStore(t.Context(), f.folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	const revocations = 20
	last := int64(0)
	for i := range revocations + 1 {
		record := <-records // the first has no entry
		if record.Entries != i || record.Number <= last {
			t.Errorf("CRL %d after %d has %d entries, want %d", record.Number, last, record.Entries, i)
		}
		last = record.Number
		if i < revocations {
			cert := f.certify(0, 100*time.Hour)
			if err := store.Revoke(t.Context(), acme.Revocation{Serial: cert.Serial, At: time.Now(), Reason: acme.ReasonSuperseded, By: "test"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, in := range inputs {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	}
	<-read
	<-read
	for _, p := range processes {
		if err := p.Wait(); err != nil {
			t.Error(err)
		}
	}
	if len(records) > 0 {
		t.Errorf("%d CRLs more than there were revocations", len(records))
	}
	if list := f.list(0); list.Number.Int64() != last || len(list.RevokedCertificateEntries) != revocations {
		t.Errorf("number %s, %d entries", list.Number, len(list.RevokedCertificateEntries))
	}
}
