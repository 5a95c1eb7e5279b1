package sa

import (
	"sync"

	"github.com/cairn-ca/cairn/internal/acme"
)

// keyCache remembers what the JWKs of accounts parse to, since each request
// reads its account and parsing costs more than the row. It holds no state of
// any account. The zero value is ready.
type keyCache struct {
	mu sync.Mutex
	// A key that is asked for is in recent; when that is full it becomes
	// older, and what was older is forgotten.
	recent, older map[string]acme.AccountKey
}

// keyCacheSize bounds each of the two generations.
const keyCacheSize = 4096

func (c *keyCache) parse(jwk string) (acme.AccountKey, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key, ok := c.recent[jwk]
	if ok {
		return key, nil
	}
	if key, ok = c.older[jwk]; !ok {
		var err error
		if key, err = acme.ParseAccountKey([]byte(jwk)); err != nil {
			return acme.AccountKey{}, err
		}
	}
	if c.recent == nil || len(c.recent) >= keyCacheSize {
		c.recent, c.older = make(map[string]acme.AccountKey), c.recent
	}
	c.recent[jwk] = key
	return key, nil
}
