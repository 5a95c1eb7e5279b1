package va

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/cairn-ca/cairn/internal/acme"
	"github.com/cairn-ca/cairn/va/attest"
)

// deviceAttest01 is draft-ietf-acme-device-attest §5. The response carries the
// proof: nothing is looked up.
type deviceAttest01 struct{ *VA }

func (deviceAttest01) unfit(id acme.Identifier, _ bool) string {
	if !id.IsDevice() {
		return "device-attest-01 proves the identity of devices only"
	}
	return ""
}

func (m deviceAttest01) prove(_ context.Context, t *try) *failure {
	object, err := attest.ParseResponse(t.Response)
	if err != nil {
		return refused(err)
	}
	t.step("the response has an attestation of the format %s", quote(string(object.Format)))
	attested, err := m.AttestationRoots[t.Directory].Verify(object, attest.Expected{
		Identifier: t.Identifier, Token: t.Token, KeyAuthorization: t.keyAuthorization, Now: m.Now(),
	})
	if err != nil {
		return refused(err)
	}
	t.steps = append(t.steps, attested.Steps...)
	key, err := acme.PublicKeySHA256(attested.Key)
	if err != nil {
		return wrong(acme.BadAttestationStatement, "the attested key is of a kind that can't be certified")
	}
	t.step("the attested key has the SHA-256 %s", key)
	root := sha256.Sum256(attested.Root.Raw)
	t.attestation = &acme.AttestationEvidence{Format: string(attested.Format), KeySHA256: key, RootSHA256: hex.EncodeToString(root[:])}
	return nil
}

// refused is the failure of an attestation: it ends the challenge, and its
// reason is told (draft-ietf-acme-device-attest §5).
func refused(err error) *failure {
	var p *acme.Problem
	if errors.As(err, &p) {
		return &failure{problem: p}
	}
	return wrong(acme.BadAttestationStatement, "%s", err)
}
