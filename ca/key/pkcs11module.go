//go:build cgo

package key

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ThalesGroup/crypto11"
)

// pkcs11Module is a PKCS#11 library in this process, and the tokens that are
// used through it. crypto11 has a login and a pool of sessions for each token;
// what a module adds is that tokens come back.
//
// A token whose call failed is closed once its last call has returned, and is
// opened again, with growing waits. Some libraries (SoftHSM is one) see a token
// that was away only once they are initialized anew, which crypto11 does when
// their last token is closed. So when a token can't be opened and others are
// in use, they are closed and opened with it; their calls wait for that moment.
type pkcs11Module struct {
	o    *Opener
	path string

	// admin is held, by sending, by whoever opens and closes tokens.
	admin  chan struct{}
	ctx    context.Context // ends when the module is closed
	cancel context.CancelFunc

	mu      sync.Mutex
	tokens  []*pkcs11Token
	paused  bool          // calls wait: all tokens are being opened anew
	mending bool          // a goroutine gets lost tokens back
	changed chan struct{} // closed and replaced when somebody may go on
}

// pkcs11Token is a token, with one login and its sessions.
type pkcs11Token struct {
	m   *pkcs11Module
	uri PKCS11URI // names the token and the PIN
	// sessions is sent to by each call while it is under way.
	sessions chan struct{}

	// hsm is replaced by the holder of the module's admin, with mu held, when
	// no call is under way; nil: the token is closed.
	hsm *crypto11.Context
	// The module's mu guards the rest.
	keys  []*pkcs11Key
	calls int
	err   error // why the token can't be used; nil: it can
	// refused is a PIN that the token did not take. It is not tried again: a
	// few tries lock a token for good.
	refused string
}

// module is the module of a library; it is made when it is first asked for.
func (o *Opener) module(path string) *pkcs11Module {
	o.mu.Lock()
	defer o.mu.Unlock()
	m := o.modules[path]
	if m == nil {
		m = &pkcs11Module{o: o, path: path, admin: make(chan struct{}, 1), changed: make(chan struct{})}
		m.ctx, m.cancel = context.WithCancel(context.Background())
		o.modules[path] = m
	}
	return m
}

// withToken opens the token of a URI, unless it is open, and calls f with it.
// When f fails and the token has no keys, it is closed again.
func (o *Opener) withToken(ctx context.Context, uri PKCS11URI, f func(*pkcs11Token, *crypto11.Context) error) error {
	if err := uri.checkModule(); err != nil {
		return err
	}
	m := o.module(uri.ModulePath)
	select {
	case m.admin <- struct{}{}:
		defer func() { <-m.admin }()
	case <-ctx.Done():
		return ctx.Err()
	case <-m.ctx.Done():
		return errClosed
	}
	t, err := m.token(uri)
	if err != nil {
		return err
	}
	err = f(t, t.hsm)
	if err != nil {
		m.forget(t)
	}
	return err
}

var errClosed = errors.New("the keys were closed")

// token finds the token of a URI or opens it. It needs admin.
func (m *pkcs11Module) token(uri PKCS11URI) (*pkcs11Token, error) {
	m.mu.Lock()
	for _, t := range m.tokens {
		if t.uri.Token == uri.Token && t.uri.Serial == uri.Serial && t.uri.Slot == uri.Slot {
			err := t.err
			m.mu.Unlock()
			return t, err
		}
	}
	m.mu.Unlock()
	t := &pkcs11Token{m: m, uri: uri, sessions: make(chan struct{}, m.o.cfg.Sessions)}
	hsm, err := t.connect()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t.hsm = hsm
	m.tokens = append(m.tokens, t)
	m.o.metrics.available.WithLabelValues(uri.tokenName()).Set(1)
	return t, nil
}

// connect logs in to the token.
func (t *pkcs11Token) connect() (*crypto11.Context, error) {
	pin, login, err := t.uri.pin(t.m.o.cfg.Getenv)
	if err != nil {
		return nil, err
	}
	if login && pin == t.refused {
		return nil, errors.New("the token refused the PIN; it is not tried again, so that the token does not lock itself, until the PIN is another one")
	}
	cfg := &crypto11.Config{
		Path: t.uri.ModulePath, TokenLabel: t.uri.Token, TokenSerial: t.uri.Serial, Pin: pin, LoginNotSupported: !login,
		// One more is kept open for the login.
		MaxSessions: t.m.o.cfg.Sessions + 1, PoolWaitTimeout: t.m.o.cfg.Timeout,
	}
	if t.uri.Slot >= 0 {
		cfg.SlotNumber = &t.uri.Slot
	}
	hsm, err := crypto11.Configure(cfg)
	if refusedPIN(err) {
		t.refused = pin
	}
	if err != nil {
		return nil, explain(err)
	}
	t.refused = ""
	return hsm, nil
}

// forget closes a token that has no keys. It needs admin.
func (m *pkcs11Module) forget(t *pkcs11Token) {
	m.mu.Lock()
	if len(t.keys) > 0 {
		m.mu.Unlock()
		return
	}
	m.tokens = slices.DeleteFunc(m.tokens, func(other *pkcs11Token) bool { return other == t })
	m.mu.Unlock()
	t.close()
}

// close closes an open token that no call is on. It needs admin.
func (t *pkcs11Token) close() {
	t.m.mu.Lock()
	hsm := t.hsm
	t.hsm = nil
	t.m.mu.Unlock()
	if hsm != nil {
		_ = hsm.Close() // it always returns nil
	}
}

// begin counts a call, once the token is open and has a session free; it waits
// until late is sent to. No error: end must follow.
func (t *pkcs11Token) begin(late <-chan time.Time) error {
	m := t.m
	m.mu.Lock()
	err := t.err
	m.mu.Unlock()
	if err != nil {
		return unavailable(err)
	}
	select {
	case t.sessions <- struct{}{}:
	case <-late:
		return fmt.Errorf("%w: all sessions on the token were in use for %v; raise the number of sessions if the token can do more at once", ErrUnavailable, m.o.cfg.Timeout)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		switch {
		case t.err != nil:
			<-t.sessions
			return unavailable(t.err)
		case !m.paused:
			t.calls++
			m.o.metrics.sessions.WithLabelValues(t.uri.tokenName()).Inc()
			return nil
		}
		changed := m.changed
		m.mu.Unlock()
		select {
		case <-changed:
			m.mu.Lock()
		case <-late:
			m.mu.Lock()
			<-t.sessions
			return fmt.Errorf("%w: the PKCS#11 library is being initialized anew for another token", ErrUnavailable)
		}
	}
}

// end counts a call that has returned. After an error that tells of a lost
// token, the token is got back.
func (t *pkcs11Token) end(err error) {
	m := t.m
	m.mu.Lock()
	defer m.mu.Unlock()
	<-t.sessions
	t.calls--
	m.o.metrics.sessions.WithLabelValues(t.uri.tokenName()).Dec()
	if t.calls == 0 {
		m.broadcast()
	}
	if err != nil && lost(err) {
		t.fail(explain(err))
	}
}

// fail takes a token out of use. It needs mu.
func (t *pkcs11Token) fail(err error) {
	m := t.m
	if t.err == nil {
		m.o.cfg.Logger.LogAttrs(m.ctx, slog.LevelError, "a PKCS#11 token is lost; nothing is signed with its keys until it is back",
			slog.String("token", t.uri.tokenName()), slog.Any("error", err))
	}
	t.err = err
	m.o.metrics.available.WithLabelValues(t.uri.tokenName()).Set(0)
	if !m.mending && m.ctx.Err() == nil {
		m.mending = true
		go m.mend() // it ends when nothing is lost, or with ctx
	}
}

// broadcast wakes whoever waits for a change. It needs mu.
func (m *pkcs11Module) broadcast() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// quiet waits, for a bounded time, until no call is under way on the tokens.
func (m *pkcs11Module) quiet(tokens []*pkcs11Token) bool {
	timer := time.NewTimer(m.o.cfg.Timeout)
	defer timer.Stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	for slices.ContainsFunc(tokens, func(t *pkcs11Token) bool { return t.calls > 0 }) {
		changed := m.changed
		m.mu.Unlock()
		select {
		case <-changed:
			m.mu.Lock()
		case <-timer.C:
			m.mu.Lock()
			return false
		}
	}
	return true
}

// drop takes a key away, and its token if that was the last.
func (m *pkcs11Module) drop(k *pkcs11Key) error {
	m.admin <- struct{}{}
	defer func() { <-m.admin }()
	m.mu.Lock()
	k.token.keys = slices.DeleteFunc(k.token.keys, func(other *pkcs11Key) bool { return other == k })
	last := len(k.token.keys) == 0
	m.mu.Unlock()
	if !last {
		return nil
	}
	if !m.quiet([]*pkcs11Token{k.token}) {
		return fmt.Errorf("closing the token %s: a call into the PKCS#11 library does not return", k.token.uri.tokenName())
	}
	m.forget(k.token)
	return nil
}

// Close closes every key that is open. Nothing may sign any more.
func (o *Opener) Close() error {
	o.mu.Lock()
	modules := o.modules
	o.modules = make(map[string]*pkcs11Module)
	o.mu.Unlock()
	var errs []error
	for _, m := range modules {
		errs = append(errs, m.close())
	}
	return errors.Join(errs...)
}

func (m *pkcs11Module) close() error {
	m.cancel()
	stuck := fmt.Errorf("closing the PKCS#11 library %s: a call into it does not return", m.path)
	timer := time.NewTimer(m.o.cfg.Timeout)
	defer timer.Stop()
	select {
	case m.admin <- struct{}{}:
		defer func() { <-m.admin }()
	case <-timer.C:
		return stuck
	}
	m.mu.Lock()
	tokens := m.tokens
	m.tokens = nil
	for _, t := range tokens {
		t.err = errClosed
	}
	m.mu.Unlock()
	if !m.quiet(tokens) {
		return stuck
	}
	for _, t := range tokens {
		t.close()
	}
	return nil
}

func unavailable(err error) error { return fmt.Errorf("%w: %w", ErrUnavailable, err) }
