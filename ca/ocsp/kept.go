package ocsp

import (
	"sync"
	"time"
)

// kept are the answers that were signed, by the CertID that they are about.
// There are few ways to write the CertID of a certificate, so that nobody can
// fill the memory with answers about one.
type kept struct {
	limit int

	mu      sync.Mutex
	answers map[string]answer
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
