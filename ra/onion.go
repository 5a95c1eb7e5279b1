package ra

import (
	"slices"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

// maxOnionNonce is how long the nonce of onion-csr-01 may be used (RFC 9799
// §3.2). It is the authorization's, and lives as long as that is pending.
const maxOnionNonce = 30 * 24 * time.Hour

// onionServices tells whether a directory issues for onion services.
func (d Directory) onionServices() bool { return slices.Contains(d.Challenges, acme.OnionCSR01) }

// offeredToOnion are the challenge types that can prove control of an onion
// name: the DNS has none (RFC 9799 §3.1.1), and the others are for a server
// that reaches the service over Tor (§8.6).
func (d Directory) offeredToOnion() []acme.ChallengeType {
	if !d.onionServices() {
		return nil
	}
	return []acme.ChallengeType{acme.OnionCSR01}
}

// onionCAA finds the record set of the onion service that a name belongs to;
// nil: there is none.
func onionCAA(sets []acme.OnionCAA, id acme.Identifier) *acme.OnionCAA {
	service := id.OnionService()
	for i := range sets {
		if id.IsOnion() && sets[i].Service == service {
			return &sets[i]
		}
	}
	return nil
}
