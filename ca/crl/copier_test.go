package crl

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

func (f *fixture) copier(owner string, registry prometheus.Registerer, targets ...Target) *Copier {
	f.t.Helper()
	c, err := NewCopier(CopierConfig{
		Store: f.store, Issuers: func() []acme.IssuerID { return []acme.IssuerID{f.issuer.ID} }, Targets: targets, Every: time.Second, Owner: owner,
		Now: f.clock.Now, Logger: slog.New(slog.DiscardHandler), Metrics: registry,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

func (f *fixture) copy(c *Copier) {
	f.t.Helper()
	if err := c.Copy(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Shards = 2 })
	registry := prometheus.NewRegistry()
	dir := filepath.Join(t.TempDir(), "www")
	c := f.copier("one", registry, Directory{Path: dir, Now: f.clock.Now})
	f.copy(c) // nothing yet
	first := f.publish()
	f.copy(c)
	path := filepath.Join(dir, "crl", f.issuer.ID.String(), "0.crl")
	check := func(want []byte, modified time.Time) {
		t.Helper()
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, want %d; %v", len(got), len(want), err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode() != 0o644 || !info.ModTime().Equal(modified) {
			t.Errorf("%v %s, want %s; %v", info.Mode(), info.ModTime(), modified, err)
		}
	}
	check(first.Raw, first.ThisUpdate)
	f.clock.skip(time.Minute)
	f.revoke(f.certify(0, 100*time.Hour), acme.ReasonSuperseded)
	second := f.publish()
	left, fresh := filepath.Join(filepath.Dir(path), temporaryPrefix+"1"), filepath.Join(filepath.Dir(path), temporaryPrefix+"2")
	for name, age := range map[string]time.Duration{left: 2 * leftFor, fresh: 0} {
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, time.Time{}, f.clock.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	f.copy(c)
	check(second.Raw, second.ThisUpdate)
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was left long ago is still there: %v", err)
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("what another process writes is gone: %v", err)
	}
	if n := testutil.ToFloat64(c.metrics.copies.WithLabelValues("directory")); n != 3 {
		t.Errorf("%v copies, want two of shard 0 and one of shard 1", n)
	}
	// Another process finds its CRL there and leaves it.
	if err := os.Chtimes(path, time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	f.copy(f.copier("two", nil, Directory{Path: dir, Now: f.clock.Now}))
	check(second.Raw, time.Unix(1, 0))
	// One that goes away, or is damaged, comes back.
	if err := os.WriteFile(path, []byte("damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
	f.clock.skip(lookAgainAfter)
	f.copy(c)
	check(second.Raw, second.ThisUpdate)
}

// bucket is an S3 server on loopback, which checks the signatures of requests.
func bucket(t *testing.T, broken *atomic.Bool) (S3Config, *s3mem.Backend) {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket(t.Context(), "crls"); err != nil {
		t.Fatal(err)
	}
	server := gofakes3.New(backend, gofakes3.WithV4Auth(map[string]string{"access": "secret"})).Server()
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if broken.Load() {
			http.Error(rw, "down", http.StatusForbidden)
			return
		}
		server.ServeHTTP(rw, req)
	}))
	t.Cleanup(s.Close)
	return S3Config{Endpoint: s.URL, Bucket: "crls", Prefix: "pki", Region: "eu-central-1", AccessKey: "access", SecretKey: "secret", PathStyle: true}, backend
}

func newS3(t *testing.T, cfg S3Config) *S3 {
	t.Helper()
	target, err := NewS3(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func TestS3(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	cfg, backend := bucket(t, &broken)
	f := newFixture(t, nil)
	list := f.publish()
	c := f.copier("one", nil, newS3(t, cfg))
	get := func() (*gofakes3.Object, []byte) {
		t.Helper()
		object, err := backend.GetObject(t.Context(), "crls", "pki/"+copyName(f.issuer.ID, 0), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(object.Contents)
		if err != nil {
			t.Fatal(err)
		}
		return object, body
	}
	f.copy(c)
	object, body := get()
	if !bytes.Equal(body, list.Raw) {
		t.Errorf("%d bytes, want %d", len(body), len(list.Raw))
	}
	for name, want := range map[string]string{
		"Content-Type": "application/pkix-crl", "Cache-Control": "max-age=60, public, no-transform, must-revalidate",
		"Expires": list.NextUpdate.Format(http.TimeFormat), "X-Amz-Meta-Crl-Number": list.Number.String(), "Content-Encoding": "",
	} {
		if got := object.Metadata[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	// Down: what is published is not lost, and comes when it is up again. The
	// pauses between tries grow.
	broken.Store(true)
	f.clock.skip(time.Minute)
	f.revoke(f.certify(0, 100*time.Hour), acme.ReasonSuperseded)
	list = f.publish()
	tries := 0
	for range 60 {
		if err := c.Copy(t.Context()); err != nil {
			tries++
		}
		f.clock.skip(time.Second)
	}
	if tries < 4 || tries > 8 {
		t.Errorf("%d tries in a minute", tries)
	}
	if n := testutil.ToFloat64(c.metrics.behind.WithLabelValues("s3")); n != 1 {
		t.Errorf("%v CRLs are behind", n)
	}
	broken.Store(false)
	f.clock.skip(maxPause)
	f.copy(c)
	if _, body := get(); !bytes.Equal(body, list.Raw) {
		t.Error("the newer CRL is not there")
	}
	if n := testutil.ToFloat64(c.metrics.behind.WithLabelValues("s3")); n != 0 {
		t.Errorf("%v CRLs are behind", n)
	}
}

// Of several processes one uploads, and none goes back to an older CRL.
func TestS3OneOfSeveral(t *testing.T) {
	t.Parallel()
	cfg, _ := bucket(t, new(atomic.Bool))
	f := newFixture(t, nil)
	f.publish()
	one, two := f.copier("one", nil, newS3(t, cfg)), f.copier("two", nil, newS3(t, cfg))
	errs := make(chan error, 2)
	for _, c := range []*Copier{one, two} {
		go func() { errs <- c.Copy(t.Context()) }()
	}
	if err := errors.Join(<-errs, <-errs); err != nil {
		t.Fatal(err)
	}
	f.copy(one)
	f.copy(two)
	count := func(c *Copier) float64 { return testutil.ToFloat64(c.metrics.copies.WithLabelValues("s3")) }
	if n := count(one) + count(two); n != 1 {
		t.Errorf("uploaded %v times", n)
	}
	if n, err := newS3(t, cfg).Number(t.Context(), copyName(f.issuer.ID, 0)); err != nil || n != f.list(0).Number.Int64() {
		t.Errorf("number %d, %v", n, err)
	}
	ahead := sa.CRL{Issuer: f.issuer.ID, Number: 1 << 60, NextUpdate: f.clock.Now()}
	if err := newS3(t, cfg).Put(t.Context(), copyName(f.issuer.ID, 0), ahead, section([]byte("x"))); err != nil {
		t.Fatal(err)
	}
	f.copy(f.copier("three", nil, newS3(t, cfg)))
	if n, err := newS3(t, cfg).Number(t.Context(), copyName(f.issuer.ID, 0)); err != nil || n != 1<<60 {
		t.Errorf("went back to number %d, %v", n, err)
	}
}

// A CRL in several parts, and a wrong key.
func TestS3Large(t *testing.T) {
	t.Parallel()
	cfg, backend := bucket(t, new(atomic.Bool))
	name := "crl/x/0.crl"
	large := bytes.Repeat([]byte("0123456789abcdef"), 20<<16) // 20 MiB
	target := newS3(t, cfg)
	if err := target.Put(t.Context(), name, sa.CRL{Number: 7}, section(large)); err != nil {
		t.Fatal(err)
	}
	object, err := backend.HeadObject(t.Context(), "crls", "pki/"+name)
	if err != nil || object.Size != int64(len(large)) {
		t.Errorf("%v, %v", object, err)
	}
	cfg.SecretKey = "wrong"
	other := newS3(t, cfg)
	if err := other.Put(t.Context(), name, sa.CRL{Number: 8}, section(large)); err == nil || strings.Contains(err.Error(), "wrong") {
		t.Errorf("with a wrong key: %v", err)
	}
	if _, err := other.Number(t.Context(), name); err == nil {
		t.Error("with a wrong key: no error")
	}
	if n, err := target.Number(t.Context(), name); err != nil || n != 7 {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := target.Number(t.Context(), "none"); err != nil || n != 0 {
		t.Errorf("of what is not there: %d, %v", n, err)
	}
	for _, endpoint := range []string{"", "host:80", "ftp://host", "https://host/path"} {
		if _, err := NewS3(S3Config{Endpoint: endpoint, Bucket: "b"}); err == nil {
			t.Errorf("the endpoint %q is accepted", endpoint)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte{0x30, 0x03, 0x02, 0x01, 0x01})
	f.Add([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, der []byte) {
		d, err := open(section(der))
		if err != nil {
			return
		}
		list := d.entries()
		var all []byte
		for {
			entry, ok := list.next()
			if !ok {
				break
			}
			all = append(all, entry...)
		}
		_, _ = d.url(), d.number()
		// Put together again, it is what it was.
		if list.err == nil && len(all) > 0 {
			if again, err := d.with(all); err != nil || !bytes.Equal(again, der) {
				t.Errorf("%x is put together as %x, %v", der, again, err)
			}
		}
	})
}
