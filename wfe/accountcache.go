package wfe

import (
	"context"
	"sync"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

// accountCache keeps accounts that were read lately: nearly every request
// names one. It holds two generations of at most cacheSize accounts; what was
// not asked for during a whole generation is dropped.
type accountCache struct {
	ttl time.Duration
	now func() time.Time

	mu         sync.Mutex
	young, old map[acme.ID]cachedAccount
	changes    uint64 // counts changes, so that a read that began before one is not kept
}

type cachedAccount struct {
	account acme.Account
	until   time.Time
}

const cacheSize = 4096

func newAccountCache(ttl time.Duration, now func() time.Time) *accountCache {
	return &accountCache{ttl: ttl, now: now, young: make(map[acme.ID]cachedAccount)}
}

func (c *accountCache) read(ctx context.Context, store Reader, id acme.ID) (acme.Account, error) {
	if c.ttl <= 0 {
		return store.Account(ctx, id)
	}
	c.mu.Lock()
	cached, ok := c.young[id]
	if !ok {
		cached, ok = c.old[id]
	}
	changes := c.changes
	if ok && c.now().Before(cached.until) {
		c.keep(id, cached)
		c.mu.Unlock()
		return cached.account, nil
	}
	c.mu.Unlock()

	account, err := store.Account(ctx, id)
	if err != nil {
		return acme.Account{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changes == changes {
		c.keep(id, cachedAccount{account, c.now().Add(c.ttl)})
	}
	return account, nil
}

// keep puts an account into the young generation; the caller holds mu.
func (c *accountCache) keep(id acme.ID, cached cachedAccount) {
	if len(c.young) >= cacheSize {
		c.old, c.young = c.young, make(map[acme.ID]cachedAccount)
	}
	c.young[id] = cached
}

// changed replaces an account that this front end has changed.
func (c *accountCache) changed(account acme.Account) {
	if c.ttl <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	delete(c.old, account.ID)
	c.keep(account.ID, cachedAccount{account, c.now().Add(c.ttl)})
}
