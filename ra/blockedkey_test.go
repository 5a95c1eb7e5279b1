package ra

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/sa"
)

// What holds a blocked key is revoked, in one walk for all keys, and never
// more than was said.
func TestSweepBlockedKeys(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.RevokeUnasked = 2 })
	lost, many, kept := f.certifiedKey(t), f.certifiedKey(t), f.certifiedKey(t)
	first := f.issue(t, lost)
	already := f.issue(t, lost)
	expired := f.issueUntil(t, lost, f.clock.Now().Add(time.Second))
	other := f.issue(t, kept)
	var tooMany []acme.Serial
	for range 3 {
		tooMany = append(tooMany, f.issue(t, many))
	}
	f.revoke(t, already, acme.ReasonSuperseded)

	f.block(t, lost)
	f.block(t, many)
	f.sweep(t)
	f.wantReason(t, first, nil) // a moment ago: an issuance may be under way
	f.clock.advance(sweepAge + time.Second)
	f.sweep(t)
	compromised := acme.ReasonKeyCompromise
	f.wantReason(t, first, &compromised)
	f.wantReason(t, already, &compromised)
	for _, serial := range append(tooMany, expired, other) {
		f.wantReason(t, serial, nil)
	}
	swept, err := f.Store.(*sa.DB).BlockedKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range swept {
		want := sa.KeySweep{SPKISHA256: k.SPKISHA256, At: f.clock.Now(), Found: 2, Revoked: 2}
		if k.SPKISHA256 == many.hash {
			want.Found, want.Revoked = 3, 0
		}
		if k.Sweep != want {
			t.Errorf("the sweep is recorded as %+v, want %+v", k.Sweep, want)
		}
	}
	// Done is done: what an operator takes on is not taken from them.
	f.clock.advance(time.Hour)
	f.sweep(t)
	f.wantReason(t, tooMany[0], nil)
}

// While another process sweeps, this one does not.
func TestSweepLease(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.RevokeUnasked = 2 })
	lost := f.certifiedKey(t)
	serial := f.issue(t, lost)
	f.block(t, lost)
	f.clock.advance(sweepAge + time.Second)
	if held, err := f.Store.Lease(t.Context(), sa.Lease{Name: sweepName, Owner: "another", Until: f.clock.Now().Add(time.Minute)}); err != nil || !held {
		t.Fatal(held, err)
	}
	f.sweep(t)
	f.wantReason(t, serial, nil)
	f.clock.advance(time.Minute)
	f.sweep(t)
	compromised := acme.ReasonKeyCompromise
	f.wantReason(t, serial, &compromised)
}

type certifiedKey struct {
	*ecdsa.PrivateKey
	hash [32]byte
}

func (f fixture) certifiedKey(t *testing.T) certifiedKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return certifiedKey{k, sha256.Sum256(spki)}
}

func (f fixture) issue(t *testing.T, k certifiedKey) acme.Serial {
	t.Helper()
	return f.issueUntil(t, k, f.clock.Now().Add(24*time.Hour))
}

// issueUntil stores a certificate as the CA would.
func (f fixture) issueUntil(t *testing.T, k certifiedKey, notAfter time.Time) acme.Serial {
	t.Helper()
	now := f.clock.Now()
	serial, err := acme.NewSerial(now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: serial.Big(), NotBefore: now, NotAfter: notAfter}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	err = f.Store.RecordIssuance(t.Context(), sa.Issuance{
		Certificate: acme.Certificate{Serial: serial, Profile: "default", TBS: []byte("tbs"), NotBefore: now, NotAfter: notAfter, RecordedAt: now},
		Owner:       "test", LeaseUntil: now.Add(time.Minute),
	})
	if err == nil {
		err = f.Store.CompleteIssuance(t.Context(), serial, der)
	}
	if err != nil {
		t.Fatal(err)
	}
	return serial
}

func (f fixture) revoke(t *testing.T, serial acme.Serial, reason acme.RevocationReason) {
	t.Helper()
	if err := f.Store.Revoke(t.Context(), acme.Revocation{Serial: serial, At: f.clock.Now(), Reason: reason, By: "operator x"}); err != nil {
		t.Fatal(err)
	}
}

func (f fixture) block(t *testing.T, k certifiedKey) {
	t.Helper()
	if err := f.Store.BlockKey(t.Context(), sa.BlockedKey{SPKISHA256: k.hash, At: f.clock.Now(), By: "operator x"}); err != nil {
		t.Fatal(err)
	}
}

func (f fixture) sweep(t *testing.T) {
	t.Helper()
	if err := f.sweepBlockedKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (f fixture) wantReason(t *testing.T, serial acme.Serial, want *acme.RevocationReason) {
	t.Helper()
	cert, err := f.Store.Certificate(t.Context(), serial)
	if err != nil {
		t.Fatal(err)
	}
	switch got := cert.Revocation; {
	case (got == nil) != (want == nil):
		t.Errorf("certificate %s: revoked %v, want %v", serial, got, want)
	case got != nil && got.Reason != *want:
		t.Errorf("certificate %s: revoked for %v, want %v", serial, got.Reason, *want)
	}
}
