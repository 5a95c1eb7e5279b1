package ca

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/ca/key"
	"github.com/cairn-ca/cairn/internal/acme"
)

// maxWaiting bounds what this process signs itself when a key comes back; the
// rest is taken up as its leases lapse.
const maxWaiting = 1024

// waiting are the recorded certificates that are this process's to sign, by
// their leases, and whose key went away: when it is back they need not wait
// for their leases to lapse.
type waiting struct {
	mu   sync.Mutex
	work []leased
}

type leased struct {
	issuer      *issuer
	certificate acme.Certificate
	until       time.Time // the end of the lease
}

// keep keeps a certificate whose signing failed, if that was because its key
// is away.
func (w *waiting) keep(l leased, err error) {
	if !errors.Is(err, key.ErrUnavailable) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.work) < maxWaiting {
		w.work = append(w.work, l)
	}
}

// ready takes what can be signed now, and drops what is not this process's any
// more.
func (w *waiting) ready(now time.Time) []leased {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ready, rest []leased
	for _, l := range w.work {
		switch {
		case !now.Before(l.until):
		case l.issuer.available() == nil:
			ready = append(ready, l)
		default:
			rest = append(rest, l)
		}
	}
	w.work = rest
	return ready
}

// signWaiting signs what was waiting for its key, unless it must not be signed
// any more.
func (c *CA) signWaiting(ctx context.Context) error {
	var failures []error
	for _, l := range c.waiting.ready(c.Now()) {
		if !c.Now().Before(l.until) {
			continue // the ones before it took long
		}
		failures = append(failures, c.resumeOne(ctx, l.certificate, l.until))
	}
	return errors.Join(failures...)
}

// signLeased signs a certificate that this process holds the lease of. What
// fails for want of the key is kept for its return.
func (c *CA) signLeased(ctx context.Context, l leased) error {
	ctx, cancel := context.WithTimeout(ctx, l.until.Sub(c.Now()))
	defer cancel()
	err := c.sign(ctx, l.issuer, l.certificate)
	c.waiting.keep(l, err)
	return err
}
