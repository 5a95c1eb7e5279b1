//go:build cgo

package key

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/cairn-ca/cairn/internal/hsmtest"
)

// The tests of this file are not parallel: SoftHSM finds its tokens with a
// variable of the process's environment.

// newHSM is an HSM that this process uses.
func newHSM(t *testing.T) *hsmtest.HSM {
	t.Helper()
	h := hsmtest.New(t)
	h.Use(t)
	return h
}

// opener is an opener that retries soon; change may be nil.
func opener(t testing.TB, change func(*OpenerConfig)) *Opener {
	t.Helper()
	cfg := OpenerConfig{RetryAfter: 10 * time.Millisecond, RetryAtMost: 20 * time.Millisecond, Metrics: prometheus.NewRegistry()}
	if change != nil {
		change(&cfg)
	}
	o, err := NewOpener(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

func specOf(t testing.TB, uri string) Spec {
	t.Helper()
	spec, err := ParseSpec(uri)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func open(t testing.TB, o *Opener, uri string) Key {
	t.Helper()
	k, err := o.Open(t.Context(), specOf(t, uri))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// signs checks that a key makes a good signature.
func signs(t testing.TB, k Key) {
	t.Helper()
	if err := signOnce(k); err != nil {
		t.Error(err)
	}
}

func signOnce(k Key) error {
	message := []byte("a message")
	signature, err := Sign(rand.Reader, k, message)
	if err != nil {
		return err
	}
	return Verify(k.Public(), message, signature)
}

// await waits until a key can sign. It polls as whoever asks /readyz does.
func await(t testing.TB, k Key) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for k.Check(ctx) != nil {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("the key does not come back: %v", k.Available())
		}
	}
}

func TestPKCS11Sign(t *testing.T) {
	h := newHSM(t)
	token := h.NewToken(t, "keys")
	pin := hsmtest.PINFile(t, token.PIN)
	o := opener(t, nil)
	for i, test := range []struct {
		kind string
		want Type
	}{{"EC:prime256v1", P256}, {"EC:secp384r1", P384}, {"EC:secp521r1", P521}, {"rsa:2048", RSA}, {"rsa:4096", RSA}} {
		t.Run(test.kind, func(t *testing.T) {
			label, id := fmt.Sprintf("key-%d", i), fmt.Sprintf("%02x", i+1)
			token.GenerateKey(t, test.kind, label, id)
			for _, uri := range []string{token.URI(label, "", pin), token.URI("", "%"+id, pin), token.URI(label, "%"+id, pin)} {
				k := open(t, o, uri)
				if got, err := Check(k.Public()); got != test.want || err != nil {
					t.Errorf("a key of type %s, %v", got, err)
				}
				if err := k.Check(t.Context()); err != nil || !k.Slow() {
					t.Errorf("slow: %v, %v", k.Slow(), err)
				}
				signs(t, k)
				if _, err := SignEnvelope(rand.Reader, k, []byte{0x30, 0}); err != nil {
					t.Error(err)
				}
				if public, ok := k.Public().(*rsa.PublicKey); ok {
					pss(t, k, public)
				}
				if err := k.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// pss checks the signatures that AlgorithmOf does not choose.
func pss(t *testing.T, k Key, public *rsa.PublicKey) {
	t.Helper()
	for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		h := hash.New()
		h.Write([]byte("a message"))
		digest := h.Sum(nil)
		options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
		signature, err := k.Sign(rand.Reader, digest, options)
		if err == nil {
			err = rsa.VerifyPSS(public, hash, digest, signature, options)
		}
		if err != nil {
			t.Errorf("PSS with %v: %v", hash, err)
		}
		if signature, err = k.Sign(rand.Reader, digest, hash); err == nil {
			err = rsa.VerifyPKCS1v15(public, hash, digest, signature)
		}
		if err != nil {
			t.Errorf("PKCS #1 v1.5 with %v: %v", hash, err)
		}
	}
}

// A digest that is none is refused, and does not make the token look lost.
func TestPKCS11RefusesWhatIsNoDigest(t *testing.T) {
	h := newHSM(t)
	token := h.NewToken(t, "keys")
	token.GenerateKey(t, "rsa:2048", "issuer", "01")
	k := open(t, opener(t, nil), token.URI("issuer", "", hsmtest.PINFile(t, token.PIN)))
	digest := sha256.Sum256(nil)
	for name, err := range map[string]error{
		"short":    second(k.Sign(nil, digest[:20], crypto.SHA256)),
		"no hash":  second(k.Sign(nil, []byte("message"), crypto.Hash(0))),
		"MD5":      second(k.Sign(nil, digest[:16], crypto.MD5)),
		"auto PSS": second(k.Sign(nil, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto, Hash: crypto.SHA256})),
		"long PSS": second(k.Sign(nil, digest[:], &rsa.PSSOptions{SaltLength: 5000, Hash: crypto.SHA256})),
	} {
		if err == nil || errors.Is(err, ErrUnavailable) || k.Available() != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	signs(t, k)
}

func second[T any](_ T, err error) error { return err }

func TestPKCS11OpenErrors(t *testing.T) {
	h := newHSM(t)
	token := h.NewToken(t, "keys")
	pin := hsmtest.PINFile(t, token.PIN)
	token.GenerateKey(t, "EC:prime256v1", "issuer", "01")
	token.GenerateKey(t, "EC:prime256v1", "twice", "02")
	token.GenerateKey(t, "EC:prime256v1", "twice", "03")
	token.GenerateKey(t, "EC:prime256v1", "no-public", "04")
	token.Delete(t, "pubkey", "04")
	token.GenerateKey(t, "EC:prime256v1", "no-private", "05")
	token.Delete(t, "privkey", "05")
	token.GenerateKey(t, "EC:secp256k1", "curve", "06")
	other := *token
	other.Label = "other"
	wrong := hsmtest.PINFile(t, "00000000")
	noModule := strings.Replace(token.URI("issuer", "", pin), h.Module, "/nowhere/lib.so", 1)
	noLibrary := strings.Replace(token.URI("issuer", "", pin), h.Module, h.Config, 1)
	o := opener(t, nil)
	for name, test := range map[string]struct{ uri, want string }{
		"no such token":   {other.URI("issuer", "", pin), "could not find PKCS#11 token"},
		"no such key":     {token.URI("nothing", "", pin), "no such key"},
		"no such id":      {token.URI("issuer", "%ff", pin), "no such key"},
		"two keys":        {token.URI("twice", "", pin), "tell them apart with id="},
		"no public key":   {token.URI("no-public", "", pin), "no such key"},
		"no private key":  {token.URI("no-private", "", pin), "no such key"},
		"a foreign curve": {token.URI("curve", "", pin), "unsupported elliptic curve"},
		"a wrong PIN":     {token.URI("issuer", "", wrong), "refused the PIN"},
		"no PIN file":     {token.URI("issuer", "", "/nowhere/pin"), "reading the PIN"},
		"no module":       {noModule, "no such file"},
		"no library":      {noLibrary, "open module"},
	} {
		_, err := o.Open(t.Context(), specOf(t, test.uri))
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), token.PIN) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// None of this is in the way of a good one.
	signs(t, open(t, o, token.URI("issuer", "", pin)))
}

// Keys on one token share its sessions, of which no more are used than there
// are, and keys that close leave the others alone.
func TestPKCS11Sessions(t *testing.T) {
	h := newHSM(t)
	token := h.NewToken(t, "keys")
	pin := hsmtest.PINFile(t, token.PIN)
	o := opener(t, func(cfg *OpenerConfig) { cfg.Sessions = 2; cfg.Timeout = time.Minute })
	var keys []Key
	for i := range 3 {
		label := fmt.Sprintf("key-%d", i)
		token.GenerateKey(t, "EC:prime256v1", label, fmt.Sprintf("%02x", i+1))
		keys = append(keys, open(t, o, token.URI(label, "", pin)))
	}
	inUse := o.metrics.sessions.WithLabelValues("keys")
	var work sync.WaitGroup
	for _, k := range keys {
		for range 8 {
			work.Go(func() {
				for range 20 {
					if err := signOnce(k); err != nil {
						t.Error(err)
						return
					}
					if n := testutil.ToFloat64(inUse); n > 2 {
						t.Errorf("%v sessions are in use", n)
					}
				}
			})
		}
	}
	work.Wait()
	if n := testutil.ToFloat64(inUse); n != 0 {
		t.Errorf("%v sessions are in use, and nothing signs", n)
	}
	for _, k := range keys[:2] {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	}
	signs(t, keys[2])
	if got := testutil.CollectAndCount(o.metrics.signatures); got != 1 {
		t.Errorf("%d histograms", got)
	}
}

// When every session is busy for too long, a signature fails and says so; the
// token is not taken for lost.
func TestPKCS11Busy(t *testing.T) {
	h := newHSM(t)
	token := h.NewToken(t, "keys")
	token.GenerateKey(t, "EC:prime256v1", "issuer", "01")
	o := opener(t, func(cfg *OpenerConfig) { cfg.Sessions = 1; cfg.Timeout = time.Millisecond })
	k := open(t, o, token.URI("issuer", "", hsmtest.PINFile(t, token.PIN))).(*pkcs11Key)
	k.token.sessions <- struct{}{} // a call that does not return
	err := signOnce(k)
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "sessions") {
		t.Errorf("%v", err)
	}
	<-k.token.sessions
	if err := k.Available(); err != nil {
		t.Error(err)
	}
}

// A token that is removed under load comes back by itself: signatures fail at
// once meanwhile, and are made again after.
func TestPKCS11TokenComesBack(t *testing.T) {
	h := newHSM(t)
	token := h.NewToken(t, "keys")
	token.GenerateKey(t, "EC:prime256v1", "issuer", "01")
	token.GenerateKey(t, "rsa:2048", "other", "02")
	pin := hsmtest.PINFile(t, token.PIN)
	o := opener(t, nil)
	k, idle := open(t, o, token.URI("issuer", "", pin)), open(t, o, token.URI("other", "", pin))
	reopened := o.metrics.reopened.WithLabelValues("keys")
	available := o.metrics.available.WithLabelValues("keys")
	for round := range 3 {
		var load sync.WaitGroup
		for range 4 {
			load.Go(func() {
				for {
					if err := signOnce(k); err != nil {
						if !errors.Is(err, ErrUnavailable) {
							t.Errorf("a signature without its token: %v", err)
						}
						return
					}
				}
			})
		}
		token.Remove(t)
		load.Wait()
		for _, k := range []Key{k, idle} {
			if err := k.Check(t.Context()); !errors.Is(err, ErrUnavailable) || !errors.Is(k.Available(), ErrUnavailable) {
				t.Errorf("the token is away: %v", err)
			}
			if err := signOnce(k); !errors.Is(err, ErrUnavailable) {
				t.Errorf("a signature without its token: %v", err)
			}
		}
		if got := testutil.ToFloat64(available); got != 0 {
			t.Errorf("available: %v", got)
		}
		token.Return(t)
		await(t, k)
		signs(t, k)
		signs(t, idle)
		if got, came := testutil.ToFloat64(available), testutil.ToFloat64(reopened); got != 1 || came != float64(round+1) {
			t.Errorf("available: %v, reopened %v times", got, came)
		}
	}
}

// A removal is noticed by asking, before anything is to be signed.
func TestPKCS11CheckNotices(t *testing.T) {
	h := newHSM(t)
	token := h.NewToken(t, "keys")
	token.GenerateKey(t, "EC:prime256v1", "issuer", "01")
	clock := time.Now()
	o := opener(t, func(cfg *OpenerConfig) { cfg.Now = func() time.Time { return clock } })
	k := open(t, o, token.URI("issuer", "", hsmtest.PINFile(t, token.PIN)))
	token.Remove(t)
	clock = clock.Add(probeAfter) // the goroutines that read it are not running yet
	if err := k.Check(t.Context()); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), `"issuer"`) || !strings.Contains(err.Error(), "keys") {
		t.Errorf("%v", err)
	}
	token.Return(t)
	await(t, k)
}

// One token away leaves another on the same library in use, and comes back
// though the library has to be initialized anew for it.
func TestPKCS11TwoTokens(t *testing.T) {
	h := newHSM(t)
	gone, stays := h.NewToken(t, "gone"), h.NewToken(t, "stays")
	gone.GenerateKey(t, "EC:prime256v1", "issuer", "01")
	stays.GenerateKey(t, "EC:prime256v1", "issuer", "01")
	o := opener(t, nil)
	a := open(t, o, gone.URI("issuer", "", hsmtest.PINFile(t, gone.PIN)))
	b := open(t, o, stays.URI("issuer", "", hsmtest.PINFile(t, stays.PIN)))
	if Equal(a.Public(), b.Public()) {
		t.Fatal("two tokens have one key")
	}
	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 2 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := signOnce(b); err != nil {
					t.Errorf("the token that stayed: %v", err)
					return
				}
			}
		})
	}
	gone.Remove(t)
	if err := signOnce(a); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a signature without its token: %v", err)
	}
	gone.Return(t)
	await(t, a)
	signs(t, a)
	close(stop)
	load.Wait()
	if got := testutil.ToFloat64(o.metrics.reopened.WithLabelValues("stays")); got != 0 {
		t.Errorf("the token that stayed was lost %v times", got)
	}
}

// A token that comes back with another key is not the one that was lost.
func TestPKCS11AnotherKey(t *testing.T) {
	h := newHSM(t)
	token := h.NewToken(t, "keys")
	token.GenerateKey(t, "EC:prime256v1", "issuer", "01")
	k := open(t, opener(t, nil), token.URI("issuer", "", hsmtest.PINFile(t, token.PIN)))
	public := k.Public()
	token.Delete(t, "privkey", "01")
	token.Delete(t, "pubkey", "01")
	token.GenerateKey(t, "EC:prime256v1", "issuer", "01")
	if err := signOnce(k); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v", err)
	}
	waitFor(t, k, "another key")
	if !Equal(public, k.Public()) {
		t.Error("the key changed")
	}
}

// waitFor waits until a key is unavailable for a reason.
func waitFor(t *testing.T, k Key, why string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		if err := k.Available(); err != nil && strings.Contains(err.Error(), why) {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("%v, want %q", k.Available(), why)
		}
	}
}

// A PIN that the token refuses is tried once, so that the token does not lock;
// another one in the same file is tried.
func TestPKCS11RefusedPIN(t *testing.T) {
	h := newHSM(t)
	token := h.NewToken(t, "keys")
	token.GenerateKey(t, "EC:prime256v1", "issuer", "01")
	pin := hsmtest.PINFile(t, token.PIN)
	var log bytes.Buffer
	k := open(t, opener(t, func(cfg *OpenerConfig) { cfg.Logger = slog.New(slog.NewTextHandler(&log, nil)) }), token.URI("issuer", "", pin))
	token.Remove(t)
	if err := os.WriteFile(pin, []byte("00000000"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := signOnce(k); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v", err)
	}
	token.Return(t)
	waitFor(t, k, "not tried again")
	if err := os.WriteFile(pin, []byte(token.PIN), 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, k)
	signs(t, k)
	if text := log.String(); strings.Contains(text, token.PIN) || strings.Contains(text, "00000000") || strings.Count(text, "is lost") != 1 || strings.Count(text, "token is back") != 1 {
		t.Errorf("log:\n%s", text)
	}
}

func TestPKCS11PINFromEnvironment(t *testing.T) {
	h := newHSM(t)
	token := h.NewToken(t, "keys")
	token.GenerateKey(t, "EC:prime256v1", "issuer", "01")
	uri := "pkcs11:token=keys;object=issuer?module-path=" + h.Module + "&pin-source=env:CAIRN_PIN"
	if _, err := opener(t, nil).Open(t.Context(), specOf(t, uri)); err == nil || !strings.Contains(err.Error(), "CAIRN_PIN") {
		t.Errorf("%v", err)
	}
	o := opener(t, func(cfg *OpenerConfig) {
		cfg.Getenv = func(name string) string { return map[string]string{"CAIRN_PIN": token.PIN}[name] }
	})
	signs(t, open(t, o, uri))
}

// Without a PIN there is no login, and so no private key.
func TestPKCS11WithoutLogin(t *testing.T) {
	h := newHSM(t)
	token := h.NewToken(t, "keys")
	token.GenerateKey(t, "EC:prime256v1", "issuer", "01")
	uri := "pkcs11:token=keys;object=issuer?module-path=" + h.Module
	if _, err := opener(t, nil).Open(t.Context(), specOf(t, uri)); err == nil || !strings.Contains(err.Error(), "no such key") {
		t.Errorf("%v", err)
	}
}

func TestPKCS11Closed(t *testing.T) {
	h := newHSM(t)
	token := h.NewToken(t, "keys")
	token.GenerateKey(t, "EC:prime256v1", "issuer", "01")
	o := opener(t, nil)
	k := open(t, o, token.URI("issuer", "", hsmtest.PINFile(t, token.PIN)))
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	if err := signOnce(k); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v", err)
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
}

func TestGeneratePKCS11(t *testing.T) {
	h := newHSM(t)
	token := h.NewToken(t, "keys")
	pin := hsmtest.PINFile(t, token.PIN)
	o := opener(t, nil)
	for _, test := range []struct {
		t    Type
		id   string
		bits int
	}{{P256, "", 0}, {P384, "%0a", 0}, {P521, "", 0}, {RSA, "", 0}, {RSA, "%0b", 2048}} {
		uri := *specOf(t, token.URI(fmt.Sprintf("made-%s-%d", test.t, test.bits), test.id, pin)).PKCS11
		k, err := o.GeneratePKCS11(t.Context(), uri, test.t, test.bits)
		if err != nil {
			t.Errorf("%s: %v", test.t, err)
			continue
		}
		if got, err := Check(k.Public()); got != test.t || err != nil {
			t.Errorf("%s: %s, %v", test.t, got, err)
		}
		signs(t, k)
		if err := k.Close(); err != nil {
			t.Error(err)
		}
		again := open(t, o, uri.String())
		if !Equal(again.Public(), k.Public()) {
			t.Errorf("%s: another key is opened", test.t)
		}
		if _, err := o.GeneratePKCS11(t.Context(), uri, test.t, test.bits); !errors.Is(err, ErrExists) {
			t.Errorf("%s again: %v", test.t, err)
		}
	}
	if _, err := o.GeneratePKCS11(t.Context(), *specOf(t, token.URI("ed", "", pin)).PKCS11, Ed25519, 0); err == nil {
		t.Error("an Ed25519 key was made")
	}
	// As another tool sees them.
	private := 0
	for object := range strings.SplitSeq(token.List(t), "\nP") {
		if !strings.Contains(object, "rivate Key Object") {
			continue
		}
		private++
		for line := range strings.Lines(object) {
			switch name, value, _ := strings.Cut(strings.TrimSpace(line), ":"); name {
			case "Usage":
				if strings.TrimSpace(value) != "sign" {
					t.Errorf("a private key's usage is %s", value)
				}
			case "Access":
				for _, want := range []string{"sensitive", "always sensitive", "never extractable", "local"} {
					if !strings.Contains(value, want) {
						t.Errorf("a private key's access is %s", value)
					}
				}
			}
		}
	}
	if private != 5 {
		t.Errorf("%d private keys:\n%s", private, token.List(t))
	}
}

// BenchmarkSign sets a token beside a key in a file.
func BenchmarkSign(b *testing.B) {
	h := hsmtest.New(b)
	b.Setenv(hsmtest.ConfigEnv, h.Config)
	token := h.NewToken(b, "keys")
	pin := hsmtest.PINFile(b, token.PIN)
	o := opener(b, nil)
	for i, test := range []struct {
		kind string
		t    Type
	}{{"EC:prime256v1", P256}, {"EC:secp384r1", P384}, {"rsa:3072", RSA}} {
		token.GenerateKey(b, test.kind, string(test.t), fmt.Sprintf("%02x", i+1))
		inMemory, err := Generate(test.t, rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		for name, k := range map[string]Key{"file": InMemory(inMemory), "softhsm": open(b, o, token.URI(string(test.t), "", pin))} {
			a, err := AlgorithmOf(k.Public())
			if err != nil {
				b.Fatal(err)
			}
			digest := a.digest([]byte("a message"))
			b.Run(fmt.Sprintf("%s/%s/one", test.t, name), func(b *testing.B) {
				for b.Loop() {
					if _, err := k.Sign(rand.Reader, digest, a.Hash); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "signatures/s")
			})
			b.Run(fmt.Sprintf("%s/%s/parallel", test.t, name), func(b *testing.B) {
				b.SetParallelism(4)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if _, err := k.Sign(rand.Reader, digest, a.Hash); err != nil {
							b.Error(err)
							return
						}
					}
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "signatures/s")
			})
		}
	}
}
