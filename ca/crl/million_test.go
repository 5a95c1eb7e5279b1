package crl

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// generated is a store that has a number of revocations in every shard, made
// up as they are asked for, and CRLs on disk: it needs no memory of its own.
type generated struct {
	Store
	perShard int
	folder   string
	mu       sync.Mutex
	crls     map[int]sa.CRL
}

func (g *generated) serial(i int) acme.Serial {
	octets := make([]byte, 16)
	octets[0] = 1
	binary.BigEndian.PutUint64(octets[1:], uint64(i))
	hash := sha256.Sum256(octets[:9])
	copy(octets[9:], hash[:])
	s, err := acme.SerialFromBytes(octets)
	if err != nil {
		panic(err)
	}
	return s
}

func (g *generated) Revocations(_ context.Context, page sa.RevocationPage) ([]acme.Revocation, error) {
	first := 0
	if !page.After.IsZero() {
		first = int(binary.BigEndian.Uint64(page.After.Bytes()[1:9])) + 1
	}
	var list []acme.Revocation
	for i := first; i < g.perShard && len(list) < page.Limit; i++ {
		list = append(list, acme.Revocation{Serial: g.serial(i), At: time.Unix(1_800_000_000+int64(i), 0), Reason: acme.ReasonSuperseded})
	}
	return list, nil
}

func (g *generated) LatestRevocation(context.Context, acme.IssuerID, int) (time.Time, error) {
	return time.Unix(1_800_000_000, 0), nil
}

func (g *generated) CRL(_ context.Context, _ acme.IssuerID, shard int) (sa.CRL, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if crl, ok := g.crls[shard]; ok {
		return crl, nil
	}
	return sa.CRL{}, sa.ErrNotFound
}

func (g *generated) part(p sa.CRLPart) string {
	return g.folder + "/" + strconv.Itoa(p.Shard) + "-" + strconv.FormatInt(p.Number, 10) + "-" + strconv.Itoa(p.Part)
}

func (g *generated) CRLPart(_ context.Context, p sa.CRLPart) ([]byte, error) {
	return os.ReadFile(g.part(p))
}

func (g *generated) PutCRLPart(_ context.Context, p sa.CRLPart) error {
	return os.WriteFile(g.part(p), p.DER, 0o600)
}

func (g *generated) PublishCRL(_ context.Context, crl sa.CRL) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.crls[crl.Shard] = crl
	return nil
}

// live is the memory in use after a collection.
func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A million entries, in four shards and in one, need no more memory than ten
// thousand: what is live while a CRL is made, checked, compared with its
// predecessor and stored stays below a bound that has nothing to do with their
// number. It is not parallel: it measures. The million itself is for
// `make test-long`.
func TestMillion(t *testing.T) {
	const bound = 32 << 20 // what a collection finds live, and what came up meanwhile
	sizes := []struct{ shards, perShard int }{{4, 2_500}, {1, 20_000}}
	if os.Getenv("CAIRN_TEST_LONG") != "" {
		sizes = append(sizes, struct{ shards, perShard int }{4, 250_000}, struct{ shards, perShard int }{1, 1_000_000})
	}
	for _, test := range sizes {
		g := &generated{perShard: test.perShard, folder: t.TempDir(), crls: make(map[int]sa.CRL)}
		f := newFixture(t, func(c *Config) { c.Shards, c.Folder = test.shards, t.TempDir() })
		g.Store = f.store
		f.cfg.Store = g
		began := time.Now()
		for range 2 { // the second is compared with the first
			before := live()
			sampled := sample()
			err := f.Publish(t.Context())
			most, samples := sampled.end()
			if err != nil {
				t.Fatal(err)
			}
			grown := max(int64(most)-int64(before), 0)
			t.Logf("%d shards of %d: %.1f MiB more than before at most, in %d samples; %s so far",
				test.shards, test.perShard, float64(grown)/(1<<20), samples, time.Since(began).Round(time.Millisecond))
			if grown > bound {
				t.Errorf("%d shards of %d: %d bytes more in use, %d at most expected", test.shards, test.perShard, grown, bound)
			}
			f.clock.skip(defaultInterval)
		}
		for shard := range test.shards {
			d, err := open(sa.OpenCRL(t.Context(), g, g.crls[shard]))
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			list := d.entries()
			for {
				if _, ok := list.next(); !ok {
					break
				}
				n++
			}
			if list.err != nil || n != test.perShard {
				t.Errorf("shard %d: %d entries, %v", shard, n, list.err)
			}
		}
		// openssl reads all of it, and verifies the signature.
		f.verifyByOpenSSL(sa.OpenCRL(t.Context(), g, g.crls[0]))
	}
}

// sampler looks at the memory in use, again and again.
type sampler struct {
	stop    chan struct{}
	done    chan struct{}
	samples int
	most    uint64
}

func sample() *sampler {
	s := &sampler{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			s.most = max(s.most, live())
			s.samples++
			select {
			case <-s.stop:
				return
			case <-tick.C:
			}
		}
	}()
	return s
}

// end is the most memory in use, and how often it was looked at.
func (s *sampler) end() (most uint64, samples int) {
	close(s.stop)
	<-s.done
	return s.most, s.samples
}

// Longer than one part, through a real store and over HTTP.
func TestSeveralParts(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Folder = t.TempDir() })
	const n = 40_000 // entries of about 43 bytes
	f.cfg.Store = &mixed{Store: f.store, generated: generated{perShard: n}}
	list := f.publish()
	if len(list.RevokedCertificateEntries) != n || len(list.Raw) <= sa.CRLPartSize {
		t.Errorf("%d entries, %d bytes", len(list.RevokedCertificateEntries), len(list.Raw))
	}
	body := f.fetch(t)
	if string(body) != string(list.Raw) {
		t.Errorf("%d bytes served, %d published", len(body), len(list.Raw))
	}
	// What the CRL before has and the store has not is found in it, too.
	f.cfg.Store = &mixed{Store: f.store, generated: generated{perShard: n - 1}}
	f.clock.skip(2 * defaultInterval)
	if err := f.Publish(t.Context()); err == nil {
		t.Error("the last entry is lost, and the CRL published")
	}
	if left, err := os.ReadDir(f.cfg.Folder); err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %v, %v", left, err)
	}
	f.cfg.Store = &mixed{Store: f.store, generated: generated{perShard: n + 1}}
	if next := f.publish(); len(next.RevokedCertificateEntries) != n+1 {
		t.Errorf("%d entries", len(next.RevokedCertificateEntries))
	}
}

// fetch gets the CRL of shard 0 from the handler.
func (f *fixture) fetch(t *testing.T) []byte {
	t.Helper()
	s := httptest.NewServer(Handler(f.store, f.clock.Now))
	defer s.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+Path(f.issuer.ID, 0), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// verifyByOpenSSL has openssl parse a CRL and verify its signature.
func (f *fixture) verifyByOpenSSL(der io.Reader) {
	f.t.Helper()
	ca, list := filepath.Join(f.folder, "ca.pem"), filepath.Join(f.folder, "list.der")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.issuer.Certificate.Raw}), 0o600); err != nil {
		f.t.Fatal(err)
	}
	file, err := os.Create(list)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := io.Copy(file, der); err != nil {
		f.t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		f.t.Fatal(err)
	}
	out, err := exec.CommandContext(f.t.Context(), "openssl", "crl", "-inform", "DER", "-in", list, "-CAfile", ca, "-noout", "-verify").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "verify OK") {
		f.t.Errorf("openssl: %v\n%s", err, out)
	}
}

// mixed is a store with made-up revocations.
type mixed struct {
	Store
	generated generated
}

func (m *mixed) Revocations(ctx context.Context, page sa.RevocationPage) ([]acme.Revocation, error) {
	return m.generated.Revocations(ctx, page)
}

// The temporary file is used when it must be, and damage to it is seen.
func TestDamagedSpool(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	l := newList(t.TempDir())
	defer func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	}()
	l.number, l.thisUpdate, l.nextUpdate, l.url = 1, f.clock.Now().UTC().Truncate(time.Second), f.clock.Now().UTC().Truncate(time.Second).Add(time.Hour), url(f.issuer.ID, 0)
	g := generated{}
	for i := range 40_000 {
		if err := l.add(acme.Revocation{Serial: g.serial(i), At: f.clock.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	if l.entries.file == nil {
		t.Fatal("it is in memory")
	}
	der, err := l.sign(f.cfg.Random, f.issuer.Certificate, f.key)
	if err != nil {
		t.Fatal(err)
	}
	check := checker{store: f.store, issuer: f.issuer, list: l}
	if err := check.run(der); err != nil {
		t.Fatal(err)
	}
	middle := l.entries.size / 2
	octet := make([]byte, 1)
	if _, err := l.entries.file.ReadAt(octet, middle); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if _, err := l.entries.file.WriteAt([]byte{octet[0] ^ 1}, middle); err != nil {
		t.Fatal(err)
	}
	if err := check.run(der); err == nil {
		t.Error("damage is not seen")
	}
}
