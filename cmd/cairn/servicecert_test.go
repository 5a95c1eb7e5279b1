package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"math/big"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cairn-ca/cairn/ca"
)

// shortCA signs listener certificates, and fails when told to.
type shortCA struct {
	ca.Authority
	key      *ecdsa.PrivateKey
	validity time.Duration
	failures atomic.Int64 // that are still to come
	signed   atomic.Int64
}

func (s *shortCA) ServiceCertificate(_ context.Context, der []byte) ([][]byte, error) {
	if s.failures.Add(-1) >= 0 {
		return nil, errors.New("the CA is away")
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, err
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(s.signed.Add(1)), Subject: pkix.Name{CommonName: "listener"},
		NotBefore: time.Now(), NotAfter: time.Now().Add(s.validity),
	}
	leaf, err := x509.CreateCertificate(rand.Reader, template, template, csr.PublicKey, s.key)
	return [][]byte{leaf}, err
}

func newListenerCertificate(t *testing.T) (*listenerCertificate, *shortCA) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signing := &shortCA{key: key, validity: 90 * time.Hour}
	return &listenerCertificate{ca: signing, now: time.Now, random: rand.Reader, logger: slog.New(slog.DiscardHandler)}, signing
}

func TestListenerCertificateRenewsItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, signing := newListenerCertificate(t)
		if _, err := l.get(nil); !errors.Is(err, errNoCertificate) {
			t.Errorf("before it is issued: %v", err)
		}
		if l.check(t.Context()) == nil {
			t.Error("ready without a certificate")
		}
		signing.failures.Store(3)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.run(ctx) }()

		time.Sleep(time.Second) // of the bubble: three retries, from 0.1 s on
		first, err := l.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.check(ctx); err != nil {
			t.Error(err)
		}
		time.Sleep(58 * time.Hour)
		if again, _ := l.get(nil); again != first {
			t.Error("renewed too early")
		}
		time.Sleep(3 * time.Hour)
		if again, _ := l.get(nil); again == first || signing.signed.Load() != 2 {
			t.Error("not renewed after two thirds of its life")
		}
		// The CA is away until after the certificate has expired, and back.
		signing.failures.Store(1 << 30)
		time.Sleep(100 * time.Hour)
		if l.check(ctx) == nil {
			t.Error("ready with an expired certificate")
		}
		signing.failures.Store(0)
		time.Sleep(lastRetry)
		if err := l.check(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A certificate that lives shorter than the pause does not make the loop spin.
func TestListenerCertificatePauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, signing := newListenerCertificate(t)
		signing.validity = time.Second
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := l.run(ctx); err != nil {
			t.Error(err)
		}
		if n := signing.signed.Load(); n > 11 {
			t.Errorf("%d certificates in 10 seconds", n)
		}
	})
}
