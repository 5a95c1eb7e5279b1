package ct

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// testLog is a log that signs what it is sent, or what else a test wants.
type testLog struct {
	*Log
	key   *ecdsa.PrivateKey
	asked atomic.Int64
	// answer changes the answer; nil: an honest one.
	answer func(w http.ResponseWriter, r *http.Request, honest map[string]any)
	skew   time.Duration
}

func newTestLog(t testing.TB, name, operator string) *testLog {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLog(LogConfig{Name: name, Operator: operator, URL: "http://" + name + ".test/", Key: base64.StdEncoding.EncodeToString(spki)})
	if err != nil {
		t.Fatal(err)
	}
	return &testLog{Log: l, key: k}
}

func (l *testLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.asked.Add(1)
	var body struct{ Chain [][]byte }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body.Chain) < 2 {
		http.Error(w, "no chain", http.StatusBadRequest)
		return
	}
	kind := Certificate
	if strings.HasSuffix(r.URL.Path, "/ct/v1/add-pre-chain") {
		kind = Precertificate
	}
	issuer, err := x509.ParseCertificate(body.Chain[1])
	if err != nil {
		http.Error(w, "no issuer", http.StatusBadRequest)
		return
	}
	e, err := newEntry(kind, body.Chain[0], issuer.RawSubjectPublicKeyInfo)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s := SCT{LogID: l.ID, Timestamp: uint64(time.Now().Add(l.skew).UnixMilli()), Extensions: []byte{0, 0, 5, 0, 0, 0, 0, 7}}
	message, err := e.signed(s)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	digest := sha256.Sum256(message)
	signature, err := ecdsa.SignASN1(rand.Reader, l.key, digest[:])
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	b := cryptobyte.NewBuilder([]byte{hashSHA256, signatureECDSA})
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(signature) })
	honest := map[string]any{"sct_version": 0, "id": s.LogID[:], "timestamp": s.Timestamp, "extensions": s.Extensions, "signature": b.BytesOrPanic()}
	if l.answer != nil {
		l.answer(w, r, honest)
		return
	}
	_ = json.NewEncoder(w).Encode(honest)
}

// network reaches the test logs without sockets.
type network []*testLog

func (n network) RoundTrip(r *http.Request) (*http.Response, error) {
	for _, l := range n {
		if r.URL.Host != l.Name+".test" {
			continue
		}
		done := make(chan *http.Response, 1)
		go func() {
			w := httptest.NewRecorder()
			l.ServeHTTP(w, r)
			done <- w.Result()
		}()
		select {
		case resp := <-done:
			return resp, nil
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	return nil, fmt.Errorf("no such host")
}

func newSubmitter(t testing.TB, p Policy, logs ...*testLog) *Submitter {
	t.Helper()
	cfg := Config{Policy: p, Transport: network(logs), Now: time.Now, Random: rand.Reader, Logger: slog.New(slog.DiscardHandler)}
	for _, l := range logs {
		cfg.Logs = append(cfg.Logs, l.Log)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// precertificate is one with its issuer.
func precertificate(t testing.TB) Submission {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	issuer := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "issuer"}, NotBefore: now, NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	issuerDER, err := x509.CreateCertificate(rand.Reader, issuer, issuer, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	if issuer, err = x509.ParseCertificate(issuerDER); err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{"example.com"}, NotBefore: now, NotAfter: now.Add(90 * 24 * time.Hour),
		ExtraExtensions: []pkix.Extension{{Id: OIDPoison, Critical: true, Value: []byte{5, 0}}}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, issuer, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	return Submission{DER: der, Chain: [][]byte{issuerDER}, IssuerSPKI: issuer.RawSubjectPublicKeyInfo, NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter}
}

func namesOf(list []Logged) []string {
	var names []string
	for _, l := range list {
		names = append(names, l.Log)
	}
	slices.Sort(names)
	return names
}

func send(status int, body string) func(http.ResponseWriter, *http.Request, map[string]any) {
	return func(w http.ResponseWriter, _ *http.Request, _ map[string]any) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func with(key string, value any) func(http.ResponseWriter, *http.Request, map[string]any) {
	return func(w http.ResponseWriter, _ *http.Request, honest map[string]any) {
		honest[key] = value
		_ = json.NewEncoder(w).Encode(honest)
	}
}

// A log that does not do what it should is passed over, whatever it does.
func TestLogsThatFail(t *testing.T) {
	t.Parallel()
	other := newTestLog(t, "other", "x")
	for name, set := range map[string]func(*testLog){
		"down":    func(l *testLog) { l.answer = send(503, "") },
		"refuses": func(l *testLog) { l.answer = send(400, "unknown root") },
		"redirects": func(l *testLog) {
			l.answer = func(w http.ResponseWriter, r *http.Request, _ map[string]any) {
				http.Redirect(w, r, "/", http.StatusTemporaryRedirect)
			}
		},
		"empty":            func(l *testLog) { l.answer = send(200, "") },
		"HTML":             func(l *testLog) { l.answer = send(200, "<html>") },
		"garbage":          func(l *testLog) { l.answer = send(200, "{\x00") },
		"endless":          func(l *testLog) { l.answer = send(200, `{"id":"`+strings.Repeat("A", 1<<20)) },
		"version 2":        func(l *testLog) { l.answer = with("sct_version", 1) },
		"another's ID":     func(l *testLog) { l.answer = with("id", other.ID[:]) },
		"short ID":         func(l *testLog) { l.answer = with("id", []byte{1}) },
		"other timestamp":  func(l *testLog) { l.answer = with("timestamp", time.Now().UnixMilli()-1) },
		"negative":         func(l *testLog) { l.answer = with("timestamp", -1) },
		"huge timestamp":   func(l *testLog) { l.answer = with("timestamp", uint64(1<<63)) },
		"other extensions": func(l *testLog) { l.answer = with("extensions", "") },
		"long extensions":  func(l *testLog) { l.answer = with("extensions", make([]byte, 300)) },
		"no base64":        func(l *testLog) { l.answer = with("extensions", "!") },
		"wrong signature":  func(l *testLog) { l.answer = with("signature", []byte{4, 3, 0, 2, 0x30, 0}) },
		"RSA signature":    func(l *testLog) { l.answer = with("signature", []byte{4, 1, 0, 2, 0x30, 0}) },
		"long signature":   func(l *testLog) { l.answer = with("signature", make([]byte, 1000)) },
		"from the future":  func(l *testLog) { l.skew = time.Minute },
		"too old":          func(l *testLog) { l.skew = -49 * time.Hour },
		"another's key":    func(l *testLog) { l.key = other.key },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad, good, spare := newTestLog(t, "bad", "a"), newTestLog(t, "good", "b"), newTestLog(t, "spare", "c")
			set(bad)
			sub := precertificate(t)
			got, err := newSubmitter(t, Policy{}, bad, good, spare).Precertificate(t.Context(), sub)
			if err != nil || !slices.Equal(namesOf(got), []string{"good", "spare"}) {
				t.Errorf("with a spare: %v, %v", namesOf(got), err)
			}
			if got, err := newSubmitter(t, Policy{}, bad, good).Precertificate(t.Context(), sub); err == nil || !strings.Contains(err.Error(), "bad: ") {
				t.Errorf("without: %v, %v", namesOf(got), err)
			}
		})
	}
}

// Slow logs: another is asked after a while, and none is waited for forever.
func TestSlowLogs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow, good, spare := newTestLog(t, "slow", "a"), newTestLog(t, "good", "b"), newTestLog(t, "spare", "c")
		hang := func(_ http.ResponseWriter, r *http.Request, _ map[string]any) { <-r.Context().Done() }
		slow.answer = hang
		sub := precertificate(t)
		for range 8 { // in whichever order they are asked
			began := time.Now()
			s := newSubmitter(t, Policy{}, slow, good, spare)
			got, err := s.Precertificate(t.Context(), sub)
			if err != nil || !slices.Equal(namesOf(got), []string{"good", "spare"}) {
				t.Fatalf("%v, %v", namesOf(got), err)
			}
			if took := time.Since(began); took != 0 && took != s.HedgeAfter {
				t.Errorf("it took %s", took)
			}
		}
		began := time.Now()
		s := newSubmitter(t, Policy{}, slow, good)
		if got, err := s.Precertificate(t.Context(), sub); err == nil || time.Since(began) != s.Timeout {
			t.Errorf("%v, %v after %s", namesOf(got), err, time.Since(began))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Precertificate(ctx, sub); err == nil {
			t.Error("a canceled request gave SCTs")
		}
		synctest.Wait()
	})
}

// A log that failed is asked last, until its time is over.
func TestFailedLogsAreAskedLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		bad, good, spare := newTestLog(t, "bad", "a"), newTestLog(t, "good", "b"), newTestLog(t, "spare", "c")
		bad.answer = send(503, "")
		s := newSubmitter(t, Policy{}, bad, good, spare)
		sub := precertificate(t)
		for bad.asked.Load() == 0 {
			if _, err := s.Precertificate(t.Context(), sub); err != nil {
				t.Fatal(err)
			}
		}
		for range 20 {
			if _, err := s.Precertificate(t.Context(), sub); err != nil {
				t.Fatal(err)
			}
		}
		if n := bad.asked.Load(); n != 1 {
			t.Errorf("it was asked %d times within a second", n)
		}
		synctest.Wait()
	})
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	a1, a2, a3, b1, c1 := newTestLog(t, "a1", "a"), newTestLog(t, "a2", "a"), newTestLog(t, "a3", "a"), newTestLog(t, "b1", "b"), newTestLog(t, "c1", "c")
	shard := newTestLog(t, "shard", "d")
	shard.NotAfterEnd = time.Now().Add(day)
	for name, test := range map[string]struct {
		policy   Policy
		lifetime time.Duration
		logs     []*testLog
		want     int // 0: refused
	}{
		"90 days":                {lifetime: 90 * day, logs: []*testLog{a1, b1, c1}, want: 2},
		"180 days":               {lifetime: 180 * day, logs: []*testLog{a1, b1, c1}, want: 2},
		"a second more":          {lifetime: 180*day + time.Second, logs: []*testLog{a1, b1, c1}, want: 3},
		"one log":                {lifetime: 90 * day, logs: []*testLog{a1}},
		"one operator":           {lifetime: 90 * day, logs: []*testLog{a1, a2, a3}},
		"two operators of three": {lifetime: 200 * day, logs: []*testLog{a1, a2, b1}, want: 3},
		"many of one":            {lifetime: 90 * day, logs: []*testLog{a1, a2, a3, b1}, want: 2},
		"another's shard":        {lifetime: 90 * day, logs: []*testLog{a1, shard}},
		"in the shard":           {lifetime: time.Hour, logs: []*testLog{a1, shard}, want: 2},
		"own policy":             {policy: Policy{SCTs: 1, Operators: 1}, lifetime: 300 * day, logs: []*testLog{a1}, want: 1},
		"own operators":          {policy: Policy{Operators: 3}, lifetime: 90 * day, logs: []*testLog{a1, a2, b1, c1}, want: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sub := precertificate(t)
			sub.NotAfter = sub.NotBefore.Add(test.lifetime - time.Second)
			s := newSubmitter(t, test.policy, test.logs...)
			for range 5 {
				got, err := s.Precertificate(t.Context(), sub)
				if test.want == 0 {
					if err == nil || s.Check(sub.NotBefore, sub.NotAfter) == nil {
						t.Fatalf("%v, %v", namesOf(got), err)
					}
					continue
				}
				if err != nil || s.Check(sub.NotBefore, sub.NotAfter) != nil || len(got) != test.want {
					t.Fatalf("%v, %v", namesOf(got), err)
				}
				operators := make(map[string]bool)
				for _, l := range got {
					operators[l.Log[:1]] = true
				}
				if least := max(test.policy.Operators, min(test.want, 2)); len(operators) < least {
					t.Fatalf("operators: %v", operators)
				}
			}
		})
	}
}

// The final certificate is the precertificate's, but for one extension.
func TestFinal(t *testing.T) {
	t.Parallel()
	sub := precertificate(t)
	tbs, err := TBSOf(sub.DER)
	if err != nil {
		t.Fatal(err)
	}
	scts := []SCT{{LogID: [32]byte{1}, Timestamp: 1, Signature: []byte{4, 3, 0, 1, 9}}}
	final, err := Final(tbs, scts)
	if err != nil {
		t.Fatal(err)
	}
	if err := Correspond(tbs, final); err != nil {
		t.Error(err)
	}
	for i := range final {
		changed := bytes.Clone(final)
		changed[i] ^= 1
		// Within the list of SCTs it may differ.
		if Correspond(tbs, changed) == nil && i < len(final)-90 {
			t.Errorf("with octet %d changed it corresponds", i)
		}
	}
	for name, pair := range map[string][2][]byte{"swapped": {final, tbs}, "twice the precertificate": {tbs, tbs}, "twice the final": {final, final}, "nothing": {nil, nil}} {
		if Correspond(pair[0], pair[1]) == nil {
			t.Errorf("%s: corresponds", name)
		}
	}
	if _, err := Final(final, scts); err == nil {
		t.Error("a final certificate was made final again")
	}
	if _, err := Final(tbs, nil); err == nil {
		t.Error("a certificate without SCTs was made")
	}
}

func TestParseLogList(t *testing.T) {
	t.Parallel()
	a, b := newTestLog(t, "a", "x"), newTestLog(t, "b", "y")
	entry := func(l *testLog, url, state string) string {
		spki, err := x509.MarshalPKIXPublicKey(l.key.Public())
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf(`{"description":%q,"log_id":%q,"key":%q,%s,"mmd":60,"state":{%q:{"timestamp":"2026-01-01T00:00:00Z"}},
			"temporal_interval":{"start_inclusive":"2027-01-01T00:00:00Z","end_exclusive":"2027-07-01T00:00:00Z"}}`,
			l.Name, base64.StdEncoding.EncodeToString(l.ID[:]), base64.StdEncoding.EncodeToString(spki), url, state)
	}
	list, err := ParseLogList(fmt.Appendf(nil, `{"version":"1","log_list_timestamp":"2026-11-01T00:00:00Z","operators":[
		{"name":"x","email":[],"logs":[%s,%s],"tiled_logs":[]},{"name":"y","logs":[],"tiled_logs":[%s]}]}`,
		entry(a, `"url":"https://a.test/"`, "usable"), entry(b, `"url":"https://old.test/"`, "retired"),
		entry(b, `"submission_url":"https://b.test/","monitoring_url":"https://m.test/"`, "qualified")))
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Logs) != 2 || list.Logs[0].Operator != "x" || list.Logs[1].URL != "https://b.test/" || list.Logs[1].NotAfterEnd.Month() != time.July || list.Timestamp.IsZero() {
		t.Errorf("%+v", list)
	}
	for _, bad := range []string{``, `{}`, `[]`, strings.Replace(fmt.Sprintf(`{"operators":[{"name":"x","logs":[%s]}]}`, entry(a, `"url":"https://a.test/"`, "usable")), `"log_id":"`, `"log_id":"AA`, 1)} {
		if _, err := ParseLogList([]byte(bad)); err == nil {
			t.Errorf("read: %.60s", bad)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"sct_version":0,"id":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","timestamp":1,"extensions":"","signature":"BAMAAQk="}`))
	f.Add([]byte(`{"sct_version":0,"timestamp":1e3}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseAnswer(data)
		if err != nil {
			return
		}
		if len(s.Extensions) > maxSCTExtensions || len(s.Signature) > maxSCTSignature || s.Time().Year() > 11000 {
			t.Errorf("%+v", s)
		}
		if _, err := listExtension([]SCT{s, s, s}); err != nil {
			t.Error(err)
		}
	})
}

func FuzzTBS(f *testing.F) {
	sub := precertificate(f)
	tbs, err := TBSOf(sub.DER)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(tbs)
	f.Add([]byte{0x30, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		final, err := Final(data, []SCT{{Signature: []byte{4, 3, 0, 1, 9}}})
		if err != nil {
			return
		}
		if err := Correspond(data, final); err != nil {
			t.Error(err)
		}
	})
}
