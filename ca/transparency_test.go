package ca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/certificate-transparency-go/ctutil"
	ctx509 "github.com/google/certificate-transparency-go/x509"
	"github.com/google/certificate-transparency-go/x509util"

	"github.com/cairn-ca/cairn/ca/ct"
	"github.com/cairn-ca/cairn/ca/ct/cttest"
	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// failingStore fails where it is told to, as a process that dies there.
type failingStore struct {
	sa.Store
	fail func(step string) bool
}

var errDied = errors.New("the process died")

func (s failingStore) RecordPrecertificate(ctx context.Context, serial acme.Serial, der []byte) error {
	if s.fail("precertificate") {
		return errDied
	}
	return s.Store.RecordPrecertificate(ctx, serial, der)
}

func (s failingStore) RecordSCTs(ctx context.Context, serial acme.Serial, tbs []byte) error {
	if s.fail("SCTs") {
		return errDied
	}
	return s.Store.RecordSCTs(ctx, serial, tbs)
}

func (s failingStore) CompleteIssuance(ctx context.Context, serial acme.Serial, der []byte) error {
	if s.fail("certificate") {
		return errDied
	}
	return s.Store.CompleteIssuance(ctx, serial, der)
}

type ctFixture struct {
	fixture
	logs []*cttest.Log
	fail *string // the step that fails
}

func newCTFixture(t *testing.T, logs ...*cttest.Log) ctFixture {
	t.Helper()
	f := ctFixture{logs: logs, fail: new(string)}
	f.fixture = newFixture(t, func(c *Config) {
		cfg := ct.Config{Transport: cttest.Network(logs), Now: c.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler), Timeout: 2 * time.Second}
		for _, l := range logs {
			cfg.Logs = append(cfg.Logs, l.Log)
		}
		var err error
		if c.CT, err = ct.New(cfg); err != nil {
			t.Fatal(err)
		}
		p := BuiltinProfiles()[0]
		p.Name, p.CT = "logged", true
		c.Profiles = []Profile{p}
		c.Store = failingStore{c.Store, func(step string) bool { return step == *f.fail }}
	})
	return f
}

func (f ctFixture) issue(t *testing.T) (Issued, acme.Order, error) {
	t.Helper()
	ids := names(t, "www.example.com")
	order := f.ready(t, ids)
	req := f.request(order, csrFor(t, newKey(t), "", ids))
	req.Profile = "logged"
	issued, err := f.Issue(t.Context(), req)
	f.work.Wait()
	return issued, order, err
}

// checkSCTs verifies what is embedded, by another implementation.
func (f ctFixture) checkSCTs(t *testing.T, der []byte, want int) {
	t.Helper()
	scts, err := x509util.ParseSCTsFromCertificate(der)
	if err != nil || len(scts) != want {
		t.Fatalf("%d SCTs, %v", len(scts), err)
	}
	var chain []*ctx509.Certificate
	for _, c := range [][]byte{der, f.issuers[0].certificate.Raw} {
		parsed, err := ctx509.ParseCertificate(c)
		if ctx509.IsFatal(err) {
			t.Fatal(err)
		}
		chain = append(chain, parsed)
	}
	keys := make(map[[32]byte]crypto.PublicKey)
	for _, l := range f.logs {
		keys[l.ID] = l.Public()
	}
	for _, sct := range scts {
		if err := ctutil.VerifySCT(keys[sct.LogID.KeyID], chain, sct, true); err != nil {
			t.Errorf("SCT of %x: %v", sct.LogID.KeyID, err)
		}
	}
}

func (f ctFixture) precertificates() map[string]int {
	all := make(map[string]int)
	for _, l := range f.logs {
		for _, der := range l.Entries(ct.Precertificate) {
			all[string(der)]++
		}
	}
	return all
}

func TestIssueWithSCTs(t *testing.T) {
	t.Parallel()
	f := newCTFixture(t, cttest.New(t, "a", "x"), cttest.New(t, "b", "y"))
	issued, order, err := f.issue(t)
	if err != nil || !issued.Signed {
		t.Fatal(issued, err)
	}
	stored, err := f.store.Certificate(t.Context(), issued.Serial)
	if err != nil {
		t.Fatal(err)
	}
	f.checkSCTs(t, stored.DER, 2)
	if f.precertificates()[string(stored.Precertificate)] != 2 {
		t.Error("the logs don't have the stored precertificate")
	}
	f.orderIs(t, order, acme.OrderValid, "")
	findings, err := f.profiles["logged"].linter.checkCertificate(stored.DER)
	if err != nil {
		t.Error(err)
	}
	for _, finding := range findings {
		if strings.Contains(finding.Lint, "sct") {
			t.Errorf("lint: %s", finding)
		}
	}

	// The final certificate is submitted, once.
	for range 2 {
		if err := f.submitFinals(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.work.Wait()
		f.skip(2 * submitEvery)
	}
	var finals [][]byte
	for _, l := range f.logs {
		finals = append(finals, l.Entries(ct.Certificate)...)
	}
	if len(finals) != 1 || !bytes.Equal(finals[0], stored.DER) {
		t.Errorf("%d final certificates were submitted", len(finals))
	}
}

func (f ctFixture) orderIs(t *testing.T, order acme.Order, want acme.OrderStatus, detail string) {
	t.Helper()
	got, err := f.store.Order(t.Context(), order.ID)
	if err != nil || got.Status != want {
		t.Errorf("the order is %s, want %s; %v", got.Status, want, err)
	}
	if detail != "" && (got.Error == nil || !strings.Contains(got.Error.Detail, detail)) {
		t.Errorf("its error is %+v, want %q", got.Error, detail)
	}
}

// A process that dies between two steps leaves an issuance that another takes
// up, without a second precertificate that anybody has seen.
func TestResumeWithSCTs(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"precertificate", "SCTs", "certificate"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			f := newCTFixture(t, cttest.New(t, "a", "x"), cttest.New(t, "b", "y"))
			*f.fail = step
			issued, order, err := f.issue(t)
			if err != nil || issued.Signed {
				t.Fatal(issued, err)
			}
			f.orderIs(t, order, acme.OrderProcessing, "")
			*f.fail = ""
			f.skip(time.Minute)
			if err := f.resume(t.Context()); err != nil {
				t.Fatal(err)
			}
			f.work.Wait()
			stored, err := f.store.Certificate(t.Context(), issued.Serial)
			if err != nil || stored.DER == nil {
				t.Fatal("not resumed", err)
			}
			f.checkSCTs(t, stored.DER, 2)
			f.orderIs(t, order, acme.OrderValid, "")
			if seen := f.precertificates(); len(seen) != 1 || seen[string(stored.Precertificate)] == 0 {
				t.Errorf("logs have %d different precertificates", len(seen))
			}
		})
	}
}

// While too few logs answer nothing is issued; in the end the order fails. The
// precertificate binds the CA all the same.
func TestLogsDoNotAnswer(t *testing.T) {
	t.Parallel()
	f := newCTFixture(t, cttest.New(t, "a", "x"), cttest.New(t, "b", "y"))
	f.logs[0].Override(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusServiceUnavailable) })
	issued, order, err := f.issue(t)
	if err != nil || issued.Signed {
		t.Fatal(issued, err)
	}
	for _, skip := range []time.Duration{time.Minute, time.Minute, time.Hour} {
		f.orderIs(t, order, acme.OrderProcessing, "")
		f.skip(skip)
		if err := f.resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.work.Wait()
	}
	f.orderIs(t, order, acme.OrderInvalid, "Certificate Transparency logs did not answer")
	stored, err := f.store.Certificate(t.Context(), issued.Serial)
	if err != nil || stored.DER != nil || stored.Signed() == nil {
		t.Fatalf("stored: %+v, %v", stored, err)
	}
	if seen := f.precertificates(); len(seen) != 1 {
		t.Errorf("logs have %d different precertificates", len(seen))
	}
	if err := f.store.Revoke(t.Context(), acme.Revocation{Serial: issued.Serial, At: f.Now(), Reason: acme.ReasonSuperseded, By: "operator x"}); err != nil {
		t.Errorf("revoking the precertificate: %v", err)
	}
}

// Nothing is recorded when the logs can never give what the policy wants.
func TestPolicyThatLogsCannotMeet(t *testing.T) {
	t.Parallel()
	f := newCTFixture(t, cttest.New(t, "a", "x"), cttest.New(t, "b", "x"))
	_, order, err := f.issue(t)
	if problemType(err) != acme.ServerInternal || !strings.Contains(err.Error(), "Transparency") {
		t.Errorf("%v", err)
	}
	f.orderIs(t, order, acme.OrderReady, "")
	if len(f.precertificates()) != 0 {
		t.Error("a precertificate was made")
	}
}

func TestProfileWithCTNeedsLogs(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	cfg := f.Config
	p := BuiltinProfiles()[0]
	p.CT = true
	cfg.Profiles = []Profile{p}
	if _, err := New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "no CT logs") {
		t.Errorf("%v", err)
	}
}
