package ra

import (
	"sync"

	"github.com/cairn-ca/cairn/internal/acme"
)

// Places bounds the validation tries that run at once in this process.
type Places struct {
	// InFlight is how many may run in all, PerAccount how many of them for one
	// account. 0: DefaultInFlight, DefaultPerAccount.
	InFlight, PerAccount int
}

// Defaults of Places.
const (
	DefaultInFlight   = 4096
	DefaultPerAccount = 256
)

// places gives out the places that Places bounds. What gets none is not lost
// and not refused: it waits in the store, where this process, or another that
// has places left, claims it.
//
// An account may hold no more places than are left when it takes one. So a
// single account never gets more than half of all, n accounts never more than
// n/(n+1), and whoever holds none finds one free: names that time out cost
// their own account time, and nobody else.
type places struct {
	Places
	mu    sync.Mutex
	taken int
	held  map[acme.ID]int
}

func newPlaces(bounds Places) *places {
	if bounds.InFlight <= 0 {
		bounds.InFlight = DefaultInFlight
	}
	if bounds.PerAccount <= 0 {
		bounds.PerAccount = DefaultPerAccount
	}
	return &places{Places: bounds, held: make(map[acme.ID]int)}
}

// take takes a place for an account, if there is one that it may have.
func (p *places) take(account acme.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held[account] >= min(p.PerAccount, p.InFlight-p.taken) {
		return false
	}
	p.occupy(account)
	return true
}

// takeClaimed takes places for work that was claimed as free said.
func (p *places) takeClaimed(account acme.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.occupy(account)
}

func (p *places) occupy(account acme.ID) {
	p.taken++
	p.held[account]++
}

// release gives a place back.
func (p *places) release(account acme.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.held[account]--; p.held[account] == 0 {
		delete(p.held, account)
	}
}

// inFlight is how many places are taken.
func (p *places) inFlight() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken
}

// free says what may be claimed: at most limit validations, perAccount of one
// account, and none of the accounts in full. All that is claimed so has a
// place; what requests take in the meantime comes on top.
func (p *places) free(most int) (limit, perAccount int, full []acme.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := p.InFlight - p.taken
	if left <= 0 {
		return 0, 0, nil
	}
	// Half of what is left stays for requests that come now.
	limit = min((left+1)/2, most)
	bound := min(p.PerAccount, left-limit)
	perAccount = max(bound/2, 1)
	for account, n := range p.held {
		if n+perAccount > bound {
			full = append(full, account)
		}
	}
	return limit, perAccount, full
}
