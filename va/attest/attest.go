// Package attest verifies what devices attest about themselves: WebAuthn
// attestation statements as device-attest-01 carries them
// (draft-ietf-acme-device-attest §5).
//
// A statement is good when its certificates chain to one of the roots that are
// configured for its format, when it was made for this challenge, and when it
// names the very device that the order has. What it proves, beside the
// identity, is which key the device holds; the certificate must be for that
// key.
//
// Everything in a statement comes from a stranger. It is bounded when it is
// decoded (ParseResponse) and nothing in it reaches out to the network.
package attest

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/acme"
)

// Format is an attestation statement format: an entry of the registry of
// RFC 8809, or one that is in use without it.
type Format string

// The formats that can be verified, each in a file of its own.
const (
	Apple      Format = "apple"       // Apple's Managed Device Attestation
	TPM        Format = "tpm"         // WebAuthn §8.3
	AndroidKey Format = "android-key" // WebAuthn §8.4
	Step       Format = "step"        // YubiKey PIV attestation, as step-ca has it
)

// Roots are the root certificates that are trusted, by format. A format
// without any is not accepted.
type Roots map[Format][]*x509.Certificate

// Expected is what a statement must be about.
type Expected struct {
	Identifier acme.Identifier
	// Token is the challenge's, KeyAuthorization its key authorization
	// (RFC 8555 §8.1).
	Token, KeyAuthorization string
	// Now is the time at which the certificates must be valid.
	Now time.Time
}

// Attested is what a good statement proves.
type Attested struct {
	Format Format
	Key    crypto.PublicKey
	// Root is the configured certificate that the statement chains to.
	Root *x509.Certificate
	// Steps say what was seen, a short line each.
	Steps []string
}

// Error is a statement that proves nothing. Its text says why and is fit for
// the client.
type Error struct{ reason string }

func (e *Error) Error() string { return e.reason }

func refuse(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

// verification is one statement on its way.
type verification struct {
	Expected
	statement
	roots []*x509.Certificate
	steps []string
	root  *x509.Certificate
}

func (v *verification) step(format string, args ...any) {
	v.steps = append(v.steps, fmt.Sprintf(format, args...))
}

// formats are the procedures. Each gives the attested key.
var formats = map[Format]func(*verification) (crypto.PublicKey, error){
	Apple:      verifyApple,
	TPM:        verifyTPM,
	AndroidKey: verifyAndroidKey,
	Step:       verifyStep,
}

// Formats are the formats that can be verified, sorted.
func Formats() []Format { return slices.Sorted(maps.Keys(formats)) }

// Verify verifies an attestation object. The error is an *Error.
func (r Roots) Verify(o Object, want Expected) (Attested, error) {
	verify, known := formats[o.Format]
	roots := r[o.Format]
	if !known || len(roots) == 0 {
		return Attested{}, refuse("attestations of the format %s are not accepted here; %s", quote(string(o.Format)), r.accepted())
	}
	v := &verification{Expected: want, statement: o.statement, roots: roots}
	key, err := verify(v)
	if err != nil {
		return Attested{}, err
	}
	return Attested{Format: o.Format, Key: key, Root: v.root, Steps: v.steps}, nil
}

func (r Roots) accepted() string {
	var names []string
	for _, f := range Formats() {
		if len(r[f]) > 0 {
			names = append(names, string(f))
		}
	}
	if len(names) == 0 {
		return "this directory accepts none"
	}
	return "this directory accepts " + strings.Join(names, ", ")
}

// identify finds the order's device among those that a statement names.
func (v *verification) identify(names []acme.Identifier) error {
	if slices.Contains(names, v.Identifier) {
		v.step("the attestation names the device %s", quote(v.Identifier.String()))
		return nil
	}
	if len(names) == 0 {
		return refuse("the attestation names no device; a device that withholds its identity can't prove it")
	}
	return refuse("the attestation is of another device than %s: %s", quote(v.Identifier.String()), quoteNames(names))
}

// named makes an identifier of an identity that a statement has; what no order
// could have names nothing.
func named(names []acme.Identifier, identity string) []acme.Identifier {
	id, err := acme.ParseIdentifier(acme.IdentifierPermanentIdentifier, identity)
	if err != nil {
		return names
	}
	if whole, _ := id.Device(); whole != identity {
		return names // a slash in it: what follows is not the assigner's to say
	}
	return append(names, id)
}

const maxQuote = 120

func quote(s string) string {
	if len(s) > maxQuote {
		return strconv.QuoteToASCII(s[:maxQuote]) + "..."
	}
	return strconv.QuoteToASCII(s)
}

func quoteNames(names []acme.Identifier) string {
	const most = 4
	var quoted []string
	for _, id := range names[:min(len(names), most)] {
		quoted = append(quoted, quote(id.String()))
	}
	if more := len(names) - most; more > 0 {
		quoted = append(quoted, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(quoted, ", ")
}
