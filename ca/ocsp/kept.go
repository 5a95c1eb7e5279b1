package ocsp

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// kept are the answers that were signed, by the CertID that they are about.
// There are few ways to write the CertID of a certificate, so that nobody can
// fill the memory with answers about one.
type kept struct {
	limit int

	mu      sync.Mutex
	answers map[string]answer
	// signing has those who want the same answer at once wait for one
	// signature.
	signing singleflight.Group
}

// getOrMake is the kept answer that says the same as s, or the one that make
// makes, once for all who ask meanwhile.
func (k *kept) getOrMake(s single, now func() time.Time, make func() (answer, error)) (answer, error) {
	if a, ok := k.get(s, now()); ok {
		return a, nil
	}
	made, err, _ := k.signing.Do(fmt.Sprintf("%s %d %d %d", s.id, s.status, s.revokedAt.Unix(), s.reason), func() (any, error) {
		if a, ok := k.get(s, now()); ok {
			return a, nil // it was made between the two looks
		}
		a, err := make()
		if err != nil {
			return nil, err
		}
		k.put(a)
		return a, nil
	})
	if err != nil {
		return answer{}, err
	}
	return made.(answer), nil
}

// get is the answer that says the same as s and is young enough.
func (k *kept) get(s single, now time.Time) (answer, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	a, ok := k.answers[string(s.id)]
	if !ok {
		return answer{}, false
	}
	if !a.single.same(s) || !now.Before(a.renewAt) || now.Before(a.thisUpdate) {
		delete(k.answers, string(s.id))
		return answer{}, false
	}
	return a, true
}

func (k *kept) put(a answer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.answers) >= k.limit {
		// Any one goes: to sign it again costs less than to know which is
		// asked for least.
		for id := range k.answers {
			delete(k.answers, id)
			break
		}
	}
	k.answers[string(a.single.id)] = a
}
