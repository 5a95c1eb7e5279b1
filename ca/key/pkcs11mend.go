//go:build cgo

package key

import (
	"log/slog"
	"slices"
	"time"

	"github.com/ThalesGroup/crypto11"
)

// mend opens lost tokens again until none is lost, with growing waits.
func (m *pkcs11Module) mend() {
	for wait := m.o.cfg.RetryAfter; ; wait = min(2*wait, m.o.cfg.RetryAtMost) {
		m.try()
		if m.mended() {
			return
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-m.ctx.Done():
			timer.Stop()
			return
		}
	}
}

// mended ends the mending when no token is lost.
func (m *pkcs11Module) mended() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.ContainsFunc(m.tokens, (*pkcs11Token).isLost) {
		return false
	}
	m.mending = false
	return true
}

func (t *pkcs11Token) isLost() bool { return t.err != nil }

// try opens the lost tokens again, by themselves and then, should that not do,
// together with the others.
func (m *pkcs11Module) try() {
	select {
	case m.admin <- struct{}{}:
		defer func() { <-m.admin }()
	case <-m.ctx.Done():
		return
	}
	m.mu.Lock()
	all := slices.Clone(m.tokens)
	away := slices.DeleteFunc(slices.Clone(all), func(t *pkcs11Token) bool { return !t.isLost() })
	m.mu.Unlock()
	if m.reopen(away) || len(away) == len(all) {
		return
	}
	m.pause(true)
	defer m.pause(false)
	m.reopen(all)
}

func (m *pkcs11Module) pause(paused bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.paused = paused
	if !paused {
		m.broadcast()
	}
}

// reopen closes tokens that take no calls, and opens them; true: all are back.
func (m *pkcs11Module) reopen(tokens []*pkcs11Token) bool {
	if !m.quiet(tokens) {
		return false
	}
	for _, t := range tokens {
		t.close()
	}
	back := true
	for _, t := range tokens {
		back = t.reopen() && back
	}
	return back
}

// reopen opens a token that is closed, and finds its keys. It needs admin.
func (t *pkcs11Token) reopen() bool {
	m := t.m
	m.mu.Lock()
	keys := slices.Clone(t.keys)
	m.mu.Unlock()
	hsm, err := t.connect()
	signers := make([]crypto11.Signer, len(keys))
	for i, k := range keys {
		if err == nil {
			signers[i], err = findSigner(hsm, k.uri, k.public)
		}
	}
	if err != nil && hsm != nil {
		_ = hsm.Close() // it always returns nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		t.fail(err)
		return false
	}
	t.hsm = hsm
	for i, k := range keys {
		k.signer = signers[i]
		k.good()
	}
	if t.err != nil {
		t.err = nil
		m.o.metrics.reopened.WithLabelValues(t.uri.tokenName()).Inc()
		m.o.metrics.available.WithLabelValues(t.uri.tokenName()).Set(1)
		m.o.cfg.Logger.LogAttrs(m.ctx, slog.LevelInfo, "a PKCS#11 token is back", slog.String("token", t.uri.tokenName()))
	}
	return true
}
