package acme

import (
	"crypto/ed25519"
	"strconv"
	"time"
)

// OnionCAA is the CAA record set of an onion service as its holder gives it
// with a finalize request (RFC 9799 §6.4). All names of the service share it.
type OnionCAA struct {
	Service Identifier // the onion service's own name
	// CAA is the records as they would stand in the service's descriptor; nil:
	// the service has none.
	CAA *string
	// Expiry is the end of its validity, in whole seconds.
	Expiry    time.Time
	Signature [ed25519.SignatureSize]byte
}

// Verify tells whether the service's key signed the record set.
func (c OnionCAA) Verify() bool {
	key := c.Service.OnionKey()
	return key != nil && ed25519.Verify(key, c.signed(), c.Signature[:])
}

// signed is what the signature is over. A record set that is null stands there
// as the empty string.
func (c OnionCAA) signed() []byte {
	message := strconv.AppendInt([]byte("onion-caa|"), c.Expiry.Unix(), 10)
	message = append(message, '|')
	if c.CAA != nil {
		message = append(message, *c.CAA...)
	}
	return message
}

// Sign makes the signature that Verify wants.
func (c *OnionCAA) Sign(key ed25519.PrivateKey) {
	c.Signature = [ed25519.SignatureSize]byte(ed25519.Sign(key, c.signed()))
}
