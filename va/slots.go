package va

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// slots bounds how many hold one at once; it is as long as there are holders.
// Those who wait are served in their order.
type slots chan struct{}

// acquire waits for a slot, half of the time that is left at most: who gets one
// has as long to use it.
func (s slots) acquire(ctx context.Context) error {
	select {
	case s <- struct{}{}:
		return nil
	default:
	}
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/2)
		defer cancel()
	}
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s slots) release() { <-s }

// addressSlots bounds how many connections are open to each address, so that
// nobody can point the validations of many names at one victim.
type addressSlots struct {
	limit int
	mu    sync.Mutex
	held  map[netip.Addr]*addressSlot // those that somebody holds or waits for
}

type addressSlot struct {
	slots
	users int // holders and waiters
}

// acquire waits for a slot of an address. release must be called once.
func (a *addressSlots) acquire(ctx context.Context, addr netip.Addr) (release func(), err error) {
	a.mu.Lock()
	slot := a.held[addr]
	if slot == nil {
		slot = &addressSlot{slots: make(slots, a.limit)}
		a.held[addr] = slot
	}
	slot.users++
	a.mu.Unlock()
	leave := func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if slot.users--; slot.users == 0 {
			delete(a.held, addr)
		}
	}
	if err := slot.acquire(ctx); err != nil {
		leave()
		return nil, err
	}
	return func() { slot.release(); leave() }, nil
}
