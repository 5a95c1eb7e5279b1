package attest

import (
	"crypto"
	"crypto/sha256"
	"crypto/subtle"
	"slices"

	"github.com/cairn-ca/cairn/internal/acme"
)

// verifyAndroidKey verifies a statement of the format "android-key" (WebAuthn
// §8.4): a certificate that the device's keystore made for the key, and a
// signature of that key on the key authorization.
func verifyAndroidKey(v *verification) (crypto.PublicKey, error) {
	algorithm, err := v.algorithm()
	if err != nil {
		return nil, err
	}
	chain, err := v.chain()
	if err != nil {
		return nil, err
	}
	leaf := chain[0]
	// A key that is attested may sign certificates where the keystore lets it:
	// what such a certificate says, the keystore does not.
	for _, cert := range chain[1:] {
		if _, ok := extension(cert, oidKeyDescription); ok {
			return nil, refuse("the certificate of the attestation was issued by a key of the device's user, not by the keystore")
		}
	}
	if !algorithm.verify(leaf.PublicKey, []byte(v.KeyAuthorization), v.Signature) {
		return nil, refuse("\"sig\" is no %s signature of the attested key on this challenge's key authorization", algorithm.name)
	}
	value, ok := extension(leaf, oidKeyDescription)
	if !ok {
		return nil, refuse("the attestation certificate has no key description (%s)", oidKeyDescription)
	}
	description, ok := parseKeyDescription(value)
	if !ok {
		return nil, refuse("the key description (%s) can't be read", oidKeyDescription)
	}
	if err := description.check(v.KeyAuthorization); err != nil {
		return nil, err
	}
	var names []acme.Identifier
	for _, identity := range description.hardwareEnforced.identities() {
		names = named(names, identity)
	}
	if err := v.identify(names); err != nil {
		return nil, err
	}
	v.step("the key is in the keystore's %s", securityLevels[description.attestationLevel])
	return leaf.PublicKey, nil
}

// check holds the description to WebAuthn §8.4, with what secure hardware
// enforces counting alone.
func (d keyDescription) check(keyAuthorization string) error {
	// WebAuthn puts the hash of the client data into the challenge, and the
	// draft the key authorization into its place, "hashed using an algorithm
	// specified by the attestation format". Android takes up to 128 octets, so
	// that clients may leave the hashing out.
	hashed := sha256.Sum256([]byte(keyAuthorization))
	fresh := subtle.ConstantTimeCompare(d.challenge, hashed[:]) | subtle.ConstantTimeCompare(d.challenge, []byte(keyAuthorization))
	switch {
	case fresh != 1:
		return refuse("attestationChallenge is neither this challenge's key authorization nor its SHA-256: the key was made for another challenge or account")
	case d.attestationLevel < levelTEE || d.keyMintLevel < levelTEE:
		return refuse("the attestation is that of software; the key must be in a trusted environment or in StrongBox")
	case d.softwareEnforced.allApplications || d.hardwareEnforced.allApplications:
		return refuse("the key is for all applications of the device (allApplications)")
	case d.hardwareEnforced.origin == nil || *d.hardwareEnforced.origin != originGenerated:
		return refuse("the key was not made inside of the secure hardware: its origin is not KM_ORIGIN_GENERATED")
	case !slices.Contains(d.hardwareEnforced.purposes, purposeSign):
		return refuse("the key is not for signing: its purposes do not have KM_PURPOSE_SIGN")
	}
	return nil
}
