package ra

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/va/attest"
)

// checkResponse refuses the responses to a challenge that hold no proof, good
// or bad: the challenge stays pending. Most challenge types have none in them.
func checkResponse(req RespondToChallenge) error {
	if req.Type == acme.DeviceAttest01 {
		_, err := attest.ParseResponse(req.Response)
		return err
	}
	return nil
}

// reusable are the identifiers whose authorizations serve other orders too. An
// attestation speaks of one key, and so of one certificate.
func reusable(ids []acme.Identifier) []acme.Identifier {
	return slices.DeleteFunc(slices.Clone(ids), acme.Identifier.IsDevice)
}

// checkAttestedKey holds the key of the CSR to what the devices of an order
// attested: the certificate is for the key that the hardware holds
// (draft-ietf-acme-device-attest §10).
func (r *RA) checkAttestedKey(ctx context.Context, order acme.Order, der []byte) error {
	if !slices.ContainsFunc(order.Identifiers, acme.Identifier.IsDevice) {
		return nil
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return acme.NewProblem(acme.BadCSR, "the CSR can't be parsed as PKCS#10 in DER")
	}
	key, err := acme.PublicKeySHA256(csr.PublicKey)
	if err != nil {
		return acme.NewProblem(acme.BadCSR, "the CSR has a key of a kind that is not accepted; it must have the attested key")
	}
	proven := make(map[acme.Identifier]bool)
	for _, id := range order.Authorizations {
		authz, err := r.Store.Authorization(ctx, id)
		if err != nil {
			return fmt.Errorf("reading authorization %s: %w", id, err)
		}
		if !authz.Identifier.IsDevice() || authz.Attempt == nil || authz.Attempt.Evidence.Attestation == nil {
			continue
		}
		if attested := authz.Attempt.Evidence.Attestation.KeySHA256; attested != key {
			return acme.NewProblem(acme.BadCSR,
				"the CSR has another key than the one that the device attested for %q: the SHA-256 of its SubjectPublicKeyInfo is %s, the attested key's %s; make the CSR with the attested key",
				authz.Identifier.Value(), key, attested)
		}
		proven[authz.Identifier] = true
	}
	for _, id := range order.Identifiers {
		if id.IsDevice() && !proven[id] {
			return acme.NewProblem(acme.BadCSR, "no key was attested for %q; create a new order", id.Value())
		}
	}
	return nil
}
