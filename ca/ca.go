// Package ca is the signing authority: it alone holds issuer keys. It turns an
// order that is ready into a certificate: builds what its profile says, lints
// it, records it, signs it, stores it, in that order.
package ca

import (
	"context"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

// Authority is the signing service.
type Authority interface {
	// Issue issues the certificate of an order. It returns once the
	// certificate is signed and stored or, when that takes longer than
	// req.Wait, once it is recorded: from then on it is durable work, and
	// Issued.Signed is false. Every refusal is a *acme.Problem (badCSR,
	// badPublicKey, invalidProfile, orderNotReady, serverInternal for a
	// failed lint) and nothing is recorded then.
	Issue(ctx context.Context, req Request) (Issued, error)
	// ServiceCertificate signs a certificate for a listener of Cairn's own.
	// The names come from the authority's configuration; of the request only
	// the key is taken. It returns the chain, leaf first, DER.
	ServiceCertificate(ctx context.Context, csr []byte) ([][]byte, error)
}

// Request asks for the certificate of an order.
type Request struct {
	Account     acme.ID
	Order       acme.ID
	Profile     string
	Identifiers []acme.Identifier
	CSR         []byte // PKCS#10, DER
	// AccountKeyThumbprint is the account key's: a certificate must not have
	// the key of its account (RFC 8555 §11.1).
	AccountKeyThumbprint string
	NotBefore, NotAfter  time.Time // zero: the profile's choice
	Wait                 time.Duration
	// AutoRenewal is set for the certificates of an order that renews itself
	// (RFC 8739).
	AutoRenewal *AutoRenewal
}

// AutoRenewal is what the store must be told with a certificate of an
// auto-renewal order.
type AutoRenewal struct {
	// Renewal tells a further certificate from the first.
	Renewal bool
	// Owner holds the lease on the order, for a renewal.
	Owner string
	// Next is when the next certificate is due; zero: never.
	Next time.Time
}

// Issued names the certificate.
type Issued struct {
	Serial acme.Serial
	Signed bool // false: recorded, being signed
}
